/* The time of day: read once from the machine's clock at boot, carried on by the time-stamp counter. */
#pragma once

#include "lib/types.h"

struct wall_time {
	uint64_t seconds; /* since 1970-01-01 00:00:00 UTC */
	uint64_t ticks;   /* into that second [TSC ticks], < clock_tsc_frequency */
};

/** wall_clock_set() - it is @seconds since 1970 now. Called once at boot, after clock_set_frequency(). */
void wall_clock_set(uint64_t seconds);

/** wall_clock_now() - seconds since 1970; those since boot if wall_clock_set() was never called. Any CPU, any context. */
uint64_t wall_clock_now(void);
/** wall_clock_read() - the same with the part of the second that has gone by. */
struct wall_time wall_clock_read(void);

/* A date of the proleptic Gregorian calendar, UTC. */
struct calendar_time {
	uint32_t year;                  /* 1970.. */
	uint32_t month, day;            /* from 1 */
	uint32_t hour, minute, second;
	uint32_t weekday;               /* 0 is Sunday */
};

/** calendar_from_seconds() - @seconds since 1970, below the year 1,000,000. */
struct calendar_time calendar_from_seconds(uint64_t seconds);
/**
 * calendar_to_seconds() - seconds since 1970 of @time; the weekday is not looked at. Fields out of range are taken as
 * the nearest value in range, years before 1970 as 1970.
 */
uint64_t calendar_to_seconds(const struct calendar_time *time);
