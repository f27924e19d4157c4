# What can be said of the code without running it: the layers, the rules, the headers, the images, the dependencies.
CLANG_BUILD := build/clang

.PHONY: check clang
# One line for each thing checked, then the counts.
check: all clang
	@scripts/run_checks -- $(HYPERVISOR_CFLAGS)

# The images once more, by the other compiler.
clang: $(GENERATED_HEADERS)
	@echo "  MAKE $(CLANG_BUILD)"
	+@$(MAKE) -s --no-print-directory CC=clang BUILD=$(CLANG_BUILD) all
