#include "vmm/wall_clock.h"

#include "arch/x86/clock.h"

#define SECONDS_PER_DAY 86400u
#define DAYS_PER_ERA 146097u /* 400 years */
#define DAYS_BEFORE_1970 719468u /* from 1 March of the year 0, where eras begin */

/* Written once at boot, before guests run. */
static uint64_t base_seconds;
static uint64_t base_tsc;

void wall_clock_set(uint64_t seconds)
{
	base_seconds = seconds;
	base_tsc = clock_now();
}

struct wall_time wall_clock_read(void)
{
	uint64_t elapsed = clock_now() - base_tsc;

	if (clock_tsc_frequency == 0)
		return (struct wall_time){.seconds = base_seconds};
	return (struct wall_time){
		.seconds = base_seconds + elapsed / clock_tsc_frequency,
		.ticks = elapsed % clock_tsc_frequency,
	};
}

uint64_t wall_clock_now(void)
{
	return wall_clock_read().seconds;
}

/*
 * Years are counted from 1 March, so that the leap day is the last of its year and months have a pattern: the days
 * before month m (0 = March) are (153 m + 2) / 5.
 */
struct calendar_time calendar_from_seconds(uint64_t seconds)
{
	uint64_t days = seconds / SECONDS_PER_DAY + DAYS_BEFORE_1970;
	uint32_t second = (uint32_t)(seconds % SECONDS_PER_DAY);
	uint32_t day_of_era = (uint32_t)(days % DAYS_PER_ERA);
	uint32_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	uint32_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	uint32_t march_month = (5 * day_of_year + 2) / 153;
	struct calendar_time time = {
		.year = (uint32_t)(days / DAYS_PER_ERA) * 400 + year_of_era,
		.month = march_month < 10 ? march_month + 3 : march_month - 9,
		.day = day_of_year - (153 * march_month + 2) / 5 + 1,
		.hour = second / 3600,
		.minute = second / 60 % 60,
		.second = second % 60,
		.weekday = (uint32_t)((seconds / SECONDS_PER_DAY + 4) % 7), /* 1970 began on a Thursday */
	};

	if (time.month <= 2)
		time.year++;
	return time;
}

static uint32_t clamp(uint32_t value, uint32_t low, uint32_t high)
{
	if (value < low)
		return low;
	return value > high ? high : value;
}

static uint32_t days_in_month(uint32_t year, uint32_t month)
{
	static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return days[month - 1] + (month == 2 && leap ? 1u : 0u);
}

uint64_t calendar_to_seconds(const struct calendar_time *time)
{
	uint32_t year = clamp(time->year, 1970, 999999);
	uint32_t month = clamp(time->month, 1, 12);
	uint32_t day = clamp(time->day, 1, days_in_month(year, month));
	uint32_t march_year = month > 2 ? year : year - 1;
	uint32_t march_month = month > 2 ? month - 3 : month + 9;
	uint32_t year_of_era = march_year % 400;
	uint64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + (153 * march_month + 2) / 5 + day - 1;
	uint64_t days = (uint64_t)(march_year / 400) * DAYS_PER_ERA + day_of_era - DAYS_BEFORE_1970;

	return days * SECONDS_PER_DAY + clamp(time->hour, 0, 23) * 3600 + clamp(time->minute, 0, 59) * 60 +
	       clamp(time->second, 0, 59);
}
