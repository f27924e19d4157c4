#include "arch/x86/cr.h"
#include "arch/x86/exception.h"
#include "arch/x86/svm/svm_internal.h"

/* Why a #DB came: breakpoints, access to a debug register, single step. */
#define DR6_CAUSES (BITS(3, 0) | BITS(14, 13))

void svm_begin_step(struct virt_vcpu_backend *backend)
{
	backend->step_wanted = false;
	/* One that steps itself exits after the instruction without us. */
	if (backend->vmcb->rflags & RFLAGS_TF)
		return;
	backend->is_stepping = true;
	backend->vmcb->rflags |= RFLAGS_TF;
	backend->step_dr6 = backend->vmcb->dr6;
	backend->vmcb->dr6 &= ~DR6_CAUSES;
	/* It would come before the instruction, on a CPU that has forgotten the shadow. */
	svm_set_window(backend, false);
}

void svm_end_step(struct virt_vcpu_backend *backend, struct vm_exit *exit)
{
	struct vmcb *vmcb = backend->vmcb;

	backend->is_stepping = false;
	vmcb->rflags &= ~RFLAGS_TF;
	uint64_t causes = vmcb->dr6 & DR6_CAUSES & ~DR6_BS;
	vmcb->dr6 = backend->step_dr6 | causes;
	/* The guest's own, if it has a breakpoint there. */
	if (exit->kind == VM_EXIT_EXCEPTION && exit->exception.vector == EXCEPTION_DB && !causes)
		exit->kind = VM_EXIT_INTERRUPT_WINDOW;
	if (backend->window_wanted)
		svm_set_window(backend, true);
}

void svm_check_window(struct virt_vcpu_backend *backend, struct vm_exit *exit)
{
	if (likely(!backend->entered_in_shadow || exit->rip != backend->shadow_rip))
		return;
	backend->vmcb->interrupt_state |= INTERRUPT_SHADOW;
	backend->step_wanted = true;
	exit->kind = VM_EXIT_HANDLED;
}

void svm_iret(struct virt_vcpu_backend *backend, struct vm_exit *exit)
{
	backend->vmcb->intercept_1 &= ~INTERCEPT_IRET;
	backend->iret_begun = true;
	backend->iret_rip = exit->rip;
	/* For the case that another NMI waits. */
	exit->kind = VM_EXIT_INTERRUPT_WINDOW;
}

void svm_note_progress(struct virt_vcpu_backend *backend, const struct vm_exit *exit)
{
	if (exit->rip != backend->iret_rip)
		backend->nmi_blocked = backend->iret_begun = false;
}
