#include "vmm/dev/rtc_calendar.h"

#include "vmm/wall_clock.h"

#define HOUR_PM 0x80u
#define ALARM_ANY 0xc0u /* this and more: every value matches */
#define SECONDS_PER_DAY 86400u

static uint8_t encode(const uint8_t *memory, uint32_t value)
{
	return (uint8_t)(memory[RTC_B] & RTC_B_BINARY ? value : value / 10 << 4 | value % 10);
}

static uint32_t decode(const uint8_t *memory, uint8_t value)
{
	return memory[RTC_B] & RTC_B_BINARY ? value : (value >> 4) * 10u + (value & 0xf);
}

static uint8_t encode_hour(const uint8_t *memory, uint32_t hour)
{
	uint8_t half;

	if (memory[RTC_B] & RTC_B_24_HOURS)
		return encode(memory, hour);
	half = encode(memory, hour % 12 == 0 ? 12 : hour % 12);
	return hour >= 12 ? half | HOUR_PM : half;
}

static uint32_t decode_hour(const uint8_t *memory, uint8_t value)
{
	uint32_t hour;

	if (memory[RTC_B] & RTC_B_24_HOURS)
		return decode(memory, value);
	hour = decode(memory, value & (uint8_t)~HOUR_PM) % 12;
	return value & HOUR_PM ? hour + 12 : hour;
}

bool rtc_calendar_has(unsigned index)
{
	return index == RTC_CENTURY || index == RTC_SECONDS || index == RTC_MINUTES || index == RTC_HOURS ||
	       (index >= RTC_WEEKDAY && index <= RTC_YEAR);
}

void rtc_calendar_store(uint8_t *memory, uint64_t seconds)
{
	struct calendar_time time = calendar_from_seconds(seconds);

	memory[RTC_SECONDS] = encode(memory, time.second);
	memory[RTC_MINUTES] = encode(memory, time.minute);
	memory[RTC_HOURS] = encode_hour(memory, time.hour);
	memory[RTC_WEEKDAY] = encode(memory, time.weekday + 1);
	memory[RTC_DAY] = encode(memory, time.day);
	memory[RTC_MONTH] = encode(memory, time.month);
	memory[RTC_YEAR] = encode(memory, time.year % 100);
	memory[RTC_CENTURY] = encode(memory, time.year / 100 % 100);
}

uint64_t rtc_calendar_load(const uint8_t *memory)
{
	struct calendar_time time = {
		.year = decode(memory, memory[RTC_CENTURY]) * 100 + decode(memory, memory[RTC_YEAR]),
		.month = decode(memory, memory[RTC_MONTH]),
		.day = decode(memory, memory[RTC_DAY]),
		.hour = decode_hour(memory, memory[RTC_HOURS]),
		.minute = decode(memory, memory[RTC_MINUTES]),
		.second = decode(memory, memory[RTC_SECONDS]),
	};

	return calendar_to_seconds(&time);
}

static bool alarm_field_matches(uint8_t alarm, uint8_t now)
{
	return alarm >= ALARM_ANY || alarm == now;
}

static bool alarm_matches(const uint8_t *memory, uint64_t seconds)
{
	uint32_t second = (uint32_t)(seconds % SECONDS_PER_DAY);

	return alarm_field_matches(memory[RTC_SECONDS_ALARM], encode(memory, second % 60)) &&
	       alarm_field_matches(memory[RTC_MINUTES_ALARM], encode(memory, second / 60 % 60)) &&
	       alarm_field_matches(memory[RTC_HOURS_ALARM], encode_hour(memory, second / 3600));
}

bool rtc_calendar_alarm_passed(const uint8_t *memory, uint64_t from, uint64_t to)
{
	if (to - from > 60)
		from = to - 60;
	for (uint64_t second = from + 1; second <= to; second++) {
		if (alarm_matches(memory, second))
			return true;
	}
	return false;
}
