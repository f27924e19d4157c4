/* Bit fields of registers, by the manuals' [high:low] notation. */
#pragma once

#include "lib/types.h"

#define BIT(n) ((uint64_t)1 << (n))
/* Bits high..low set, both included; 0 <= low <= high <= 63. */
#define BITS(high, low) ((~(uint64_t)0 >> (63 - (high))) & (~(uint64_t)0 << (low)))

/** bits_get() - the field [high:low] of @value, shifted down. */
static always_inline uint64_t bits_get(uint64_t value, unsigned high, unsigned low)
{
	return (value & BITS(high, low)) >> low;
}

/** bits_lowest() - number of the lowest bit set in @value, which must not be 0. */
static always_inline unsigned bits_lowest(uint64_t value) { return (unsigned)__builtin_ctzll(value); }
/** bits_highest() - number of the highest bit set in @value, which must not be 0. */
static always_inline unsigned bits_highest(uint64_t value) { return 63u - (unsigned)__builtin_clzll(value); }

/** size_mask() - all bits of an operand of @size bytes, 1..8. */
static always_inline uint64_t size_mask(unsigned size) { return ~(uint64_t)0 >> (64 - 8 * size); }
