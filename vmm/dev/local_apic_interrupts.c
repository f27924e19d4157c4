#include "vmm/dev/local_apic.h"

#include "lib/string.h"

#define PRIORITY_CLASS(vector) ((vector) & 0xf0u)

static void vector_set(uint64_t bitmap[4], uint8_t vector)
{
	bitmap[vector >> 6] |= BIT(vector & 63);
}

static void vector_clear(uint64_t bitmap[4], uint8_t vector)
{
	bitmap[vector >> 6] &= ~BIT(vector & 63);
}

static bool vector_is_set(const uint64_t bitmap[4], uint8_t vector)
{
	return (bitmap[vector >> 6] & BIT(vector & 63)) != 0;
}

/* The highest vector in @bitmap, none of which is above @limit; 0 if it is empty. */
static uint8_t highest_vector(const uint64_t bitmap[4], uint8_t limit)
{
	for (int word = limit >> 6; word >= 0; word--) {
		if (bitmap[word] != 0)
			return (uint8_t)((unsigned)word * 64 + bits_highest(bitmap[word]));
	}
	return 0;
}

static bool is_deliverable(const struct local_apic *apic)
{
	return PRIORITY_CLASS(apic->highest_requested) > PRIORITY_CLASS(apic->processor_priority);
}

/* Tells the vCPU that it can take an interrupt. A request that is set already will be answered under the lock that we
 * hold, so it sees what has just arrived. */
static void notify(struct local_apic *apic)
{
	if (__atomic_load_n(&apic->vcpu->requests, __ATOMIC_RELAXED) & VCPU_REQUEST_EVENT)
		return;
	vcpu_kick(apic->vcpu, VCPU_REQUEST_EVENT);
}

/* SDM Vol. 3A "Task and Processor Priorities". */
static void update_processor_priority(struct local_apic *apic)
{
	uint8_t in_service = PRIORITY_CLASS(apic->highest_in_service);

	apic->processor_priority = PRIORITY_CLASS(apic->task_priority) >= in_service ? apic->task_priority : in_service;
}

void local_apic_accept(struct local_apic *apic, uint8_t vector, bool level)
{
	vector_set(apic->irr, vector);
	if (level)
		vector_set(apic->tmr, vector);
	else
		vector_clear(apic->tmr, vector);
	if (vector <= apic->highest_requested)
		return;
	apic->highest_requested = vector;
	if (is_deliverable(apic))
		notify(apic);
}

void local_apic_accept_lvt(struct local_apic *apic, enum local_apic_lvt entry)
{
	uint32_t lvt = apic->lvt[entry];
	uint8_t vector = lvt & LOCAL_APIC_LVT_VECTOR;

	if (lvt & LOCAL_APIC_LVT_MASKED)
		return;
	if (vector >= LOCAL_APIC_FIRST_VECTOR)
		local_apic_accept(apic, vector, false);
	else if (entry != LOCAL_APIC_LVT_ERROR) /* which would report itself without end */
		local_apic_report_error(apic, LOCAL_APIC_ERROR_RECEIVE_ILLEGAL_VECTOR);
}

void local_apic_report_error(struct local_apic *apic, uint32_t error)
{
	apic->errors |= error;
	local_apic_accept_lvt(apic, LOCAL_APIC_LVT_ERROR);
}

void local_apic_end_of_interrupt(struct local_apic *apic)
{
	uint8_t vector = apic->highest_in_service;

	if (vector == 0)
		return;
	vector_clear(apic->isr, vector);
	apic->highest_in_service = highest_vector(apic->isr, vector);
	update_processor_priority(apic);
	if (vector_is_set(apic->tmr, vector))
		irq_end_of_interrupt(apic->vcpu->vm, vector);
	if (is_deliverable(apic))
		notify(apic);
}

void local_apic_set_task_priority(struct local_apic *apic, uint8_t priority)
{
	apic->task_priority = priority;
	update_processor_priority(apic);
	if (is_deliverable(apic))
		notify(apic);
}

/* With the APIC disabled in IA32_APIC_BASE its LINT0 pin is the processor's INTR. SDM Vol. 3A "Local APIC State". */
void local_apic_update_external(struct local_apic *apic)
{
	uint32_t lint0 = apic->lvt[LOCAL_APIC_LVT_LINT0] & (LOCAL_APIC_LVT_MASKED | LOCAL_APIC_LVT_MODE);
	bool connected = !local_apic_is_enabled(apic) || lint0 == LOCAL_APIC_LVT_MODE_EXTINT;

	apic->accepts_external = apic->vcpu->index == 0 && connected;
	if (apic->accepts_external && irq_external_pending(apic->vcpu->vm))
		notify(apic);
}

void local_apic_clear_interrupts(struct local_apic *apic)
{
	memset(apic->irr, 0, sizeof(apic->irr));
	memset(apic->isr, 0, sizeof(apic->isr));
	memset(apic->tmr, 0, sizeof(apic->tmr));
	apic->highest_requested = apic->highest_in_service = 0;
	apic->task_priority = apic->processor_priority = 0;
}

/* The 8259's interrupts pass by all priorities. Their vector is not known before the INTA cycle: 0 stands for it. */
int local_apic_pending_vector(const struct local_apic *apic)
{
	if (unlikely(apic->accepts_external) && irq_external_pending(apic->vcpu->vm))
		return 0;
	return is_deliverable(apic) ? apic->highest_requested : -1;
}

int local_apic_acknowledge(struct local_apic *apic)
{
	uint8_t vector = apic->highest_requested;

	if (unlikely(apic->accepts_external) && irq_external_pending(apic->vcpu->vm))
		return irq_external_acknowledge(apic->vcpu->vm);
	if (!is_deliverable(apic))
		return -1;
	vector_clear(apic->irr, vector);
	apic->highest_requested = highest_vector(apic->irr, vector);
	/* Its class is above that of all in service and of TPR, so it is the new highest and gives the new PPR. */
	vector_set(apic->isr, vector);
	apic->highest_in_service = vector;
	apic->processor_priority = PRIORITY_CLASS(vector);
	return vector;
}
