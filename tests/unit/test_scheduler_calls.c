/* vmm/sched/scheduler.c: housekeeping on the boot processor, and functions called on the CPU of a vCPU. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/scheduler_fixture.h"

static struct vcpu *vcpu;

static int set_up_guest(void **state)
{
	int result = set_up(state);

	vcpu = add_guest(0, 0, true);
	return result;
}

static void sleeping_guest(struct virt_vcpu *virt)
{
	(void)virt;
	guest_halts(true);
}

static bool three_times(void) { return fixture_housekeepings < 3; }

static void attention_guest(struct virt_vcpu *virt)
{
	(void)virt;
	if (fixture_entries == 1)
		scheduler_attention();
	if (fixture_entries < 4)
		guest_exits(10);
	else
		guest_halts(true);
}

static void test_attention(void **state)
{
	(void)state;
	fixture_work = three_times;
	fixture_guest = attention_guest;
	run_loop();
	assert_int_equal(fixture_housekeepings, 3);
	/* It left the guest for that, and the guest went on. */
	assert_true(fixture_enters >= 2);
	assert_true(fixture_entries >= 4);
	assert_int_equal(vcpu->state, VCPU_BLOCKED);
}

static void test_attention_from_another_cpu(void **state)
{
	(void)state;
	fixture_guest = sleeping_guest;
	run_loop();
	pcpu_set_current(pcpu_get(1));
	scheduler_attention();
	pcpu_set_current(pcpu_get(0));
	/* To APIC id 0. */
	assert_int_equal(fake_msr_get(X2APIC_ICR) & 0xff, INTERRUPT_VECTOR_KICK);
	assert_int_equal(fake_msr_get(X2APIC_ICR) >> 32, 0);
	run_loop();
	assert_int_equal(fixture_housekeepings, 1);
	/* Only the boot processor does it. */
	scheduler_attention();
	run_loop_on(1);
	assert_int_equal(fixture_housekeepings, 1);
}

static unsigned calls;
static uint32_t called_on;

static void call(struct vcpu *target, void *argument)
{
	calls++;
	called_on = pcpu_current()->index;
	assert_ptr_equal(pcpu_current()->current_vcpu, target);
	*(struct vcpu **)argument = target;
}

static void test_call_here(void **state)
{
	struct vcpu *seen = NULL;

	(void)state;
	calls = 0;
	assert_int_equal(scheduler_call(vcpu, call, &seen), STATUS_OK);
	assert_int_equal(calls, 1);
	assert_ptr_equal(seen, vcpu);
}

static void other_cpu_runs(void)
{
	fake_pause_hook = NULL;
	run_loop_on(1);
}

static void test_call_on_another_cpu(void **state)
{
	struct vcpu *seen = NULL, *other = add_guest(1, 1, false);

	(void)state;
	calls = 0;
	fake_pause_hook = other_cpu_runs;
	assert_int_equal(scheduler_call(other, call, &seen), STATUS_OK);
	assert_int_equal(calls, 1);
	assert_int_equal(called_on, 1);
	assert_ptr_equal(seen, other);
	assert_int_equal(fake_msr_get(X2APIC_ICR) >> 32, 1);
	assert_int_equal(fake_msr_get(X2APIC_ICR) & 0xff, INTERRUPT_VECTOR_KICK);
}

/* A CPU that does not answer in time does not answer later either. */
static void test_call_times_out(void **state)
{
	struct vcpu *seen = NULL, *other = add_guest(1, 1, false);

	(void)state;
	calls = 0;
	fake_tsc_step = 1000000;
	uint64_t before = fake_tsc;
	assert_int_equal(scheduler_call(other, call, &seen), STATUS_TIMEOUT);
	assert_true(fake_tsc - before >= FIXTURE_HZ);
	run_loop_on(1);
	assert_int_equal(calls, 0);
	fake_pause_hook = other_cpu_runs;
	assert_int_equal(scheduler_call(other, call, &seen), STATUS_OK);
	assert_int_equal(calls, 1);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up_guest, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_attention), TEST(test_attention_from_another_cpu), TEST(test_call_here), TEST(test_call_on_another_cpu),
		TEST(test_call_times_out),
	};

	return cmocka_run_group_tests(tests, set_up_scheduler, NULL);
}
