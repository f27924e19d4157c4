; The one way into a guest and out of it. SDM Vol. 3C "VM Entries", "VM Exits".
;
; void vmx_enter(struct virt_vcpu *vcpu (RDI), struct virt_vcpu_backend *backend (RSI));
;
; Enters the guest again and again: after each exit vmx_after_exit(vcpu) handles it, on this very stack, and says whether to
; go on. So the caller's registers are saved once, not at every exit. The hypervisor uses no FPU and no debug registers: the
; general registers are all that is switched here.

bits 64
default rel

%include "arch/x86/virt_registers.inc"
%include "arch/x86/vmx/entry_offsets.inc"

VMCS_HOST_RSP equ 0x6c14

extern vmx_after_exit
extern vmx_after_failed_entry

section .text

global vmx_enter
vmx_enter:
	SAVE_HOST_REGISTERS rdi
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
	mov rax, [rdi + VCPU_RAX]
	LOAD_GUEST_REGISTERS
	vmlaunch
	jmp failed

resume:
	mov rax, [rdi + VCPU_RAX]
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
	SAVE_GUEST_REGISTERS
	xor ebp, ebp                       ; a backtrace ends here
	call vmx_after_exit
	mov rdi, rax
	test rax, rax
	jnz resume

leave_guest:
	RESTORE_HOST_REGISTERS rdi
	ret
