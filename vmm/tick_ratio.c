#include "vmm/tick_ratio.h"

/* @remainder / @divisor in units of 2^-@bits, rounded down, by long division: a 128-bit division would need a library. */
static uint64_t divide_fraction(uint64_t remainder, uint64_t divisor, unsigned bits)
{
	uint64_t fraction = 0;

	for (unsigned bit = 0; bit < bits; bit++) {
		bool carry = remainder >> 63;

		remainder <<= 1;
		fraction <<= 1;
		if (carry || remainder >= divisor) {
			remainder -= divisor;
			fraction |= 1;
		}
	}
	return fraction;
}

uint64_t tick_ratio(uint64_t to_hz, uint64_t from_hz)
{
	if (from_hz == 0)
		return 0;
	if (to_hz >= from_hz)
		return UINT64_MAX;
	return divide_fraction(to_hz, from_hz, 64);
}

uint64_t tick_ratio_back(uint64_t fast_hz, uint64_t slow_hz)
{
	uint64_t whole;

	if (slow_hz == 0)
		return 0;
	whole = fast_hz / slow_hz;
	if (whole >> 32 != 0)
		return UINT64_MAX;
	return (whole << 32 | divide_fraction(fast_hz % slow_hz, slow_hz, 32)) + 1;
}
