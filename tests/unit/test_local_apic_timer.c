/* The local APIC timer in its three modes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/local_apic_fixture.h"

/* ---- the timer ---- */

static void test_timer_one_shot(void **state)
{
	uint64_t begin = fake_tsc;

	(void)state;
	set_mmio(LOCAL_APIC_DIVIDE, 0x3); /* by 16 */
	set_mmio(LVT_TIMER, 0xec);
	set_mmio(LOCAL_APIC_INITIAL_COUNT, 1000);
	assert_true(fixture_take_request(0, VCPU_REQUEST_TIMER));
	assert_int_equal(mmio(LOCAL_APIC_CURRENT_COUNT), 1000);
	fake_tsc = begin + 16 * 400;
	assert_int_equal(mmio(LOCAL_APIC_CURRENT_COUNT), 600);
	assert_int_equal(vcpu_timers_run(&fixture_vcpus[0], begin + 15999), begin + 16000);
	assert_int_equal(take(0), -1);
	run_timers(begin + 16000);
	assert_int_equal(take(0), 0xec);
	assert_int_equal(mmio(LOCAL_APIC_CURRENT_COUNT), 0);
	assert_int_equal(mmio(LOCAL_APIC_INITIAL_COUNT), 1000);
	assert_true(list_is_empty(&fixture_vcpus[0].timers));
	set_mmio(LOCAL_APIC_INITIAL_COUNT, 50);
	set_mmio(LOCAL_APIC_INITIAL_COUNT, 0);
	assert_true(list_is_empty(&fixture_vcpus[0].timers));
}

static void test_timer_divide(void **state)
{
	static const struct { uint32_t value; unsigned by; } rows[] = {{0, 2}, {1, 4}, {2, 8}, {3, 16}, {8, 32}, {9, 64}, {10, 128}, {11, 1}};

	(void)state;
	for (unsigned i = 0; i < array_count(rows); i++) {
		uint64_t begin = fake_tsc;

		set_mmio(LOCAL_APIC_DIVIDE, rows[i].value);
		set_mmio(LOCAL_APIC_INITIAL_COUNT, 0xffffffff);
		fake_tsc = begin + 1000ull * rows[i].by;
		assert_int_equal(mmio(LOCAL_APIC_CURRENT_COUNT), 0xffffffff - 1000);
		set_mmio(LOCAL_APIC_INITIAL_COUNT, 0);
	}
	/* A new divisor while it counts: what is left goes on at the new pace. */
	set_mmio(LOCAL_APIC_DIVIDE, 11);
	set_mmio(LOCAL_APIC_INITIAL_COUNT, 1000);
	fake_tsc += 500;
	set_mmio(LOCAL_APIC_DIVIDE, 0);
	assert_int_equal(mmio(LOCAL_APIC_CURRENT_COUNT), 500);
	fake_tsc += 500;
	assert_int_equal(mmio(LOCAL_APIC_CURRENT_COUNT), 250);
}

static void test_timer_periodic(void **state)
{
	uint64_t begin = fake_tsc;

	(void)state;
	set_mmio(LOCAL_APIC_DIVIDE, 0xb);
	set_mmio(LVT_TIMER, 0x200ec);
	set_mmio(LOCAL_APIC_INITIAL_COUNT, 100000);
	for (unsigned i = 1; i <= 5; i++) {
		run_timers(begin + i * 100000ull + 3);
		assert_int_equal(take(0), 0xec);
		set_mmio(LOCAL_APIC_EOI, 0);
		/* No drift. */
		assert_int_equal(((struct local_apic *)fixture_vcpus[0].local_apic)->timer.deadline, begin + (i + 1) * 100000ull);
	}
	/* Late by many periods: one interrupt, and the pace is kept. */
	run_timers(begin + 2050000);
	assert_int_equal(take(0), 0xec);
	set_mmio(LOCAL_APIC_EOI, 0);
	assert_int_equal(vcpu_timers_run(&fixture_vcpus[0], fake_tsc), begin + 2100000);
	assert_int_equal(mmio(LOCAL_APIC_CURRENT_COUNT), 50000);
	/* Back to one-shot without a stop. */
	set_mmio(LVT_TIMER, 0xec);
	run_timers(begin + 2100000);
	assert_int_equal(take(0), 0xec);
	assert_true(list_is_empty(&fixture_vcpus[0].timers));
}

static void test_timer_periodic_storm(void **state)
{
	uint64_t begin = fake_tsc;

	(void)state;
	set_mmio(LOCAL_APIC_DIVIDE, 0xb);
	set_mmio(LVT_TIMER, 0x200ec);
	set_mmio(LOCAL_APIC_INITIAL_COUNT, 1);
	assert_int_equal(vcpu_timers_run(&fixture_vcpus[0], begin), begin + LOCAL_APIC_PERIOD_MIN);
	assert_true(mmio(LOCAL_APIC_CURRENT_COUNT) <= 1);
	fake_tsc = begin + LOCAL_APIC_PERIOD_MIN;
	assert_true(vcpu_timers_run(&fixture_vcpus[0], fake_tsc) >= fake_tsc + LOCAL_APIC_PERIOD_MIN);
}

static void test_timer_masked(void **state)
{
	(void)state;
	set_mmio(LVT_TIMER, 0x100ec);
	set_mmio(LOCAL_APIC_INITIAL_COUNT, 10);
	run_timers(fake_tsc + 1000);
	assert_int_equal(take(0), -1);
	set_mmio(LVT_TIMER, 0x10); /* the lowest vector */
	set_mmio(LOCAL_APIC_INITIAL_COUNT, 10);
	run_timers(fake_tsc + 1000);
	assert_int_equal(take(0), 0x10);
	set_mmio(LOCAL_APIC_EOI, 0);
	set_mmio(LVT_TIMER, 0x5); /* a vector that no APIC delivers */
	set_mmio(LOCAL_APIC_INITIAL_COUNT, 10);
	run_timers(fake_tsc + 1000);
	assert_int_equal(take(0), -1);
	set_mmio(LOCAL_APIC_ESR, 0);
	assert_int_equal(mmio(LOCAL_APIC_ESR), 0x40);
}

static void test_tsc_deadline(void **state)
{
	uint64_t value = 1, begin;

	(void)state;
	fixture_vcpus[0].virt.tsc_offset = (uint64_t)0 - 500000; /* the guest's clock started at 500000 */
	assert_true(guest_wrmsr(0, MSR_TSC_DEADLINE, 700000)); /* another mode: without effect */
	assert_true(guest_rdmsr(0, MSR_TSC_DEADLINE, &value));
	assert_int_equal(value, 0);
	assert_true(list_is_empty(&fixture_vcpus[0].timers));

	set_mmio(LVT_TIMER, 0x400ec);
	begin = fake_tsc;
	assert_true(guest_wrmsr(0, MSR_TSC_DEADLINE, 700000));
	assert_true(guest_rdmsr(0, MSR_TSC_DEADLINE, &value));
	assert_int_equal(value, 700000);
	assert_true(fixture_take_request(0, VCPU_REQUEST_TIMER));
	assert_int_equal(vcpu_timers_run(&fixture_vcpus[0], begin), 1200000);
	set_mmio(LOCAL_APIC_INITIAL_COUNT, 77); /* without effect in this mode */
	assert_int_equal(mmio(LOCAL_APIC_INITIAL_COUNT), 0);
	assert_int_equal(mmio(LOCAL_APIC_CURRENT_COUNT), 0);
	run_timers(1200000);
	assert_int_equal(take(0), 0xec);
	set_mmio(LOCAL_APIC_EOI, 0);
	assert_true(guest_rdmsr(0, MSR_TSC_DEADLINE, &value));
	assert_int_equal(value, 0);

	assert_true(guest_wrmsr(0, MSR_TSC_DEADLINE, 900000));
	assert_true(guest_wrmsr(0, MSR_TSC_DEADLINE, 0));
	assert_true(list_is_empty(&fixture_vcpus[0].timers));
	assert_true(guest_wrmsr(0, MSR_TSC_DEADLINE, 900000));
	set_mmio(LVT_TIMER, 0xec);
	assert_true(list_is_empty(&fixture_vcpus[0].timers));
	assert_true(guest_rdmsr(0, MSR_TSC_DEADLINE, &value));
	assert_int_equal(value, 0);
}

static void test_tsc_deadline_extremes(void **state)
{
	(void)state;
	set_mmio(LVT_TIMER, 0x400ec);
	fixture_vcpus[0].virt.tsc_offset = (uint64_t)0 - 500000;
	/* Never, though the host's count wraps before. */
	assert_true(guest_wrmsr(0, MSR_TSC_DEADLINE, UINT64_MAX));
	assert_true(vcpu_timers_run(&fixture_vcpus[0], fake_tsc) == UINT64_MAX);
	assert_int_equal(take(0), -1);
	/* Long past, though before the host's count began. */
	fixture_vcpus[0].virt.tsc_offset = 1ull << 60;
	assert_true(guest_wrmsr(0, MSR_TSC_DEADLINE, 1));
	run_timers(fake_tsc);
	assert_int_equal(take(0), 0xec);
	set_mmio(LOCAL_APIC_EOI, 0);
	/* Now. */
	assert_true(guest_wrmsr(0, MSR_TSC_DEADLINE, vcpu_guest_tsc(&fixture_vcpus[0])));
	run_timers(fake_tsc);
	assert_int_equal(take(0), 0xec);
	/* A reserved timer mode does nothing at all. */
	set_mmio(LVT_TIMER, 0x600ec);
	set_mmio(LOCAL_APIC_INITIAL_COUNT, 5);
	assert_true(guest_wrmsr(0, MSR_TSC_DEADLINE, 5));
	assert_true(list_is_empty(&fixture_vcpus[0].timers));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_timer_one_shot),
		TEST(test_timer_divide),
		TEST(test_timer_periodic),
		TEST(test_timer_periodic_storm),
		TEST(test_timer_masked),
		TEST(test_tsc_deadline),
		TEST(test_tsc_deadline_extremes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
