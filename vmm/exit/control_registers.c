#include "arch/x86/cr.h"
#include "vmm/cpuid_policy.h"
#include "vmm/cr_policy.h"
#include "vmm/exit/exit_handlers.h"
#include "vmm/vm.h"

static void read_state(struct vcpu *vcpu, struct cr_state *state)
{
	struct virt_segment cs;

	virt_ops->segment_read(&vcpu->virt, VIRT_CS, &cs);
	state->cr0 = virt_ops->register_read(&vcpu->virt, VIRT_CR0);
	state->cr3 = virt_ops->register_read(&vcpu->virt, VIRT_CR3);
	state->cr4 = virt_ops->register_read(&vcpu->virt, VIRT_CR4);
	state->efer = virt_ops->register_read(&vcpu->virt, VIRT_EFER);
	state->cs_long = cs.attributes & VIRT_SEGMENT_L;
}

/* "PAE Paging": loading CR0 or CR4 under PAE paging makes the CPU read the four PDPTEs; here we do it in its place. */
static bool load_pdptes(struct vcpu *vcpu, uint64_t cr0, uint64_t cr3, uint64_t cr4, uint64_t efer)
{
	uint64_t pdptes[4];

	if (!cr_policy_uses_pdptes(cr0, cr4, efer))
		return true;
	if (guest_memory_read(&vcpu->vm->memory, gpa(cr3 & BITS(31, 5)), pdptes, sizeof(pdptes)) != STATUS_OK)
		return false;
	for (unsigned i = 0; i < 4; i++) {
		if (!cr_policy_pdpte_allowed(pdptes[i], cpuid_policy_physical_address_bits()))
			return false;
	}
	for (unsigned i = 0; i < 4; i++)
		virt_ops->register_write(&vcpu->virt, (enum virt_register)(VIRT_PDPTE0 + i), pdptes[i]);
	return true;
}

static enum exit_action write_cr0(struct vcpu *vcpu, const struct vm_exit *exit, uint64_t value)
{
	struct cr_state state;

	read_state(vcpu, &state);
	if (!cr_policy_cr0_allowed(&state, value))
		return exit_general_protection(vcpu, exit);
	value = (value & (CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | CR0_PG)) | CR0_ET;
	if (!load_pdptes(vcpu, value, state.cr3, state.cr4, state.efer))
		return exit_general_protection(vcpu, exit);
	virt_ops->register_write(&vcpu->virt, VIRT_CR0, value);
	/* Entries of the old mode must not serve the new one; with VPID a change of paging mode does not flush by itself. */
	if ((state.cr0 ^ value) & (CR0_PG | CR0_WP))
		virt_ops->vcpu_flush(&vcpu->virt);
	return EXIT_SKIP;
}

static enum exit_action write_cr4(struct vcpu *vcpu, const struct vm_exit *exit, uint64_t value)
{
	struct cr_state state;

	read_state(vcpu, &state);
	if (!cr_policy_cr4_allowed(&state, value, cpuid_policy_cr4_allowed()))
		return exit_general_protection(vcpu, exit);
	if (!load_pdptes(vcpu, state.cr0, state.cr3, value, state.efer))
		return exit_general_protection(vcpu, exit);
	virt_ops->register_write(&vcpu->virt, VIRT_CR4, value);
	if ((state.cr4 ^ value) & (CR4_PAE | CR4_PGE | CR4_PSE | CR4_PCIDE | CR4_SMEP))
		virt_ops->vcpu_flush(&vcpu->virt);
	return EXIT_SKIP;
}

static enum exit_action write_cr8(struct vcpu *vcpu, const struct vm_exit *exit, uint64_t value)
{
	struct vm *vm = vcpu->vm;

	if (value > 15)
		return exit_general_protection(vcpu, exit);
	spinlock_lock(&vm->device_lock);
	vm->irq.local->set_task_priority(vm->irq.local_device, vcpu, (uint8_t)value);
	spinlock_unlock(&vm->device_lock);
	return EXIT_SKIP;
}

static enum exit_action read_cr8(struct vcpu *vcpu, unsigned gpr)
{
	struct vm *vm = vcpu->vm;

	spinlock_lock(&vm->device_lock);
	uint8_t priority = vm->irq.local->get_task_priority(vm->irq.local_device, vcpu);
	spinlock_unlock(&vm->device_lock);
	vcpu_gpr_write(vcpu, gpr, priority);
	return EXIT_SKIP;
}

static enum exit_action mov_to(struct vcpu *vcpu, const struct vm_exit *exit)
{
	uint64_t value = vcpu_gpr_read(vcpu, exit->cr.gpr);

	/* Outside 64-bit mode only 32 bits are moved. */
	if (!(virt_ops->register_read(&vcpu->virt, VIRT_EFER) & EFER_LMA))
		value = (uint32_t)value;
	switch (exit->cr.number) {
	case 0:
		return write_cr0(vcpu, exit, value);
	case 4:
		return write_cr4(vcpu, exit, value);
	case 8:
		return write_cr8(vcpu, exit, value);
	default:
		return exit_unexpected(vcpu, exit);
	}
}

enum exit_action exit_cr_access(struct vcpu *vcpu, const struct vm_exit *exit)
{
	uint64_t cr0;

	switch (exit->cr.operation) {
	case CR_MOV_TO:
		return mov_to(vcpu, exit);
	case CR_MOV_FROM:
		return exit->cr.number == 8 ? read_cr8(vcpu, exit->cr.gpr) : exit_unexpected(vcpu, exit);
	case CR_CLTS:
		cr0 = virt_ops->register_read(&vcpu->virt, VIRT_CR0);
		return write_cr0(vcpu, exit, cr0 & ~CR0_TS);
	case CR_LMSW:
		/* LMSW changes the low four bits and cannot clear PE. */
		cr0 = virt_ops->register_read(&vcpu->virt, VIRT_CR0);
		return write_cr0(vcpu, exit, (cr0 & ~BITS(3, 1)) | (exit->cr.lmsw_value & BITS(3, 0)));
	default:
		return exit_unexpected(vcpu, exit);
	}
}
