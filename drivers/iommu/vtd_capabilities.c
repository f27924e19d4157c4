#include "drivers/iommu/vtd_capabilities.h"

#include "drivers/iommu/vtd_registers.h"

#define REGISTERS_END 0x10000u /* no unit has more; larger offsets are nonsense */

#define FLAG(member) offsetof(struct vtd_capabilities, member)

static const struct { uint8_t bit; bool extended; size_t flag; } flags[] = {
	{4, false, FLAG(write_buffer_flush)},
	{5, false, FLAG(protected_low)},
	{6, false, FLAG(protected_high)},
	{7, false, FLAG(caching_mode)},
	{34, false, FLAG(page_2m)},
	{35, false, FLAG(page_1g)},
	{39, false, FLAG(page_selective)},
	{54, false, FLAG(drain_writes)},
	{55, false, FLAG(drain_reads)},
	{59, false, FLAG(posted_interrupts)},
	{0, true, FLAG(coherent)},
	{1, true, FLAG(queued_invalidation)},
	{2, true, FLAG(device_tlb)},
	{3, true, FLAG(interrupt_remapping)},
	{4, true, FLAG(extended_interrupts)},
	{7, true, FLAG(snoop_control)},
	{41, true, FLAG(device_throttle)},
};

static bool *flag_at(struct vtd_capabilities *capabilities, size_t offset)
{
	return (bool *)((uint8_t *)capabilities + offset);
}

static bool flag_get(const struct vtd_capabilities *capabilities, size_t offset)
{
	return *(const bool *)((const uint8_t *)capabilities + offset);
}

/* What one feature is built on. */
static void drop_what_lacks_its_base(struct vtd_capabilities *capabilities)
{
	capabilities->interrupt_remapping &= capabilities->queued_invalidation;
	capabilities->device_tlb &= capabilities->queued_invalidation;
	capabilities->extended_interrupts &= capabilities->interrupt_remapping;
	capabilities->posted_interrupts &= capabilities->interrupt_remapping;
	capabilities->page_1g &= capabilities->page_2m;
}

static const char *check(const struct vtd_capabilities *capabilities)
{
	uint64_t records_end = capabilities->fault_offset + (uint64_t)VTD_RECORD_SIZE * capabilities->fault_records;

	if (capabilities->raw == ~0ull || capabilities->raw_extended == ~0ull || capabilities->raw == 0)
		return "its registers do not answer";
	if (capabilities->level_mask == 0)
		return "it offers no second-stage tables of 3, 4 or 5 levels";
	if (capabilities->fault_offset < VTD_REGISTERS_SIZE || records_end > REGISTERS_END)
		return "its fault records lie where none can be";
	if (capabilities->iotlb_offset < VTD_REGISTERS_SIZE)
		return "its IOTLB registers lie where none can be";
	if (capabilities->iotlb_offset < records_end && capabilities->fault_offset < capabilities->iotlb_offset + 16)
		return "its IOTLB registers lie in its fault records";
	return NULL;
}

const char *vtd_capabilities_decode(uint64_t capability, uint64_t extended, struct vtd_capabilities *capabilities)
{
	uint64_t domain_bits = 4 + 2 * bits_get(capability, 2, 0);

	*capabilities = (struct vtd_capabilities){
		.raw = capability,
		.raw_extended = extended,
		.domain_count = 1u << (domain_bits < 16 ? domain_bits : 16),
		.width = (uint32_t)bits_get(capability, 21, 16) + 1,
		/* Bits 1, 2 and 3 of the field stand for 3, 4 and 5 levels. */
		.level_mask = (uint32_t)bits_get(capability, 11, 9) << VTD_LEVELS_MIN,
		.fault_offset = (uint32_t)bits_get(capability, 33, 24) * 16,
		.fault_records = (uint32_t)bits_get(capability, 47, 40) + 1,
		.page_mask_limit = (uint32_t)bits_get(capability, 53, 48),
		.iotlb_offset = (uint32_t)bits_get(extended, 17, 8) * 16,
	};
	for (size_t i = 0; i < array_count(flags); i++)
		*flag_at(capabilities, flags[i].flag) =
			((flags[i].extended ? extended : capability) & BIT(flags[i].bit)) != 0;
	drop_what_lacks_its_base(capabilities);
	capabilities->register_bytes =
		max_u64(capabilities->fault_offset + VTD_RECORD_SIZE * capabilities->fault_records,
			capabilities->iotlb_offset + 16);
	return check(capabilities);
}

static const struct {
	const char *name;
	size_t flag;
	const char *cost;
} rows[] = {
	{"2 MiB pages", FLAG(page_2m), "tables are larger and slower"},
	{"1 GiB pages", FLAG(page_1g), NULL},
	{"coherent page walks", FLAG(coherent), "each change of a table is flushed from the caches"},
	{"snoop control", FLAG(snoop_control), "a device may bypass the caches"},
	{"queued invalidation", FLAG(queued_invalidation),
	 "invalidation waits for registers, and interrupts cannot be remapped"},
	{"page-selective invalidation", FLAG(page_selective), "each change drops a domain's whole translation cache"},
	{"drain of reads", FLAG(drain_reads), NULL},
	{"drain of writes", FLAG(drain_writes), NULL},
	{"device TLBs", FLAG(device_tlb), "devices cannot keep translations"},
	{"interrupt remapping", FLAG(interrupt_remapping),
	 "no device can be passed through: it could send any interrupt"},
	{"extended interrupt mode", FLAG(extended_interrupts), "interrupts reach CPUs with APIC ids up to 254 only"},
	{"posted interrupts", FLAG(posted_interrupts), "each interrupt of a device costs an exit"},
};
_Static_assert(array_count(rows) == VTD_CAPABILITY_ROWS, "the header tells how many there are");

struct vtd_capability_row vtd_capabilities_row(const struct vtd_capabilities *capabilities, unsigned index)
{
	return (struct vtd_capability_row){rows[index].name, flag_get(capabilities, rows[index].flag),
					   rows[index].cost};
}
