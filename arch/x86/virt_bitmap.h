/* Permission bitmaps of back ends: a bit that is set means "exits". */
#pragma once

#include "lib/bits.h"
#include "lib/types.h"

static inline void virt_bitmap_assign(uint8_t *bitmap, uint32_t bit, bool value)
{
	if (value)
		bitmap[bit / 8] |= (uint8_t)(1u << bit % 8);
	else
		bitmap[bit / 8] &= (uint8_t)~(1u << bit % 8);
}

/** virt_bitmap_next_open() - the next bit at or above @bit that is clear; @count: none. */
static inline uint32_t virt_bitmap_next_open(const uint64_t *bitmap, uint32_t bit, uint32_t count)
{
	const uint32_t word_bits = 64;

	while (bit < count) {
		uint64_t open = ~bitmap[bit / word_bits] >> bit % word_bits;

		if (open != 0)
			return bit + bits_lowest(open);
		bit = (bit / word_bits + 1) * word_bits;
	}
	return count;
}
