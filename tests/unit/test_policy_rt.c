/* vmm/sched/policy_rt.c: budgets, periods, deadlines, admission. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/policy_fixture.h"

#define ALL_CPUS 0xfull

static int set_up(void **state)
{
	(void)state;
	fixture_start(HZ);
	return 0;
}

/* A VM's settings [microseconds]. */
static void configure(unsigned vm, uint32_t budget, uint32_t period)
{
	fixture_vms[vm].sched_settings = (struct config_sched){.policy = CONFIG_SCHED_RT, .budget = budget, .period = period};
}

static struct vcpu *add(unsigned vm, uint32_t budget, uint32_t period, uint64_t allowed)
{
	configure(vm, budget, period);
	return admit(&sched_policy_rt, &fixture_vcpus[vm][0], allowed) ? &fixture_vcpus[vm][0] : NULL;
}

/* ---- admission ---- */

static void test_limit(void **state)
{
	(void)state;
	assert_non_null(add(0, 5000, 10000, BIT(1)));
	assert_non_null(add(1, 4500, 10000, BIT(1)));
	assert_null(add(2, 100, 1000000, BIT(1)));
	assert_string_equal(why, "needs 0.0% of a CPU; CPU 1 has most left of 95%: 0.0%; less budget, longer period or more `cpus` help");
	leave(&fixture_vcpus[0][0]);
	assert_null(add(2, 6000, 10000, BIT(1)));
	assert_string_equal(why, "needs 60.0% of a CPU; CPU 1 has most left of 95%: 50.0%; less budget, longer period or more `cpus` help");
	assert_non_null(add(2, 5000, 10000, BIT(1)));
	leave(&fixture_vcpus[1][0]);
	leave(&fixture_vcpus[2][0]);
	assert_true(fixture_cpus[1].rt.reserved == 0);
	/* More than the limit is never admitted, not even alone. */
	assert_null(add(3, 951, 1000, ALL_CPUS));
	assert_non_null(add(3, 9500000, 10000000, ALL_CPUS));
}

static void test_best_cpu(void **state)
{
	(void)state;
	assert_int_equal(add(0, 3000, 10000, ALL_CPUS)->pcpu_index, 1);
	assert_int_equal(add(1, 2000, 10000, ALL_CPUS)->pcpu_index, 2);
	assert_int_equal(add(2, 1000, 10000, ALL_CPUS)->pcpu_index, 3);
	/* The least loaded that is not the boot processor's. */
	assert_int_equal(add(3, 6000, 10000, ALL_CPUS)->pcpu_index, 3);
	assert_int_equal(add(4, 6000, 10000, ALL_CPUS)->pcpu_index, 2);
	assert_int_equal(add(5, 5000, 10000, ALL_CPUS)->pcpu_index, 1);
	/* Only when no other has room. */
	assert_int_equal(add(6, 9000, 10000, ALL_CPUS)->pcpu_index, 0);
	assert_null(add(7, 3000, 10000, ALL_CPUS));
	assert_non_null(strstr(why, "needs 30.0%"));
	assert_int_equal(add(7, 2500, 10000, ALL_CPUS)->pcpu_index, 3);
}

static void test_vcpus_of_one_vm(void **state)
{
	(void)state;
	configure(0, 8000, 10000);
	assert_true(admit(&sched_policy_rt, &fixture_vcpus[0][0], 6));
	assert_true(admit(&sched_policy_rt, &fixture_vcpus[0][1], 6));
	assert_int_equal(fixture_vcpus[0][0].pcpu_index, 1);
	assert_int_equal(fixture_vcpus[0][1].pcpu_index, 2);
	/* Back to where it was, whatever was tried in between. */
	leave(&fixture_vcpus[0][0]);
	configure(0, 9800, 10000);
	assert_false(admit(&sched_policy_rt, &fixture_vcpus[0][0], 6));
	configure(0, 8000, 10000);
	assert_true(admit(&sched_policy_rt, &fixture_vcpus[0][0], BIT(1)));
}

static void test_other_policies(void **state)
{
	(void)state;
	fixture_vms[0].sched_settings = (struct config_sched){.policy = CONFIG_SCHED_CYCLIC, .frame = 10000, .window_count = 1, .windows = {{0, 1000}}};
	assert_true(admit(&sched_policy_cyclic, &fixture_vcpus[0][0], BIT(1)));
	assert_true(admit(&sched_policy_pinned, &fixture_vcpus[1][0], BIT(2)));
	assert_null(add(2, 100, 10000, BIT(1)));
	assert_non_null(strstr(why, "cyclic windows"));
	assert_null(add(2, 100, 10000, BIT(2)));
	assert_non_null(strstr(why, "pinned"));
	assert_int_equal(add(2, 100, 10000, BIT(1) | BIT(2) | BIT(3))->pcpu_index, 3);
	leave(&fixture_vcpus[0][0]);
	leave(&fixture_vcpus[1][0]);
	assert_int_equal(add(3, 100, 10000, BIT(1))->pcpu_index, 1);
	assert_int_equal(add(4, 100, 10000, BIT(2))->pcpu_index, 2);
}

/* ---- promises ---- */

/* What one vCPU used between two of its deadlines, or in all. */
static const struct vcpu *watched;
static uint64_t watched_period_end, watched_used, watched_most;

static void watch_periods(const struct vcpu *vcpu, uint64_t from, uint64_t to)
{
	if (vcpu != watched)
		return;
	/* Runs do not cross the end of a period but by an exit. */
	if (from >= watched_period_end) {
		watched_used = 0;
		watched_period_end = vcpu->sched.rt.deadline;
	}
	watched_used += to - from;
	watched_most = max_u64(watched_most, watched_used);
}

static void test_hog_gets_its_budget(void **state)
{
	struct task hog = {.vcpu = add(0, 2000, 10000, BIT(1)), .work = UINT64_MAX};
	uint64_t begin = 5000 * MILLISECOND;

	(void)state;
	watched = hog.vcpu;
	watched_period_end = watched_used = watched_most = 0;
	start_task(&hog, begin);
	simulate(&fixture_cpus[1], &hog, 1, begin, begin + 5000 * 10 * MILLISECOND, watch_periods);
	assert_true(hog.ran == 5000 * 2 * MILLISECOND);
	assert_true(watched_most == 2 * MILLISECOND);
	assert_true(hog.vcpu->sched.rt.missed == 0);
}

/* An exit that takes long is paid for in the next period. */
static void test_overrun_is_paid_for(void **state)
{
	struct task hog = {.vcpu = add(0, 2000, 10000, BIT(1)), .work = UINT64_MAX};

	(void)state;
	watched = hog.vcpu;
	watched_period_end = watched_used = watched_most = 0;
	fixture_exit_length = 50 * MICROSECOND;
	start_task(&hog, 0);
	simulate(&fixture_cpus[1], &hog, 1, 0, 5000 * 10 * MILLISECOND, watch_periods);
	assert_in_range(hog.ran, 5000ull * 2 * MILLISECOND - 60 * MICROSECOND, 5000ull * 2 * MILLISECOND + 50 * MICROSECOND);
	assert_in_range(watched_most, 2 * MILLISECOND, 2 * MILLISECOND + 50 * MICROSECOND);
	assert_true(hog.vcpu->sched.rt.missed == 0);
}

/* Longer than several budgets: nothing is forgiven. */
static void test_large_debt(void **state)
{
	struct vcpu *vcpu = add(0, 1000, 10000, BIT(1));
	struct scheduler_cpu *cpu = &fixture_cpus[1];
	uint64_t end;

	(void)state;
	enqueue(vcpu, SCHED_STARTED, 0);
	assert_ptr_equal(pick(cpu, 0, &end), vcpu);
	sched_policy_rt.charge(cpu, vcpu, 0, 3500 * MICROSECOND);
	enqueue(vcpu, SCHED_PREEMPTED, 3500 * MICROSECOND);
	assert_null(pick(cpu, 3500 * MICROSECOND, &end));
	assert_int_equal(end, 10 * MILLISECOND);
	assert_null(pick(cpu, 10 * MILLISECOND, &end));
	assert_int_equal(end, 20 * MILLISECOND);
	assert_null(pick(cpu, 20 * MILLISECOND, &end));
	assert_ptr_equal(pick(cpu, 30 * MILLISECOND, &end), vcpu);
	assert_int_equal(end, 30 * MILLISECOND + 500 * MICROSECOND);
	assert_true(vcpu->sched.rt.missed == 0);
}

/* The others take all that admission gives, and never sleep. */
static void test_no_miss_beside_hogs(void **state)
{
	struct task tasks[] = {
		{.vcpu = add(0, 2000, 10000, BIT(1)), .work = 2 * MILLISECOND, .interval = 10 * MILLISECOND},
		{.vcpu = add(1, 25000, 100000, BIT(1)), .work = UINT64_MAX},
		{.vcpu = add(2, 500, 1000, BIT(1)), .work = UINT64_MAX},
	};
	uint64_t stop = 3000 * 10 * MILLISECOND;

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		start_task(&tasks[i], 0);
	simulate(&fixture_cpus[1], tasks, 3, 0, stop, NULL);
	assert_true(tasks[0].finished == 3000);
	assert_true(tasks[0].worst <= 10 * MILLISECOND);
	for (unsigned i = 0; i < 3; i++)
		assert_true(tasks[i].vcpu->sched.rt.missed == 0);
	assert_true(tasks[1].ran == stop / 4 && tasks[2].ran == stop / 2);
}

static void test_no_miss_with_long_exits(void **state)
{
	struct task tasks[] = {
		{.vcpu = add(0, 2000, 10000, BIT(1)), .work = 1900 * MICROSECOND, .interval = 10 * MILLISECOND},
		{.vcpu = add(1, 25000, 100000, BIT(1)), .work = UINT64_MAX},
		{.vcpu = add(2, 500, 1000, BIT(1)), .work = UINT64_MAX},
	};

	(void)state;
	fixture_exit_length = 5 * MICROSECOND;
	for (unsigned i = 0; i < 3; i++)
		start_task(&tasks[i], 0);
	simulate(&fixture_cpus[1], tasks, 3, 0, 3000 * 10 * MILLISECOND, NULL);
	assert_true(tasks[0].finished >= 2999);
	assert_true(tasks[0].worst <= 10 * MILLISECOND);
	for (unsigned i = 0; i < 3; i++)
		assert_true(tasks[i].vcpu->sched.rt.missed == 0);
}

/* Sleeps and wakes at the worst of times: just before its budget's end, just before its deadline, at random. */
static void sleep_cleverly(struct task *task, uint64_t now)
{
	const struct vcpu_sched *sched = &task->vcpu->sched;

	task->work = 1 + random_below((uint32_t)sched->rt.budget * 3 / 2);
	task->wake_at = now + 1 + random_below((uint32_t)sched->rt.period / 4);
	if (random_below(3) == 0 && sched->rt.deadline > now + 1000)
		task->wake_at = sched->rt.deadline - random_below(1000);
}

static void test_wakers_keep_their_share(void **state)
{
	struct task tasks[] = {
		{.vcpu = add(0, 3000, 10000, BIT(1)), .work = MILLISECOND, .slept = sleep_cleverly},
		{.vcpu = add(1, 3000, 7000, BIT(1)), .work = MILLISECOND, .slept = sleep_cleverly},
		{.vcpu = add(2, 2000, 10000, BIT(1)), .work = UINT64_MAX},
	};
	const uint64_t stop = 2000 * 10 * MILLISECOND;

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		start_task(&tasks[i], 0);
	simulate(&fixture_cpus[1], tasks, 3, 0, stop, NULL);
	assert_true(tasks[0].finished > 1000 && tasks[1].finished > 1000);
	assert_true(tasks[0].ran <= stop * 3 / 10 + 3 * MILLISECOND);
	assert_true(tasks[1].ran <= stop * 3 / 7 + 3 * MILLISECOND);
	/* And nobody pays for it. */
	assert_true(tasks[2].ran == stop / 5);
	assert_true(tasks[2].vcpu->sched.rt.missed == 0);
	assert_true(tasks[0].vcpu->sched.rt.missed == 0 && tasks[1].vcpu->sched.rt.missed == 0);
}

/* ---- one decision at a time ---- */

static void test_wake_rule(void **state)
{
	struct vcpu *vcpu = add(0, 2000, 10000, BIT(1));
	struct scheduler_cpu *cpu = &fixture_cpus[1];
	uint64_t end;

	(void)state;
	enqueue(vcpu, SCHED_STARTED, MILLISECOND);
	assert_true(vcpu->sched.rt.deadline == 11 * MILLISECOND);
	assert_ptr_equal(pick(cpu, MILLISECOND, &end), vcpu);
	assert_int_equal(end, 3 * MILLISECOND);
	sched_policy_rt.charge(cpu, vcpu, MILLISECOND, 2 * MILLISECOND);
	/* 1 ms left of a period that has 5 ms to go is its share: it may go on with both. */
	enqueue(vcpu, SCHED_WOKEN, 6 * MILLISECOND);
	assert_true(vcpu->sched.rt.deadline == 11 * MILLISECOND && vcpu->sched.rt.budget_left == MILLISECOND);
	assert_ptr_equal(pick(cpu, 6 * MILLISECOND, &end), vcpu);
	sched_policy_rt.charge(cpu, vcpu, 6 * MILLISECOND, 6500 * MICROSECOND);
	/* Half a millisecond of the last one would be more than its share. */
	enqueue(vcpu, SCHED_WOKEN, 10 * MILLISECOND);
	assert_true(vcpu->sched.rt.deadline == 20 * MILLISECOND && vcpu->sched.rt.budget_left == 2 * MILLISECOND);
	assert_ptr_equal(pick(cpu, 10 * MILLISECOND, &end), vcpu);
	sched_policy_rt.charge(cpu, vcpu, 10 * MILLISECOND, 12 * MILLISECOND);
	/* Without budget it waits, though it slept. */
	enqueue(vcpu, SCHED_WOKEN, 15 * MILLISECOND);
	assert_null(pick(cpu, 15 * MILLISECOND, &end));
	assert_int_equal(end, 20 * MILLISECOND);
	sched_policy_rt.dequeue(cpu, vcpu);
	assert_null(pick(cpu, 16 * MILLISECOND, &end));
	assert_true(end == UINT64_MAX);
	/* After a long sleep the period begins when it wakes. */
	enqueue(vcpu, SCHED_WOKEN, 1234567 * MICROSECOND);
	assert_true(vcpu->sched.rt.deadline == 1244567 * MICROSECOND);
	assert_true(vcpu->sched.rt.missed == 0);
}

static void test_earliest_deadline_first(void **state)
{
	struct vcpu *slow = add(0, 20000, 100000, BIT(1)), *fast = add(1, 1000, 10000, BIT(1));
	struct scheduler_cpu *cpu = &fixture_cpus[1];
	uint64_t end;

	(void)state;
	enqueue(slow, SCHED_STARTED, 0);
	enqueue(fast, SCHED_STARTED, 0);
	assert_ptr_equal(pick(cpu, 0, &end), fast);
	sched_policy_rt.charge(cpu, fast, 0, MILLISECOND);
	enqueue(fast, SCHED_PREEMPTED, MILLISECOND);
	/* The other one runs until this one has a budget again. */
	assert_ptr_equal(pick(cpu, MILLISECOND, &end), slow);
	assert_int_equal(end, 10 * MILLISECOND);
	sched_policy_rt.charge(cpu, slow, MILLISECOND, end);
	enqueue(slow, SCHED_PREEMPTED, end);
	assert_ptr_equal(pick(cpu, 10 * MILLISECOND, &end), fast);
	sched_policy_rt.charge(cpu, fast, 10 * MILLISECOND, 11 * MILLISECOND);
	enqueue(fast, SCHED_PREEMPTED, 11 * MILLISECOND);
	sched_policy_rt.dequeue(cpu, fast);
	/* 11 ms of its budget are left. */
	assert_ptr_equal(pick(cpu, 11 * MILLISECOND, &end), slow);
	assert_int_equal(end, 22 * MILLISECOND);
}

static void test_missed(void **state)
{
	struct vcpu *vcpu = add(0, 2000, 10000, BIT(1));
	uint64_t end;

	(void)state;
	enqueue(vcpu, SCHED_STARTED, 0);
	/* The CPU was away for three periods and more. */
	assert_ptr_equal(pick(&fixture_cpus[1], 35 * MILLISECOND, &end), vcpu);
	assert_true(vcpu->sched.rt.missed == 3);
	assert_int_equal(end, 37 * MILLISECOND);
	assert_true(vcpu->sched.rt.deadline == 40 * MILLISECOND);
	/* The end of its period ends its run, budget or not. */
	sched_policy_rt.charge(&fixture_cpus[1], vcpu, 35 * MILLISECOND, 36 * MILLISECOND);
	enqueue(vcpu, SCHED_PREEMPTED, 36 * MILLISECOND);
	assert_ptr_equal(pick(&fixture_cpus[1], 39500 * MICROSECOND, &end), vcpu);
	assert_int_equal(end, 40 * MILLISECOND);
	sched_policy_rt.charge(&fixture_cpus[1], vcpu, 39500 * MICROSECOND, end);
	enqueue(vcpu, SCHED_PREEMPTED, end);
	assert_ptr_equal(pick(&fixture_cpus[1], 40 * MILLISECOND, &end), vcpu);
	assert_int_equal(end, 42 * MILLISECOND);
	assert_true(vcpu->sched.rt.missed == 4);
}

/* One that spins for another of its VM lets that one go first, for a moment; others of other VMs have no part in it. */
static void test_yield(void **state)
{
	struct scheduler_cpu *cpu = &fixture_cpus[1];
	struct vcpu *spinner = &fixture_vcpus[0][0], *holder = &fixture_vcpus[0][1], *stranger = add(1, 1000, 10000, BIT(1));
	uint64_t end;

	(void)state;
	configure(0, 2000, 10000);
	assert_true(admit(&sched_policy_rt, spinner, BIT(1)) && admit(&sched_policy_rt, holder, BIT(1)));
	enqueue(spinner, SCHED_STARTED, 0);
	enqueue(stranger, SCHED_STARTED, 1);
	enqueue(holder, SCHED_STARTED, 2);
	assert_ptr_equal(pick(cpu, 2, &end), spinner);
	sched_policy_rt.charge(cpu, spinner, 2, 1000);
	enqueue(spinner, SCHED_YIELDED, 1000);
	assert_ptr_equal(pick(cpu, 1000, &end), holder);
	assert_int_equal(end, 1000 + 50 * MICROSECOND);
	sched_policy_rt.charge(cpu, holder, 1000, end);
	enqueue(holder, SCHED_PREEMPTED, end);
	assert_ptr_equal(pick(cpu, end, &end), spinner);
	enqueue(spinner, SCHED_PREEMPTED, end);
	sched_policy_rt.dequeue(cpu, holder);
	/* Without the other one it goes on itself. */
	sched_policy_rt.dequeue(cpu, spinner);
	enqueue(spinner, SCHED_YIELDED, end);
	assert_ptr_equal(pick(cpu, end, &end), spinner);
}

#define TEST(function) cmocka_unit_test_setup(function, set_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_limit), TEST(test_best_cpu), TEST(test_vcpus_of_one_vm), TEST(test_other_policies), TEST(test_hog_gets_its_budget),
		TEST(test_overrun_is_paid_for), TEST(test_large_debt), TEST(test_no_miss_beside_hogs), TEST(test_no_miss_with_long_exits),
		TEST(test_wakers_keep_their_share), TEST(test_wake_rule), TEST(test_earliest_deadline_first), TEST(test_missed), TEST(test_yield),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
