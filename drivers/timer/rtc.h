/* The battery-backed clock. Motorola MC146818A data sheet, as PCs have it at ports 0x70 and 0x71. */
#pragma once

#include "lib/status.h"
#include "lib/types.h"

/**
 * rtc_read() - the time of day, which firmware keeps in UTC.
 * @seconds: since 1970-01-01 00:00:00 UTC. Takes up to 2 ms; the caller sees to it that no other CPU uses the ports.
 * Return: STATUS_OK; STATUS_TIMEOUT (the clock updates for ever or never reads the same twice); STATUS_INVALID (fields
 *         that are no date: dead battery).
 */
must_check enum status rtc_read(uint64_t *seconds);

/** rtc_seconds_from_date() - days and seconds since 1970 of a Gregorian date, UTC; year 1970.., month 1..12, day 1..31. */
uint64_t rtc_seconds_from_date(unsigned year, unsigned month, unsigned day, unsigned hour, unsigned minute, unsigned second);
