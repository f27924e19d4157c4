#include "drivers/timer/rtc.h"

#include "arch/x86/acpi/acpi.h"
#include "arch/x86/insn.h"
#include "lib/bits.h"
#include "lib/string.h"

#define PORT_INDEX 0x70u
#define PORT_DATA 0x71u
#define INDEX_MASK 0x7fu /* bit 7 of the index port masks NMIs */

enum {
	RTC_SECOND = 0x00,
	RTC_MINUTE = 0x02,
	RTC_HOUR = 0x04,
	RTC_DAY = 0x07,
	RTC_MONTH = 0x08,
	RTC_YEAR = 0x09,
	RTC_STATUS_A = 0x0a,
	RTC_STATUS_B = 0x0b,
	RTC_STATUS_D_END = 0x0e, /* first index behind the clock's own registers */
};

#define STATUS_A_UPDATING BIT(7)
#define STATUS_B_24_HOURS BIT(1)
#define STATUS_B_BINARY BIT(2)
#define HOUR_PM BIT(7)

#define UPDATE_POLLS 0x40000u /* an update takes 2 ms, a poll about 2 microseconds on a board and much less in an emulator */
#define READ_ATTEMPTS 8u

struct rtc_fields {
	uint8_t second, minute, hour, day, month, year, century, status_b;
};

static uint8_t cmos_read(uint8_t index)
{
	insn_out8(PORT_INDEX, index & INDEX_MASK);
	return insn_in8(PORT_DATA);
}

static bool wait_for_update_end(void)
{
	for (unsigned i = 0; i < UPDATE_POLLS; i++) {
		if ((cmos_read(RTC_STATUS_A) & STATUS_A_UPDATING) == 0)
			return true;
		insn_pause();
	}
	return false;
}

/* The CMOS index of the century: firmware tells it, 0 if there is none. */
static uint8_t century_index(void)
{
	uint8_t index = acpi_get()->fadt.century;

	return index >= RTC_STATUS_D_END && index <= INDEX_MASK ? index : 0;
}

static struct rtc_fields read_fields(void)
{
	uint8_t index = century_index();

	return (struct rtc_fields){
		.second = cmos_read(RTC_SECOND), .minute = cmos_read(RTC_MINUTE), .hour = cmos_read(RTC_HOUR),
		.day = cmos_read(RTC_DAY), .month = cmos_read(RTC_MONTH), .year = cmos_read(RTC_YEAR),
		.century = index != 0 ? cmos_read(index) : 0, .status_b = cmos_read(RTC_STATUS_B),
	};
}

/* Fields that did not change while they were read. */
static enum status read_stable(struct rtc_fields *fields)
{
	for (unsigned i = 0; i < READ_ATTEMPTS; i++) {
		struct rtc_fields again;

		if (!wait_for_update_end())
			return STATUS_TIMEOUT;
		*fields = read_fields();
		if (!wait_for_update_end())
			return STATUS_TIMEOUT;
		again = read_fields();
		if (memcmp(fields, &again, sizeof(again)) == 0)
			return STATUS_OK;
	}
	return STATUS_TIMEOUT;
}

static unsigned decode(uint8_t value, bool binary)
{
	return binary ? value : (unsigned)bits_get(value, 7, 4) * 10 + (unsigned)bits_get(value, 3, 0);
}

static unsigned decode_hour(const struct rtc_fields *fields, bool binary)
{
	unsigned hour;

	if ((fields->status_b & STATUS_B_24_HOURS) != 0)
		return decode(fields->hour, binary);
	/* 12, 1, ... 11; an hour that is none becomes one that is refused */
	hour = decode((uint8_t)(fields->hour & ~HOUR_PM), binary);
	if (hour < 1 || hour > 12)
		return 24;
	return hour % 12 + ((fields->hour & HOUR_PM) != 0 ? 12 : 0);
}

static unsigned decode_year(const struct rtc_fields *fields, bool binary)
{
	unsigned year = decode(fields->year, binary), century = decode(fields->century, binary);

	if (year > 99)
		return 0;
	if (century >= 19 && century <= 22)
		return century * 100 + year;
	return year + (year < 70 ? 2000 : 1900);
}

static bool is_leap_year(unsigned year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static unsigned days_in_month(unsigned year, unsigned month)
{
	static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

	return days[month - 1] + (month == 2 && is_leap_year(year) ? 1u : 0u);
}

uint64_t rtc_seconds_from_date(unsigned year, unsigned month, unsigned day, unsigned hour, unsigned minute, unsigned second)
{
	uint64_t days = day - 1;

	for (unsigned y = 1970; y < year; y++)
		days += is_leap_year(y) ? 366 : 365;
	for (unsigned m = 1; m < month; m++)
		days += days_in_month(year, m);
	return ((days * 24 + hour) * 60 + minute) * 60 + second;
}

enum status rtc_read(uint64_t *seconds)
{
	struct rtc_fields fields;
	unsigned year, month, day, hour, minute, second;
	enum status status = read_stable(&fields);
	bool binary;

	if (status != STATUS_OK)
		return status;
	binary = (fields.status_b & STATUS_B_BINARY) != 0;
	year = decode_year(&fields, binary);
	month = decode(fields.month, binary);
	day = decode(fields.day, binary);
	hour = decode_hour(&fields, binary);
	minute = decode(fields.minute, binary);
	second = decode(fields.second, binary);
	if (year < 1970 || month < 1 || month > 12 || day < 1 || day > days_in_month(year, month))
		return STATUS_INVALID;
	if (hour > 23 || minute > 59 || second > 59)
		return STATUS_INVALID;
	*seconds = rtc_seconds_from_date(year, month, day, hour, minute, second);
	return STATUS_OK;
}
