/* Arithmetic on values from outside: says whether it wrapped. */
#pragma once

#include "lib/types.h"

/** checked_add() - *@sum = @a + @b; false if it does not fit 64 bits (*@sum is then unusable). */
must_check static always_inline bool checked_add(uint64_t a, uint64_t b, uint64_t *sum)
{
	return !__builtin_add_overflow(a, b, sum);
}

/** checked_multiply() - *@product = @a * @b; false if it does not fit 64 bits. */
must_check static always_inline bool checked_multiply(uint64_t a, uint64_t b, uint64_t *product)
{
	return !__builtin_mul_overflow(a, b, product);
}

/** range_within() - [@start, @start + @length) lies in [0, @limit) without wrapping; an empty range at @limit does. */
must_check static always_inline bool range_within(uint64_t start, uint64_t length, uint64_t limit)
{
	return length <= limit && start <= limit - length;
}

/** ranges_overlap() - two ranges share a byte; neither may wrap; empty ranges share nothing. */
must_check static always_inline bool ranges_overlap(uint64_t start_a, uint64_t length_a, uint64_t start_b, uint64_t length_b)
{
	return length_a != 0 && length_b != 0 && start_a < start_b + length_b && start_b < start_a + length_a;
}
