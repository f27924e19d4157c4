/* Numbers and sets as commands show them. */
#pragma once

#include "lib/types.h"

/** figures_permille() - @part of @whole in tenths of a percent, rounded down; 0 if @whole is 0. */
uint64_t figures_permille(uint64_t part, uint64_t whole);
/** figures_per_second() - @count of things in @ticks of the TSC, per second. */
uint64_t figures_per_second(uint64_t count, uint64_t ticks);
/** figures_tenths() - @ticks of the TSC in tenths of a second. */
uint64_t figures_tenths(uint64_t ticks);
/** figures_cpu_list() - CPUs, a bit each, as the configuration writes them: "0-2,5", "all". Returns @buffer. */
const char *figures_cpu_list(uint64_t cpus, char *buffer, size_t size);

/* The arguments of a "%llu.%llu" for tenths, or of "%llu.%llu%%" for tenths of a percent. */
#define FIGURES_TENTHS(tenths) (unsigned long long)((tenths) / 10), (unsigned long long)((tenths) % 10)
