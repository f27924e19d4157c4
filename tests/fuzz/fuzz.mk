# libFuzzer targets: each tests/fuzz/fuzz_*.c linked with clang's host build of the product (see tests/unit/unit.mk).
# Seeds are the files in tests/fuzz/corpus/<target>/; what a run finds is kept in build/fuzz/corpus/<target>/.
FUZZ_BUILD := $(BUILD)/fuzz
FUZZ_TARGETS := $(patsubst tests/fuzz/%.c,%,$(sort $(wildcard tests/fuzz/fuzz_*.c)))
FUZZ_PROGRAMS := $(FUZZ_TARGETS:%=$(FUZZ_BUILD)/%)
FUZZ_RUNS ?= 20000
FUZZ_SECONDS ?= 300

$(FUZZ_BUILD)/fuzz_%.o: tests/fuzz/fuzz_%.c Makefile tests/fuzz/fuzz.mk
	@mkdir -p $(@D)
	clang $(UNIT_CFLAGS) -fsanitize=fuzzer-no-link -D_DEFAULT_SOURCE -c -o $@ $<

$(FUZZ_BUILD)/fuzz_%: $(FUZZ_BUILD)/fuzz_%.o $(UNIT_BUILD)/clang/fakes.a $(UNIT_BUILD)/clang/product.a
	clang -fsanitize=fuzzer,address,undefined -o $@ $< $(UNIT_FORCED) -Wl,--start-group \
		$(UNIT_BUILD)/clang/fakes.a $(UNIT_BUILD)/clang/product.a -Wl,--end-group

.PHONY: fuzz fuzz-bounded fuzz-objects
fuzz-objects: $(FUZZ_PROGRAMS:%=%.o)
# A fixed number of runs of every target, with a fixed seed, for `make test`.
fuzz-bounded: $(FUZZ_PROGRAMS)
	@scripts/run_fuzz_targets --runs $(FUZZ_RUNS) $(FUZZ_PROGRAMS)

# Without bound: FUZZ_SECONDS for each target in turn, again and again; FUZZ=name stays with one.
fuzz: $(if $(FUZZ),$(FUZZ_BUILD)/fuzz_$(FUZZ:fuzz_%=%),$(FUZZ_PROGRAMS))
	@scripts/run_fuzz_targets --seconds $(FUZZ_SECONDS) $^

-include $(wildcard $(FUZZ_BUILD)/*.d)
