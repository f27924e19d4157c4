/* The date out of the CMOS clock, in all its encodings, with broken clocks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "arch/x86/acpi/acpi.h"
#include "drivers/timer/rtc.h"
#include "tests/fake/fake_cpu.h"

static struct acpi_info acpi;
static uint8_t cmos[128];
static uint8_t selected;
static unsigned updating; /* reads of register A for which an update runs */
static bool ticks_always; /* the seconds differ with every read */
static unsigned reads;

const struct acpi_info *acpi_get(void) { return &acpi; }

static uint32_t port_read(void *context, uint16_t port, unsigned size)
{
	(void)context;
	(void)size;
	assert_int_equal(port, 0x71);
	reads++;
	if (selected == 0x0a && updating > 0) {
		updating--;
		return 0xa6;
	}
	if (selected == 0 && ticks_always)
		cmos[0] = (uint8_t)(cmos[0] ^ 1);
	return cmos[selected];
}

static void port_write(void *context, uint16_t port, unsigned size, uint32_t value)
{
	(void)context;
	(void)size;
	assert_int_equal(port, 0x70);
	assert_int_equal(value & 0x80, 0);
	selected = (uint8_t)value;
}

static void set_time(uint8_t century, uint8_t year, uint8_t month, uint8_t day, uint8_t hour, uint8_t minute, uint8_t second)
{
	cmos[0] = second;
	cmos[2] = minute;
	cmos[4] = hour;
	cmos[7] = day;
	cmos[8] = month;
	cmos[9] = year;
	cmos[0x32] = century;
}

static int set_up(void **state)
{
	static const struct fake_port_device device = {0x70, 2, port_read, port_write, NULL};

	(void)state;
	fake_cpu_reset();
	fake_port_add(&device);
	memset(cmos, 0, sizeof(cmos));
	memset(&acpi, 0, sizeof(acpi));
	acpi.fadt.century = 0x32;
	updating = reads = 0;
	ticks_always = false;
	cmos[0x0a] = 0x26;
	cmos[0x0b] = 0x02; /* BCD, 24 hours */
	set_time(0x20, 0x26, 0x11, 0x21, 0x07, 0x33, 0x59);
	return 0;
}

static void assert_time(uint64_t expected)
{
	uint64_t seconds = 0;

	assert_int_equal(rtc_read(&seconds), STATUS_OK);
	assert_int_equal(seconds, expected);
}

static void test_dates(void **state)
{
	(void)state;
	assert_int_equal(rtc_seconds_from_date(1970, 1, 1, 0, 0, 0), 0);
	assert_int_equal(rtc_seconds_from_date(2000, 2, 29, 12, 0, 0), 951825600);
	assert_int_equal(rtc_seconds_from_date(2000, 3, 1, 0, 0, 0), 951868800);
	assert_int_equal(rtc_seconds_from_date(2026, 11, 21, 7, 33, 59), 1795246439);
	assert_int_equal(rtc_seconds_from_date(2038, 1, 19, 3, 14, 8), 2147483648);
	assert_int_equal(rtc_seconds_from_date(2100, 3, 1, 0, 0, 0), 4107542400);
}

static void test_encodings(void **state)
{
	(void)state;
	assert_time(1795246439);
	cmos[0x0b] = 0x06;
	set_time(20, 26, 11, 21, 7, 33, 59);
	assert_time(1795246439);
	cmos[0x0b] = 0x04; /* 12 hours */
	assert_time(1795246439);
	cmos[4] = 0x87; /* 7 pm */
	assert_time(1795246439 + 12 * 3600);
	cmos[4] = 12; /* midnight */
	assert_time(1795246439 - 7 * 3600);
	cmos[4] = 0x80 | 12; /* noon */
	assert_time(1795246439 + 5 * 3600);
	cmos[0x0b] = 0x00;
	set_time(0x20, 0x26, 0x11, 0x21, 0x91, 0x33, 0x59); /* 11 pm */
	assert_time(1795246439 + 16 * 3600);
}

static void test_century(void **state)
{
	(void)state;
	cmos[0x32] = 0xff; /* not kept: guessed from the year */
	assert_time(1795246439);
	acpi.fadt.century = 0;
	cmos[0x32] = 0x19;
	assert_time(1795246439);
	acpi.fadt.century = 0x32;
	cmos[9] = 0x99;
	assert_time(rtc_seconds_from_date(1999, 11, 21, 7, 33, 59));
	acpi.fadt.century = 9; /* no place for a century */
	assert_time(rtc_seconds_from_date(1999, 11, 21, 7, 33, 59));
}

static void test_updates(void **state)
{
	uint64_t seconds;

	(void)state;
	updating = 1000;
	assert_time(1795246439);
	updating = UINT32_MAX;
	assert_int_equal(rtc_read(&seconds), STATUS_TIMEOUT);
	updating = 0;
	ticks_always = true;
	assert_int_equal(rtc_read(&seconds), STATUS_TIMEOUT);
	assert_true(reads < 2000000);
}

static void test_absent_and_broken(void **state)
{
	uint64_t seconds;

	(void)state;
	memset(cmos, 0xff, sizeof(cmos));
	assert_int_equal(rtc_read(&seconds), STATUS_TIMEOUT);
	memset(cmos, 0, sizeof(cmos));
	assert_int_equal(rtc_read(&seconds), STATUS_INVALID);
	cmos[0x0b] = 6;
	set_time(20, 26, 2, 29, 0, 0, 0);
	assert_int_equal(rtc_read(&seconds), STATUS_INVALID);
	set_time(20, 28, 2, 29, 0, 0, 0);
	assert_int_equal(rtc_read(&seconds), STATUS_OK);
	set_time(20, 28, 13, 1, 0, 0, 0);
	assert_int_equal(rtc_read(&seconds), STATUS_INVALID);
	set_time(20, 28, 1, 1, 24, 0, 0);
	assert_int_equal(rtc_read(&seconds), STATUS_INVALID);
	set_time(20, 28, 1, 1, 23, 60, 0);
	assert_int_equal(rtc_read(&seconds), STATUS_INVALID);
	set_time(20, 200, 1, 1, 23, 0, 0);
	assert_int_equal(rtc_read(&seconds), STATUS_INVALID);
	set_time(19, 69, 1, 1, 23, 0, 0);
	assert_int_equal(rtc_read(&seconds), STATUS_INVALID);
	cmos[0x0b] = 4;
	set_time(20, 28, 1, 1, 0, 0, 0); /* there is no hour 0 in 12 */
	assert_int_equal(rtc_read(&seconds), STATUS_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dates),
		cmocka_unit_test_setup(test_encodings, set_up),
		cmocka_unit_test_setup(test_century, set_up),
		cmocka_unit_test_setup(test_updates, set_up),
		cmocka_unit_test_setup(test_absent_and_broken, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
