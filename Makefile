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
BASE_CFLAGS := -std=c11 -g $(WARNINGS) -I. -I$(BUILD)/generated -MMD -MP -DTRIVET_VERSION='"$(VERSION)"'
HYPERVISOR_CFLAGS := $(BASE_CFLAGS) -ffreestanding -fno-builtin-printf -fno-stack-protector -fno-pic -fno-pie -mcmodel=kernel \
	-mno-red-zone -mgeneral-regs-only -fno-omit-frame-pointer -fno-strict-aliasing -fcf-protection=none \
	-fno-asynchronous-unwind-tables -ffunction-sections -fdata-sections
# Loaders copy the segments, so that they need no page's alignment in the file.
HYPERVISOR_LDFLAGS := -nostdlib -static -T linker.ld -z max-page-size=64 -z noexecstack --gc-sections --build-id=none \
	--no-warn-rwx-segments

# The hypervisor is every C and NASM file below these folders; nothing is listed by hand.
SOURCE_FOLDERS := lib boot arch drivers vmm
C_SOURCES := $(filter-out boot/efi/%,$(shell find $(SOURCE_FOLDERS) -name '*.c' | sort))
ASM_SOURCES := $(filter-out boot/efi/%,$(shell find $(SOURCE_FOLDERS) -name '*.asm' | sort))
OBJECTS := $(C_SOURCES:%.c=$(BUILD)/hypervisor/%.o) $(ASM_SOURCES:%.asm=$(BUILD)/hypervisor/%.asm.o)

# What runs between a VM exit and the next entry, or on an interrupt, is compiled for speed; all else, which runs once or for a
# person who waits, for size. A file that is named nowhere below is of the second kind.
HOT_FILES := $(wildcard $(addsuffix /*.c,arch/x86/irq arch/x86/svm arch/x86/vmx vmm/dev vmm/emul vmm/exit vmm/sched)) lib/string.c arch/x86/pcpu.c \
	$(foreach name,cpuid_policy cr_policy guest_linear guest_memory guest_walk io_bus irq_routing msr_policy vcpu vcpu_timer,vmm/$(name).c)
# In the same folders: dumps, what is looked up at boot, devices that are asked seldom, and the beginning and end of a VM.
SLOW_FILES := $(foreach name,capabilities dump entry_checks inspect vm vmcs_setup vmx,arch/x86/vmx/$(name).c) \
	$(foreach name,dump entry_checks features inspect svm vm vmcb_setup,arch/x86/svm/$(name).c) \
	$(foreach name,cmos_rtc i8042 pci_host reset_ports rtc_calendar test_device,vmm/dev/$(name).c) \
	$(wildcard arch/x86/irq/ioapic*.c arch/x86/irq/pic.c vmm/dev/*_describe.c vmm/exit/crash.c vmm/exit/crash_dump.c vmm/dev/pci_passthrough*.c vmm/sched/scheduler_admit.c vmm/sched/vm_*.c)
# Without padding before functions, loops and jump targets: 11 KiB, and fewer instructions. clang's -O2 makes 20 KiB more than its -Os.
HOT_FLAGS := $(if $(findstring clang,$(CC)),-Os,-O2 -falign-functions=1 -falign-loops=1 -falign-jumps=1 -falign-labels=1)
OPTIMIZATION = $(if $(filter $(filter-out $(SLOW_FILES),$(HOT_FILES)),$<),$(HOT_FLAGS),-Oz)

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
	$(QUIET)$(CC) $(HYPERVISOR_CFLAGS) $(OPTIMIZATION) -c -o $@ $<

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
