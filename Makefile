# Trivet: build, tests and images. `make help` lists what there is.
CC ?= gcc
ifeq ($(origin CC),default)
CC := gcc
endif
NASM ?= nasm
OBJCOPY ?= objcopy
BUILD := build

# Short lines instead of whole commands; `make V=1` shows them.
ifeq ($(V),1)
QUIET :=
else
QUIET := @
endif
VERSION := 0.1.0

WARNINGS := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wcast-qual \
	-Wwrite-strings -Wvla -Wundef -Wenum-conversion -Wimplicit-fallthrough
BASE_CFLAGS := -std=c11 -O2 -g $(WARNINGS) -I. -I$(BUILD)/generated -MMD -MP -DTRIVET_VERSION='"$(VERSION)"'
HYPERVISOR_CFLAGS := $(BASE_CFLAGS) -ffreestanding -fno-builtin-printf -fno-stack-protector -fno-pic -fno-pie -mcmodel=kernel \
	-mno-red-zone -mgeneral-regs-only -fno-omit-frame-pointer -fno-strict-aliasing -fcf-protection=none \
	-fno-asynchronous-unwind-tables -ffunction-sections -fdata-sections
HYPERVISOR_LDFLAGS := -nostdlib -static -T linker.ld -z max-page-size=4096 -z noexecstack --gc-sections --build-id=none \
	--no-warn-rwx-segments

# The hypervisor is every C and NASM file below these folders; nothing is listed by hand.
SOURCE_FOLDERS := lib boot arch drivers vmm
C_SOURCES := $(filter-out boot/efi/%,$(shell find $(SOURCE_FOLDERS) -name '*.c' | sort))
ASM_SOURCES := $(filter-out boot/efi/%,$(shell find $(SOURCE_FOLDERS) -name '*.asm' | sort))
OBJECTS := $(C_SOURCES:%.c=$(BUILD)/hypervisor/%.o) $(ASM_SOURCES:%.asm=$(BUILD)/hypervisor/%.asm.o)

.PHONY: all clean help
all: $(BUILD)/trivet.elf $(BUILD)/BOOTX64.EFI

# Linked twice: the symbol table for backtraces is made from the first link and lies behind the code, so that the second
# does not move it (which is checked). Debug information stays in trivet.debug.elf; what boots is small.
$(BUILD)/trivet.elf: $(OBJECTS) linker.ld scripts/make_symbols
	@echo "  LD $@"
	$(QUIET)$(LD) $(HYPERVISOR_LDFLAGS) -o $(BUILD)/hypervisor/first.elf $(OBJECTS)
	$(QUIET)scripts/make_symbols $(BUILD)/hypervisor/first.elf > $(BUILD)/hypervisor/symbols.asm
	$(QUIET)$(NASM) -f elf64 -o $(BUILD)/hypervisor/symbols.o $(BUILD)/hypervisor/symbols.asm
	$(QUIET)$(LD) $(HYPERVISOR_LDFLAGS) -o $(BUILD)/trivet.debug.elf $(OBJECTS) $(BUILD)/hypervisor/symbols.o
	$(QUIET)scripts/make_symbols --check $(BUILD)/hypervisor/first.elf $(BUILD)/trivet.debug.elf
	$(QUIET)$(OBJCOPY) --strip-all $(BUILD)/trivet.debug.elf $@

$(BUILD)/hypervisor/%.o: %.c Makefile
	@mkdir -p $(@D)
	@echo "  CC $<"
	$(QUIET)$(CC) $(HYPERVISOR_CFLAGS) -c -o $@ $<

# NASM lists what a file includes only in a run of its own.
$(BUILD)/hypervisor/%.asm.o: %.asm Makefile
	@mkdir -p $(@D)
	@echo "  NASM $<"
	$(QUIET)$(NASM) -I./ -M -MP -MF $(@:.o=.d) -MT $@ $<
	$(QUIET)$(NASM) -f elf64 -g -F dwarf -w+all -Werror -I./ -o $@ $<

# What was fetched (rigs, guests' files) is kept; `make distclean` takes it away as well.
clean:
	find $(BUILD) -mindepth 1 -maxdepth 1 ! -name rigs ! -name guests ! -name cache -exec rm -rf {} +

.PHONY: distclean
distclean:
	rm -rf $(BUILD)

-include boot/efi/efi.mk
-include scripts/host_tools.mk
-include scripts/rigs.mk
-include tests/unit/unit.mk
-include tests/fuzz/fuzz.mk
-include tests/guests/guests.mk
-include tests/system/system.mk
-include scripts/check.mk
-include scripts/test.mk
-include $(shell test -d $(BUILD) && find $(BUILD)/hypervisor -name '*.d' 2>/dev/null)
