/* Ticks and nanoseconds: exact where the result is whole, without overflow, and delays that are never too short. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "arch/x86/clock.h"
#include "fake_cpu.h"

static int setup(void **state)
{
	(void)state;
	fake_cpu_reset();
	clock_set_frequency(0);
	return 0;
}

static void test_unknown_frequency_gives_zero(void **state)
{
	(void)state;
	assert_int_equal(clock_nanoseconds_from_ticks(123456), 0);
	assert_int_equal(clock_ticks_from_nanoseconds(123456), 0);
	clock_set_frequency(UINT64_MAX);
	assert_int_equal(clock_tsc_frequency, 0);
}

static void test_whole_results_are_exact(void **state)
{
	static const uint64_t frequencies[] = {1, 1000000, 1193182, 24000000, 999999999, 1000000000, 2099999997, 3000000000, 5700000000};

	(void)state;
	for (unsigned i = 0; i < array_count(frequencies); i++) {
		uint64_t hz = frequencies[i];

		clock_set_frequency(hz);
		assert_int_equal(clock_tsc_frequency, hz);
		assert_int_equal(clock_nanoseconds_from_ticks(0), 0);
		assert_int_equal(clock_nanoseconds_from_ticks(hz), 1000000000);
		assert_int_equal(clock_nanoseconds_from_ticks(hz * 86400), 86400 * 1000000000ull);
		assert_int_equal(clock_ticks_from_nanoseconds(1000000000), hz);
		assert_int_equal(clock_ticks_from_nanoseconds(86400 * 1000000000ull), hz * 86400);
	}
}

static void test_fractions_are_rounded_down(void **state)
{
	(void)state;
	clock_set_frequency(3000000000);
	assert_int_equal(clock_nanoseconds_from_ticks(2), 0);
	assert_int_equal(clock_nanoseconds_from_ticks(3), 1);
	assert_int_equal(clock_nanoseconds_from_ticks(3000000001), 1000000000);
	clock_set_frequency(1193182);
	assert_int_equal(clock_nanoseconds_from_ticks(1), 838);
	assert_int_equal(clock_ticks_from_nanoseconds(838), 0);
	assert_int_equal(clock_ticks_from_nanoseconds(839), 1);
}

static void test_huge_values_saturate(void **state)
{
	(void)state;
	clock_set_frequency(1000);
	assert_int_equal(clock_nanoseconds_from_ticks(UINT64_MAX), UINT64_MAX);
	assert_int_equal(clock_nanoseconds_from_ticks(UINT64_MAX / 1000000), UINT64_MAX / 1000000 * 1000000);
	clock_set_frequency(4000000000);
	assert_int_equal(clock_ticks_from_nanoseconds(UINT64_MAX), UINT64_MAX);
	assert_int_equal(clock_nanoseconds_from_ticks(UINT64_MAX), UINT64_MAX / 4);
	clock_set_frequency(1000000000);
	assert_int_equal(clock_nanoseconds_from_ticks(UINT64_MAX), UINT64_MAX);
}

static void test_delay_lasts_long_enough(void **state)
{
	uint64_t start;

	(void)state;
	clock_set_frequency(2000000000);
	fake_tsc_step = 100;
	start = fake_tsc;
	clock_delay_microseconds(50);
	assert_true(fake_tsc - start >= 100000);
	assert_true(fake_tsc - start <= 100000 + 1000);
}

static void test_delay_without_frequency_is_long_enough_for_any_cpu(void **state)
{
	uint64_t start = fake_tsc;

	(void)state;
	clock_delay_microseconds(10);
	assert_true(fake_tsc - start >= 10 * 6200);
}

static void test_delay_across_counter_wrap(void **state)
{
	(void)state;
	clock_set_frequency(1000000000);
	fake_tsc = UINT64_MAX - 2000;
	fake_tsc_step = 500;
	clock_delay_microseconds(5);
	assert_true(fake_tsc >= 2999 && fake_tsc < 10000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_unknown_frequency_gives_zero, setup),
		cmocka_unit_test_setup(test_whole_results_are_exact, setup),
		cmocka_unit_test_setup(test_fractions_are_rounded_down, setup),
		cmocka_unit_test_setup(test_huge_values_saturate, setup),
		cmocka_unit_test_setup(test_delay_lasts_long_enough, setup),
		cmocka_unit_test_setup(test_delay_without_frequency_is_long_enough_for_any_cpu, setup),
		cmocka_unit_test_setup(test_delay_across_counter_wrap, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
