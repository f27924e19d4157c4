#include "vmm/passthrough_interrupt.h"

#include "arch/x86/acpi/acpi.h"
#include "arch/x86/irq/interrupt.h"
#include "arch/x86/irq/ioapic.h"
#include "arch/x86/log.h"
#include "arch/x86/pcpu.h"
#include "lib/bits.h"
#include "vmm/vcpu_posting.h"
#include "vmm/vm.h"

#define VECTOR_COUNT (INTERRUPT_VECTOR_DEVICES_END - INTERRUPT_VECTOR_DEVICES)
#define MAX_SHARERS 8u
#define MAX_UNCLAIMED 1000u /* in a row: then nobody will ever silence the line */
#define ISA_IRQ_COUNT 16u
#define ENTRY_MASKED BIT(16)

/*
 * What a host vector leads to. Interrupts come on any CPU, while another one takes sharers away: so owners are atomic,
 * and who takes one away waits until nobody is on the way to it. Never freed.
 */
struct vector_slot {
	struct passthrough_interrupt *owners[MAX_SHARERS];
	uint32_t in_flight; /* CPUs in handle() */
	uint32_t gsi;       /* of lines */
	uint32_t unclaimed; /* atomic; interrupts in a row that were nobody's */
	bool is_line;       /* for ever, once it is */
};

static struct vector_slot slots[VECTOR_COUNT];
static struct spinlock lines_lock; /* protects which vector is a line's, and the slots of lines while owners come and go */

static struct vector_slot *slot_of(uint8_t vector)
{
	return &slots[vector - INTERRUPT_VECTOR_DEVICES];
}

/* The VM's lock may be held by who takes this very interrupt away, and waits for us: so not waited for. */
static bool try_deliver(struct passthrough_interrupt **place, struct passthrough_interrupt *interrupt, bool *claimed)
{
	struct vm *vm = interrupt->vm;

	if (!spinlock_try_lock(&vm->device_lock))
		return false;
	if (__atomic_load_n(place, __ATOMIC_SEQ_CST) == interrupt && interrupt->deliver(interrupt))
		*claimed = true;
	spinlock_unlock(&vm->device_lock);
	return true;
}

static void deliver(struct passthrough_interrupt **place, bool *claimed)
{
	struct passthrough_interrupt *interrupt;

	while ((interrupt = __atomic_load_n(place, __ATOMIC_SEQ_CST)) != NULL && !try_deliver(place, interrupt, claimed))
		insn_pause();
}

/* A line that nobody silences would interrupt for ever. */
static void count_unclaimed(struct vector_slot *slot)
{
	if (__atomic_add_fetch(&slot->unclaimed, 1, __ATOMIC_RELAXED) != MAX_UNCLAIMED)
		return;
	(void)ioapic_mask(slot->gsi);
	log_warning("passed-through devices: interrupt line %u stays active, but none of them asks for it: it is off now", slot->gsi);
}

static void handle(uint8_t vector)
{
	struct vector_slot *slot = slot_of(vector);
	bool claimed = false;

	__atomic_add_fetch(&slot->in_flight, 1, __ATOMIC_SEQ_CST);
	for (unsigned i = 0; i < (slot->is_line ? MAX_SHARERS : 1); i++)
		deliver(&slot->owners[i], &claimed);
	if (claimed)
		__atomic_store_n(&slot->unclaimed, 0, __ATOMIC_RELAXED);
	else if (slot->is_line)
		count_unclaimed(slot);
	__atomic_sub_fetch(&slot->in_flight, 1, __ATOMIC_SEQ_CST);
}

static void remove_owner(struct vector_slot *slot, const struct passthrough_interrupt *interrupt)
{
	for (unsigned i = 0; i < MAX_SHARERS; i++)
		if (slot->owners[i] == interrupt)
			__atomic_store_n(&slot->owners[i], NULL, __ATOMIC_SEQ_CST);
}

/* Not with lines_lock held: who is on the way may wait for the lock of another VM, which waits for that one. */
static void wait_until_left(const struct vector_slot *slot)
{
	while (__atomic_load_n(&slot->in_flight, __ATOMIC_SEQ_CST) != 0)
		insn_pause();
}

static bool has_owner(const struct vector_slot *slot)
{
	for (unsigned i = 0; i < MAX_SHARERS; i++)
		if (slot->owners[i] != NULL)
			return true;
	return false;
}

/* ---- messages ---- */

/* Nothing raises it any more. */
static void give_vector_back(struct passthrough_interrupt *interrupt)
{
	struct vector_slot *slot;

	if (interrupt->vector == 0)
		return;
	slot = slot_of(interrupt->vector);
	remove_owner(slot, interrupt);
	wait_until_left(slot);
	interrupt_free_vector(interrupt->vector);
	interrupt->vector = 0;
}

static uint32_t apic_id_of(const struct vcpu *vcpu)
{
	return pcpu_get(vcpu->pcpu_index)->apic_id;
}

enum status passthrough_interrupt_bind(struct passthrough_interrupt *interrupt, const struct pci_function *function)
{
	enum status status = iommu_interrupt_allocate(function, &interrupt->remapped);

	interrupt->bound = status == STATUS_OK;
	return status;
}

static enum status post(struct passthrough_interrupt *interrupt, const struct vcpu *target, uint8_t vector)
{
	enum status status;

	if (interrupt->posted_to == target && interrupt->posted_vector == vector)
		return STATUS_OK;
	status = iommu_interrupt_post(&interrupt->remapped, vector, vcpu_posting_descriptor(target));
	if (status != STATUS_OK)
		return status;
	interrupt->posted_to = target;
	interrupt->posted_vector = vector;
	return STATUS_OK;
}

static enum status allocate_vector(struct passthrough_interrupt *interrupt)
{
	uint8_t vector;
	enum status status = interrupt_allocate_vector(handle, &vector);

	if (status != STATUS_OK)
		return status;
	interrupt->vector = vector;
	__atomic_store_n(&slot_of(vector)->owners[0], interrupt, __ATOMIC_SEQ_CST);
	return STATUS_OK;
}

/* The vector stays when the message is posted later: one that is on its way is delivered. */
static enum status route(struct passthrough_interrupt *interrupt, const struct vcpu *target)
{
	uint32_t apic_id = apic_id_of(target);
	bool is_new = interrupt->vector == 0;
	enum status status;

	if (!is_new && interrupt->posted_to == NULL && apic_id == interrupt->apic_id)
		return STATUS_OK;
	status = is_new ? allocate_vector(interrupt) : STATUS_OK;
	if (status == STATUS_OK)
		status = iommu_interrupt_route(&interrupt->remapped, interrupt->vector, apic_id);
	if (status != STATUS_OK) {
		if (is_new)
			give_vector_back(interrupt);
		return status;
	}
	interrupt->posted_to = NULL;
	interrupt->apic_id = apic_id;
	return STATUS_OK;
}

enum status passthrough_interrupt_aim(struct passthrough_interrupt *interrupt, const struct vcpu *target, uint8_t posted_vector)
{
	if (!interrupt->bound)
		return STATUS_INVALID;
	if (posted_vector != 0 && target->virt.posted != NULL && post(interrupt, target, posted_vector) == STATUS_OK)
		return STATUS_OK;
	return route(interrupt, target);
}

/* ---- lines ---- */

static struct vector_slot *find_line_locked(uint32_t gsi)
{
	for (unsigned i = 0; i < VECTOR_COUNT; i++)
		if (slots[i].is_line && slots[i].gsi == gsi)
			return &slots[i];
	return NULL;
}

bool passthrough_interrupt_line(const struct pci_function *function, uint32_t *gsi)
{
	uint64_t entry;
	bool known;

	if (function->interrupt_pin == 0 || function->interrupt_line == 0 || function->interrupt_line >= ISA_IRQ_COUNT)
		return false;
	*gsi = acpi_madt_isa_gsi(&acpi_get()->madt, function->interrupt_line).gsi;
	spinlock_lock(&lines_lock);
	known = find_line_locked(*gsi) != NULL;
	spinlock_unlock(&lines_lock);
	return known || (ioapic_read_entry(*gsi, &entry) == STATUS_OK && (entry & ENTRY_MASKED) != 0);
}

/* As the MADT says for its ISA number, or else as PCI lines are. */
static enum status route_line(uint32_t gsi, uint8_t vector)
{
	bool active_low = true;

	for (uint8_t irq = 0; irq < ISA_IRQ_COUNT; irq++) {
		struct acpi_override line = acpi_madt_isa_gsi(&acpi_get()->madt, irq);

		if (line.gsi == gsi && line.trigger == ACPI_TRIGGER_LEVEL)
			active_low = line.polarity == ACPI_POLARITY_LOW;
	}
	return ioapic_route(gsi, vector, pcpu_get(0)->apic_id, true, active_low);
}

static enum status create_line_locked(uint32_t gsi, struct passthrough_interrupt *interrupt)
{
	struct vector_slot *slot;
	uint8_t vector;
	enum status status = interrupt_allocate_vector(handle, &vector);

	if (status != STATUS_OK)
		return status;
	slot = slot_of(vector);
	slot->gsi = gsi;
	slot->unclaimed = 0;
	slot->is_line = true;
	__atomic_store_n(&slot->owners[0], interrupt, __ATOMIC_SEQ_CST);
	status = route_line(gsi, vector);
	if (status == STATUS_OK)
		return STATUS_OK;
	remove_owner(slot, interrupt);
	slot->is_line = false;
	interrupt_free_vector(vector);
	return status;
}

static enum status join_line_locked(struct vector_slot *slot, struct passthrough_interrupt *interrupt)
{
	for (unsigned i = 0; i < MAX_SHARERS; i++) {
		if (slot->owners[i] != NULL)
			continue;
		__atomic_store_n(&slot->owners[i], interrupt, __ATOMIC_SEQ_CST);
		__atomic_store_n(&slot->unclaimed, 0, __ATOMIC_RELAXED);
		(void)ioapic_unmask(slot->gsi);
		return STATUS_OK;
	}
	return STATUS_NO_MEMORY;
}

enum status passthrough_interrupt_bind_line(struct passthrough_interrupt *interrupt, uint32_t gsi)
{
	struct vector_slot *slot;
	enum status status;

	spinlock_lock(&lines_lock);
	slot = find_line_locked(gsi);
	status = slot != NULL ? join_line_locked(slot, interrupt) : create_line_locked(gsi, interrupt);
	if (status == STATUS_OK) {
		interrupt->vector = (uint8_t)(INTERRUPT_VECTOR_DEVICES + (find_line_locked(gsi) - slots));
		interrupt->bound = true;
	}
	spinlock_unlock(&lines_lock);
	return status;
}

/* The input keeps its vector for those who come later: there are few, and it stays in the input's remapping entry. */
static void leave_line(struct vector_slot *slot, struct passthrough_interrupt *interrupt)
{
	spinlock_lock(&lines_lock);
	remove_owner(slot, interrupt);
	if (!has_owner(slot))
		(void)ioapic_mask(slot->gsi);
	spinlock_unlock(&lines_lock);
	wait_until_left(slot);
}

/* A unit that does not answer may go on to post, so that the memory is never used for anything else. */
static void unbind_message(struct passthrough_interrupt *interrupt)
{
	if (interrupt->posted_to != NULL && iommu_interrupt_block(&interrupt->remapped) != STATUS_OK)
		interrupt->vm->posting.lost = true;
	interrupt->posted_to = NULL;
	iommu_interrupt_free(&interrupt->remapped);
	give_vector_back(interrupt);
}

void passthrough_interrupt_unbind(struct passthrough_interrupt *interrupt)
{
	if (!interrupt->bound)
		return;
	interrupt->bound = false;
	if (interrupt->vector != 0 && slot_of(interrupt->vector)->is_line)
		leave_line(slot_of(interrupt->vector), interrupt);
	else
		unbind_message(interrupt);
}
