/*
 * The local APIC's timer as a one-shot alarm at a TSC value: in TSC-deadline mode where the CPU has it, else by counting
 * down. It raises INTERRUPT_VECTOR_TIMER. SDM Vol. 3A "APIC Timer", "TSC-Deadline Mode".
 */
#pragma once

#include "lib/status.h"
#include "lib/types.h"

/**
 * lapic_timer_calibrate() - chooses the mode and, without TSC-deadline mode, measures the timer against the TSC for 10 ms;
 * then lapic_timer_init_cpu(). Boot processor, once, after lapic_init() and clock_set_frequency(), interrupts off.
 * Return: STATUS_OK; STATUS_IO (the timer does not count: no timer interrupt will ever come; logged).
 */
enum status lapic_timer_calibrate(void);

/** lapic_timer_init_cpu() - other CPUs, after lapic_init_cpu() and the calibration: vector and mode set, not armed. */
void lapic_timer_init_cpu(void);

/**
 * lapic_timer_arm() - one interrupt on this CPU when the TSC reaches @tsc_deadline [ticks], at once if it has passed; takes
 * the place of what was armed. Without TSC-deadline mode it may come early when the deadline is farther off than the
 * timer can count: whoever handles it looks at the clock. UINT64_MAX: never. Hot path.
 */
void lapic_timer_arm(uint64_t tsc_deadline);
/** lapic_timer_is_pending() - its interrupt has come to this CPU and waits to be taken. */
bool lapic_timer_is_pending(void);
/** lapic_timer_cancel() - no interrupt any more, except one that is on its way. */
void lapic_timer_cancel(void);

bool lapic_timer_has_deadline_mode(void);
/** lapic_timer_frequency() - of the counter in the other mode, for a TSC of @tsc_frequency [Hz]; 0 in TSC-deadline mode. */
uint64_t lapic_timer_frequency(uint64_t tsc_frequency);
