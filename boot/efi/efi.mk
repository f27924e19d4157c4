# build/BOOTX64.EFI: the EFI loader, a gnu-efi application.
EFI_INCLUDE ?= /usr/include/efi
EFI_LIBRARY ?= /usr/lib
EFI_BUILD := $(BUILD)/efi

EFI_CFLAGS := $(BASE_CFLAGS) -O2 -fpic -fvisibility=hidden -ffreestanding -fshort-wchar -fno-builtin-printf -fno-stack-protector \
	-fno-strict-aliasing -mno-red-zone -mgeneral-regs-only -fcf-protection=none -fno-asynchronous-unwind-tables \
	-DGNU_EFI_USE_MS_ABI -isystem $(EFI_INCLUDE) -isystem $(EFI_INCLUDE)/x86_64
EFI_LDFLAGS := -nostdlib -znocombreloc -shared -Bsymbolic -z noexecstack --no-undefined --no-warn-rwx-segments \
	-T $(EFI_LIBRARY)/elf_x86_64_efi.lds
EFI_SECTIONS := -j .text -j .sdata -j .data -j .rodata -j .dynamic -j .dynsym -j '.rel*' -j .rela -j .reloc

EFI_C_SOURCES := $(sort $(wildcard boot/efi/*.c boot/*.c lib/*.c))
EFI_ASM_SOURCES := $(sort $(wildcard boot/efi/*.asm))
EFI_OBJECTS := $(EFI_C_SOURCES:%.c=$(EFI_BUILD)/%.o) $(EFI_ASM_SOURCES:%.asm=$(EFI_BUILD)/%.asm.o)

$(BUILD)/BOOTX64.EFI: $(EFI_BUILD)/loader.so
	$(OBJCOPY) $(EFI_SECTIONS) --target efi-app-x86_64 --subsystem=10 $< $@

$(EFI_BUILD)/loader.so: $(EFI_OBJECTS) boot/efi/efi.mk
	$(LD) $(EFI_LDFLAGS) -o $@ $(EFI_LIBRARY)/crt0-efi-x86_64.o $(EFI_OBJECTS) -L $(EFI_LIBRARY) -l:libgnuefi.a

$(EFI_BUILD)/%.o: %.c boot/efi/efi.mk Makefile
	@mkdir -p $(@D)
	$(CC) $(EFI_CFLAGS) -c -o $@ $<

$(EFI_BUILD)/%.asm.o: %.asm boot/efi/efi.mk Makefile
	@mkdir -p $(@D)
	$(QUIET)$(NASM) -I./ -M -MP -MF $(@:.o=.d) -MT $@ $<
	$(QUIET)$(NASM) -f elf64 -g -F dwarf -w+all -Werror -I./ -o $@ $<

-include $(EFI_OBJECTS:.o=.d)
