#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <time.h>

#include "arch/x86/clock.h"
#include "tests/fake/fake_cpu.h"
#include "vmm/tick_ratio.h"
#include "vmm/wall_clock.h"

#define HZ 2500000000ull

static void agrees_with_gmtime(uint64_t seconds)
{
	time_t when = (time_t)seconds;
	struct tm expected;
	struct calendar_time time = calendar_from_seconds(seconds);

	assert_non_null(gmtime_r(&when, &expected));
	assert_int_equal(time.year, expected.tm_year + 1900);
	assert_int_equal(time.month, expected.tm_mon + 1);
	assert_int_equal(time.day, expected.tm_mday);
	assert_int_equal(time.hour, expected.tm_hour);
	assert_int_equal(time.minute, expected.tm_min);
	assert_int_equal(time.second, expected.tm_sec);
	assert_int_equal(time.weekday, expected.tm_wday);
	assert_int_equal(calendar_to_seconds(&time), seconds);
}

static void calendar_is_right_every_day(void **state)
{
	(void)state;
	/* 1970 to 2516, at another time of each day. */
	for (uint64_t day = 0; day < 200000; day++)
		agrees_with_gmtime(day * 86400 + day * 7919 % 86400);
}

static void calendar_takes_fields_out_of_range(void **state)
{
	struct calendar_time time = {.year = 2023, .month = 2, .day = 31, .hour = 24, .minute = 60, .second = 99};
	struct calendar_time zero = {0}, huge = {UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, 0};

	(void)state;
	assert_int_equal(calendar_to_seconds(&time), 1677628799); /* 2023-02-28 23:59:59 */
	time.year = 2024;
	assert_int_equal(calendar_from_seconds(calendar_to_seconds(&time)).day, 29);
	assert_int_equal(calendar_to_seconds(&zero), 0);
	assert_int_equal(calendar_from_seconds(calendar_to_seconds(&huge)).year, 999999);
}

static void clock_runs_on(void **state)
{
	(void)state;
	fake_cpu_reset();
	fake_tsc_step = 0;
	fake_tsc = 12345;
	clock_set_frequency(HZ);
	wall_clock_set(1000);
	assert_int_equal(wall_clock_now(), 1000);
	fake_tsc += HZ - 1;
	assert_int_equal(wall_clock_read().seconds, 1000);
	assert_int_equal(wall_clock_read().ticks, HZ - 1);
	fake_tsc += 1;
	assert_int_equal(wall_clock_read().seconds, 1001);
	assert_int_equal(wall_clock_read().ticks, 0);
	clock_set_frequency(0);
	assert_int_equal(wall_clock_now(), 1000);
	clock_set_frequency(HZ);
}

static void ratios_convert(void **state)
{
	const uint64_t slow = 1193182;
	uint64_t ratio = tick_ratio(slow, HZ), back = tick_ratio_back(HZ, slow);

	(void)state;
	for (uint64_t second = 1; second < 1000000; second = second * 3 + 1)
		assert_in_range(tick_convert(second * HZ, ratio), second * slow - 1, second * slow);
	/* The deadline of a tick is never before the tick, nor a whole one behind it. */
	for (uint64_t tick = 1; tick < (uint64_t)1 << 38; tick = tick * 5 + 3) {
		assert_true(tick_convert(tick_convert_back(tick, back), ratio) >= tick);
		assert_true(tick_convert_back(tick, back) <= (uint64_t)((unsigned __int128)(tick + 1) * HZ / slow));
	}
}

static void ratios_at_their_limits(void **state)
{
	(void)state;
	assert_int_equal(tick_ratio(1, 0), 0);
	assert_int_equal(tick_ratio(5, 5), UINT64_MAX);
	assert_int_equal(tick_ratio(1, 2), (uint64_t)1 << 63);
	assert_int_equal(tick_ratio(UINT64_MAX - 1, UINT64_MAX), UINT64_MAX - 1);
	assert_int_equal(tick_ratio_back(100, 0), 0);
	assert_int_equal(tick_ratio_back(UINT64_MAX, 1), UINT64_MAX);
	assert_int_equal(tick_ratio_back(3, 2), ((uint64_t)3 << 31) + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(calendar_is_right_every_day),
		cmocka_unit_test(calendar_takes_fields_out_of_range),
		cmocka_unit_test(clock_runs_on),
		cmocka_unit_test(ratios_convert),
		cmocka_unit_test(ratios_at_their_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
