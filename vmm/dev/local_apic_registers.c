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
	memset(apic->registers, 0, LOCAL_APIC_REGISTER_COUNT * LOCAL_APIC_REGISTER_WORDS * sizeof(*apic->registers));
	for (unsigned i = 0; i < LOCAL_APIC_LVT_COUNT; i++)
		local_apic_set(apic, LOCAL_APIC_LVT + i, LOCAL_APIC_LVT_MASKED);
	local_apic_timer_lvt_changed(apic);
	local_apic_set(apic, LOCAL_APIC_SVR, RESET_SVR);
	local_apic_set(apic, LOCAL_APIC_DFR, RESET_DFR);
	apic->errors = 0;
	apic->divide_shift = 1;
	local_apic_set_identity(apic);
}

/* LDR is writable in xAPIC mode, and 0 at first: an APIC that is reset is in that mode or disabled. */
void local_apic_set_identity(struct local_apic *apic)
{
	uint32_t id = apic->vcpu->index;

	local_apic_set(apic, LOCAL_APIC_ID, local_apic_is_x2apic(apic) ? id : id << XAPIC_ID_SHIFT);
	local_apic_set(apic, LOCAL_APIC_VERSION_REGISTER, LOCAL_APIC_VERSION);
	if (local_apic_is_x2apic(apic))
		local_apic_set(apic, LOCAL_APIC_LDR, local_apic_x2apic_logical_id(id));
}

void local_apic_enter_virtual_wire(struct local_apic *apic)
{
	for (unsigned i = 0; i < LOCAL_APIC_LVT_COUNT; i++)
		local_apic_set(apic, LOCAL_APIC_LVT + i, virtual_wire_lvt[i]);
	local_apic_set(apic, LOCAL_APIC_SVR, RESET_SVR | LOCAL_APIC_SVR_ENABLE);
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

static uint64_t read_value(const struct local_apic *apic, unsigned number)
{
	if (number == LOCAL_APIC_CURRENT_COUNT)
		return local_apic_timer_current_count(apic);
	if (number == LOCAL_APIC_ICR && local_apic_is_x2apic(apic))
		return (uint64_t)local_apic_get(apic, LOCAL_APIC_ICR_HIGH) << 32 | local_apic_get(apic, LOCAL_APIC_ICR);
	return local_apic_get(apic, number);
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
	local_apic_set(apic, LOCAL_APIC_SVR, value & (SVR_VECTOR | LOCAL_APIC_SVR_ENABLE));
	if (local_apic_is_software_enabled(apic))
		return;
	for (unsigned i = 0; i < LOCAL_APIC_LVT_COUNT; i++)
		*local_apic_at(apic, LOCAL_APIC_LVT + i) |= LOCAL_APIC_LVT_MASKED;
	local_apic_timer_lvt_changed(apic);
	local_apic_update_external(apic);
}

/* A write makes what happened since the last one readable. SDM Vol. 3A "Error Handling". */
static void write_esr(struct local_apic *apic)
{
	local_apic_set(apic, LOCAL_APIC_ESR, apic->errors);
	apic->errors = 0;
}

static void write_icr(struct local_apic *apic, uint64_t value)
{
	uint32_t command = (uint32_t)value & ICR_STORED;

	local_apic_set(apic, LOCAL_APIC_ICR, command);
	if (local_apic_is_x2apic(apic)) {
		local_apic_set(apic, LOCAL_APIC_ICR_HIGH, (uint32_t)(value >> 32));
		local_apic_send_ipi(apic, command, (uint32_t)(value >> 32));
	} else {
		local_apic_send_ipi(apic, command, local_apic_get(apic, LOCAL_APIC_ICR_HIGH) >> XAPIC_ID_SHIFT);
	}
}

static void write_lvt(struct local_apic *apic, unsigned entry, uint32_t value)
{
	uint32_t masked = local_apic_is_software_enabled(apic) ? 0 : LOCAL_APIC_LVT_MASKED;

	local_apic_set(apic, LOCAL_APIC_LVT + entry, (value & lvt_writable[entry]) | masked);
	if (entry == LOCAL_APIC_LVT_TIMER)
		local_apic_timer_lvt_changed(apic);
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

/* What messages find it by, or whether it takes them. */
static void write_addressing(struct local_apic *apic, unsigned number, uint32_t value)
{
	if (number == LOCAL_APIC_SVR)
		write_svr(apic, value);
	else
		local_apic_set(apic, number, number == LOCAL_APIC_LDR ? value & XAPIC_ID_BITS : value | ~DFR_MODEL_BITS);
	irq_targets_changed(apic->vcpu->vm);
}

static void write_value(struct local_apic *apic, unsigned number, uint64_t value)
{
	switch (number) {
	case LOCAL_APIC_TPR: local_apic_set_task_priority(apic, (uint8_t)value); break;
	case LOCAL_APIC_EOI: local_apic_end_of_interrupt(apic); break;
	case LOCAL_APIC_LDR:
	case LOCAL_APIC_DFR:
	case LOCAL_APIC_SVR: write_addressing(apic, number, (uint32_t)value); break;
	case LOCAL_APIC_ESR: write_esr(apic); break;
	case LOCAL_APIC_ICR: write_icr(apic, value); break;
	case LOCAL_APIC_ICR_HIGH: local_apic_set(apic, number, (uint32_t)value & XAPIC_ID_BITS); break;
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

void local_apic_register_written(struct local_apic *apic, unsigned number)
{
	(void)!local_apic_write_register(apic, number, local_apic_get(apic, number)); /* what is refused goes by, but leaves its trace: */
	if (number == LOCAL_APIC_ID)
		local_apic_set_identity(apic);
}
