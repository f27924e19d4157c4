/* Clocks of known frequency that the time-stamp counter can be measured against. */
#pragma once

#include "lib/status.h"
#include "lib/types.h"

struct reference_clock {
	const char *name;
	/* The machine has this clock; maps it if need be. Boot, one CPU. */
	bool (*available)(void);
	/*
	 * Lets about 10 ms go by and counts them in TSC ticks. Bounded even if the clock stands still.
	 * @ticks: TSC ticks that went by, above 0 and below 2^31. @nanoseconds: how long that was by this clock, above 0.
	 * Return: STATUS_OK; STATUS_TIMEOUT (the clock does not move).
	 */
	enum status (*measure)(uint64_t *ticks, uint64_t *nanoseconds);
};

/**
 * reference_clock_count() - the loop of measure() for a counter that runs freely.
 * @read: the counter; it counts up modulo @mask + 1. @wanted: steps to wait for, below @mask.
 * @ticks, @steps: what went by on the TSC and on the counter.
 * Return: STATUS_OK; STATUS_TIMEOUT.
 */
must_check enum status reference_clock_count(uint32_t (*read)(void), uint32_t mask, uint32_t wanted, uint64_t *ticks, uint32_t *steps);

#define REFERENCE_CLOCK_INTERVAL 10000000u /* [ns] how long a measurement takes */
/* What a measurement may take before the clock counts as dead: > 100 ms at 10 GHz, and an end even if the TSC stands still. */
#define REFERENCE_CLOCK_MAX_TICKS ((uint64_t)1 << 30)
#define REFERENCE_CLOCK_MAX_POLLS ((uint64_t)1 << 24)

extern const struct reference_clock reference_clock_hpet;
extern const struct reference_clock reference_clock_pm_timer;
extern const struct reference_clock reference_clock_pit;
