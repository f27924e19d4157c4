# Host unit tests: every product file built for the host with ASan and UBSan, by gcc and by clang, into one archive each;
# each tests/unit/test_*.c is one cmocka program linked against it. The fakes of tests/fake stand in for the hardware.
UNIT_COMPILERS := gcc clang
UNIT_BUILD := $(BUILD)/unit

# These cannot run on the host: tests/fake has other versions of what they define.
#   arch/x86/panic.c  halts the machine    arch/x86/pcpu.c  loads the GS base
UNIT_EXCLUDED := arch/x86/panic.c arch/x86/pcpu.c
UNIT_PRODUCT := $(filter-out $(UNIT_EXCLUDED),$(C_SOURCES))
UNIT_FAKES := $(sort $(wildcard tests/fake/*.c))
UNIT_TESTS := $(sort $(wildcard tests/unit/test_*.c))

UNIT_CFLAGS := -std=c11 -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all $(WARNINGS) \
	-Itests/fake -I. -MMD -MP -DTRIVET_VERSION='"$(VERSION)"'
# Coverage is counted in gcc's build; clang's objects serve the fuzz targets too.
UNIT_PRODUCT_CFLAGS_gcc := --coverage
UNIT_PRODUCT_CFLAGS_clang := -fsanitize=fuzzer-no-link
UNIT_LDFLAGS_gcc := --coverage
UNIT_LDFLAGS_clang :=
# The hypervisor's own memcpy() and friends must not take the place of those that ASan watches.
UNIT_RENAMED := memcpy memmove memset memcmp strlen strcmp strncmp
$(foreach compiler,$(UNIT_COMPILERS),$(UNIT_BUILD)/$(compiler)/product/lib/string.o): \
	UNIT_FILE_CFLAGS := $(foreach name,$(UNIT_RENAMED),-D$(name)=product_$(name)) -fno-builtin
# Symbols that the fakes define are wanted from the start, so that no archive member of the product comes first.
UNIT_FORCED := -u panic -u pcpu_current -u insn_cpuid -u physmap_pointer -u mmio_read8

define UNIT_COMPILER_RULES
$(UNIT_BUILD)/$(1)/product/%.o: %.c Makefile tests/unit/unit.mk
	@mkdir -p $$(@D)
	$(1) $$(UNIT_CFLAGS) $$(UNIT_PRODUCT_CFLAGS_$(1)) $$(UNIT_FILE_CFLAGS) -c -o $$@ $$<

$(UNIT_BUILD)/$(1)/tests/%.o: tests/%.c Makefile tests/unit/unit.mk
	@mkdir -p $$(@D)
	$(1) $$(UNIT_CFLAGS) -D_DEFAULT_SOURCE -c -o $$@ $$<

$(UNIT_BUILD)/$(1)/product.a: $$(UNIT_PRODUCT:%.c=$(UNIT_BUILD)/$(1)/product/%.o)
	@rm -f $$@
	ar qcs $$@ $$^

$(UNIT_BUILD)/$(1)/fakes.a: $$(UNIT_FAKES:tests/%.c=$(UNIT_BUILD)/$(1)/tests/%.o)
	@rm -f $$@
	ar qcs $$@ $$^

$(UNIT_BUILD)/$(1)/test_%: $(UNIT_BUILD)/$(1)/tests/unit/test_%.o $(UNIT_BUILD)/$(1)/fakes.a $(UNIT_BUILD)/$(1)/product.a
	$(1) -fsanitize=address,undefined $$(UNIT_LDFLAGS_$(1)) -o $$@ $$< $$(UNIT_FORCED) -Wl,--start-group \
		$(UNIT_BUILD)/$(1)/fakes.a $(UNIT_BUILD)/$(1)/product.a -Wl,--end-group -lcmocka

# Names the tests' objects, so that make does not take them for intermediate files and delete them.
.PHONY: unit-objects-$(1)
unit-objects-$(1): $$(UNIT_TESTS:tests/%.c=$(UNIT_BUILD)/$(1)/tests/%.o)
endef
$(foreach compiler,$(UNIT_COMPILERS),$(eval $(call UNIT_COMPILER_RULES,$(compiler))))

UNIT_PROGRAMS := $(foreach compiler,$(UNIT_COMPILERS),$(UNIT_TESTS:tests/unit/%.c=$(UNIT_BUILD)/$(compiler)/%))

# Debian's kernel is one of the inputs; an order-only dependency, since fetching looks for itself whether it is there.
export TRIVET_TEST_VMLINUZ ?= $(CURDIR)/build/guests/vmlinuz

# Runs all unit tests (TEST=name: only test_name, by both compilers) and prints the coverage of the product's files.
.PHONY: unit
ifdef TEST
unit: $(foreach compiler,$(UNIT_COMPILERS),$(UNIT_BUILD)/$(compiler)/test_$(TEST)) | guests
	@scripts/run_unit_tests $^
else
unit: $(UNIT_PROGRAMS) | guests
	@find $(UNIT_BUILD)/gcc -name '*.gcda' -delete
	@scripts/run_unit_tests --coverage $(UNIT_BUILD)/gcc/product $^
endif

-include $(shell test -d $(UNIT_BUILD) && find $(UNIT_BUILD) -name '*.d')
