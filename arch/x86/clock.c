#include "arch/x86/clock.h"

#define NANOSECONDS_PER_SECOND 1000000000ull
/* While the frequency is unknown a delay assumes a fast clock, so that it is too long rather than too short. */
#define FASTEST_TICKS_PER_MICROSECOND 8000u

/* A factor as whole + fraction / 2^64, so that scaling needs two multiplications and no division. */
struct factor {
	uint64_t whole, fraction;
};

uint64_t clock_tsc_frequency;
static struct factor nanoseconds_per_tick, ticks_per_nanosecond;

/* @numerator / @denominator, rounded up in the last place so that whole results come out whole. @denominator < 2^63. */
static struct factor factor_make(uint64_t numerator, uint64_t denominator)
{
	struct factor factor = {numerator / denominator, 0};
	uint64_t remainder = numerator % denominator;

	for (unsigned bit = 0; bit < 64; bit++) {
		remainder <<= 1;
		factor.fraction <<= 1;
		if (remainder >= denominator) {
			remainder -= denominator;
			factor.fraction |= 1;
		}
	}
	if (remainder != 0 && ++factor.fraction == 0)
		factor.whole++;
	return factor;
}

/* @value * @factor, or all ones if that does not fit. */
static uint64_t factor_apply(const struct factor *factor, uint64_t value)
{
	unsigned __int128 product = (unsigned __int128)value * factor->whole;

	product += (uint64_t)((unsigned __int128)value * factor->fraction >> 64);
	return product >> 64 != 0 ? UINT64_MAX : (uint64_t)product;
}

void clock_set_frequency(uint64_t hz)
{
	clock_tsc_frequency = 0;
	if (hz == 0 || hz > INT64_MAX)
		return;
	nanoseconds_per_tick = factor_make(NANOSECONDS_PER_SECOND, hz);
	ticks_per_nanosecond = factor_make(hz, NANOSECONDS_PER_SECOND);
	clock_tsc_frequency = hz;
}

uint64_t clock_nanoseconds_from_ticks(uint64_t ticks)
{
	return clock_tsc_frequency == 0 ? 0 : factor_apply(&nanoseconds_per_tick, ticks);
}

uint64_t clock_ticks_from_nanoseconds(uint64_t nanoseconds)
{
	return clock_tsc_frequency == 0 ? 0 : factor_apply(&ticks_per_nanosecond, nanoseconds);
}

void clock_delay_microseconds(uint64_t microseconds)
{
	uint64_t start = clock_now(), ticks;

	if (clock_tsc_frequency == 0)
		ticks = microseconds * FASTEST_TICKS_PER_MICROSECOND;
	else
		ticks = clock_ticks_from_nanoseconds(microseconds * 1000);
	while (clock_now() - start < ticks)
		insn_pause();
}
