#include "vmm/dev/local_apic.h"

#include "lib/string.h"

#define RESET_DFR 0xffffffffu
#define RESET_SVR 0xffu
#define SVR_VECTOR 0xffu
#define DFR_MODEL_BITS 0xf0000000u
#define XAPIC_ID_SHIFT 24
#define XAPIC_ID_BITS 0xff000000u /* of ID, LDR and the upper half of ICR */
#define ICR_STORED 0x000ccfffu /* all but delivery status and reserved bits */

/* What firmware leaves to an operating system on the boot processor: LINT0 passes the 8259's interrupts, LINT1 is NMI.
 * Multiprocessor Specification "Virtual Wire Mode". No firmware runs before our guests, so this is their power-up. */
static const uint32_t virtual_wire_lvt[LOCAL_APIC_LVT_COUNT] = {
	[LOCAL_APIC_LVT_TIMER] = LOCAL_APIC_LVT_MASKED,
	[LOCAL_APIC_LVT_THERMAL] = LOCAL_APIC_LVT_MASKED,
	[LOCAL_APIC_LVT_PERFORMANCE] = LOCAL_APIC_LVT_MASKED,
	[LOCAL_APIC_LVT_LINT0] = LOCAL_APIC_LVT_MODE_EXTINT,
	[LOCAL_APIC_LVT_LINT1] = LOCAL_APIC_LVT_MODE_NMI,
	[LOCAL_APIC_LVT_ERROR] = LOCAL_APIC_LVT_MASKED,
};

/* Bits of each entry that software may set. SDM Vol. 3A "Local Vector Table". */
static const uint32_t lvt_writable[LOCAL_APIC_LVT_COUNT] = {
	[LOCAL_APIC_LVT_TIMER] = 0x000700ff,
	[LOCAL_APIC_LVT_THERMAL] = 0x000107ff,
	[LOCAL_APIC_LVT_PERFORMANCE] = 0x000107ff,
	[LOCAL_APIC_LVT_LINT0] = 0x0001a7ff,
	[LOCAL_APIC_LVT_LINT1] = 0x0001a7ff,
	[LOCAL_APIC_LVT_ERROR] = 0x000100ff,
};

void local_apic_reset_registers(struct local_apic *apic)
{
	local_apic_timer_stop(apic);
	local_apic_clear_interrupts(apic);
	for (unsigned i = 0; i < LOCAL_APIC_LVT_COUNT; i++)
		apic->lvt[i] = LOCAL_APIC_LVT_MASKED;
	apic->svr = RESET_SVR;
	apic->dfr = RESET_DFR;
	apic->ldr = 0; /* a reset APIC is disabled or in xAPIC mode */
	apic->esr = apic->errors = 0;
	apic->icr = apic->icr_destination = 0;
	apic->divide = 0;
	apic->divide_shift = 1;
}

void local_apic_enter_virtual_wire(struct local_apic *apic)
{
	memcpy(apic->lvt, virtual_wire_lvt, sizeof(apic->lvt));
	apic->svr = RESET_SVR | LOCAL_APIC_SVR_ENABLE;
}

/* ---- which registers there are ---- */

#define IN_XAPIC 1u
#define IN_X2APIC 2u
#define IN_BOTH (IN_XAPIC | IN_X2APIC)

struct apic_register {
	uint8_t readable, writable; /* IN_* */
	uint64_t allowed; /* bits that may be 1 in a write in x2APIC mode; read-only ones, which are ignored, included */
};

/* SDM Vol. 3A "Local APIC Register Address Map" and "x2APIC Register Address Space". */
static const struct apic_register registers[LOCAL_APIC_REGISTER_COUNT] = {
	[LOCAL_APIC_ID] = {IN_BOTH, 0, 0},
	[LOCAL_APIC_VERSION_REGISTER] = {IN_BOTH, 0, 0},
	[LOCAL_APIC_TPR] = {IN_BOTH, IN_BOTH, 0xff},
	[LOCAL_APIC_PPR] = {IN_BOTH, 0, 0},
	[LOCAL_APIC_EOI] = {0, IN_BOTH, 0},
	[LOCAL_APIC_LDR] = {IN_BOTH, IN_XAPIC, 0},
	[LOCAL_APIC_DFR] = {IN_XAPIC, IN_XAPIC, 0},
	[LOCAL_APIC_SVR] = {IN_BOTH, IN_BOTH, 0x3ff},
	[LOCAL_APIC_ISR ... LOCAL_APIC_ISR + 7] = {IN_BOTH, 0, 0},
	[LOCAL_APIC_TMR ... LOCAL_APIC_TMR + 7] = {IN_BOTH, 0, 0},
	[LOCAL_APIC_IRR ... LOCAL_APIC_IRR + 7] = {IN_BOTH, 0, 0},
	[LOCAL_APIC_ESR] = {IN_BOTH, IN_BOTH, 0},
	[LOCAL_APIC_ICR] = {IN_BOTH, IN_BOTH, 0xffffffff000cdfff},
	[LOCAL_APIC_ICR_HIGH] = {IN_XAPIC, IN_XAPIC, 0},
	[LOCAL_APIC_LVT + LOCAL_APIC_LVT_TIMER] = {IN_BOTH, IN_BOTH, 0x000710ff},
	[LOCAL_APIC_LVT + LOCAL_APIC_LVT_THERMAL] = {IN_BOTH, IN_BOTH, 0x000117ff},
	[LOCAL_APIC_LVT + LOCAL_APIC_LVT_PERFORMANCE] = {IN_BOTH, IN_BOTH, 0x000117ff},
	[LOCAL_APIC_LVT + LOCAL_APIC_LVT_LINT0] = {IN_BOTH, IN_BOTH, 0x0001f7ff},
	[LOCAL_APIC_LVT + LOCAL_APIC_LVT_LINT1] = {IN_BOTH, IN_BOTH, 0x0001f7ff},
	[LOCAL_APIC_LVT + LOCAL_APIC_LVT_ERROR] = {IN_BOTH, IN_BOTH, 0x000110ff},
	[LOCAL_APIC_INITIAL_COUNT] = {IN_BOTH, IN_BOTH, 0xffffffff},
	[LOCAL_APIC_CURRENT_COUNT] = {IN_BOTH, 0, 0},
	[LOCAL_APIC_DIVIDE] = {IN_BOTH, IN_BOTH, 0xb},
	[LOCAL_APIC_SELF_IPI] = {0, IN_X2APIC, 0xff},
};

static uint8_t mode_of(const struct local_apic *apic)
{
	return local_apic_is_x2apic(apic) ? IN_X2APIC : IN_XAPIC;
}

/* An access in the wrong direction goes by in xAPIC mode; one to no register at all is an error there. */
static enum status refuse(struct local_apic *apic, const struct apic_register *entry)
{
	if (!local_apic_is_x2apic(apic) && !((entry->readable | entry->writable) & IN_XAPIC))
		local_apic_report_error(apic, LOCAL_APIC_ERROR_ILLEGAL_REGISTER);
	return STATUS_DENIED;
}

/* ---- reading ---- */

/* Eight registers of 32 vectors each. */
static uint64_t bitmap_word(const uint64_t bitmap[4], unsigned word)
{
	return (uint32_t)(bitmap[word / 2] >> (word % 2 * 32));
}

static uint64_t read_icr(const struct local_apic *apic)
{
	return local_apic_is_x2apic(apic) ? (uint64_t)apic->icr_destination << 32 | apic->icr : apic->icr;
}

static uint64_t read_value(const struct local_apic *apic, unsigned number)
{
	switch (number) {
	case LOCAL_APIC_ID: return local_apic_is_x2apic(apic) ? apic->vcpu->index : apic->vcpu->index << XAPIC_ID_SHIFT;
	case LOCAL_APIC_VERSION_REGISTER: return LOCAL_APIC_VERSION;
	case LOCAL_APIC_TPR: return apic->task_priority;
	case LOCAL_APIC_PPR: return apic->processor_priority;
	case LOCAL_APIC_LDR: return apic->ldr;
	case LOCAL_APIC_DFR: return apic->dfr;
	case LOCAL_APIC_SVR: return apic->svr;
	case LOCAL_APIC_ISR ... LOCAL_APIC_ISR + 7: return bitmap_word(apic->isr, number - LOCAL_APIC_ISR);
	case LOCAL_APIC_TMR ... LOCAL_APIC_TMR + 7: return bitmap_word(apic->tmr, number - LOCAL_APIC_TMR);
	case LOCAL_APIC_IRR ... LOCAL_APIC_IRR + 7: return bitmap_word(apic->irr, number - LOCAL_APIC_IRR);
	case LOCAL_APIC_ESR: return apic->esr;
	case LOCAL_APIC_ICR: return read_icr(apic);
	case LOCAL_APIC_ICR_HIGH: return apic->icr_destination;
	case LOCAL_APIC_LVT ... LOCAL_APIC_LVT + LOCAL_APIC_LVT_COUNT - 1: return apic->lvt[number - LOCAL_APIC_LVT];
	case LOCAL_APIC_INITIAL_COUNT: return apic->initial_count;
	case LOCAL_APIC_CURRENT_COUNT: return local_apic_timer_current_count(apic);
	case LOCAL_APIC_DIVIDE: return apic->divide;
	default: return 0;
	}
}

enum status local_apic_read_register(struct local_apic *apic, unsigned number, uint64_t *value)
{
	const struct apic_register *entry = &registers[number];

	if (unlikely(!(entry->readable & mode_of(apic))))
		return refuse(apic, entry);
	*value = read_value(apic, number);
	return STATUS_OK;
}

/* ---- writing ---- */

/* Turned off by software, all entries of the local vector table are masked and stay so. */
static void write_svr(struct local_apic *apic, uint32_t value)
{
	apic->svr = value & (SVR_VECTOR | LOCAL_APIC_SVR_ENABLE);
	if (local_apic_is_software_enabled(apic))
		return;
	for (unsigned i = 0; i < LOCAL_APIC_LVT_COUNT; i++)
		apic->lvt[i] |= LOCAL_APIC_LVT_MASKED;
	local_apic_update_external(apic);
}

/* A write makes what happened since the last one readable. SDM Vol. 3A "Error Handling". */
static void write_esr(struct local_apic *apic)
{
	apic->esr = apic->errors;
	apic->errors = 0;
}

static void write_icr(struct local_apic *apic, uint64_t value)
{
	apic->icr = (uint32_t)value & ICR_STORED;
	if (local_apic_is_x2apic(apic)) {
		apic->icr_destination = (uint32_t)(value >> 32);
		local_apic_send_ipi(apic, apic->icr, apic->icr_destination);
	} else {
		local_apic_send_ipi(apic, apic->icr, apic->icr_destination >> XAPIC_ID_SHIFT);
	}
}

static void write_lvt(struct local_apic *apic, unsigned entry, uint32_t value)
{
	uint32_t before = apic->lvt[entry];

	apic->lvt[entry] = value & lvt_writable[entry];
	if (!local_apic_is_software_enabled(apic))
		apic->lvt[entry] |= LOCAL_APIC_LVT_MASKED;
	if (entry == LOCAL_APIC_LVT_TIMER)
		local_apic_timer_mode_changed(apic, before);
	else if (entry == LOCAL_APIC_LVT_LINT0)
		local_apic_update_external(apic);
}

/* Always fixed, edge and to oneself: the ICR keeps nothing of it. */
static void write_self_ipi(struct local_apic *apic, uint8_t vector)
{
	if (vector < LOCAL_APIC_FIRST_VECTOR)
		local_apic_report_error(apic, LOCAL_APIC_ERROR_SEND_ILLEGAL_VECTOR);
	else if (local_apic_is_software_enabled(apic))
		local_apic_accept(apic, vector, false);
}

static void write_value(struct local_apic *apic, unsigned number, uint64_t value)
{
	switch (number) {
	case LOCAL_APIC_TPR: local_apic_set_task_priority(apic, (uint8_t)value); break;
	case LOCAL_APIC_EOI: local_apic_end_of_interrupt(apic); break;
	case LOCAL_APIC_LDR: apic->ldr = (uint32_t)value & XAPIC_ID_BITS; break;
	case LOCAL_APIC_DFR: apic->dfr = (uint32_t)value | ~DFR_MODEL_BITS; break;
	case LOCAL_APIC_SVR: write_svr(apic, (uint32_t)value); break;
	case LOCAL_APIC_ESR: write_esr(apic); break;
	case LOCAL_APIC_ICR: write_icr(apic, value); break;
	case LOCAL_APIC_ICR_HIGH: apic->icr_destination = (uint32_t)value & XAPIC_ID_BITS; break;
	case LOCAL_APIC_LVT ... LOCAL_APIC_LVT + LOCAL_APIC_LVT_COUNT - 1:
		write_lvt(apic, number - LOCAL_APIC_LVT, (uint32_t)value);
		break;
	case LOCAL_APIC_INITIAL_COUNT: local_apic_timer_set_initial_count(apic, (uint32_t)value); break;
	case LOCAL_APIC_DIVIDE: local_apic_timer_set_divide(apic, (uint32_t)value); break;
	case LOCAL_APIC_SELF_IPI: write_self_ipi(apic, (uint8_t)value); break;
	default: break;
	}
}

enum status local_apic_write_register(struct local_apic *apic, unsigned number, uint64_t value)
{
	const struct apic_register *entry = &registers[number];

	if (unlikely(!(entry->writable & mode_of(apic))))
		return refuse(apic, entry);
	if (local_apic_is_x2apic(apic) && unlikely(value & ~entry->allowed))
		return STATUS_DENIED;
	write_value(apic, number, value);
	return STATUS_OK;
}
