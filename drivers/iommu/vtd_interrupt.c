#include "drivers/iommu/vtd_interrupt.h"

#include "arch/x86/insn.h"
#include "arch/x86/mm/page_pool.h"
#include "arch/x86/physmap.h"
#include "drivers/iommu/vtd_queue.h"

#define ENTRY_SIZE 16u
#define MAX_APIC_ID_8 0xfeu
#define WORD_BITS 64u

enum status vtd_interrupt_start(struct vtd_unit *unit, bool x2apic)
{
	uint64_t *table = page_pool_allocate_contiguous(VTD_INTERRUPT_PAGES);
	enum status status;

	if (table == NULL)
		return STATUS_NO_MEMORY;
	vtd_publish(unit, table, VTD_INTERRUPT_PAGES * PAGE_SIZE);
	unit->interrupt_table = table;
	unit->extended_interrupts = x2apic && unit->capabilities.extended_interrupts;
	/* The size field holds the logarithm of the number of entries, less one. */
	vtd_write64(unit, VTD_INTERRUPT_TABLE,
		    physmap_address(table).value | (unit->extended_interrupts ? VTD_INTERRUPT_TABLE_EXTENDED : 0) |
		    (bits_highest(VTD_INTERRUPT_ENTRIES) - 1));
	status = vtd_command(unit, VTD_SET_INTERRUPT_TABLE, true);
	return status == STATUS_OK ? vtd_invalidate_interrupts(unit) : status;
}

enum status vtd_interrupt_enable(struct vtd_unit *unit)
{
	enum status status = vtd_command(unit, VTD_INTERRUPT_REMAPPING, true);

	/* Interrupts that are not in the remappable format would otherwise pass by. */
	if (status == STATUS_OK && (vtd_read32(unit, VTD_GLOBAL_STATUS) & VTD_COMPATIBILITY_FORMAT))
		status = vtd_command(unit, VTD_COMPATIBILITY_FORMAT, false);
	unit->remapping = status == STATUS_OK;
	return status;
}

enum status vtd_interrupt_disable(struct vtd_unit *unit)
{
	unit->remapping = false;
	if ((vtd_read32(unit, VTD_GLOBAL_STATUS) & VTD_INTERRUPT_REMAPPING) == 0)
		return STATUS_OK;
	return vtd_command(unit, VTD_INTERRUPT_REMAPPING, false);
}

enum status vtd_interrupt_allocate(struct vtd_unit *unit, uint16_t *index)
{
	for (unsigned word = 0; word < array_count(unit->interrupts_used); word++) {
		unsigned bit;

		if (unit->interrupts_used[word] == ~0ull)
			continue;
		bit = bits_lowest(~unit->interrupts_used[word]);
		unit->interrupts_used[word] |= BIT(bit);
		*index = (uint16_t)(word * WORD_BITS + bit);
		return STATUS_OK;
	}
	return STATUS_NO_MEMORY;
}

void vtd_interrupt_free(struct vtd_unit *unit, uint16_t index)
{
	unit->interrupts_used[index / WORD_BITS] &= ~BIT(index % WORD_BITS);
}

static enum status make_entry(const struct vtd_unit *unit, const struct vtd_interrupt *interrupt, uint64_t *low,
			      uint64_t *high)
{
	*low = VTD_PRESENT | (uint64_t)interrupt->vector << VTD_INTERRUPT_VECTOR_SHIFT;
	*high = VTD_INTERRUPT_VERIFY_REQUESTER | interrupt->requester;
	if (interrupt->posted) {
		if (!unit->capabilities.posted_interrupts)
			return STATUS_UNSUPPORTED;
		*low |= VTD_INTERRUPT_POSTED;
		*low |= bits_get(interrupt->descriptor.value, 31, 6) << VTD_INTERRUPT_DESCRIPTOR_SHIFT;
		*high |= bits_get(interrupt->descriptor.value, 63, 32) << 32;
		return STATUS_OK;
	}
	if (!unit->extended_interrupts && interrupt->apic_id > MAX_APIC_ID_8)
		return STATUS_OUT_OF_RANGE;
	*low |= (uint64_t)interrupt->apic_id
		<< (unit->extended_interrupts ? VTD_INTERRUPT_DESTINATION_SHIFT : VTD_INTERRUPT_DESTINATION_8_SHIFT);
	if (interrupt->level)
		*low |= VTD_INTERRUPT_LEVEL;
	return STATUS_OK;
}

enum status vtd_interrupt_write(struct vtd_unit *unit, uint16_t index, const struct vtd_interrupt *interrupt)
{
	uint64_t *entry = &unit->interrupt_table[(size_t)index * 2];
	uint64_t low = 0, high = 0;
	enum status status = interrupt != NULL ? make_entry(unit, interrupt, &low, &high) : STATUS_OK;

	if (status != STATUS_OK)
		return status;
	/* In one step: nothing takes halves of two entries for one, or meets one that is absent for a moment. */
	insn_store_16_bytes(entry, low, high);
	vtd_publish(unit, entry, ENTRY_SIZE);
	return vtd_invalidate_interrupt(unit, index);
}

bool vtd_interrupt_read(const struct vtd_unit *unit, uint16_t index, struct vtd_interrupt *interrupt)
{
	uint64_t low = unit->interrupt_table[(size_t)index * 2], high = unit->interrupt_table[(size_t)index * 2 + 1];

	if ((low & VTD_PRESENT) == 0)
		return false;
	*interrupt = (struct vtd_interrupt){
		.requester = (uint16_t)high,
		.vector = (uint8_t)bits_get(low, 23, VTD_INTERRUPT_VECTOR_SHIFT),
		.level = (low & VTD_INTERRUPT_LEVEL) != 0,
		.posted = (low & VTD_INTERRUPT_POSTED) != 0,
	};
	if (interrupt->posted)
		interrupt->descriptor =
			hpa(bits_get(high, 63, 32) << 32 | bits_get(low, 63, VTD_INTERRUPT_DESCRIPTOR_SHIFT) << 6);
	else
		interrupt->apic_id = (uint32_t)(low >> (unit->extended_interrupts ? VTD_INTERRUPT_DESTINATION_SHIFT
										  : VTD_INTERRUPT_DESTINATION_8_SHIFT));
	return true;
}
