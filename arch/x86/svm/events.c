#include "arch/x86/cr.h"
#include "arch/x86/exception.h"
#include "arch/x86/svm/svm_internal.h"
#include "arch/x86/virt_events.h"

static void queue_event(struct virt_vcpu_backend *backend, unsigned vector, enum vmcb_event_type type)
{
	backend->event_queued = true;
	backend->vmcb->event_injection = vector | (uint64_t)type << EVENT_TYPE_SHIFT | EVENT_VALID;
}

static bool is_exception(uint64_t event)
{
	return event & EVENT_VALID && (event & EVENT_TYPE) >> EVENT_TYPE_SHIFT == EVENT_EXCEPTION;
}

void svm_inject_exception(struct virt_vcpu *vcpu, uint8_t vector, bool has_error_code, uint32_t error_code)
{
	struct virt_vcpu_backend *backend = vcpu->backend;
	uint64_t queued = backend->event_queued ? backend->vmcb->event_injection : 0;

	/* A fault while another exception was being delivered: the two combine as in the CPU itself. */
	if (is_exception(queued) && virt_makes_double_fault(queued & EVENT_VECTOR, vector)) {
		vector = EXCEPTION_DF;
		has_error_code = true;
		error_code = 0;
	}
	queue_event(backend, vector, EVENT_EXCEPTION);
	/* In real mode no exception pushes an error code. */
	if (has_error_code && backend->vmcb->cr0 & CR0_PE)
		backend->vmcb->event_injection |= EVENT_ERROR_CODE | (uint64_t)error_code << EVENT_CODE_SHIFT;
}

void svm_inject_interrupt(struct virt_vcpu *vcpu, uint8_t vector)
{
	queue_event(vcpu->backend, vector, EVENT_INTERRUPT);
}

/* The CPU does not tell when NMIs are open again, so the IRET that ends the handler exits. */
void svm_inject_nmi(struct virt_vcpu *vcpu)
{
	queue_event(vcpu->backend, EXCEPTION_NMI, EVENT_NMI);
	vcpu->backend->nmi_blocked = true;
	vcpu->backend->iret_begun = false;
	vcpu->backend->vmcb->intercept_1 |= INTERCEPT_IRET;
}

bool svm_interrupt_allowed(struct virt_vcpu *vcpu)
{
	const struct vmcb *vmcb = vcpu->backend->vmcb;

	return !vcpu->backend->event_queued && vmcb->rflags & RFLAGS_IF && !(vmcb->interrupt_state & INTERRUPT_SHADOW);
}

bool svm_nmi_allowed(struct virt_vcpu *vcpu)
{
	struct virt_vcpu_backend *backend = vcpu->backend;

	if (!backend->event_queued && !backend->nmi_blocked && !(backend->vmcb->interrupt_state & INTERRUPT_SHADOW))
		return true;
	/* The IRET's exit comes by itself. */
	if (!backend->nmi_blocked || backend->iret_begun)
		backend->step_wanted = true;
	return false;
}

/* A virtual interrupt of the highest priority, which is never delivered: the exit comes first. */
void svm_set_window(struct virt_vcpu_backend *backend, bool on)
{
	const uint64_t request = VIRTUAL_INTERRUPT_REQUEST | VIRTUAL_INTERRUPT_PRIORITY | VIRTUAL_INTERRUPT_IGNORE_TPR;
	struct vmcb *vmcb = backend->vmcb;

	if (on) {
		vmcb->virtual_interrupt |= request;
		vmcb->intercept_1 |= INTERCEPT_VINTR;
	} else {
		vmcb->virtual_interrupt &= ~request;
		vmcb->intercept_1 &= ~INTERCEPT_VINTR;
	}
}

/* Who does not want the one any more looks anew whether it needs the other. */
void svm_interrupt_window(struct virt_vcpu *vcpu, bool wanted)
{
	struct virt_vcpu_backend *backend = vcpu->backend;

	backend->window_wanted = wanted;
	if (!wanted)
		backend->step_wanted = false;
	svm_set_window(backend, wanted);
}

void svm_skip_instruction(struct virt_vcpu *vcpu, const struct vm_exit *exit)
{
	struct virt_vcpu_backend *backend = vcpu->backend;
	struct vmcb *vmcb = backend->vmcb;
	uint64_t next = exit->rip + exit->instruction_length;

	/* Outside 64-bit mode RIP wraps at 4 GiB. */
	if (unlikely((next ^ exit->rip) >> 32) && !(vmcb->efer & EFER_LMA))
		next = (uint32_t)next;
	vmcb->rip = next;
	vmcb->interrupt_state &= ~INTERRUPT_SHADOW;
	/* A single-stepping guest must see the step end behind an emulated instruction as well. */
	if (likely(!(vmcb->rflags & RFLAGS_TF)) || backend->event_queued)
		return;
	vmcb->dr6 |= DR6_BS;
	queue_event(backend, EXCEPTION_DB, EVENT_EXCEPTION);
}

void svm_requeue_event(struct virt_vcpu_backend *backend)
{
	uint64_t info = backend->vmcb->exit_interrupt_info;
	unsigned type = (info & EVENT_TYPE) >> EVENT_TYPE_SHIFT, vector = info & EVENT_VECTOR;

	/* Software interrupts and the exceptions of INT3 and INTO come back when their instruction is carried out again. */
	if (type == EVENT_SOFTWARE_INTERRUPT || (type == EVENT_EXCEPTION && (vector == EXCEPTION_BP || vector == EXCEPTION_OF)))
		return;
	backend->event_queued = true;
	backend->vmcb->event_injection = info;
}
