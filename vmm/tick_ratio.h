/* Converting between clocks without division: one multiplication by a fraction that was worked out once. */
#pragma once

#include "lib/types.h"

/**
 * tick_ratio() - the fraction @to_hz / @from_hz in units of 2^-64, rounded down.
 * @to_hz < @from_hz; else the largest fraction. @from_hz = 0 gives 0: time stands still.
 */
uint64_t tick_ratio(uint64_t to_hz, uint64_t from_hz);

/** tick_convert() - @ticks of the fast clock in ticks of the slow one, rounded down. */
static always_inline uint64_t tick_convert(uint64_t ticks, uint64_t ratio)
{
	return (uint64_t)((unsigned __int128)ticks * ratio >> 64);
}

/* The way back: ticks of the fast clock per tick of the slow one, in units of 2^-32, rounded up, so that the slow
 * clock has reached tick n when the fast one shows tick_convert_back(n). @fast_hz / @slow_hz < 2^32; 0 if @slow_hz is. */
uint64_t tick_ratio_back(uint64_t fast_hz, uint64_t slow_hz);

static always_inline uint64_t tick_convert_back(uint64_t ticks, uint64_t ratio_back)
{
	return (uint64_t)(((unsigned __int128)ticks * ratio_back >> 32) + 1);
}
