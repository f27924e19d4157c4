/*
 * The clock's registers as bytes: numbers in BCD or binary, hours by 12 or 24, as register B says. Motorola MC146818A data
 * sheet, "Time, Calendar, and Alarm Locations".
 */
#pragma once

#include "lib/types.h"
#include "vmm/platform.h"

enum rtc_register {
	RTC_SECONDS, RTC_SECONDS_ALARM, RTC_MINUTES, RTC_MINUTES_ALARM, RTC_HOURS, RTC_HOURS_ALARM, RTC_WEEKDAY, RTC_DAY,
	RTC_MONTH, RTC_YEAR, RTC_A, RTC_B, RTC_C, RTC_D,
	RTC_CENTURY = PLATFORM_RTC_CENTURY_INDEX,
};

#define RTC_B_BINARY 0x04u
#define RTC_B_24_HOURS 0x02u

/* In all of these @memory is the CMOS memory, of more than RTC_CENTURY bytes. */
/** rtc_calendar_has() - register @index holds a part of time or date; alarms do not. */
bool rtc_calendar_has(unsigned index);
/** rtc_calendar_store() / rtc_calendar_load() - seconds since 1970 into those registers and back; any bytes make a date. */
void rtc_calendar_store(uint8_t *memory, uint64_t seconds);
uint64_t rtc_calendar_load(const uint8_t *memory);
/** rtc_calendar_alarm_passed() - the alarm's time came by in (@from, @to]; of more than a minute, the last one counts. */
bool rtc_calendar_alarm_passed(const uint8_t *memory, uint64_t from, uint64_t to);
