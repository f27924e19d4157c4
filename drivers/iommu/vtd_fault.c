#include "drivers/iommu/vtd_fault.h"

#define MSI_ADDRESS 0xfee00000u
#define FIRST_INTERRUPT_REASON 0x20u
#define LAST_INTERRUPT_REASON 0x2fu

static const struct { uint8_t reason; const char *words; } reasons[] = {
	{0x01, "its bus has no domain"},
	{0x02, "it has no domain"},
	{0x03, "its context entry is not valid"},
	{0x04, "the address is beyond what the domain can map"},
	{0x05, "not mapped for writing"},
	{0x06, "not mapped for reading"},
	{0x07, "a table of the domain cannot be read"},
	{0x08, "the root table cannot be read"},
	{0x09, "the context table cannot be read"},
	{0x0a, "its root entry has reserved bits set"},
	{0x0b, "its context entry has reserved bits set"},
	{0x0c, "a table entry of the domain has reserved bits set"},
	{0x0d, "it may not translate addresses itself"},
	{0x20, "the request has reserved bits set"},
	{0x21, "there is no such interrupt entry"},
	{0x22, "the interrupt entry is not in use"},
	{0x23, "the interrupt table cannot be read"},
	{0x24, "the interrupt entry has reserved bits set"},
	{0x25, "not in the remappable format"},
	{0x26, "the interrupt entry belongs to another device"},
	{0x27, "the posted-interrupt descriptor cannot be accessed"},
	{0x28, "the posted-interrupt descriptor has reserved bits set"},
};

static const char *reason_words(uint8_t reason)
{
	for (size_t i = 0; i < array_count(reasons); i++)
		if (reasons[i].reason == reason)
			return reasons[i].words;
	return "for a reason that is not known";
}

struct iommu_fault vtd_fault_decode(const struct vtd_unit *unit, uint64_t low, uint64_t high)
{
	uint8_t reason = (uint8_t)bits_get(high, 39, 32);

	return (struct iommu_fault){
		.unit = unit->index,
		.segment = unit->description->segment,
		.requester = (uint16_t)high,
		.reason = reason,
		.words = reason_words(reason),
		.interrupt = reason >= FIRST_INTERRUPT_REASON && reason <= LAST_INTERRUPT_REASON,
		.write = (high & VTD_RECORD_READ) == 0,
		.address = low & VTD_ENTRY_ADDRESS,
		.index = (uint16_t)bits_get(low, 63, 48),
	};
}

static uint32_t record_offset(const struct vtd_unit *unit, uint32_t record)
{
	return unit->capabilities.fault_offset + record * VTD_RECORD_SIZE;
}

/* The upper half of the high quadword holds the valid bit alone among what a write changes. */
static void clear_record(const struct vtd_unit *unit, uint32_t record)
{
	vtd_write32(unit, record_offset(unit, record) + 12, (uint32_t)(VTD_RECORD_FAULT >> 32));
}

/* Records are a ring; the status register tells where the first one was, also when that has been taken already. */
static bool find_record(const struct vtd_unit *unit, uint32_t status, uint32_t *record, uint64_t *high)
{
	uint32_t count = unit->capabilities.fault_records;

	*record = unit->next_record % count;
	*high = vtd_read64(unit, record_offset(unit, *record) + 8);
	for (uint32_t i = 0; i < count && (*high & VTD_RECORD_FAULT) == 0; i++) {
		*record = ((uint32_t)bits_get(status, 15, 8) + i) % count;
		*high = vtd_read64(unit, record_offset(unit, *record) + 8);
	}
	return (*high & VTD_RECORD_FAULT) != 0;
}

bool vtd_fault_read(struct vtd_unit *unit, struct iommu_fault *fault)
{
	uint32_t status = vtd_read32(unit, VTD_FAULT_STATUS), record;
	uint64_t high;
	bool found;

	/* All ones: the unit is gone. */
	if ((status & (VTD_FAULT_PENDING | VTD_FAULT_OVERFLOW)) == 0 || status == UINT32_MAX)
		return false;
	found = find_record(unit, status, &record, &high);
	if (found) {
		*fault = vtd_fault_decode(unit, vtd_read64(unit, record_offset(unit, record)), high);
		clear_record(unit, record);
		unit->next_record = record + 1;
		unit->faults++;
	}
	if (status & VTD_FAULT_OVERFLOW) {
		unit->overflows++;
		vtd_write32(unit, VTD_FAULT_STATUS, (uint32_t)VTD_FAULT_OVERFLOW);
	}
	return found;
}

void vtd_fault_drop(struct vtd_unit *unit)
{
	/* Twice: what comes meanwhile would be told by nobody. */
	for (uint32_t i = 0; i < 2 * unit->capabilities.fault_records; i++)
		clear_record(unit, i % unit->capabilities.fault_records);
	vtd_write32(unit, VTD_FAULT_STATUS, (uint32_t)VTD_FAULT_OVERFLOW);
	unit->overflows++;
}

void vtd_fault_start(struct vtd_unit *unit, uint8_t vector, uint32_t apic_id)
{
	for (uint32_t i = 0; i < unit->capabilities.fault_records; i++)
		clear_record(unit, i);
	vtd_write32(unit, VTD_FAULT_STATUS, (uint32_t)(VTD_FAULT_OVERFLOW | VTD_QUEUE_ERRORS));
	vtd_write32(unit, VTD_FAULT_DATA, vector);
	vtd_write32(unit, VTD_FAULT_ADDRESS, MSI_ADDRESS | (apic_id & 0xff) << 12);
	vtd_write32(unit, VTD_FAULT_UPPER_ADDRESS, apic_id & ~0xffu);
	vtd_write32(unit, VTD_FAULT_CONTROL, 0);
}
