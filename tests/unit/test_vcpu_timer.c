/* Timers expire in order, once per run, and tell their vCPU when the earliest deadline changes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "vmm/vcpu.h"
#include "vmm/vcpu_timer.h"

static struct vcpu vcpu;
static struct vcpu_timer timers[4];
static unsigned kicks, expired[16], expired_count;
static uint64_t rearm_to;         /* what the callback arms its own timer for; 0: not */
static struct vcpu_timer *victim; /* what the callback cancels */

void vcpu_kick(struct vcpu *kicked, uint32_t request)
{
	assert_ptr_equal(kicked, &vcpu);
	assert_int_equal(request, VCPU_REQUEST_TIMER);
	kicks++;
}

static void note_expiry(struct vcpu_timer *timer)
{
	assert_false(vcpu_timer_is_armed(timer));
	assert_true(expired_count < 16);
	expired[expired_count++] = (unsigned)(timer - timers);
	if (rearm_to != 0)
		vcpu_timer_arm(timer, rearm_to);
	if (victim != NULL)
		vcpu_timer_cancel(victim);
}

static int set_up(void **state)
{
	(void)state;
	list_init(&vcpu.timers);
	for (unsigned i = 0; i < 4; i++)
		vcpu_timer_init(&timers[i], &vcpu, note_expiry);
	kicks = expired_count = 0;
	rearm_to = 0;
	victim = NULL;
	return 0;
}

static void test_order(void **state)
{
	(void)state;
	assert_true(vcpu_timers_run(&vcpu, UINT64_MAX) == UINT64_MAX);
	vcpu_timer_arm(&timers[0], 300);
	vcpu_timer_arm(&timers[1], 100);
	vcpu_timer_arm(&timers[2], 200);
	vcpu_timer_arm(&timers[3], 100);
	assert_int_equal(vcpu_timers_run(&vcpu, 99), 100);
	assert_int_equal(expired_count, 0);
	assert_int_equal(vcpu_timers_run(&vcpu, 200), 300);
	assert_int_equal(expired_count, 3);
	assert_int_equal(expired[0], 1);
	assert_int_equal(expired[1], 3);
	assert_int_equal(expired[2], 2);
	assert_true(vcpu_timer_is_armed(&timers[0]));
	assert_true(vcpu_timers_run(&vcpu, 300) == UINT64_MAX);
	assert_int_equal(expired_count, 4);
}

static void test_kicks_for_the_earliest_only(void **state)
{
	(void)state;
	vcpu_timer_arm(&timers[0], 100);
	assert_int_equal(kicks, 1);
	vcpu_timer_arm(&timers[1], 200);
	assert_int_equal(kicks, 1);
	vcpu_timer_arm(&timers[2], 50);
	assert_int_equal(kicks, 2);
	vcpu_timer_arm(&timers[1], 10);
	assert_int_equal(kicks, 3);
	/* Equal deadlines: first come, first served. */
	vcpu_timer_arm(&timers[3], 10);
	assert_int_equal(kicks, 3);
}

static void test_rearm_and_cancel(void **state)
{
	(void)state;
	vcpu_timer_arm(&timers[0], 100);
	vcpu_timer_arm(&timers[0], 500);
	assert_int_equal(vcpu_timers_run(&vcpu, 400), 500);
	vcpu_timer_arm(&timers[1], 450);
	vcpu_timer_cancel(&timers[1]);
	vcpu_timer_cancel(&timers[1]);
	assert_false(vcpu_timer_is_armed(&timers[1]));
	assert_int_equal(vcpu_timers_run(&vcpu, 460), 500);
	assert_int_equal(expired_count, 0);
	vcpu_timer_arm(&timers[1], 600);
	vcpu_timer_arm(&timers[0], 700);
	vcpu_timer_arm(&timers[1], 800);
	assert_true(vcpu_timers_run(&vcpu, 1000) == UINT64_MAX);
	assert_int_equal(expired_count, 2);
	assert_int_equal(expired[0], 0);
	assert_int_equal(expired[1], 1);
	assert_true(list_is_empty(&vcpu.timers));
}

/* What a guest with a periodic timer of no length would do. */
static void test_rearming_in_the_past_ends(void **state)
{
	(void)state;
	rearm_to = 1;
	vcpu_timer_arm(&timers[0], 100);
	assert_int_equal(vcpu_timers_run(&vcpu, 1000), 1);
	assert_int_equal(expired_count, 1);
	assert_true(vcpu_timer_is_armed(&timers[0]));
	assert_int_equal(vcpu_timers_run(&vcpu, 1000), 1);
	assert_int_equal(expired_count, 2);
}

static void test_callback_cancels_another_that_is_due(void **state)
{
	(void)state;
	victim = &timers[1];
	vcpu_timer_arm(&timers[0], 100);
	vcpu_timer_arm(&timers[1], 100);
	vcpu_timer_arm(&timers[2], 100);
	assert_true(vcpu_timers_run(&vcpu, 100) == UINT64_MAX);
	assert_int_equal(expired_count, 2);
	assert_int_equal(expired[0], 0);
	assert_int_equal(expired[1], 2);
	assert_false(vcpu_timer_is_armed(&timers[1]));
}

static void test_extremes(void **state)
{
	(void)state;
	vcpu_timer_arm(&timers[0], UINT64_MAX);
	vcpu_timer_arm(&timers[1], 0);
	assert_true(vcpu_timers_run(&vcpu, 0) == UINT64_MAX);
	assert_int_equal(expired_count, 1);
	assert_int_equal(expired[0], 1);
	assert_true(vcpu_timer_is_armed(&timers[0]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_order, set_up),
		cmocka_unit_test_setup(test_kicks_for_the_earliest_only, set_up),
		cmocka_unit_test_setup(test_rearm_and_cancel, set_up),
		cmocka_unit_test_setup(test_rearming_in_the_past_ends, set_up),
		cmocka_unit_test_setup(test_callback_cancels_another_that_is_due, set_up),
		cmocka_unit_test_setup(test_extremes, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
