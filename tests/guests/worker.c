/*
 * Computes for ever and tells how much of the time it was let: after `wait` ms, for `spans` spans (0: for ever) of `span` ms
 * each, a line `worker: span N: UNITS units in TIME us, SHARE of 10000`.
 */
#include "runtime/guest.h"

#include "runtime/cpu.h"
#include "runtime/work.h"

const char guest_name[] = "worker";

#define WHOLE 10000u

/* The least time from one reading of the TSC to the next with a unit between: what a unit costs. */
static uint64_t unit_ticks = ~0ull;

/* Works until @end of the TSC; gives the units. */
static uint64_t work_until(uint64_t end)
{
	uint64_t units = 0, before = rdtsc();

	while (before < end) {
		work_unit();
		uint64_t now = rdtsc();
		unit_ticks = now - before < unit_ticks ? now - before : unit_ticks;
		before = now;
		units++;
	}
	return units;
}

static void measure(unsigned number, uint64_t ticks)
{
	uint64_t begin = rdtsc(), units = work_until(begin + ticks), length = rdtsc() - begin;

	guest_print("worker: span %u: %llu units in %llu us, %llu of %u\n", number, (unsigned long long)units,
		    (unsigned long long)microseconds_from_ticks(length), (unsigned long long)(units * unit_ticks * WHOLE / length), WHOLE);
}

void guest_main(void)
{
	const uint64_t spans = guest_option("spans", 0), ticks = ticks_from_microseconds(guest_option("span", 1000) * 1000);

	work_until(rdtsc() + ticks_from_microseconds(guest_option("wait", 200) * 1000));
	for (unsigned i = 0; spans == 0 || i < spans; i++)
		measure(i, ticks);
	work_until(~0ull);
}
