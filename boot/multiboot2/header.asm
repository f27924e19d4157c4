; The header by which a Multiboot2 loader knows the hypervisor's file. linker.ld puts it within the first 32 KiB.
;
; There is no relocatable tag: every part of the file that runs before paging is linked to the physical place that the
; program headers name (2 MiB), which on a PC is free RAM under legacy BIOS and under UEFI.
;
; Manual: Multiboot2 Specification version 2.0, "OS image format".

%include "boot/multiboot2/multiboot2.inc"

extern multiboot2_entry32

HEADER_MAGIC equ 0xe85250d6
ARCHITECTURE_I386 equ 0

TAG_END equ 0
TAG_INFORMATION_REQUEST equ 1
TAG_ENTRY_ADDRESS equ 3
TAG_FRAMEBUFFER equ 5
TAG_MODULE_ALIGNMENT equ 6
TAG_REQUIRED equ 0
TAG_OPTIONAL equ 1

INFORMATION_MEMORY_MAP equ 6
INFORMATION_FRAMEBUFFER equ 8
INFORMATION_ACPI_OLD equ 14
INFORMATION_ACPI_NEW equ 15

section .multiboot2_header progbits alloc noexec nowrite align=8

header:
	dd HEADER_MAGIC, ARCHITECTURE_I386, header_end - header
	dd 0x100000000 - (HEADER_MAGIC + ARCHITECTURE_I386 + (header_end - header))

align 8, db 0
	dw TAG_INFORMATION_REQUEST, TAG_REQUIRED
	dd 12, INFORMATION_MEMORY_MAP

align 8, db 0
	dw TAG_INFORMATION_REQUEST, TAG_OPTIONAL
	dd 20, INFORMATION_FRAMEBUFFER, INFORMATION_ACPI_OLD, INFORMATION_ACPI_NEW

; The file's own entry point is the one for 64-bit mode.
align 8, db 0
	dw TAG_ENTRY_ADDRESS, TAG_REQUIRED
	dd 12, PHYSICAL(multiboot2_entry32)

; 32 bits per pixel, which GRUB minds only if a size is named with it; if there is no such mode, any or text will do.
align 8, db 0
	dw TAG_FRAMEBUFFER, TAG_OPTIONAL
	dd 20, 1024, 768, 32

; Files must begin at a page boundary (boot/boot_info.h).
align 8, db 0
	dw TAG_MODULE_ALIGNMENT, TAG_REQUIRED
	dd 8

align 8, db 0
	dw TAG_END, TAG_REQUIRED
	dd 8
header_end:
