#include "vmm/dev/local_apic.h"

#include "lib/string.h"
#include "vmm/vm_flush.h"

/* APICs that the CPU carries out on the vCPU's register page. SDM Vol. 3C "APIC Virtualization and Virtual Interrupts". */

static enum virt_apic_mode wanted_mode(const struct local_apic *apic)
{
	enum virt_apic_mode mode = local_apic_is_x2apic(apic) ? VIRT_APIC_X2APIC : VIRT_APIC_XAPIC;

	if (apic->vcpu->virt.apic_page == NULL || !local_apic_is_enabled(apic) || !virt_ops->apic_mode_supported(mode))
		return VIRT_APIC_SOFTWARE;
	return mode;
}

static bool any_in_mode(const struct local_apic_device *self, enum virt_apic_mode mode)
{
	for (uint32_t i = 0; i < VM_MAX_VCPUS; i++) {
		if (self->apics[i].mode == mode)
			return true;
	}
	return false;
}

/* The access page is one for all vCPUs, but one in VIRT_APIC_X2APIC would reach the memory behind it: while there is such a
 * one the page is not mapped, and accesses of those in VIRT_APIC_XAPIC exit to be carried out on their registers here. So it
 * is too when there is no memory to map it. */
static void update_access_page(struct local_apic_device *self)
{
	bool wanted = any_in_mode(self, VIRT_APIC_XAPIC) && !any_in_mode(self, VIRT_APIC_X2APIC);
	struct vm *vm = self->device.vm;
	struct page_table *nested = &vm->memory.nested;

	if (wanted == self->access_page_mapped)
		return;
	if (wanted) {
		self->access_page_mapped =
			page_table_map(nested, LOCAL_APIC_BASE, vm->virt.apic_access_page, PAGE_SIZE, PAGE_READ | PAGE_WRITE) == STATUS_OK;
	} else if (page_table_unmap_leaves(nested, LOCAL_APIC_BASE, PAGE_SIZE) == STATUS_OK) {
		self->access_page_mapped = false;
		/* Until they do, old translations lead to the access page as before, which does no harm. */
		vm_flush_translations(vm);
	}
}

/* Moves what was posted to IRR and TMR. */
static void take_posted(struct local_apic *apic)
{
	for (unsigned word = 0; word < 4; word++) {
		uint64_t vectors = apic->posted[word];

		for (; vectors != 0; vectors &= vectors - 1) {
			unsigned bit = bits_lowest(vectors);

			local_apic_request(apic, (uint8_t)(word * 64 + bit), (apic->posted_level[word] >> bit & 1) != 0);
		}
		apic->posted[word] = apic->posted_level[word] = 0;
	}
}

void local_apic_choose_mode(struct local_apic *apic)
{
	vcpu_timer_take_back(apic->vcpu);
	take_posted(apic);
	apic->mode = wanted_mode(apic);
	update_access_page(local_apic_device_of(apic));
	apic->highest_requested = local_apic_highest(apic, LOCAL_APIC_IRR, UINT8_MAX);
	apic->highest_in_service = local_apic_highest(apic, LOCAL_APIC_ISR, UINT8_MAX);
	apic->mode_is_new = apic->status_is_new = true;
	local_apic_timer_lvt_changed(apic);
	irq_targets_changed(apic->vcpu->vm);
	if (apic->vcpu->virt.apic_page != NULL)
		local_apic_notify(apic);
}

void local_apic_post(struct local_apic *apic, uint8_t vector, bool level)
{
	uint64_t bit = BIT(vector & 63);

	apic->posted[vector >> 6] |= bit;
	if (level)
		apic->posted_level[vector >> 6] |= bit;
	else
		apic->posted_level[vector >> 6] &= ~bit;
	local_apic_notify(apic);
}

uint8_t local_apic_highest_posted(const struct local_apic *apic)
{
	for (int word = 3; word >= 0; word--) {
		if (apic->posted[word] != 0)
			return (uint8_t)((unsigned)word * 64 + bits_highest(apic->posted[word]));
	}
	return 0;
}

/* Ends of level-triggered interrupts are the I/O APIC's business too: they exit. */
static void update_eoi_exits(struct local_apic *apic)
{
	for (unsigned word = 0; word < 4; word++) {
		uint64_t level = local_apic_get(apic, LOCAL_APIC_TMR + 2 * word) | (uint64_t)local_apic_get(apic, LOCAL_APIC_TMR + 2 * word + 1) << 32;

		if (level == apic->eoi_exits[word])
			continue;
		apic->eoi_exits[word] = level;
		virt_ops->apic_set_eoi_exits(&apic->vcpu->virt, word, level);
	}
}

static bool any_posted(const struct local_apic *apic)
{
	return (apic->posted[0] | apic->posted[1] | apic->posted[2] | apic->posted[3]) != 0;
}

void local_apic_update_hardware(struct local_apic *apic)
{
	struct virt_vcpu *virt = &apic->vcpu->virt;

	if (unlikely(apic->mode_is_new))
		virt_ops->apic_set_mode(virt, apic->mode);
	apic->mode_is_new = false;
	if (!apic->status_is_new && !any_posted(apic))
		return;
	apic->status_is_new = false;
	take_posted(apic);
	update_eoi_exits(apic);
	/* What is in service is always the highest one: no other is delivered while it is. */
	virt_ops->apic_set_status(virt, local_apic_highest(apic, LOCAL_APIC_IRR, UINT8_MAX),
				  local_apic_highest(apic, LOCAL_APIC_ISR, UINT8_MAX));
}
