; Entry of every test guest: Multiboot 1 header, then 64-bit mode with memory identity-mapped.
; "Multiboot Specification version 0.6.96", "Machine state".
bits 32

MULTIBOOT_MAGIC equ 0x1badb002
ALIGN_MODULES equ 1
WANTS_MEMORY equ 2
FLAGS equ ALIGN_MODULES | WANTS_MEMORY

MAPPED_GIB equ 8

CR0_PG_WP equ 1 << 31 | 1 << 16
CR4_PAE_OSFXSR equ 1 << 5 | 1 << 9 | 1 << 10
MSR_EFER equ 0xc0000080
EFER_LME equ 1 << 8

section .multiboot progbits alloc exec nowrite align=4
	align 4
	dd MULTIBOOT_MAGIC, FLAGS, -(MULTIBOOT_MAGIC + FLAGS)

section .text
global start
extern guest_start
start:
	mov esp, stack_top
	mov [boot_magic], eax
	mov [boot_information], ebx

	; Page-map level 4 and page-directory pointers, then 2 MiB pages.
	mov dword [page_map], page_pointers + 3
	mov edi, page_pointers
	mov eax, page_directories + 3
	mov ecx, MAPPED_GIB
.pointer:
	mov [edi], eax
	add eax, 4096
	add edi, 8
	loop .pointer
	mov edi, page_directories
	mov eax, 0x83
	xor edx, edx
	mov ecx, MAPPED_GIB * 512
.page:
	mov [edi], eax
	mov [edi + 4], edx
	add eax, 2 << 20
	adc edx, 0
	add edi, 8
	loop .page

	mov eax, page_map
	mov cr3, eax
	mov eax, cr4
	or eax, CR4_PAE_OSFXSR
	mov cr4, eax
	mov ecx, MSR_EFER
	rdmsr
	or eax, EFER_LME
	wrmsr
	mov eax, cr0
	or eax, CR0_PG_WP
	mov cr0, eax
	lgdt [gdt_pointer]
	jmp CODE_64:long_mode

bits 64
long_mode:
	mov eax, DATA
	mov ds, eax
	mov es, eax
	mov ss, eax
	mov fs, eax
	mov gs, eax
	mov rsp, stack_top
	xor ebp, ebp
	mov edi, [boot_magic]
	mov esi, [boot_information]
	call guest_start
.ended:
	cli
	hlt
	jmp .ended

; guest_visit_old_modes() - 64-bit to 32-bit protected to 16-bit protected to real mode and all the way back.
; Returns in EAX one bit for each mode that was reached: 1 compatibility, 2 protected without paging, 4 16-bit, 8 real.
; The caller's interrupts are off. Code for 16 bits is copied below 64 KiB.
global guest_visit_old_modes
guest_visit_old_modes:
	push rbx
	push rbp
	push r12
	mov [saved_stack], rsp
	mov rax, cr0
	mov [saved_cr0], rax
	sidt [saved_idt]
	mov rsi, real_mode_code
	mov edi, REAL_MODE_PLACE
	mov ecx, real_mode_end - real_mode_code
	cld
	rep movsb
	xor ebx, ebx
	push CODE_32
	push compatibility
	retfq

bits 32
compatibility:
	mov eax, DATA
	mov ss, eax
	mov ds, eax
	mov es, eax
	or ebx, 1
	mov eax, cr0
	and eax, 0x7fffffff
	mov cr0, eax
	mov ecx, MSR_EFER
	rdmsr
	and eax, ~EFER_LME
	wrmsr
	or ebx, 2
	jmp CODE_16:REAL_MODE_PLACE

back_in_protected_mode:
	mov eax, DATA
	mov ds, eax
	mov es, eax
	mov ss, eax
	mov ecx, MSR_EFER
	rdmsr
	or eax, EFER_LME
	wrmsr
	mov eax, [saved_cr0]
	mov cr0, eax
	jmp CODE_64:back_in_long_mode

bits 64
back_in_long_mode:
	mov eax, DATA
	mov ds, eax
	mov es, eax
	mov ss, eax
	mov rsp, [saved_stack]
	lidt [saved_idt]
	mov eax, ebx
	pop r12
	pop rbp
	pop rbx
	ret

REAL_MODE_PLACE equ 0x8000
bits 16
real_mode_code:
	mov ax, DATA_16
	mov ds, ax
	mov es, ax
	mov ss, ax
	or ebx, 4
	mov eax, cr0
	and al, 0xfe
	mov cr0, eax
	jmp 0:REAL_MODE_PLACE + (.real - real_mode_code)
.real:
	xor ax, ax
	mov ds, ax
	mov es, ax
	mov ss, ax
	mov sp, REAL_MODE_PLACE
	; Real-mode addressing: the segment times 16.
	mov ax, 0x700
	mov ds, ax
	mov dword [0x10], 0x4c414552
	xor ax, ax
	mov ds, ax
	cmp dword [0x7010], 0x4c414552
	jne .not_real
	; A software interrupt by the table at address 0.
	mov word [0x60 * 4], REAL_MODE_PLACE + (.handler - real_mode_code)
	mov word [0x60 * 4 + 2], 0
	lidt [REAL_MODE_PLACE + (.real_idt - real_mode_code)]
	int 0x60
.not_real:
	mov eax, cr0
	or al, 1
	mov cr0, eax
	jmp dword CODE_32:back_in_protected_mode
.handler:
	or bl, 8
	iret
.real_idt:
	dw 0x3ff
	dd 0
real_mode_end:

section .data
align 16
gdt:
	dq 0
	dq 0x00af9b000000ffff
	dq 0x00cf93000000ffff
	dq 0x00cf9b000000ffff
	dq 0x00009b000000ffff
	dq 0x000093000000ffff
CODE_64 equ 0x08
DATA equ 0x10
CODE_32 equ 0x18
CODE_16 equ 0x20
DATA_16 equ 0x28
gdt_pointer:
	dw $ - gdt - 1
	dq gdt

section .bss align=4096
page_map: resb 4096
page_pointers: resb 4096
page_directories: resb MAPPED_GIB * 4096
stack: resb 16384
stack_top:
saved_stack: resq 1
saved_cr0: resq 1
saved_idt: resb 10
boot_magic: resd 1
boot_information: resd 1
