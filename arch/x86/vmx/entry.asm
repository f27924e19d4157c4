; The one way into a guest and out of it. SDM Vol. 3C "VM Entries", "VM Exits".
;
; uint32_t vmx_enter(struct virt_vcpu *vcpu (RDI), struct virt_vcpu_backend *backend (RSI));
; Returns 0 after a VM exit, 1 when VMLAUNCH or VMRESUME failed. Callee-saved registers are kept; the hypervisor uses no
; others across the call, no FPU and no debug registers, so the general registers are all that is switched here.

bits 64
default rel

%include "arch/x86/vmx/entry_offsets.inc"

VMCS_HOST_RSP equ 0x6c14

section .text

global vmx_enter
vmx_enter:
	push rbp
	push rbx
	push r12
	push r13
	push r14
	push r15
	push rdi
	; The host stack pointer only changes when another CPU or another caller runs this vCPU.
	cmp [rsi + BACKEND_HOST_RSP], rsp
	jne .write_host_rsp
.load:
	cmp qword [rsi + BACKEND_LAUNCHED], 0
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
	je .launch
	vmresume
	jmp .failed
.launch:
	vmlaunch
.failed:
	; The guest's registers are in the CPU, but RSP is ours: the vCPU's block still holds the guest's values.
	mov eax, 1
	pop rdi
	jmp vmx_exit_entry_point.restore
.write_host_rsp:
	mov eax, VMCS_HOST_RSP
	vmwrite rax, rsp
	mov [rsi + BACKEND_HOST_RSP], rsp
	jmp .load

global vmx_exit_entry_point
vmx_exit_entry_point:
	; RSP is what vmx_enter had: the vCPU's address is on top.
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
	pop rdi
	xor eax, eax
.restore:
	pop r15
	pop r14
	pop r13
	pop r12
	pop rbx
	pop rbp
	ret
