; The one way into a guest and out of it. AMD APM Vol. 2 "VMRUN Instruction", "#VMEXIT".
;
; void svm_enter(struct virt_vcpu *vcpu (RDI));
;
; Enters the guest again and again: after each exit svm_after_exit(vcpu) handles it, on this very stack, and says whether to
; go on. With the global interrupt flag clear nothing gets in between: an interrupt that comes on the way ends the guest's run
; at its first instruction, since IF is set for VMRUN; an NMI waits for STGI, when the host's segments and MSRs are back.

bits 64
default rel

%include "arch/x86/svm/entry_offsets.inc"
%include "arch/x86/virt_registers.inc"

extern svm_after_exit

; VMRUN, VMLOAD and VMSAVE: RAX: the physical address of the VMCB.

section .text

global svm_enter
svm_enter:
	SAVE_HOST_REGISTERS rdi
enter_guest:
	clgi
	mov rsi, [rdi + VCPU_BACKEND]
	mov rdx, [rsi + BACKEND_VMCB]
	mov rax, [rdi + VCPU_RAX]
	mov [rdx + VMCB_RAX], rax
	mov rax, [rsi + BACKEND_VMCB_ADDRESS]
	vmload
	sti
	LOAD_GUEST_REGISTERS                ; ends the shadow of STI as well
	vmrun
exited:
	cli
	vmsave                             ; the exit has brought RAX and RSP back
	push rdi
	mov rdi, [rsp + 8]
	SAVE_GUEST_REGISTERS
	mov rsi, [rdi + VCPU_BACKEND]
	mov rdx, [rsi + BACKEND_VMCB]
	mov rax, [rdx + VMCB_RAX]
	mov [rdi + VCPU_RAX], rax
	mov rax, [rsi + BACKEND_HOST_STATE]
	vmload
	xor ebp, ebp                       ; a backtrace ends here
	stgi
	call svm_after_exit
	mov rdi, rax
	test rax, rax
	jnz enter_guest
	RESTORE_HOST_REGISTERS rdi
	ret

; Bochs 3.1 takes the debug trap that the guest's run has just ended for along, and raises it again here: it is dropped.
section exception_fixups progbits alloc noexec nowrite align=8
	dq exited, exited
