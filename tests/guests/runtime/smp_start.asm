; Where a start-up IPI sends a processor: from real mode straight to 64-bit mode. The code is copied below 1 MiB.
extern smp_enter
extern smp_stacks

PLACE equ 0x9000
STACK_SIZE equ 8192
CODE_64 equ 0x08
DATA equ 0x10
CR0_PG_WP_NE_ET_PE equ 1 << 31 | 1 << 16 | 1 << 5 | 1 << 4 | 1
CR4_PAE_OSFXSR equ 1 << 5 | 1 << 9 | 1 << 10
MSR_EFER equ 0xc0000080
EFER_LME equ 1 << 8

section .text
global smp_trampoline, smp_trampoline_end, smp_trampoline_parameters
bits 16
smp_trampoline:
	cli
	mov ax, cs                         ; the start-up IPI's vector says where we are
	mov ds, ax
	mov eax, [smp_trampoline_parameters - smp_trampoline]
	mov cr3, eax
	o32 lgdt [smp_trampoline_parameters - smp_trampoline + 4]
	mov eax, CR4_PAE_OSFXSR
	mov cr4, eax
	mov ecx, MSR_EFER
	rdmsr
	or eax, EFER_LME
	wrmsr
	mov eax, CR0_PG_WP_NE_ET_PE
	mov cr0, eax
	jmp dword CODE_64:smp_long_mode
align 4
smp_trampoline_parameters:
	dd 0
	dw 0
	dd 0
smp_trampoline_end:

bits 64
smp_long_mode:
	mov eax, DATA
	mov ds, eax
	mov es, eax
	mov ss, eax
	mov fs, eax
	mov gs, eax
	mov eax, 0xb
	xor ecx, ecx
	cpuid
	mov edi, edx
	inc edx
	imul rdx, rdx, STACK_SIZE
	lea rsp, [rel smp_stacks]
	add rsp, rdx
	xor ebp, ebp
	call smp_enter
