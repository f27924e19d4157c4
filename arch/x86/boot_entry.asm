; Where every loader enters the hypervisor: 64-bit mode, identity-mapped at the image's physical address, RDI = physical
; address of struct boot_info. Position independent until it runs at its link address. Builds the early page tables,
; which the boot processor uses until the host's own are ready.
;
; SDM Vol. 3A "4-Level Paging", "IA-32e Mode Operating Environment"; see boot/boot_info.h for the state at hand-over.

default rel
bits 64

%include "arch/x86/boot_entry.inc"

extern __image_start
extern __image_end
extern hypervisor_main
global boot_entry64
global boot_stack_guard
global boot_stack_top

section .text.boot_entry progbits alloc exec nowrite align=16

boot_entry64:
	cli
	cld
	mov r12, rdi                       ; boot_info
	lea r13, [__image_start]           ; where the image lies
	lea rsp, [boot_stack_top]
	xor ebp, ebp

	; An NX bit in an entry is a reserved bit on a processor without it.
	xor r14d, r14d
	mov eax, CPUID_EXTENDED_FEATURES
	cpuid
	bt edx, CPUID_EXTENDED_EDX_NX
	jnc .no_execute_disable
	mov r14, PAGE_NO_EXECUTE
	mov ecx, MSR_EFER
	rdmsr
	or eax, EFER_NXE
	wrmsr
.no_execute_disable:

	call build_page_tables
	mov rdi, r12
	mov rsi, r13

	; Known control registers before the new tables: no global pages that would outlive the old ones, no SMEP, SMAP,
	; PCIDE or CET of the firmware's. LA57 cannot be cleared while paging is on, VMXE not while in VMX operation.
	mov rcx, cr4
	and ecx, CR4_LA57 | CR4_VMXE | CR4_MCE
	or ecx, CR4_PAE
	mov rdx, CR0_INITIAL
	mov cr0, rdx
	mov cr4, rcx
	lea rdx, [boot_gdt]
	mov [boot_gdt_pointer_low + 2], rdx
	lgdt [boot_gdt_pointer_low]
	test ecx, CR4_LA57
	jnz leave_five_level_paging
	mov cr3, rax

enter_high_half:
	mov rax, .high
	jmp rax
.high:
	lgdt [boot_gdt_pointer]
	mov eax, BOOT_SELECTOR_DATA
	mov ds, eax
	mov es, eax
	mov ss, eax
	xor eax, eax
	mov fs, eax
	mov gs, eax
	lldt ax
	lea rsp, [boot_stack_top]
	lea rax, [.code_loaded]
	push BOOT_SELECTOR_CODE64
	push rax
	o64 retf
.code_loaded:
	mov edi, edi                       ; both lie below 4 GiB
	mov esi, esi
	xor ebp, ebp
	call hypervisor_main
	ud2

; Firmware may have turned 5-level paging on. It can only be left with paging off, which only 32-bit code can do; the
; image, its tables and its stack lie below 4 GiB, so that code reaches all it needs. RAX = the 4-level root. R8 to R15 and
; the upper halves of the others do not survive this.
leave_five_level_paging:
	lea rcx, [.compatibility]
	lea rdx, [enter_high_half]
	push BOOT_SELECTOR_CODE32
	push rcx
	o64 retf
bits 32
.compatibility:
	mov ebx, BOOT_SELECTOR_DATA
	mov ds, ebx
	mov ss, ebx
	mov ebx, cr0
	and ebx, ~CR0_PG
	mov cr0, ebx
	mov ebx, cr4
	and ebx, ~CR4_LA57
	mov cr4, ebx
	mov cr3, eax
	mov ebx, cr0
	or ebx, CR0_PG
	mov cr0, ebx
	push dword BOOT_SELECTOR_CODE64
	push edx
	retf
bits 64

; R13 = image, R14 = NX bit or 0. Return: RAX = physical address of the root. Changes RCX, RDX, RSI, RDI, R8.
build_page_tables:
	; 4 GiB from address 0 in 2 MiB pages, global nowhere: 4 consecutive page directories.
	lea rdi, [boot_low_directories]
	mov rax, PAGE_PRESENT | PAGE_WRITABLE | PAGE_LARGE
	mov ecx, 4 * PAGE_ENTRIES
.low_page:
	mov [rdi], rax
	add rdi, 8
	add rax, PAGE_SIZE_2M
	dec ecx
	jnz .low_page

	lea rdi, [boot_low_pointers]
	lea rax, [boot_low_directories]
	or rax, PAGE_PRESENT | PAGE_WRITABLE
	mov ecx, 4
.low_directory:
	mov [rdi], rax
	add rdi, 8
	add rax, PAGE_SIZE_4K
	dec ecx
	jnz .low_directory

	; The image at its link address, from where it lies.
	lea rdi, [boot_image_directory + IMAGE_DIRECTORY_INDEX * 8]
	mov rax, r13
	or rax, PAGE_PRESENT | PAGE_WRITABLE | PAGE_LARGE
	lea rcx, [__image_end + PAGE_SIZE_2M - 1]
	sub rcx, r13
	shr rcx, 21
.image_page:
	mov [rdi], rax
	add rdi, 8
	add rax, PAGE_SIZE_2M
	dec rcx
	jnz .image_page

	lea rax, [boot_image_directory]
	or rax, PAGE_PRESENT | PAGE_WRITABLE
	mov [boot_image_pointers + IMAGE_POINTER_INDEX * 8], rax

	; The root: identity map, physmap (the same tables, but nothing there can be executed) and image.
	lea rax, [boot_low_pointers]
	or rax, PAGE_PRESENT | PAGE_WRITABLE
	mov [boot_root], rax
	or rax, r14
	mov [boot_root + PHYSMAP_ROOT_INDEX * 8], rax
	lea rax, [boot_image_pointers]
	or rax, PAGE_PRESENT | PAGE_WRITABLE
	mov [boot_root + IMAGE_ROOT_INDEX * 8], rax
	lea rax, [boot_root]
	ret

section .rodata progbits alloc noexec nowrite align=16

; Flat segments with the accessed bit set, so that the processor never writes here.
boot_gdt:
	dq 0
	dq 0x00af9b000000ffff              ; BOOT_SELECTOR_CODE64
	dq 0x00cf93000000ffff              ; BOOT_SELECTOR_DATA
	dq 0x00cf9b000000ffff              ; BOOT_SELECTOR_CODE32
boot_gdt_end:

boot_gdt_pointer:
	dw boot_gdt_end - boot_gdt - 1
	dq boot_gdt

section .data progbits alloc noexec write align=16

; The same table by its physical address, for code that runs before the high half.
boot_gdt_pointer_low:
	dw boot_gdt_end - boot_gdt - 1
	dq 0

section .bss nobits alloc noexec write align=4096

boot_root: resb PAGE_SIZE_4K
boot_low_pointers: resb PAGE_SIZE_4K
boot_low_directories: resb 4 * PAGE_SIZE_4K
boot_image_pointers: resb PAGE_SIZE_4K
boot_image_directory: resb PAGE_SIZE_4K

; The boot processor's stack, and below it the page that is unmapped once there are page tables of the host's own.
section .boot_stack nobits alloc noexec write align=4096

boot_stack_guard: resb PAGE_SIZE_4K
boot_stack: resb BOOT_STACK_SIZE
boot_stack_top:
