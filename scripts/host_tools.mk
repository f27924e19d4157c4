# Programs that run on the machine that builds, and what they make for the build.
HOST_TOOLS_BUILD := $(BUILD)/host
# Root-relative, since C files include what lies here by that path.
GENERATED := build/generated
# Headers that C files include and no one wrote: made before any file is compiled.
GENERATED_HEADERS := $(GENERATED)/dsdt_aml.h

TRIVET_CHECK_SOURCES := scripts/trivet_check.c $(sort $(wildcard vmm/config*.c)) \
	lib/ini.c lib/fmt.c lib/string.c
TRIVET_CHECK_OBJECTS := $(TRIVET_CHECK_SOURCES:%.c=$(HOST_TOOLS_BUILD)/%.o)

# The host's C library keeps its own memcpy() and friends.
HOST_TOOLS_RENAMED := memcpy memmove memset memcmp strlen strcmp strncmp
$(HOST_TOOLS_BUILD)/lib/string.o: HOST_TOOLS_FILE_CFLAGS := $(foreach name,$(HOST_TOOLS_RENAMED),-D$(name)=product_$(name)) -fno-builtin

# The configuration's checker: the hypervisor's own parser as a command.
$(BUILD)/trivet-check: $(TRIVET_CHECK_OBJECTS)
	@echo "  LD $@"
	$(QUIET)$(CC) -o $@ $^

$(HOST_TOOLS_BUILD)/%.o: %.c Makefile scripts/host_tools.mk
	@mkdir -p $(@D)
	@echo "  CC $< (host)"
	$(QUIET)$(CC) $(BASE_CFLAGS) -O2 -D_DEFAULT_SOURCE $(HOST_TOOLS_FILE_CFLAGS) -c -o $@ $<

# The guests' DSDT: ASL with the numbers of vmm/platform.h, by iasl to AML, and that as a C array.
$(GENERATED)/platform_asl.h: vmm/platform.h scripts/host_tools.mk
	@mkdir -p $(@D)
	$(QUIET)sed -n 's/^#define \(PLATFORM_[A-Z0-9_]*\) \(0x[0-9a-fA-F]*\|[0-9][0-9]*\)u.*/#define \1 \2/p' $< >$@

$(GENERATED)/dsdt.aml: vmm/guest/dsdt.asl $(GENERATED)/platform_asl.h
	@echo "  IASL $<"
	$(QUIET)iasl -I $(GENERATED) -we -p $(@:.aml=) $< >$(GENERATED)/dsdt.log || { cat $(GENERATED)/dsdt.log; rm -f $@; exit 1; }

$(GENERATED)/dsdt_aml.h: $(GENERATED)/dsdt.aml
	$(QUIET){ echo '/* Made from vmm/guest/dsdt.asl. */'; echo '#pragma once'; echo '#include <stdint.h>'; \
	  echo 'static const uint8_t dsdt_aml[] = {'; \
	  od -An -v -tx1 $< | sed 's/ \([0-9a-f][0-9a-f]\)/0x\1,/g'; echo '};'; } >$@

# Known by the dependency files only after the first build.
$(BUILD)/hypervisor/vmm/guest/acpi_tables.o $(foreach compiler,gcc clang,$(BUILD)/unit/$(compiler)/product/vmm/guest/acpi_tables.o): \
	| $(GENERATED_HEADERS)

-include $(shell test -d $(HOST_TOOLS_BUILD) && find $(HOST_TOOLS_BUILD) -name '*.d')
