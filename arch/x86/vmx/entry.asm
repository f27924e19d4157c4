; The one way into a guest and out of it. SDM Vol. 3C "VM Entries", "VM Exits".
;
; void vmx_enter(struct virt_vcpu *vcpu (RDI), struct virt_vcpu_backend *backend (RSI));
;
; Enters the guest again and again: after each exit vmx_after_exit(vcpu) handles it, on this very stack, and says whether to
; go on. So the caller's registers are saved once, not at every exit. The hypervisor uses no FPU and no debug registers: the
; general registers are all that is switched here.

bits 64
default rel

%include "arch/x86/vmx/entry_offsets.inc"

VMCS_HOST_RSP equ 0x6c14

extern vmx_after_exit
extern vmx_after_failed_entry

; RDI: the vCPU, loaded last.
%macro LOAD_GUEST_REGISTERS 0
	mov rax, [rdi + VCPU_RAX]
	mov rcx, [rdi + VCPU_RCX]
	mov rdx, [rdi + VCPU_RDX]
	mov rbx, [rdi + VCPU_RBX]
	mov rbp, [rdi + VCPU_RBP]
	mov rsi, [rdi + VCPU_RSI]
	mov r8, [rdi + VCPU_R8]
	mov r9, [rdi + VCPU_R9]
	mov r10, [rdi + VCPU_R10]
	mov r11, [rdi + VCPU_R11]
	mov r12, [rdi + VCPU_R12]
	mov r13, [rdi + VCPU_R13]
	mov r14, [rdi + VCPU_R14]
	mov r15, [rdi + VCPU_R15]
	mov rdi, [rdi + VCPU_RDI]
%endmacro

section .text

global vmx_enter
vmx_enter:
	push rbp
	push rbx
	push r12
	push r13
	push r14
	push r15
	push rdi                           ; the vCPU: on top of the stack at every exit, and RSP 16-byte aligned for calls
	; The host stack pointer only changes when another CPU or another caller runs this vCPU.
	cmp [rsi + BACKEND_HOST_RSP], rsp
	je .host_rsp_written
	mov eax, VMCS_HOST_RSP
	vmwrite rax, rsp
	mov [rsi + BACKEND_HOST_RSP], rsp
.host_rsp_written:
	cmp qword [rsi + BACKEND_LAUNCHED], 0
	jne resume
	mov qword [rsi + BACKEND_LAUNCHED], 1
	LOAD_GUEST_REGISTERS
	vmlaunch
	jmp failed

resume:
	LOAD_GUEST_REGISTERS
	vmresume
	; Fell through: the entry failed, nothing of the guest ran, its registers still stand in its block.
failed:
	mov rdi, [rsp]
	call vmx_after_failed_entry
	mov rdi, [rsp]
	mov rsi, [rdi + VCPU_BACKEND]
	test al, al
	jnz vmx_enter.host_rsp_written
	jmp leave_guest

global vmx_exit_entry_point
vmx_exit_entry_point:
	push rdi
	mov rdi, [rsp + 8]
	mov [rdi + VCPU_RAX], rax
	mov [rdi + VCPU_RCX], rcx
	mov [rdi + VCPU_RDX], rdx
	mov [rdi + VCPU_RBX], rbx
	mov [rdi + VCPU_RBP], rbp
	mov [rdi + VCPU_RSI], rsi
	mov [rdi + VCPU_R8], r8
	mov [rdi + VCPU_R9], r9
	mov [rdi + VCPU_R10], r10
	mov [rdi + VCPU_R11], r11
	mov [rdi + VCPU_R12], r12
	mov [rdi + VCPU_R13], r13
	mov [rdi + VCPU_R14], r14
	mov [rdi + VCPU_R15], r15
	pop qword [rdi + VCPU_RDI]
	xor ebp, ebp                       ; a backtrace ends here
	call vmx_after_exit
	mov rdi, rax
	test rax, rax
	jnz resume

leave_guest:
	pop rdi
	pop r15
	pop r14
	pop r13
	pop r12
	pop rbx
	pop rbp
	ret
