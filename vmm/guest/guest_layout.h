/*
 * Where things go in a guest's RAM before it runs: ranges that are taken, and a search for room between them.
 */
#pragma once

#include "lib/status.h"
#include "lib/types.h"
#include "vmm/guest_memory.h"

#define GUEST_LAYOUT_MAX_RANGES 32u

struct guest_layout_range {
	uint64_t base, length; /* [bytes] */
};

struct guest_layout {
	const struct guest_memory *memory;
	unsigned count;
	struct guest_layout_range ranges[GUEST_LAYOUT_MAX_RANGES]; /* taken; sorted by base, not overlapping */
};

/** guest_layout_init() - nothing is taken but the areas that the memory map reserves below 1 MiB. */
void guest_layout_init(struct guest_layout *layout, const struct guest_memory *memory);

/**
 * guest_layout_take() - takes [@base, @base + @length) if it is RAM and free; an empty range is always fine.
 * Return: STATUS_OK; STATUS_OUT_OF_RANGE (not RAM); STATUS_EXISTS (taken); STATUS_NO_MEMORY (table full).
 */
must_check enum status guest_layout_take(struct guest_layout *layout, uint64_t base, uint64_t length);

/**
 * guest_layout_place_low() / guest_layout_place_high() - finds and takes the lowest (highest) free place of @length > 0
 * bytes, aligned to @alignment (a power of two), within [@minimum, @end) and below GUEST_LOW_RAM_END.
 * Return: STATUS_OK with *@base set; STATUS_NO_MEMORY.
 */
must_check enum status guest_layout_place_low(struct guest_layout *layout, uint64_t length, uint64_t alignment,
					      uint64_t minimum, uint64_t end, uint64_t *base);
must_check enum status guest_layout_place_high(struct guest_layout *layout, uint64_t length, uint64_t alignment,
					       uint64_t minimum, uint64_t end, uint64_t *base);

/** guest_layout_low_ram_end() - end of the RAM that begins at 1 MiB; 1 MiB if there is none. */
uint64_t guest_layout_low_ram_end(const struct guest_memory *memory);
