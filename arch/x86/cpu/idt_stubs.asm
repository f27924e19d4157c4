; The entry of every exception and interrupt: 256 stubs that name their vector, and one way to C and back. The frame is
; struct idt_frame of cpu/idt.h. There is no user mode, so GS always holds the per-CPU block and no stack is switched but
; through the interrupt stack table.

default rel
bits 64

extern exception_enter
global idt_stubs
global idt_raise_nmi
global idt_raise_machine_check

STUB_SIZE equ 16
%assign ERROR_CODE_MASK 0x00227d00     ; EXCEPTION_ERROR_CODE_MASK of arch/x86/exception.h
VECTOR_NMI equ 2
VECTOR_MACHINE_CHECK equ 18

section .text

align 16
idt_stubs:
%assign vector 0
%rep 256
align STUB_SIZE
%if vector >= 32 || ((ERROR_CODE_MASK >> vector) & 1) == 0
	push byte 0
%endif
	push dword vector
	jmp near idt_enter
%assign vector vector + 1
%endrep
align STUB_SIZE

idt_enter:
	push r15
	push r14
	push r13
	push r12
	push r11
	push r10
	push r9
	push r8
	push rdi
	push rsi
	push rbp
	push rax                           ; the slot of RSP, never read
	push rbx
	push rdx
	push rcx
	push rax
	cld
	mov rdi, rsp
	call exception_enter
	pop rax
	pop rcx
	pop rdx
	pop rbx
	add rsp, 8
	pop rbp
	pop rsi
	pop rdi
	pop r8
	pop r9
	pop r10
	pop r11
	pop r12
	pop r13
	pop r14
	pop r15
	add rsp, 16
	iretq

idt_raise_nmi:
	int VECTOR_NMI
	ret

; #MC pushes no error code, so INT leaves the same frame as the exception.
idt_raise_machine_check:
	int VECTOR_MACHINE_CHECK
	ret
