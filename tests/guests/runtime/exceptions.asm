; Entry points of all 256 vectors; they save the general registers and call guest_interrupt(struct guest_frame *).
bits 64
section .text
extern guest_interrupt

%macro VECTOR 1
	align 16
%if %1 == 8 || (%1 >= 10 && %1 <= 14) || %1 == 17 || %1 == 21
%else
	push 0
%endif
	push %1
	jmp save_registers
%endmacro

align 16
global guest_vectors
guest_vectors:
%assign vector 0
%rep 256
	VECTOR vector
%assign vector vector + 1
%endrep

; For interrupts of no interest, whatever their vector.
global guest_ignore_interrupt
guest_ignore_interrupt:
	iretq

save_registers:
	push rax
	push rcx
	push rdx
	push rbx
	push rbp
	push rsi
	push rdi
	push r8
	push r9
	push r10
	push r11
	push r12
	push r13
	push r14
	push r15
	mov rdi, rsp
	cld
	call guest_interrupt
	pop r15
	pop r14
	pop r13
	pop r12
	pop r11
	pop r10
	pop r9
	pop r8
	pop rdi
	pop rsi
	pop rbp
	pop rbx
	pop rdx
	pop rcx
	pop rax
	add rsp, 16
	iretq

; guest_try_execute(void (*code)(void)) - calls @code; a fault in it ends the call. Registers of the caller survive.
extern guest_fault_resume
extern guest_fault_stack
global guest_try_call
guest_try_call:
	push rbx
	push rbp
	push r12
	push r13
	push r14
	push r15
	lea rax, [rel .resume]
	mov [guest_fault_stack], rsp
	mov [guest_fault_resume], rax
	mov rax, rdi
	mov rdi, rsi
	mov rsi, rdx
	call rax
.resume:
	mov qword [guest_fault_resume], 0
	mov rsp, [guest_fault_stack]
	pop r15
	pop r14
	pop r13
	pop r12
	pop rbp
	pop rbx
	ret
