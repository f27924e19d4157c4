#include "vmm/dev/local_apic.h"

#include "lib/string.h"

#define PRIORITY_CLASS(vector) ((vector) & 0xf0u)

static void vector_set(struct local_apic *apic, enum local_apic_register_number bitmap, uint8_t vector)
{
	*local_apic_at(apic, bitmap + (vector >> 5)) |= 1u << (vector & 31);
}

static void vector_clear(struct local_apic *apic, enum local_apic_register_number bitmap, uint8_t vector)
{
	*local_apic_at(apic, bitmap + (vector >> 5)) &= ~(1u << (vector & 31));
}

static bool vector_is_set(const struct local_apic *apic, enum local_apic_register_number bitmap, uint8_t vector)
{
	return (local_apic_get(apic, bitmap + (vector >> 5)) >> (vector & 31) & 1) != 0;
}

uint8_t local_apic_highest(const struct local_apic *apic, enum local_apic_register_number bitmap, uint8_t limit)
{
	for (int word = limit >> 5; word >= 0; word--) {
		uint32_t vectors = local_apic_get(apic, bitmap + (unsigned)word);

		if (vectors != 0)
			return (uint8_t)((unsigned)word * 32 + bits_highest(vectors));
	}
	return 0;
}

/* Of VIRT_APIC_SOFTWARE. */
static bool is_deliverable(const struct local_apic *apic)
{
	return PRIORITY_CLASS(apic->highest_requested) > PRIORITY_CLASS(local_apic_get(apic, LOCAL_APIC_PPR));
}

/* A request that is set already will be answered under the lock that we hold, so it sees what has just arrived. */
void local_apic_notify(struct local_apic *apic)
{
	if (__atomic_load_n(&apic->vcpu->requests, __ATOMIC_RELAXED) & VCPU_REQUEST_EVENT)
		return;
	vcpu_kick(apic->vcpu, VCPU_REQUEST_EVENT);
}

/* SDM Vol. 3A "Task and Processor Priorities". */
static void update_processor_priority(struct local_apic *apic, uint8_t highest_in_service)
{
	uint32_t task_priority = local_apic_get(apic, LOCAL_APIC_TPR), in_service = PRIORITY_CLASS(highest_in_service);

	local_apic_set(apic, LOCAL_APIC_PPR, PRIORITY_CLASS(task_priority) >= in_service ? task_priority : in_service);
}

void local_apic_request(struct local_apic *apic, uint8_t vector, bool level)
{
	vector_set(apic, LOCAL_APIC_IRR, vector);
	if (level)
		vector_set(apic, LOCAL_APIC_TMR, vector);
	else
		vector_clear(apic, LOCAL_APIC_TMR, vector);
}

void local_apic_accept(struct local_apic *apic, uint8_t vector, bool level)
{
	if (local_apic_is_in_hardware(apic)) {
		local_apic_post(apic, vector, level);
		return;
	}
	local_apic_request(apic, vector, level);
	if (vector <= apic->highest_requested)
		return;
	apic->highest_requested = vector;
	if (is_deliverable(apic))
		local_apic_notify(apic);
}

void local_apic_accept_lvt(struct local_apic *apic, enum local_apic_lvt entry)
{
	uint32_t lvt = local_apic_get(apic, LOCAL_APIC_LVT + entry);
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

/* An APIC in hardware only comes here by instructions that the hardware does not carry out; what it keeps outside the
 * register page follows from the page at the next entry. */
void local_apic_end_of_interrupt(struct local_apic *apic)
{
	bool in_hardware = local_apic_is_in_hardware(apic);
	uint8_t vector = in_hardware ? local_apic_highest(apic, LOCAL_APIC_ISR, UINT8_MAX) : apic->highest_in_service;

	if (vector == 0)
		return;
	vector_clear(apic, LOCAL_APIC_ISR, vector);
	apic->highest_in_service = local_apic_highest(apic, LOCAL_APIC_ISR, vector);
	update_processor_priority(apic, apic->highest_in_service);
	if (vector_is_set(apic, LOCAL_APIC_TMR, vector))
		irq_end_of_interrupt(apic->vcpu->vm, vector);
	apic->status_is_new |= in_hardware;
	if (in_hardware || is_deliverable(apic))
		local_apic_notify(apic);
}

void local_apic_set_task_priority(struct local_apic *apic, uint8_t priority)
{
	local_apic_set(apic, LOCAL_APIC_TPR, priority);
	if (local_apic_is_in_hardware(apic)) {
		update_processor_priority(apic, local_apic_highest(apic, LOCAL_APIC_ISR, UINT8_MAX));
		return;
	}
	update_processor_priority(apic, apic->highest_in_service);
	if (is_deliverable(apic))
		local_apic_notify(apic);
}

/* With the APIC disabled in IA32_APIC_BASE its LINT0 pin is the processor's INTR. SDM Vol. 3A "Local APIC State". */
void local_apic_update_external(struct local_apic *apic)
{
	uint32_t lint0 = local_apic_get(apic, LOCAL_APIC_LVT + LOCAL_APIC_LVT_LINT0) & (LOCAL_APIC_LVT_MASKED | LOCAL_APIC_LVT_MODE);
	bool connected = !local_apic_is_enabled(apic) || lint0 == LOCAL_APIC_LVT_MODE_EXTINT;

	apic->accepts_external = apic->vcpu->index == 0 && connected;
	if (apic->accepts_external && irq_external_pending(apic->vcpu->vm))
		local_apic_notify(apic);
}

/* The registers themselves are cleared by the caller. */
void local_apic_clear_interrupts(struct local_apic *apic)
{
	memset(apic->posted, 0, sizeof(apic->posted));
	memset(apic->posted_level, 0, sizeof(apic->posted_level));
	apic->highest_requested = apic->highest_in_service = 0;
	apic->status_is_new = true;
}

static bool is_external_pending(const struct local_apic *apic)
{
	return unlikely(apic->accepts_external) && irq_external_pending(apic->vcpu->vm);
}

/* The 8259's interrupts pass by all priorities. Their vector is not known before the INTA cycle: 0 stands for it. */
int local_apic_pending_vector(const struct local_apic *apic)
{
	uint8_t vector = apic->highest_requested;

	if (is_external_pending(apic))
		return 0;
	if (local_apic_is_in_hardware(apic))
		vector = (uint8_t)max_u64(local_apic_highest(apic, LOCAL_APIC_IRR, UINT8_MAX), local_apic_highest_posted(apic));
	return PRIORITY_CLASS(vector) > PRIORITY_CLASS(local_apic_get(apic, LOCAL_APIC_PPR)) ? vector : -1;
}

/* Of an APIC in hardware only the 8259's interrupts are injected. */
int local_apic_acknowledge(struct local_apic *apic)
{
	uint8_t vector = apic->highest_requested;

	if (is_external_pending(apic))
		return irq_external_acknowledge(apic->vcpu->vm);
	if (local_apic_is_in_hardware(apic) || !is_deliverable(apic))
		return -1;
	vector_clear(apic, LOCAL_APIC_IRR, vector);
	apic->highest_requested = local_apic_highest(apic, LOCAL_APIC_IRR, vector);
	/* Its class is above that of all in service and of TPR, so it is the new highest and gives the new PPR. */
	vector_set(apic, LOCAL_APIC_ISR, vector);
	apic->highest_in_service = vector;
	local_apic_set(apic, LOCAL_APIC_PPR, PRIORITY_CLASS(vector));
	return vector;
}

bool local_apic_prepare_entry(struct local_apic *apic)
{
	if (apic->vcpu->virt.apic_page != NULL)
		local_apic_update_hardware(apic);
	return local_apic_is_in_hardware(apic) ? is_external_pending(apic) : local_apic_pending_vector(apic) >= 0;
}
