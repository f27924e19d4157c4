#include "vmm/guest/e820.h"

#include "lib/checked.h"

struct reserved_area {
	uint64_t start, end;
};

/* RAM that is there but not for the guest's own use; sorted. The area from the VGA hole to the BIOS area is left out of the map. */
static const struct reserved_area reserved_areas[] = {
	{ E820_EBDA_START, GUEST_VGA_HOLE_START },
	{ GUEST_BIOS_START, GUEST_BIOS_END },
};

static void add_entry(struct e820_entry *entries, unsigned *count, uint64_t start, uint64_t end, uint32_t type)
{
	if (start < end && *count < E820_MAX_ENTRIES)
		entries[(*count)++] = (struct e820_entry){ start, end - start, type };
}

/* One slot of RAM, cut at the reserved areas. */
static void add_slot(struct e820_entry *entries, unsigned *count, uint64_t start, uint64_t end)
{
	/* Option ROMs would lie here; firmware tells it as a hole. */
	if (start >= GUEST_VGA_HOLE_END && start < GUEST_BIOS_START)
		start = GUEST_BIOS_START;
	for (size_t i = 0; i < array_count(reserved_areas); i++) {
		const struct reserved_area *area = &reserved_areas[i];

		if (area->end <= start || area->start >= end)
			continue;
		add_entry(entries, count, start, area->start, E820_RAM);
		add_entry(entries, count, max_u64(area->start, start), min_u64(area->end, end), E820_RESERVED);
		start = area->end;
	}
	add_entry(entries, count, start, end, E820_RAM);
}

unsigned e820_build(const struct guest_memory *memory, struct e820_entry entries[E820_MAX_ENTRIES])
{
	unsigned count = 0;

	for (unsigned i = 0; i < memory->slot_count; i++)
		add_slot(entries, &count, memory->slots[i].base.value, memory->slots[i].base.value + memory->slots[i].length);
	return count;
}
