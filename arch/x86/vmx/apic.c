#include "arch/x86/irq/interrupt.h"
#include "arch/x86/irq/lapic_timer.h"
#include "arch/x86/mm/page_pool.h"
#include "arch/x86/physmap.h"
#include "arch/x86/vmx/vm_state.h"
#include "arch/x86/vmx/vmcs.h"
#include "arch/x86/vmx/vmx.h"

/* SDM Vol. 3C "APIC Virtualization and Virtual Interrupts". */

#define PRIMARY_SOFTWARE (PRIMARY_CR8_LOAD_EXITING | PRIMARY_CR8_STORE_EXITING)
#define PRIMARY_HARDWARE PRIMARY_TPR_SHADOW
#define SECONDARY_BOTH (SECONDARY_APIC_REGISTER_VIRTUALIZATION | SECONDARY_VIRTUAL_INTERRUPT_DELIVERY)

/* What each mode switches on. Virtual-interrupt delivery needs external-interrupt exiting, which is always on. The access page
 * may be mapped for other vCPUs while one is in VIRT_APIC_SOFTWARE: then its accesses exit as those to an unmapped page. */
static const struct { uint32_t primary, secondary; } mode_controls[] = {
	[VIRT_APIC_SOFTWARE] = {PRIMARY_SOFTWARE, SECONDARY_VIRTUALIZE_APIC},
	[VIRT_APIC_XAPIC] = {PRIMARY_HARDWARE, SECONDARY_BOTH | SECONDARY_VIRTUALIZE_APIC},
	[VIRT_APIC_X2APIC] = {PRIMARY_HARDWARE, SECONDARY_BOTH | SECONDARY_VIRTUALIZE_X2APIC},
};

/* "Guest Interrupt Status" */
#define INTERRUPT_STATUS(requested, in_service) ((uint16_t)((requested) | (unsigned)(in_service) << 8))

enum status vmx_apic_create(struct virt_vcpu *vcpu)
{
	vcpu->apic_page = vmx_settings.has_apic ? page_pool_allocate_pointer() : NULL;
	return vcpu->apic_page || !vmx_settings.has_apic ? STATUS_OK : STATUS_NO_MEMORY;
}

void vmx_apic_destroy(struct virt_vcpu *vcpu)
{
	if (vcpu->apic_page)
		page_pool_free_pointer(vcpu->apic_page);
	vcpu->apic_page = NULL;
}

/*
 * A VMCS knows one notification vector and one descriptor: they serve the devices of the machine that the vCPU gets interrupts
 * from, or else its timer, see vmx_apic_arm_timer(). The timer requests its vector ahead of time, which any device's notification
 * would deliver at once.
 */
static void setup_posting(struct virt_vcpu *vcpu)
{
	struct virt_vcpu_backend *backend = vcpu->backend;
	const struct posted_interrupts *posted = vcpu->posted ? vcpu->posted : &backend->own_posted;

	/* Without a preemption timer the CPU's local APIC timer ends guests' runs, so it cannot serve them too. */
	backend->has_timer_delivery = !vcpu->posted && vmx_settings.has_preemption_timer && lapic_timer_has_deadline_mode();
	vmcs_write_16(VMCS_CONTROL_POSTED_INTERRUPT_VECTOR, vcpu->posted ? INTERRUPT_VECTOR_POSTED : INTERRUPT_VECTOR_TIMER);
	vmcs_write_64(VMCS_CONTROL_POSTED_INTERRUPT_DESCRIPTOR, physmap_address(posted).value);
}

void vmx_apic_setup(struct virt_vcpu *vcpu)
{
	vcpu->backend->apic_mode = VIRT_APIC_SOFTWARE;
	if (!vcpu->apic_page)
		return;
	vmcs_write_64(VMCS_CONTROL_VIRTUAL_APIC_ADDRESS, physmap_address(vcpu->apic_page).value);
	vmcs_write_64(VMCS_CONTROL_APIC_ACCESS_ADDRESS, vcpu->vm->apic_access_page.value);
	vmcs_write_32(VMCS_CONTROL_SECONDARY, vcpu->backend->secondary_controls | mode_controls[VIRT_APIC_SOFTWARE].secondary);
	/* Priorities are the hardware's business: no exit when TPR falls. */
	vmcs_write_32(VMCS_CONTROL_TPR_THRESHOLD, 0);
	vmx_apic_set_status(vcpu, 0, 0);
	for (unsigned word = 0; word < 4; word++)
		vmx_apic_set_eoi_exits(vcpu, word, 0);
	if (vmx_settings.has_posted_interrupts)
		setup_posting(vcpu);
}

bool vmx_apic_can_post(void)
{
	return vmx_settings.has_posted_interrupts;
}

bool vmx_apic_mode_supported(enum virt_apic_mode mode)
{
	switch (mode) {
	case VIRT_APIC_XAPIC: return vmx_settings.has_apic;
	case VIRT_APIC_X2APIC: return vmx_settings.has_x2apic;
	default: return true;
	}
}

/* In the other mode a notification ends the guest's run, and software takes the requests. */
static void switch_devices_posting(const struct virt_vcpu *vcpu, bool on)
{
	if (vcpu->posted && vmx_settings.has_posted_interrupts)
		vmcs_write_32(VMCS_CONTROL_PIN_BASED, vmx_settings.controls[VMX_PIN] | (on ? PIN_POSTED_INTERRUPTS : 0));
}

void vmx_apic_set_mode(struct virt_vcpu *vcpu, enum virt_apic_mode mode)
{
	struct virt_vcpu_backend *backend = vcpu->backend;
	uint64_t msr_bitmap = vcpu->vm->backend->msr_bitmaps.value;

	if (mode == backend->apic_mode)
		return;
	backend->apic_mode = mode;
	backend->primary_controls = (backend->primary_controls & ~(uint32_t)(PRIMARY_SOFTWARE | PRIMARY_HARDWARE)) | mode_controls[mode].primary;
	vmcs_write_32(VMCS_CONTROL_PRIMARY, backend->primary_controls);
	vmcs_write_32(VMCS_CONTROL_SECONDARY, backend->secondary_controls | mode_controls[mode].secondary);
	switch_devices_posting(vcpu, mode != VIRT_APIC_SOFTWARE);
	vmcs_write_64(VMCS_CONTROL_MSR_BITMAPS, mode == VIRT_APIC_X2APIC ? msr_bitmap + PAGE_SIZE : msr_bitmap);
	/* "Virtualizing Memory-Mapped APIC Accesses": translations that were cached before may pass by the access page. */
	vmx_vcpu_flush(vcpu);
}

void vmx_apic_set_status(struct virt_vcpu *vcpu, uint8_t requested, uint8_t in_service)
{
	(void)vcpu;
	vmcs_write_16(VMCS_GUEST_INTERRUPT_STATUS, INTERRUPT_STATUS(requested, in_service));
}

/* The four fields follow each other, two encodings apart. */
void vmx_apic_set_eoi_exits(struct virt_vcpu *vcpu, unsigned word, uint64_t vectors)
{
	(void)vcpu;
	vmcs_write_64((enum vmcs_field_64)(VMCS_CONTROL_EOI_EXIT_BITMAP_0 + 2 * word), vectors);
}

static void set_posting(struct virt_vcpu_backend *backend, bool on)
{
	if (backend->is_posting == on)
		return;
	backend->is_posting = on;
	vmcs_write_32(VMCS_CONTROL_PIN_BASED, vmx_settings.controls[VMX_PIN] | (on ? PIN_POSTED_INTERRUPTS : 0));
}

void vmx_apic_stop_posting(struct virt_vcpu *vcpu)
{
	set_posting(vcpu->backend, false);
}

/*
 * "Posted-Interrupt Processing": an external interrupt with the notification vector does not end the guest's run; the CPU
 * moves what the descriptor requests to IRR and goes on. Here that vector is the one of the CPU's own timer, which nobody
 * else uses while a guest runs (its other deadlines are the preemption timer's), and the descriptor requests the vector of
 * the guest's timer ahead of time. A timer interrupt that comes outside the guest waits for the next entry. One whose request
 * was taken back must find the CPU not posting, so that it ends the guest's run and is lost: Bochs 3.1, and only it, takes a
 * notification without any request for an interrupt of vector 255.
 */
bool vmx_apic_arm_timer(struct virt_vcpu *vcpu, uint8_t vector, uint64_t deadline)
{
	struct virt_vcpu_backend *backend = vcpu->backend;

	if (!backend->has_timer_delivery || backend->apic_mode == VIRT_APIC_SOFTWARE)
		return false;
	lapic_timer_arm(deadline);
	/* One that came for an earlier deadline would deliver the request at once. The next entry takes it away. */
	bool possible = !lapic_timer_is_pending();
	set_posting(backend, possible);
	if (unlikely(!possible))
		return false;
	backend->timer_vector = vector;
	backend->own_posted.requests[vector / 64] = BIT(vector % 64);
	return true;
}

/* Only this CPU works on the descriptor, in the guest or here, never both. */
bool vmx_apic_disarm_timer(struct virt_vcpu *vcpu)
{
	struct virt_vcpu_backend *backend = vcpu->backend;
	uint64_t *requests = &backend->own_posted.requests[backend->timer_vector / 64];

	if (likely(__atomic_load_n(requests, __ATOMIC_RELAXED) == 0))
		return false;
	__atomic_store_n(requests, 0, __ATOMIC_RELAXED);
	set_posting(backend, false);
	return true;
}
