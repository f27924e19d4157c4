; Where a Multiboot2 loader enters: 32-bit protected mode without paging, EAX = magic, EBX = physical address of the
; information. Goes to 64-bit mode, has C build struct boot_info, and enters the hypervisor as every loader does.
;
; Manuals: Multiboot2 Specification "I386 machine state"; SDM Vol. 3A "Initializing IA-32e Mode".

%include "boot/multiboot2/multiboot2.inc"

extern __image_start
extern __image_end
extern boot_entry64
extern multiboot2_build_boot_info

global multiboot2_entry32

LOADER_MAGIC equ 0x36d76289

PAGE_SIZE_4K equ 0x1000
PAGE_SIZE_2M equ 0x200000
PAGE_TABLE equ 0x003        ; present, writable
PAGE_LARGE equ 0x083        ; present, writable, 2 MiB
ENTRIES equ 512
; Where HYPERVISOR_VIRTUAL_BASE lies in the tables.
IMAGE_ROOT_INDEX equ 511
IMAGE_POINTER_INDEX equ 510

MSR_EFER equ 0xc0000080
EFER_LME equ 1 << 8
CR0_PE_BIT equ 1 << 0
CR0_PG equ 1 << 31
CR4_PAE equ 1 << 5
EFLAGS_ID equ 1 << 21
CPUID_HIGHEST_EXTENDED equ 0x80000000
CPUID_EXTENDED_FEATURES equ 0x80000001
CPUID_LONG_MODE equ 1 << 29

SELECTOR_CODE64 equ 0x08
SELECTOR_DATA equ 0x10

COM1 equ 0x3f8
COM1_LINE_CONTROL equ COM1 + 3
COM1_LINE_STATUS equ COM1 + 5
LINE_CONTROL_DIVISOR equ 0x80
LINE_CONTROL_8N1 equ 0x03
DIVISOR_115200 equ 1
LINE_STATUS_EMPTY equ 1 << 5
; A UART that is not there reads as all ones, one that hangs never gets empty: no endless waiting.
SERIAL_PATIENCE equ 100000
VGA_TEXT equ 0xb8000
VGA_BRIGHT_RED equ 0x0c

section .text.multiboot2 progbits alloc exec nowrite align=16

bits 32
multiboot2_entry32:
	cli
	cld
	mov esp, PHYSICAL(stack_top)
	mov ebp, ebx                       ; information, across CPUID
	mov esi, PHYSICAL(text_no_loader)
	cmp eax, LOADER_MAGIC
	jne stop_with_message
	mov esi, PHYSICAL(text_no_long_mode)
	call has_long_mode
	jnc stop_with_message

	call build_page_tables
	mov eax, PHYSICAL(root)
	mov cr3, eax
	mov eax, CR4_PAE
	mov cr4, eax
	mov ecx, MSR_EFER
	rdmsr
	or eax, EFER_LME
	wrmsr
	mov eax, cr0
	or eax, CR0_PG | CR0_PE_BIT
	mov cr0, eax
	lgdt [PHYSICAL(gdt_pointer)]
	jmp SELECTOR_CODE64:PHYSICAL(enter_64_bit)

; Return: carry set if the processor has long mode. Changes EAX, EBX, ECX, EDX.
has_long_mode:
	pushfd
	pop eax
	mov ecx, eax
	xor eax, EFLAGS_ID
	push eax
	popfd
	pushfd
	pop eax
	push ecx
	popfd
	xor eax, ecx
	test eax, EFLAGS_ID                ; a processor with CPUID lets the bit be changed
	jz .no
	mov eax, CPUID_HIGHEST_EXTENDED
	cpuid
	cmp eax, CPUID_EXTENDED_FEATURES
	jb .no
	mov eax, CPUID_EXTENDED_FEATURES
	cpuid
	test edx, CPUID_LONG_MODE
	jz .no
	stc
	ret
.no:
	clc
	ret

; Identity map of the first 4 GiB, and the image at its link address. The tables are zero: they lie in bss, which the
; loader clears. Changes EAX, ECX, EDI.
build_page_tables:
	mov edi, PHYSICAL(low_directories)
	mov eax, PAGE_LARGE
	mov ecx, 4 * ENTRIES
.low_page:
	mov [edi], eax
	add edi, 8
	add eax, PAGE_SIZE_2M
	loop .low_page

	mov edi, PHYSICAL(low_pointers)
	mov eax, PHYSICAL(low_directories) + PAGE_TABLE
	mov ecx, 4
.low_directory:
	mov [edi], eax
	add edi, 8
	add eax, PAGE_SIZE_4K
	loop .low_directory

	; From HYPERVISOR_VIRTUAL_BASE every address maps to the physical one that much lower, so the image's entries
	; stand at the index of its physical address.
	mov eax, PHYSICAL(__image_start)
	mov edi, eax
	shr edi, 21
	lea edi, [edi * 8 + PHYSICAL(image_directory)]
	or eax, PAGE_LARGE
.image_page:
	mov [edi], eax
	add edi, 8
	add eax, PAGE_SIZE_2M
	cmp eax, PHYSICAL(__image_end)
	jb .image_page

	mov dword [PHYSICAL(image_pointers) + IMAGE_POINTER_INDEX * 8], PHYSICAL(image_directory) + PAGE_TABLE
	mov dword [PHYSICAL(root)], PHYSICAL(low_pointers) + PAGE_TABLE
	mov dword [PHYSICAL(root) + IMAGE_ROOT_INDEX * 8], PHYSICAL(image_pointers) + PAGE_TABLE
	ret

; Says the NUL-terminated text at ESI on COM1 and on the VGA text screen, and stops for good.
stop_with_message:
	call open_serial
	mov edi, VGA_TEXT
.next:
	lodsb
	test al, al
	jz .halt
	mov ah, VGA_BRIGHT_RED
	stosw
	call write_serial
	jmp .next
.halt:
	hlt
	jmp .halt

; COM1 at 115200 8N1: firmware may have left it at anything. Changes EAX, EDX.
open_serial:
	mov dx, COM1_LINE_CONTROL
	mov al, LINE_CONTROL_DIVISOR
	out dx, al
	mov dx, COM1
	mov al, DIVISOR_115200
	out dx, al
	inc dx
	xor eax, eax
	out dx, al
	mov dx, COM1_LINE_CONTROL
	mov al, LINE_CONTROL_8N1
	out dx, al
	ret

; AL = character. Changes EAX, ECX, EDX.
write_serial:
	mov ah, al
	mov ecx, SERIAL_PATIENCE
	mov dx, COM1_LINE_STATUS
.wait:
	in al, dx
	test al, LINE_STATUS_EMPTY
	loopz .wait
	mov dx, COM1
	mov al, ah
	out dx, al
	ret

bits 64
enter_64_bit:
	mov eax, SELECTOR_DATA
	mov ds, eax
	mov es, eax
	mov ss, eax
	xor eax, eax
	mov fs, eax
	mov gs, eax
	mov rax, .high                     ; C code runs at its link address only
	jmp rax
.high:
	mov rsp, stack_top
	mov edi, ebp
	xor ebp, ebp
	mov esi, PHYSICAL(__image_start)
	mov edx, PHYSICAL(__image_end)
	sub edx, esi
	call multiboot2_build_boot_info
	mov edi, eax
	add edi, IMAGE_DISTANCE
	mov eax, PHYSICAL(boot_entry64)
	jmp rax

section .rodata.multiboot2 progbits alloc noexec nowrite align=8

text_no_loader: db "Trivet: not started by a Multiboot2 loader", 13, 10, 0
text_no_long_mode: db "Trivet: this processor has no 64-bit mode, which is needed", 13, 10, 0

align 8, db 0
; Flat segments with the accessed bit set.
gdt:
	dq 0
	dq 0x00af9b000000ffff              ; SELECTOR_CODE64
	dq 0x00cf93000000ffff              ; SELECTOR_DATA
gdt_end:

gdt_pointer:
	dw gdt_end - gdt - 1
	dd PHYSICAL(gdt)

section .bss.multiboot2 nobits alloc noexec write align=4096

root: resb PAGE_SIZE_4K
low_pointers: resb PAGE_SIZE_4K
low_directories: resb 4 * PAGE_SIZE_4K
image_pointers: resb PAGE_SIZE_4K
image_directory: resb PAGE_SIZE_4K
stack: resb 2 * PAGE_SIZE_4K
stack_top:
