/* The time-stamp counter: its frequency as far as the processor tells, and whether the CPUs' counters agree. */
#pragma once

#include "lib/types.h"

/**
 * tsc_frequency_from_cpuid() - [Hz] by leaf 15H (with 16H where the crystal is not told), else by the timing leaf of a
 * hypervisor below us; 0 if none says. SDM Vol. 3B "Determining the Processor Base Frequency". After features_init().
 */
uint64_t tsc_frequency_from_cpuid(void);

/* Two CPUs that read their counters in turns: each value must be above the one before. */
struct tsc_check {
	uint64_t last;      /* the value read last, whoever read it */
	uint32_t turn;      /* even: the first CPU's */
	uint64_t worst_lag; /* by how much a counter was behind [ticks]; 0: they agree */
};

#define TSC_CHECK_ROUNDS 200u

/**
 * tsc_check_run() - one CPU's half, run by both at the same time, interrupts off. @who: 0 or 1. @check: zeroed before.
 * Return: true; false if the other side did not come within @limit_ticks.
 */
must_check bool tsc_check_run(struct tsc_check *check, uint32_t who, uint64_t limit_ticks);
