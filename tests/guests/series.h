/*
 * Measurements of one thing: the least and the mean are told as `bench NAME least mean`, which scripts/bench reads.
 */
#pragma once

#include "runtime/guest.h"

struct series {
	uint64_t least, sum;
	unsigned count;
};

static inline void series_note(struct series *series, uint64_t value)
{
	series->least = series->count++ == 0 || value < series->least ? value : series->least;
	series->sum += value;
}

static inline void series_report(const char *name, const struct series *series)
{
	guest_print("bench %s %llu %llu\n", name, (unsigned long long)series->least, (unsigned long long)(series->sum / series->count));
}
