/*
 * An NMI every few seconds that a CPU works, by the fixed performance counter of core cycles: for a machine with one CPU, after
 * which nobody else can look. Cycles in guests count, too; a CPU that sleeps counts none. SDM Vol. 3B "Architectural
 * Performance Monitoring", "Fixed-function Performance Counters".
 */
#pragma once

#include "lib/types.h"

/** watchdog_counter_start() - on the CPU that calls. Return: false if it has no such counter. */
must_check bool watchdog_counter_start(void);

/** watchdog_counter_overflowed() - in an NMI: it came from the counter, which counts anew. */
bool watchdog_counter_overflowed(void);
