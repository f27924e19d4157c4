; Where a processor starts: copied to a page below 1 MiB (ap_startup.c fills in the fields behind the code) and entered in
; real mode with CS = page. Goes through protected mode to 64-bit mode on the hypervisor's own page tables, which map the
; page at its physical address, executable and not writable; so nothing is written here. SDM Vol. 3A "MP Initialization
; Protocol", "Initializing IA-32e Mode".

default rel
%include "arch/x86/boot_entry.inc"

global ap_trampoline_start
global ap_trampoline_end
global ap_trampoline_fields

LEAF_FEATURES equ 0x1

; A label by its offset in the page.
%define in_page(label) ((label) - ap_trampoline_start)

section .rodata progbits alloc noexec nowrite align=16

bits 16
align 16
ap_trampoline_start:
	cli
	cld
	mov ax, cs
	mov ds, ax
	movzx ebx, ax
	shl ebx, 4                         ; EBX = the page, from here to the end
	o32 lgdt [in_page(fields.gdt_pointer)]
	mov eax, CR0_PE
	mov cr0, eax
	jmp far dword [in_page(fields.protected_mode)]

bits 32
ap_trampoline_protected_mode:
	mov eax, BOOT_SELECTOR_DATA
	mov ds, eax
	mov es, eax
	mov ss, eax
	mov eax, CR4_PAE
	mov cr4, eax
	mov eax, [ebx + in_page(fields.page_table_root)]
	mov cr3, eax
	mov ecx, MSR_EFER
	xor edx, edx
	mov eax, EFER_LME | EFER_NXE
	wrmsr
	mov eax, CR0_INITIAL
	mov cr0, eax
	jmp far [ebx + in_page(fields.long_mode)]

bits 64
ap_trampoline_long_mode:
	mov r8d, ebx
	mov r9, [r8 + in_page(fields.stack_top)]
	; A processor that wakes up long after its turn must not run on the stack of the one whose turn it is.
	mov eax, [r8 + in_page(fields.apic_id_leaf)]
	mov r10d, eax
	xor ecx, ecx
	cpuid
	cmp r10d, LEAF_FEATURES
	jne .have_id
	mov edx, ebx
	shr edx, 24
.have_id:
	cmp edx, [r8 + in_page(fields.apic_id)]
	jne .not_wanted
	mov rsp, r9
	mov rdi, [r8 + in_page(fields.pcpu)]
	mov rax, [r8 + in_page(fields.enter)]
	xor ebp, ebp
	call rax
.not_wanted:
	cli
	hlt
	jmp .not_wanted

align 16
.gdt:
	dq 0
	dq 0x00af9b000000ffff              ; BOOT_SELECTOR_CODE64
	dq 0x00cf93000000ffff              ; BOOT_SELECTOR_DATA
	dq 0x00cf9b000000ffff              ; BOOT_SELECTOR_CODE32
.gdt_end:

; struct ap_trampoline_fields of ap_startup.c. The addresses are offsets in the page until it adds the page's own.
align 16
ap_trampoline_fields:
fields:
.stack_top: dq 0
.pcpu: dq 0
.enter: dq 0
.page_table_root: dd 0
.apic_id: dd 0
.apic_id_leaf: dd 0
.protected_mode: dd in_page(ap_trampoline_protected_mode)
	dw BOOT_SELECTOR_CODE32
.long_mode: dd in_page(ap_trampoline_long_mode)
	dw BOOT_SELECTOR_CODE64
.gdt_pointer: dw ap_trampoline_long_mode.gdt_end - ap_trampoline_long_mode.gdt - 1
	dd in_page(ap_trampoline_long_mode.gdt)
ap_trampoline_end:
