#include "arch/x86/cr.h"
#include "arch/x86/exception.h"
#include "arch/x86/virt_events.h"
#include "arch/x86/vmx/vmcs.h"
#include "arch/x86/vmx/vmx.h"

static void queue_event(struct virt_vcpu_backend *backend, uint32_t info)
{
	backend->event_queued = true;
	backend->queued_info = info;
	vmcs_write_32(VMCS_CONTROL_ENTRY_INTERRUPTION_INFO, info);
}

static uint32_t make_info(unsigned vector, enum interruption_type type, bool has_error_code)
{
	return (uint32_t)(vector | (unsigned)type << INTERRUPTION_TYPE_SHIFT | (has_error_code ? INTERRUPTION_ERROR_CODE : 0) | INTERRUPTION_VALID);
}

void vmx_inject_exception(struct virt_vcpu *vcpu, uint8_t vector, bool has_error_code, uint32_t error_code)
{
	struct virt_vcpu_backend *backend = vcpu->backend;
	uint32_t queued = backend->event_queued ? backend->queued_info : 0;

	/* A fault while another exception was being delivered: the two combine as in the CPU itself. */
	if (queued && (queued & INTERRUPTION_TYPE) >> INTERRUPTION_TYPE_SHIFT == INTERRUPTION_HARDWARE_EXCEPTION) {
		unsigned first = queued & INTERRUPTION_VECTOR;
		if (virt_makes_double_fault(first, vector)) {
			vector = EXCEPTION_DF;
			has_error_code = true;
			error_code = 0;
		}
	}
	/* In real mode no exception pushes an error code, and an entry that says otherwise fails. */
	if (!(vmcs_read_natural(VMCS_GUEST_CR0) & CR0_PE))
		has_error_code = false;
	if (has_error_code)
		vmcs_write_32(VMCS_CONTROL_ENTRY_EXCEPTION_ERROR_CODE, error_code);
	queue_event(backend, make_info(vector, INTERRUPTION_HARDWARE_EXCEPTION, has_error_code));
}

void vmx_inject_interrupt(struct virt_vcpu *vcpu, uint8_t vector)
{
	queue_event(vcpu->backend, make_info(vector, INTERRUPTION_EXTERNAL, false));
}

void vmx_inject_nmi(struct virt_vcpu *vcpu)
{
	queue_event(vcpu->backend, make_info(EXCEPTION_NMI, INTERRUPTION_NMI, false));
}

bool vmx_interrupt_allowed(struct virt_vcpu *vcpu)
{
	return !vcpu->backend->event_queued && vmcs_read_natural(VMCS_GUEST_RFLAGS) & RFLAGS_IF &&
	       !(vmcs_read_32(VMCS_GUEST_INTERRUPTIBILITY) & INTERRUPTIBILITY_SHADOW);
}

static void write_primary_controls(struct virt_vcpu_backend *backend, uint32_t controls)
{
	if (controls == backend->primary_controls)
		return;
	backend->primary_controls = controls;
	vmcs_write_32(VMCS_CONTROL_PRIMARY, controls);
}

bool vmx_nmi_allowed(struct virt_vcpu *vcpu)
{
	struct virt_vcpu_backend *backend = vcpu->backend;

	if (!backend->event_queued && !(vmcs_read_32(VMCS_GUEST_INTERRUPTIBILITY) & (INTERRUPTIBILITY_SHADOW | INTERRUPTIBILITY_NMI)))
		return true;
	write_primary_controls(backend, backend->primary_controls | PRIMARY_NMI_WINDOW);
	return false;
}

/* Who does not want the one any more looks anew whether it needs the other. */
void vmx_interrupt_window(struct virt_vcpu *vcpu, bool wanted)
{
	struct virt_vcpu_backend *backend = vcpu->backend;
	const uint32_t both = PRIMARY_INTERRUPT_WINDOW | PRIMARY_NMI_WINDOW;

	write_primary_controls(backend, wanted ? backend->primary_controls | PRIMARY_INTERRUPT_WINDOW : backend->primary_controls & ~both);
}

/* A single-stepping guest must see the step end behind an emulated instruction as well: "Pending Debug Exceptions". */
static void end_interrupt_shadow(uint64_t rflags)
{
	uint32_t interruptibility = vmcs_read_32(VMCS_GUEST_INTERRUPTIBILITY);

	if (interruptibility & INTERRUPTIBILITY_SHADOW)
		vmcs_write_32(VMCS_GUEST_INTERRUPTIBILITY, interruptibility & ~(uint32_t)INTERRUPTIBILITY_SHADOW);
	if (rflags & RFLAGS_TF)
		vmcs_write_natural(VMCS_GUEST_PENDING_DEBUG_EXCEPTIONS, vmcs_read_natural(VMCS_GUEST_PENDING_DEBUG_EXCEPTIONS) | PENDING_DEBUG_BS);
}

void vmx_skip_instruction(struct virt_vcpu *vcpu, const struct vm_exit *exit)
{
	uint64_t next = exit->rip + exit->instruction_length;

	/* Outside 64-bit mode RIP wraps at 4 GiB, and an entry with a longer one fails. */
	if (unlikely((next ^ exit->rip) >> 32) && !(vcpu->backend->entry_controls & ENTRY_IA32E_GUEST))
		next = (uint32_t)next;
	vmcs_write_natural(VMCS_GUEST_RIP, next);
	end_interrupt_shadow(vmcs_read_natural(VMCS_GUEST_RFLAGS));
}

void vmx_requeue_event(struct virt_vcpu *vcpu)
{
	uint32_t info = vmcs_read_32(VMCS_DATA_IDT_VECTORING_INFO);

	if (likely(!(info & INTERRUPTION_VALID)))
		return;
	unsigned type = (info & INTERRUPTION_TYPE) >> INTERRUPTION_TYPE_SHIFT;
	/* The NMI was being delivered, so it blocks NMIs; the entry that injects it again wants them open. */
	if (type == INTERRUPTION_NMI)
		vmcs_write_32(VMCS_GUEST_INTERRUPTIBILITY, vmcs_read_32(VMCS_GUEST_INTERRUPTIBILITY) & ~(uint32_t)INTERRUPTIBILITY_NMI);
	if (type == INTERRUPTION_SOFTWARE_INTERRUPT || type == INTERRUPTION_PRIVILEGED_SOFTWARE_EXCEPTION || type == INTERRUPTION_SOFTWARE_EXCEPTION)
		vmcs_write_32(VMCS_CONTROL_ENTRY_INSTRUCTION_LENGTH, vmcs_read_32(VMCS_DATA_INSTRUCTION_LENGTH));
	if (info & INTERRUPTION_ERROR_CODE)
		vmcs_write_32(VMCS_CONTROL_ENTRY_EXCEPTION_ERROR_CODE, vmcs_read_32(VMCS_DATA_IDT_VECTORING_ERROR_CODE));
	/* Bit 12 is undefined here and must be 0 in the entry field. */
	queue_event(vcpu->backend, info & ~(uint32_t)INTERRUPTION_NMI_UNBLOCKING);
}
