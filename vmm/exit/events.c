#include "arch/x86/clock.h"
#include "arch/x86/cpu/idt.h"
#include "arch/x86/cr.h"
#include "arch/x86/exception.h"
#include "arch/x86/insn.h"
#include "arch/x86/irq/interrupt.h"
#include "vmm/exit/exit_handlers.h"
#include "vmm/machine_check_blame.h"
#include "vmm/vcpu_timer.h"
#include "vmm/vm.h"

/* #DB and #AC are intercepted only so that their delivery cannot loop inside the CPU (see vmx/vmcs_setup.c): the guest
 * gets them as if nothing had happened. */
enum exit_action exit_exception(struct vcpu *vcpu, const struct vm_exit *exit)
{
	if (exit->exception.vector == EXCEPTION_DB) {
		/* DR6 stays in the CPU while the vCPU is loaded. The exit leaves it as it was and tells the new bits in the qualification; "Debug Exceptions". */
		uint64_t dr6 = insn_read_dr6();
		insn_write_dr6((dr6 & ~BITS(3, 0)) | (exit->qualification & (BITS(3, 0) | BITS(14, 13))));
		/* The CPU clears GD when it delivers the exception, but not when an entry injects it. */
		uint64_t dr7 = virt_ops->register_read(&vcpu->virt, VIRT_DR7);
		virt_ops->register_write(&vcpu->virt, VIRT_DR7, dr7 & ~DR7_GD);
	}
	virt_ops->inject_exception(&vcpu->virt, exit->exception.vector, exit->exception.has_error_code, exit->exception.error_code);
	return EXIT_INJECT;
}

enum exit_action exit_external_interrupt(struct vcpu *vcpu, const struct vm_exit *exit)
{
	(void)vcpu;
	interrupt_dispatch(exit->interrupt.vector);
	return EXIT_RESUME;
}

/* NMIs are the host's (panic, watchdog): run its handler as if the guest had not been there. */
enum exit_action exit_nmi(struct vcpu *vcpu, const struct vm_exit *exit)
{
	(void)vcpu;
	(void)exit;
	idt_raise_nmi();
	return EXIT_RESUME;
}

/* Whoever was hit is stopped; a CPU that cannot be trusted any more panics. */
/* If it hit the guest's memory alone its VM is stopped; the request for that is seen before the next entry. */
enum exit_action exit_machine_check(struct vcpu *vcpu, const struct vm_exit *exit)
{
	(void)exit;
	if (!machine_check_blame(vcpu->vm))
		idt_raise_machine_check();
	return EXIT_RESUME;
}

enum exit_action exit_interrupt_window(struct vcpu *vcpu, const struct vm_exit *exit)
{
	(void)exit;
	virt_ops->interrupt_window(&vcpu->virt, false);
	__atomic_fetch_or(&vcpu->requests, VCPU_REQUEST_EVENT, __ATOMIC_RELAXED);
	return EXIT_RESUME;
}

enum exit_action exit_timer(struct vcpu *vcpu, const struct vm_exit *exit)
{
	(void)exit;
	__atomic_fetch_or(&vcpu->requests, VCPU_REQUEST_TIMER, __ATOMIC_RELAXED);
	return EXIT_RESUME;
}

/* With interrupts off only an NMI, INIT or start-up IPI from another vCPU can end the HLT. */
enum exit_action exit_hlt(struct vcpu *vcpu, const struct vm_exit *exit)
{
	vcpu->sched.deaf = !(virt_ops->register_read(&vcpu->virt, VIRT_RFLAGS) & RFLAGS_IF);
	if (unlikely(vcpu->sched.deaf && vcpu->vm->vcpu_count == 1))
		return exit_crash(vcpu, "HLT with interrupts off at rip 0x%llx: nothing can wake the VM", (unsigned long long)exit->rip);
	return EXIT_BLOCK;
}

enum exit_action exit_yield(struct vcpu *vcpu, const struct vm_exit *exit)
{
	(void)vcpu;
	(void)exit;
	return EXIT_YIELD;
}

enum exit_action exit_handled(struct vcpu *vcpu, const struct vm_exit *exit)
{
	(void)vcpu;
	(void)exit;
	return EXIT_RESUME;
}
