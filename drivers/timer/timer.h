/* How fast the time-stamp counter runs. */
#pragma once

#include "lib/status.h"
#include "lib/types.h"

struct timer_calibration {
	const char *source; /* "CPUID 15h", "hypervisor", "HPET", "PM timer", "PIT" */
	uint64_t hz;
	/* By how much the values differed, told and measured or measured twice [parts per million]. */
	uint32_t deviation_ppm;
};

/**
 * timer_calibrate_tsc() - finds the frequency and hands it to clock_set_frequency(). What CPUID tells is taken when a
 * reference clock does not contradict it by more than 1 %; else the best reference clock decides.
 * Context: boot, one CPU, interrupts off, after acpi_init() and host paging; takes some 30 ms.
 * Return: STATUS_OK; STATUS_NOT_FOUND (no source at all: the frequency stays unknown).
 */
must_check enum status timer_calibrate_tsc(struct timer_calibration *calibration);
