# Test guests: bare-metal programs that boot by Multiboot 1. NAME.c becomes build/guests-test/NAME.elf (ELF64) and
# NAME.elf32, which `qemu-system-x86_64 -kernel` takes too.
GUEST_DIRECTORY := tests/guests
GUEST_BUILD := $(BUILD)/guests-test
GUEST_NAMES := $(patsubst $(GUEST_DIRECTORY)/%.c,%,$(sort $(wildcard $(GUEST_DIRECTORY)/*.c)))
GUEST_RUNTIME := $(patsubst $(GUEST_DIRECTORY)/%.c,$(GUEST_BUILD)/%.o,$(sort $(wildcard $(GUEST_DIRECTORY)/runtime/*.c))) \
	$(patsubst $(GUEST_DIRECTORY)/%.asm,$(GUEST_BUILD)/%.asm.o,$(sort $(wildcard $(GUEST_DIRECTORY)/runtime/*.asm)))
GUEST_CFLAGS := -std=c11 -O2 -g $(WARNINGS) -I$(GUEST_DIRECTORY) -MMD -MP -ffreestanding -fno-stack-protector -fno-pic -fno-pie \
	-mno-red-zone -mgeneral-regs-only -fno-strict-aliasing -fcf-protection=none -fno-asynchronous-unwind-tables \
	-fno-tree-loop-distribute-patterns

.PHONY: test-guests
test-guests: $(GUEST_NAMES:%=$(GUEST_BUILD)/%.elf) $(GUEST_NAMES:%=$(GUEST_BUILD)/%.elf32) $(GUEST_BUILD)/bench_initrd.img

$(GUEST_BUILD)/%.o: $(GUEST_DIRECTORY)/%.c $(GUEST_DIRECTORY)/guests.mk
	@mkdir -p $(@D)
	$(CC) $(GUEST_CFLAGS) -c -o $@ $<

$(GUEST_BUILD)/%.asm.o: $(GUEST_DIRECTORY)/%.asm $(GUEST_DIRECTORY)/guests.mk
	@mkdir -p $(@D)
	$(NASM) -f elf64 -w+all -Werror -I$(GUEST_DIRECTORY)/ -MD $(@:.o=.d) -MP -o $@ $<

$(GUEST_BUILD)/%.elf: $(GUEST_BUILD)/%.o $(GUEST_RUNTIME) $(GUEST_DIRECTORY)/guest.ld
	$(LD) -nostdlib -static -T $(GUEST_DIRECTORY)/guest.ld -z max-page-size=4096 -z noexecstack --no-warn-rwx-segments -o $@ \
		$< $(GUEST_RUNTIME)

$(GUEST_BUILD)/%.elf32: $(GUEST_BUILD)/%.elf
	$(OBJCOPY) -O elf32-i386 $< $@

.SECONDARY: $(GUEST_RUNTIME) $(GUEST_NAMES:%=$(GUEST_BUILD)/%.o)
-include $(wildcard $(GUEST_BUILD)/*.d $(GUEST_BUILD)/runtime/*.d)

# Linux boots to it and no further: an initial RAM disk of one program, for scripts/bench.
$(GUEST_BUILD)/bench_initrd.img: $(GUEST_DIRECTORY)/linux/bench_init.c $(GUEST_DIRECTORY)/guests.mk
	@mkdir -p $(GUEST_BUILD)/initrd/dev
	$(CC) -std=gnu11 -O2 -static $(WARNINGS) -o $(GUEST_BUILD)/initrd/init $<
	(cd $(GUEST_BUILD)/initrd && find . -print0 | LC_ALL=C sort -z | cpio --quiet --null -o -H newc --reproducible --owner=0:0) | gzip -9n > $@
