/* The local APIC's entry for the performance counters. SDM Vol. 3A "Local Vector Table". */
#pragma once

#include "lib/types.h"

/** lapic_performance_nmi() - the next overflow of a counter of this CPU is an NMI; once: delivery masks the entry again.
 * Return: false if the local APIC has no such entry. */
bool lapic_performance_nmi(void);
