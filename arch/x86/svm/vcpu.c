#include "arch/x86/cpu/virt_state.h"
#include "arch/x86/cpu/xsave.h"
#include "arch/x86/insn.h"
#include "arch/x86/irq/lapic_timer.h"
#include "arch/x86/mm/page_pool.h"
#include "arch/x86/physmap.h"
#include "arch/x86/svm/svm_internal.h"

_Static_assert(offsetof(struct virt_vcpu, gpr) == 0, "virt_registers.inc: VCPU_*");
_Static_assert(offsetof(struct virt_vcpu, backend) == 144, "virt_registers.inc: VCPU_BACKEND");
_Static_assert(offsetof(struct virt_vcpu_backend, vmcb) == 0, "entry_offsets.inc: BACKEND_VMCB");
_Static_assert(offsetof(struct virt_vcpu_backend, vmcb_address) == 8, "entry_offsets.inc: BACKEND_VMCB_ADDRESS");
_Static_assert(offsetof(struct virt_vcpu_backend, host_state) == 16, "entry_offsets.inc: BACKEND_HOST_STATE");
_Static_assert(offsetof(struct vmcb, rax) == 0x5f8, "entry_offsets.inc: VMCB_RAX");

enum status svm_vcpu_create(struct virt_vcpu *vcpu, struct virt_vm *vm)
{
	struct virt_vcpu_backend *backend = page_pool_allocate_pointer();
	struct vmcb *vmcb = page_pool_allocate_pointer();

	if (!backend || !vmcb || virt_state_create(vcpu, &backend->exit) != STATUS_OK)
		goto no_memory;
	backend->vmcb = vmcb;
	backend->vmcb_address = physmap_address(vmcb).value;
	svm_asid_init_vcpu(backend);
	vm->backend->vcpu_count++;
	vcpu->vm = vm;
	vcpu->backend = backend;
	vcpu->apic_page = NULL;
	return STATUS_OK;

no_memory:
	if (vmcb)
		page_pool_free_pointer(vmcb);
	if (backend)
		page_pool_free_pointer(backend);
	return STATUS_NO_MEMORY;
}

void svm_vcpu_destroy(struct virt_vcpu *vcpu)
{
	struct virt_vcpu_backend *backend = vcpu->backend;

	vcpu->vm->backend->vcpu_count--;
	virt_state_destroy(vcpu);
	page_pool_free_pointer(backend->vmcb);
	page_pool_free_pointer(backend);
	vcpu->backend = NULL;
}

void svm_vcpu_load(struct virt_vcpu *vcpu)
{
	struct virt_vcpu_backend *backend = vcpu->backend;

	/* Not at creation: only now all vCPUs of the VM are there. */
	if (backend->last_pcpu == PCPU_MAX)
		svm_vmcb_setup(vcpu);
	backend->host_state = pcpu_current()->svm->host_state.value;
	svm_asid_check(vcpu);
	svm_load_cr2(backend);
	virt_state_load(vcpu, svm_settings.has_rdtscp);
}

void svm_note_xcr0(struct virt_vcpu *vcpu)
{
	if (xsave_is_available())
		vcpu->xcr0 = insn_xgetbv(0) & xsave_supported_mask();
}

void svm_vcpu_put(struct virt_vcpu *vcpu)
{
	svm_note_xcr0(vcpu);
	virt_state_save(vcpu, svm_settings.has_rdtscp);
}

/* SVM has no timer of its own: the local APIC's ends the guest's run. */
static void set_timer(struct virt_vcpu *vcpu)
{
	if (vcpu->entry_deadline == vcpu->backend->timer_deadline)
		return;
	vcpu->backend->timer_deadline = vcpu->entry_deadline;
	lapic_timer_arm(vcpu->entry_deadline);
}

/* Where an event is injected its handler's frame would keep the step's RFLAGS.TF, so there the run ends behind the injection. */
static void take_soon(struct virt_vcpu_backend *backend)
{
	if (!backend->event_queued) {
		svm_begin_step(backend);
		return;
	}
	backend->step_wanted = false;
	backend->timer_deadline = 0;
	lapic_timer_arm(1);
}

void svm_prepare_entry(struct virt_vcpu *vcpu)
{
	struct virt_vcpu_backend *backend = vcpu->backend;
	struct svm_cpu *cpu = pcpu_current()->svm;

	set_timer(vcpu);
	if (unlikely(cpu->flush_all)) {
		cpu->flush_all = false;
		backend->vmcb->tlb_control = TLB_CONTROL_FLUSH_ALL;
	}
	if (unlikely(backend->step_wanted))
		take_soon(backend);
	backend->entered_in_shadow = backend->vmcb->interrupt_state & INTERRUPT_SHADOW;
	backend->shadow_rip = backend->vmcb->rip;
}

void svm_vcpu_run(struct virt_vcpu *vcpu, virt_exit_handler handle)
{
	struct virt_vcpu_backend *backend = vcpu->backend;

	backend->handle = handle;
	/* Others have used the timer meanwhile. */
	backend->timer_deadline = 0;
	if (unlikely(backend->flush_generation != __atomic_load_n(&vcpu->vm->backend->flush_generation, __ATOMIC_ACQUIRE)))
		svm_vcpu_flush(vcpu);
	svm_prepare_entry(vcpu);
	svm_enter(vcpu);
}
