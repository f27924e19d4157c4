/* The end of the line: our own bug or hardware we cannot go on with. Never reached by a guest's doing. */
#pragma once

#include "lib/types.h"

/**
 * panic() - prints `trivet: panic: WHY`, registers, a symbolised backtrace and what the CPU was doing, stops the other
 * CPUs, then halts. Any context; does not return.
 */
noreturn_function void panic(const char *format, ...) printf_like(1, 2);

#define assert_always(condition) \
	do { \
		if (unlikely(!(condition))) \
			panic("%s:%d: assertion failed: %s", __FILE__, __LINE__, #condition); \
	} while (0)
