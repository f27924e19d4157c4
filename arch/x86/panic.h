/* The end of the line: our own bug or hardware we cannot go on with. Never reached by a guest's doing. */
#pragma once

#include "lib/status.h"
#include "lib/types.h"

/**
 * panic() - prints `trivet: panic: WHY`, registers, a symbolised backtrace and what the CPUs were doing, stops the other
 * CPUs, then halts, or restarts the machine if panic_set_reboot() said so. Guests' memory stays as it is. Any context; does
 * not return.
 */
noreturn_function void panic(const char *format, ...) printf_like(1, 2);

/**
 * panic_set_reboot() - what ends a panic: @way is called @seconds after everything was printed; 0: the machine stays as it is.
 * @way: on the CPU that panicked, the others stopped, interrupts off; takes no lock; returns only if it fails.
 */
void panic_set_reboot(unsigned seconds, enum status (*way)(void));

#define assert_always(condition) \
	do { \
		if (unlikely(!(condition))) \
			panic("%s:%d: assertion failed: %s", __FILE__, __LINE__, #condition); \
	} while (0)
