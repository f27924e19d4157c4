/* Long work: all is zeroed, the watchdog is told, and the hook is called often enough and not more often. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86/clock.h"
#include "arch/x86/long_work.h"
#include "arch/x86/pcpu.h"
#include "tests/fake/fake_cpu.h"
#include "tests/fake/fake_pcpu.h"

#define HZ 1000000000u

static unsigned calls;

static void count_call(void)
{
	calls++;
}

static int set_up(void **state)
{
	(void)state;
	fake_cpu_reset();
	fake_pcpu_reset();
	clock_set_frequency(HZ);
	fake_tsc_step = 0;
	calls = 0;
	return 0;
}

static void test_steps(void **state)
{
	(void)state;
	long_work_set_hook(count_call);
	fake_tsc += HZ;
	for (unsigned i = 0; i < 3000; i++) {
		fake_tsc += HZ / 1000000;
		long_work_step();
	}
	/* Three milliseconds. */
	assert_in_range(calls, 9, 11);
	assert_int_equal(pcpu_current()->progress, 3000);
	long_work_set_hook(NULL);
	fake_tsc += HZ;
	long_work_step();
	assert_in_range(calls, 9, 11);
}

static void test_zero(void **state)
{
	static uint8_t memory[300 * KIB + 16];
	static const uint8_t zeros[300 * KIB - 8];

	(void)state;
	memset(memory, 0xff, sizeof(memory));
	long_work_zero(memory + 8, 300 * KIB - 8);
	assert_int_equal(memory[7], 0xff);
	assert_memory_equal(memory + 8, zeros, sizeof(zeros));
	assert_int_equal(memory[300 * KIB], 0xff);
	assert_int_equal(pcpu_current()->progress, 5);
	long_work_zero(memory, 0);
	assert_int_equal(memory[0], 0xff);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_steps, set_up),
		cmocka_unit_test_setup(test_zero, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
