/*
 * Computes for ever and tells how much of the time it was let: after `wait` ms, for `spans` spans (0: for ever) of `span` ms
 * each, a line `worker: span N: UNITS units in TIME us, SHARE of 10000`.
 */
#include "runtime/guest.h"

#include "runtime/cpu.h"
#include "runtime/work.h"

const char guest_name[] = "worker";

#define WHOLE 10000u
#define BATCH 32u

/* What so many units cost: the least time between two readings of the TSC, since nothing came between them. */
static uint64_t batch_ticks = ~0ull;

/* Works until @end of the TSC; gives the units. */
static uint64_t work_until(uint64_t end)
{
	uint64_t units = 0, now = rdtsc(), batch_begin = now;

	while (now < end) {
		work_unit();
		now = rdtsc();
		if (++units % BATCH)
			continue;
		batch_ticks = now - batch_begin < batch_ticks ? now - batch_begin : batch_ticks;
		batch_begin = now;
	}
	return units;
}

static void measure(unsigned number, uint64_t ticks)
{
	uint64_t begin = rdtsc(), units = work_until(begin + ticks), length = rdtsc() - begin;

	guest_print("worker: span %u: %llu units in %llu us, %llu of %u\n", number, (unsigned long long)units,
		    (unsigned long long)microseconds_from_ticks(length), (unsigned long long)(units * batch_ticks * WHOLE / (BATCH * length)), WHOLE);
}

void guest_main(void)
{
	const uint64_t spans = guest_option("spans", 0), ticks = ticks_from_microseconds(guest_option("span", 1000) * 1000);

	work_until(rdtsc() + ticks_from_microseconds(guest_option("wait", 200) * 1000));
	for (unsigned i = 0; spans == 0 || i < spans; i++)
		measure(i, ticks);
	work_until(~0ull);
}
