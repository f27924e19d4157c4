#include "vmm/guest/guest_layout.h"

#include "lib/checked.h"
#include "vmm/guest/e820.h"

static void insert_range(struct guest_layout *layout, uint64_t base, uint64_t length)
{
	unsigned position = layout->count++;

	while (position > 0 && layout->ranges[position - 1].base > base) {
		layout->ranges[position] = layout->ranges[position - 1];
		position--;
	}
	layout->ranges[position] = (struct guest_layout_range){ base, length };
}

void guest_layout_init(struct guest_layout *layout, const struct guest_memory *memory)
{
	layout->memory = memory;
	layout->count = 0;
	insert_range(layout, E820_EBDA_START, GUEST_VGA_HOLE_START - E820_EBDA_START);
	insert_range(layout, GUEST_BIOS_START, GUEST_BIOS_END - GUEST_BIOS_START);
}

/* The taken range that shares a byte with [@base, @base + @length), or NULL. */
static const struct guest_layout_range *find_conflict(const struct guest_layout *layout, uint64_t base, uint64_t length)
{
	for (unsigned i = 0; i < layout->count; i++)
		if (ranges_overlap(base, length, layout->ranges[i].base, layout->ranges[i].length))
			return &layout->ranges[i];
	return NULL;
}

enum status guest_layout_take(struct guest_layout *layout, uint64_t base, uint64_t length)
{
	if (length == 0)
		return STATUS_OK;
	if (!guest_memory_is_ram(layout->memory, gpa(base), length))
		return STATUS_OUT_OF_RANGE;
	if (find_conflict(layout, base, length))
		return STATUS_EXISTS;
	if (layout->count == GUEST_LAYOUT_MAX_RANGES)
		return STATUS_NO_MEMORY;
	insert_range(layout, base, length);
	return STATUS_OK;
}

/* The part of @slot within [@minimum, @end) and below the device gap; false if there is none. */
static bool clip_slot(const struct guest_memory_slot *slot, uint64_t minimum, uint64_t end, uint64_t *from, uint64_t *to)
{
	*from = max_u64(slot->base.value, minimum);
	*to = min_u64(min_u64(slot->base.value + slot->length, end), GUEST_LOW_RAM_END);
	return *from < *to;
}

/* The lowest place in [@from, @to): every conflict moves the candidate up behind it. */
static bool find_low(const struct guest_layout *layout, uint64_t from, uint64_t to, uint64_t length, uint64_t alignment, uint64_t *base)
{
	const struct guest_layout_range *conflict;

	for (;;) {
		if (!checked_add(from, alignment - 1, base))
			return false;
		*base = align_down(*base, alignment);
		if (!range_within(*base, length, to))
			return false;
		conflict = find_conflict(layout, *base, length);
		if (!conflict)
			return true;
		from = conflict->base + conflict->length;
	}
}

/* The highest place in [@from, @to): every conflict moves the candidate down before it. */
static bool find_high(const struct guest_layout *layout, uint64_t from, uint64_t to, uint64_t length, uint64_t alignment, uint64_t *base)
{
	const struct guest_layout_range *conflict;

	for (;;) {
		if (to < from || length > to - from)
			return false;
		*base = align_down(to - length, alignment);
		if (*base < from)
			return false;
		conflict = find_conflict(layout, *base, length);
		if (!conflict)
			return true;
		to = conflict->base;
	}
}

enum status guest_layout_place_low(struct guest_layout *layout, uint64_t length, uint64_t alignment, uint64_t minimum,
				   uint64_t end, uint64_t *base)
{
	uint64_t from, to;

	for (unsigned i = 0; i < layout->memory->slot_count; i++)
		if (clip_slot(&layout->memory->slots[i], minimum, end, &from, &to) &&
		    find_low(layout, from, to, length, alignment, base))
			return guest_layout_take(layout, *base, length);
	return STATUS_NO_MEMORY;
}

enum status guest_layout_place_high(struct guest_layout *layout, uint64_t length, uint64_t alignment, uint64_t minimum,
				    uint64_t end, uint64_t *base)
{
	uint64_t from, to;

	for (unsigned i = layout->memory->slot_count; i-- > 0;)
		if (clip_slot(&layout->memory->slots[i], minimum, end, &from, &to) &&
		    find_high(layout, from, to, length, alignment, base))
			return guest_layout_take(layout, *base, length);
	return STATUS_NO_MEMORY;
}

uint64_t guest_layout_low_ram_end(const struct guest_memory *memory)
{
	for (unsigned i = 0; i < memory->slot_count; i++) {
		uint64_t from, to;

		if (memory->slots[i].base.value <= GUEST_BIOS_END && clip_slot(&memory->slots[i], GUEST_BIOS_END, ~(uint64_t)0, &from, &to))
			return to;
	}
	return GUEST_BIOS_END;
}
