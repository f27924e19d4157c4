/* The performance counter as a watchdog: refused where it is not told of, else an NMI each time it overflows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "arch/x86/clock.h"
#include "arch/x86/cpu/features.h"
#include "arch/x86/cpu/watchdog_counter.h"
#include "arch/x86/irq/lapic_registers.h"
#include "arch/x86/msr.h"
#include "fake_cpu.h"

#define HZ 1000000000ull
#define COUNTER BIT(33)

static uint32_t version, entry;

uint32_t lapic_read(enum lapic_register offset)
{
	assert_int_equal(offset, LAPIC_VERSION);
	return version;
}

void lapic_write(enum lapic_register offset, uint32_t value)
{
	assert_int_equal(offset, LAPIC_LVT_PERFORMANCE);
	entry = value;
}

static void set_leaf(uint32_t pmu_version, uint32_t counters, uint32_t width)
{
	fake_cpuid_set(0, 0, 0xa, 0x756e6547, 0x6c65746e, 0x49656e69);
	fake_cpuid_set(0xa, 0, pmu_version, 0, 0, counters | width << 5);
	features_init();
}

static int set_up(void **state)
{
	(void)state;
	fake_cpu_reset();
	clock_set_frequency(HZ);
	version = 5u << 16;
	entry = LAPIC_LVT_MASKED;
	set_leaf(4, 3, 48);
	fake_msr_set(MSR_FIXED_CTR1, 0);
	fake_msr_set(MSR_FIXED_CTR_CTRL, 0xb0b);
	fake_msr_set(MSR_PERF_GLOBAL_CTRL, 0xf);
	fake_msr_set(MSR_PERF_GLOBAL_STATUS, 0);
	fake_msr_set(MSR_PERF_GLOBAL_OVF_CTRL, 0);
	return 0;
}

/* The first one, since the counter can be started once only. */
static void test_refusals(void **state)
{
	(void)state;
	assert_false(watchdog_counter_overflowed());
	set_leaf(1, 3, 48);
	assert_false(watchdog_counter_start());
	set_leaf(2, 1, 48);
	assert_false(watchdog_counter_start());
	set_leaf(2, 3, 0);
	assert_false(watchdog_counter_start());
	fake_cpuid_set(0, 0, 0xa, 0x68747541, 0x444d4163, 0x69746e65); /* AMD's leaf 0AH means nothing */
	features_init();
	assert_false(watchdog_counter_start());
	set_leaf(2, 3, 48);
	version = 3u << 16;
	assert_false(watchdog_counter_start());
	assert_int_equal(entry, LAPIC_LVT_MASKED);
	assert_int_equal(fake_msr_get(MSR_PERF_GLOBAL_CTRL), 0xf);
	assert_false(watchdog_counter_overflowed());
}

static void test_counts_two_seconds(void **state)
{
	uint64_t first = BIT(48) - 2 * HZ;

	(void)state;
	assert_true(watchdog_counter_start());
	assert_int_equal(fake_msr_get(MSR_FIXED_CTR1), first);
	assert_int_equal(fake_msr_get(MSR_FIXED_CTR_CTRL), 0xb9b); /* the others' as they were */
	assert_int_equal(fake_msr_get(MSR_PERF_GLOBAL_CTRL), COUNTER);
	assert_int_equal(entry, LAPIC_LVT_MODE_NMI);

	assert_false(watchdog_counter_overflowed());
	fake_msr_set(MSR_FIXED_CTR1, 5);
	fake_msr_set(MSR_PERF_GLOBAL_STATUS, COUNTER | 1);
	entry |= LAPIC_LVT_MASKED; /* as delivery does */
	assert_true(watchdog_counter_overflowed());
	assert_int_equal(fake_msr_get(MSR_PERF_GLOBAL_OVF_CTRL), COUNTER);
	assert_int_equal(fake_msr_get(MSR_FIXED_CTR1), first);
	assert_int_equal(entry, LAPIC_LVT_MODE_NMI);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_refusals, set_up),
		cmocka_unit_test_setup(test_counts_two_seconds, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
