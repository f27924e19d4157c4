#include "vmm/shell/figures.h"

#include "arch/x86/clock.h"
#include "lib/bits.h"
#include "lib/fmt.h"
#include "lib/string.h"

/* Both sides are made smaller first, since the product would not fit for a machine that runs for months. */
static uint64_t scale(uint64_t part, uint64_t factor, uint64_t whole)
{
	unsigned bits = part ? bits_highest(part) : 0;
	unsigned shift = bits > 50 ? bits - 50 : 0;

	return whole >> shift ? (part >> shift) * factor / (whole >> shift) : 0;
}

uint64_t figures_permille(uint64_t part, uint64_t whole)
{
	return scale(part, 1000, whole);
}

uint64_t figures_per_second(uint64_t count, uint64_t ticks)
{
	return scale(count, 1000, clock_nanoseconds_from_ticks(ticks) / 1000000);
}

uint64_t figures_tenths(uint64_t ticks)
{
	return clock_nanoseconds_from_ticks(ticks) / 100000000;
}

const char *figures_cpu_list(uint64_t cpus, char *buffer, size_t size)
{
	size_t length = 0;

	string_copy(buffer, size, cpus == ~(uint64_t)0 ? "all" : "none");
	if (cpus == ~(uint64_t)0)
		return buffer;
	while (cpus && length < size) {
		unsigned first = bits_lowest(cpus), last = first;

		while (last < 63 && cpus & BIT(last + 1))
			last++;
		cpus &= ~BITS(last, first);
		length += fmt_print(buffer + length, size - length, first == last ? "%s%u" : "%s%u-%u", length ? "," : "", first, last);
	}
	return buffer;
}
