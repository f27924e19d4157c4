#include "drivers/timer/reference_clock.h"

#include "arch/x86/insn.h"

/* Waits until the counter moves, so that the first reading stands at the beginning of a step. */
static bool wait_for_step(uint32_t (*read)(void), uint32_t mask, uint32_t *start)
{
	uint32_t before = read() & mask;
	uint64_t tsc = insn_rdtsc();

	for (uint64_t polls = 0; polls < REFERENCE_CLOCK_MAX_POLLS; polls++) {
		*start = read() & mask;
		if (*start != before)
			return true;
		if (insn_rdtsc() - tsc > REFERENCE_CLOCK_MAX_TICKS)
			return false;
	}
	return false;
}

enum status reference_clock_count(uint32_t (*read)(void), uint32_t mask, uint32_t wanted, uint64_t *ticks, uint32_t *steps)
{
	uint32_t start;
	uint64_t tsc;

	if (!wait_for_step(read, mask, &start))
		return STATUS_TIMEOUT;
	tsc = insn_rdtsc();
	for (uint64_t polls = 0; polls < REFERENCE_CLOCK_MAX_POLLS; polls++) {
		*steps = (read() - start) & mask;
		*ticks = insn_rdtsc() - tsc;
		if (*steps >= wanted)
			return *ticks > 0 && *ticks <= REFERENCE_CLOCK_MAX_TICKS ? STATUS_OK : STATUS_TIMEOUT;
		if (*ticks > REFERENCE_CLOCK_MAX_TICKS)
			return STATUS_TIMEOUT;
	}
	return STATUS_TIMEOUT;
}
