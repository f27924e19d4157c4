/* Time, by the invariant time-stamp counter. The frequency is told by CPUID or measured once at boot. */
#pragma once

#include "arch/x86/insn.h"
#include "lib/types.h"

extern uint64_t clock_tsc_frequency; /* [Hz]; 0 until clock_set_frequency() */

/** clock_now() - TSC ticks. All CPUs' counters agree (checked at bring-up). */
static always_inline uint64_t clock_now(void) { return insn_rdtsc(); }

void clock_set_frequency(uint64_t hz);

/** clock_nanoseconds_from_ticks() and back, without overflow for any input; 0 while the frequency is unknown. */
uint64_t clock_nanoseconds_from_ticks(uint64_t ticks);
uint64_t clock_ticks_from_nanoseconds(uint64_t nanoseconds);

/** clock_delay_microseconds() - spins; for hardware that needs it, at boot. */
void clock_delay_microseconds(uint64_t microseconds);
