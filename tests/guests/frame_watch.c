/*
 * Sees from inside when the windows of its cyclic major frame of `frame` us begin: a reading of the TSC that comes more than
 * `gap` us after the one before is a window's first. After `windows` of them it tells how far from the frame's raster they
 * began, the latest against the earliest, and how long the shortest was; then it computes for ever.
 */
#include "runtime/guest.h"

#include "runtime/cpu.h"
#include "runtime/work.h"

const char guest_name[] = "frame_watch";

struct window {
	uint64_t begin, length;
};

/* Reads the TSC until the next window has begun. @last: the end of the window before, out. */
static uint64_t next_window(uint64_t gap, uint64_t *last)
{
	uint64_t before = rdtsc();

	for (;;) {
		uint64_t now = rdtsc();

		if (now - before > gap) {
			*last = before;
			return now;
		}
		before = now;
	}
}

/* How far @phase lies behind @reference, in -frame/2..frame/2. */
static int64_t distance(uint64_t phase, uint64_t reference, uint64_t frame)
{
	uint64_t behind = (phase + frame - reference) % frame;

	return behind > frame / 2 ? (int64_t)behind - (int64_t)frame : (int64_t)behind;
}

void guest_main(void)
{
	const uint64_t windows = guest_option("windows", 200), frame = ticks_from_microseconds(guest_option("frame", 20000));
	const uint64_t gap = ticks_from_microseconds(guest_option("gap", 100));
	uint64_t end = 0, begin = next_window(gap, &end), reference, shortest = ~0ull;
	int64_t earliest = 0, latest = 0;

	guest_print("frame_watch: watching\n");
	begin = next_window(gap, &end);
	reference = begin % frame;
	for (uint64_t i = 0; i < windows; i++) {
		uint64_t next = next_window(gap, &end), length = end - begin;
		int64_t late = distance(next % frame, reference, frame);

		earliest = late < earliest ? late : earliest;
		latest = late > latest ? late : latest;
		shortest = length < shortest ? length : shortest;
		begin = next;
	}
	guest_print("frame_watch: %llu windows, begins spread over %llu us, the shortest lasted %llu us\n", (unsigned long long)windows,
		    (unsigned long long)microseconds_from_ticks((uint64_t)(latest - earliest)), (unsigned long long)microseconds_from_ticks(shortest));
	for (;;)
		work_unit();
}
