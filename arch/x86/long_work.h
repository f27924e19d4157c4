/*
 * Work that holds a CPU for milliseconds with interrupts off: large memory is zeroed or copied. It tells the watchdog that it
 * gets on, and looks after what cannot wait so long: the serial line's receiver holds 16 bytes.
 */
#pragma once

#include "lib/types.h"

/** long_work_set_hook() - @hook is called every LONG_WORK_MICROSECONDS of long work, by the CPU that does it. Boot. */
#define LONG_WORK_MICROSECONDS 300u
void long_work_set_hook(void (*hook)(void));
/** long_work_step() - called at least once in some 100 KiB of memory. Any CPU; locks of the serial line are not held. */
void long_work_step(void);
/** long_work_zero() - zeroes @length bytes, a multiple of 8, in such steps. */
void long_work_zero(void *memory, uint64_t length);
