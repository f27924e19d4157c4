/* vmm/sched/policy_cyclic.c: windows that begin on time, frames that keep step, admission. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/policy_fixture.h"

#define ALL_CPUS 0xfull

/* Another frequency than the nanosecond's. A microsecond is no whole number of ticks. */
#define ODD_HZ 2893299123ull
#define LEAD (10 * MICROSECOND) /* that a window's vCPU is taken before its time */

static int set_up(void **state)
{
	(void)state;
	fixture_start(HZ);
	return 0;
}

static uint64_t ticks(uint64_t microseconds)
{
	return clock_ticks_from_nanoseconds(microseconds * 1000);
}

/* Windows in pairs of start and length, ended by {0, 0} [microseconds]. */
static void configure(unsigned vm, uint32_t frame, const struct config_window *windows)
{
	struct config_sched *settings = &fixture_vms[vm].sched_settings;

	*settings = (struct config_sched){.policy = CONFIG_SCHED_CYCLIC, .frame = frame};
	while (windows[settings->window_count].length) {
		settings->windows[settings->window_count] = windows[settings->window_count];
		settings->window_count++;
	}
}

static struct vcpu *add(unsigned vm, uint64_t allowed, uint32_t frame, const struct config_window *windows)
{
	configure(vm, frame, windows);
	return admit(&sched_policy_cyclic, &fixture_vcpus[vm][0], allowed) ? &fixture_vcpus[vm][0] : NULL;
}

#define WINDOWS(...) (const struct config_window[]){__VA_ARGS__, {0, 0}}

/* ---- admission ---- */

static void test_windows_must_be_disjoint(void **state)
{
	(void)state;
	assert_non_null(add(0, BIT(1), 20000, WINDOWS({0, 5000}, {10000, 2000})));
	assert_null(add(1, BIT(1), 20000, WINDOWS({6000, 1000}, {11000, 4000})));
	assert_string_equal(why, "window 11000us+4000us overlaps 10000us+2000us of vm0 on CPU 1; move it, or other `cpus`");
	assert_null(add(1, BIT(1), 20000, WINDOWS({4999, 100})));
	assert_non_null(strstr(why, "window 4999us+100us overlaps 0us+5000us of vm0 on CPU 1"));
	/* One may begin where another ends. */
	assert_non_null(add(1, BIT(1), 20000, WINDOWS({5000, 5000}, {12000, 8000})));
	leave(&fixture_vcpus[0][0]);
	assert_non_null(add(2, BIT(1), 20000, WINDOWS({0, 5000}, {10000, 2000})));
}

static void test_one_frame_for_each_cpu(void **state)
{
	(void)state;
	assert_non_null(add(0, BIT(1), 20000, WINDOWS({0, 5000})));
	assert_null(add(1, BIT(1), 10000, WINDOWS({6000, 1000})));
	assert_string_equal(why, "the frame of CPU 1 is 20000us (vm0), not 10000us; use the same, or other `cpus`");
	assert_non_null(add(1, BIT(2), 10000, WINDOWS({0, 1000})));
	/* The last one takes the frame with it. */
	leave(&fixture_vcpus[0][0]);
	assert_non_null(add(2, BIT(1), 10000, WINDOWS({6000, 1000})));
}

static void test_choice_of_cpu(void **state)
{
	(void)state;
	assert_int_equal(add(0, ALL_CPUS, 20000, WINDOWS({0, 5000}))->pcpu_index, 1);
	/* Where it fits beside others, so that the rest stays free; else on a CPU of its own, the boot processor's last. */
	assert_int_equal(add(1, ALL_CPUS, 20000, WINDOWS({5000, 5000}))->pcpu_index, 1);
	assert_int_equal(add(2, ALL_CPUS, 20000, WINDOWS({9000, 5000}))->pcpu_index, 2);
	assert_int_equal(add(3, ALL_CPUS, 10000, WINDOWS({0, 10000}))->pcpu_index, 3);
	assert_int_equal(add(4, ALL_CPUS, 10000, WINDOWS({0, 10000}))->pcpu_index, 0);
	assert_null(add(5, ALL_CPUS, 10000, WINDOWS({0, 10000})));
	assert_int_equal(add(5, ALL_CPUS, 20000, WINDOWS({0, 9000}))->pcpu_index, 2);
	for (unsigned vm = 0; vm < 3; vm++)
		leave(&fixture_vcpus[vm][0]);
	assert_int_equal(add(6, ALL_CPUS, 20000, WINDOWS({9000, 5000}))->pcpu_index, 2);
}

static void test_each_vcpu_has_its_cpu(void **state)
{
	struct vcpu *first = &fixture_vcpus[0][0], *second = &fixture_vcpus[0][1];

	(void)state;
	configure(0, 20000, WINDOWS({0, 5000}));
	assert_true(admit(&sched_policy_cyclic, first, BIT(1) | BIT(2)));
	assert_false(admit(&sched_policy_cyclic, second, BIT(1)));
	assert_non_null(strstr(why, "CPU of its own"));
	assert_true(admit(&sched_policy_cyclic, second, BIT(1) | BIT(2)));
	assert_int_equal(first->pcpu_index, 1);
	assert_int_equal(second->pcpu_index, 2);
	/* Each takes only its own windows with it. */
	leave(first);
	assert_int_equal(fixture_cpus[1].cyclic.window_count, 0);
	assert_int_equal(fixture_cpus[2].cyclic.window_count, 1);
}

static void test_other_policies(void **state)
{
	(void)state;
	fixture_vms[0].sched_settings = (struct config_sched){.policy = CONFIG_SCHED_RT, .budget = 1000, .period = 10000};
	assert_true(admit(&sched_policy_rt, &fixture_vcpus[0][0], BIT(1)));
	assert_true(admit(&sched_policy_pinned, &fixture_vcpus[1][0], BIT(2)));
	assert_null(add(2, BIT(1), 20000, WINDOWS({0, 5000})));
	assert_non_null(strstr(why, "CPU 1 has rt vCPUs"));
	assert_null(add(2, BIT(2), 20000, WINDOWS({0, 5000})));
	assert_non_null(strstr(why, "pinned"));
	assert_int_equal(add(2, ALL_CPUS, 20000, WINDOWS({0, 5000}))->pcpu_index, 3);
	leave(&fixture_vcpus[1][0]); /* ownership outlives the fixture's CPUs */
}

static void test_no_more_room(void **state)
{
	struct config_window windows[CONFIG_MAX_WINDOWS + 1] = {{0, 0}};
	unsigned vm = 0;

	(void)state;
	for (;; vm++) {
		for (uint32_t i = 0; i < CONFIG_MAX_WINDOWS; i++)
			windows[i] = (struct config_window){vm * 10000 + i * 1000, 1000};
		if (!add(vm, BIT(1), 1000000, windows))
			break;
	}
	assert_int_equal(vm, POLICY_CYCLIC_MAX_WINDOWS / CONFIG_MAX_WINDOWS);
	assert_non_null(strstr(why, "CPU 1 has room for 32 windows"));
}

/* ---- the timetable ---- */

/* Time of each VM, inside its windows and outside, and how late its windows began. */
static uint64_t inside[VMS], outside[VMS], others_inside[VMS], begin_late_max, begins;
static uint64_t table_epoch;

/* Whose window it is at @time, VMS: nobody's; *@begun: for how long. */
static unsigned owner_at(uint64_t time, uint64_t *begun)
{
	for (unsigned vm = 0; vm < VMS; vm++) {
		const struct config_sched *settings = &fixture_vms[vm].sched_settings;
		if (settings->policy != CONFIG_SCHED_CYCLIC || !settings->window_count)
			continue;
		uint64_t phase = (time - table_epoch) % ticks(settings->frame);
		for (uint32_t i = 0; i < settings->window_count; i++) {
			const struct config_window *window = &settings->windows[i];
			*begun = phase - ticks(window->start);
			if (phase >= ticks(window->start) && phase < ticks(window->start + window->length))
				return vm;
		}
	}
	return VMS;
}

static uint64_t last_begin;

static void note_use(const struct vcpu *vcpu, uint64_t from, uint64_t to)
{
	uint64_t begun, begin;
	unsigned owner = owner_at(from, &begun), runs = vcpu ? (unsigned)(vcpu->vm - fixture_vms) : VMS;

	begin = from - begun;
	if (runs == owner && runs < VMS)
		inside[runs] += to - from;
	else if (runs < VMS)
		outside[runs] += to - from;
	if (runs != owner && owner < VMS)
		others_inside[owner] += to - from;
	if (runs == owner && runs < VMS && begin != last_begin) {
		begins++;
		begin_late_max = max_u64(begin_late_max, begun);
		last_begin = begin;
	}
}

static void clear_notes(uint64_t epoch)
{
	memset(inside, 0, sizeof(inside));
	memset(outside, 0, sizeof(outside));
	memset(others_inside, 0, sizeof(others_inside));
	begin_late_max = begins = last_begin = 0;
	table_epoch = epoch;
}

static void test_windows_begin_on_time(void **state)
{
	struct task tasks[] = {
		{.vcpu = add(0, BIT(1), 20000, WINDOWS({0, 5000}, {10000, 2000})), .work = UINT64_MAX},
		{.vcpu = add(1, BIT(1), 20000, WINDOWS({5000, 3000})), .work = UINT64_MAX},
	};
	struct scheduler_cpu *cpu = &fixture_cpus[1];
	uint64_t begin = cpu->cyclic.epoch, stop = begin + 2000 * 20 * MILLISECOND;

	(void)state;
	clear_notes(begin);
	start_task(&tasks[0], begin);
	start_task(&tasks[1], begin);
	simulate(cpu, tasks, 2, begin, stop, note_use);
	assert_int_equal(begins, 2000 * 3);
	assert_true(begin_late_max == 0);
	/* The first window's end is where the second one's is prepared. */
	assert_true(inside[0] == 2000 * (7 * MILLISECOND - LEAD) && outside[0] == 0 && others_inside[0] == 2000 * LEAD);
	assert_true(inside[1] == 2000 * 3 * MILLISECOND && outside[1] == 0 && others_inside[1] == 0);
	assert_true(tasks[0].vcpu->sched.cyclic.late_max == 0);
}

/* A switch that takes less than the lead makes no window late. */
static void test_switches_take_time(void **state)
{
	struct task tasks[] = {
		{.vcpu = add(0, BIT(1), 20000, WINDOWS({0, 5000}, {5000, 1000}, {10000, 2000})), .work = UINT64_MAX},
		{.vcpu = add(1, BIT(1), 20000, WINDOWS({6000, 3000})), .work = UINT64_MAX},
	};
	struct scheduler_cpu *cpu = &fixture_cpus[1];
	uint64_t begin = cpu->cyclic.epoch, start = begin + 9 * MILLISECOND + MILLISECOND / 2;

	(void)state;
	clear_notes(begin);
	fixture_switch_length = 6 * MICROSECOND;
	fixture_exit_length = 3 * MICROSECOND;
	start_task(&tasks[0], start);
	start_task(&tasks[1], start);
	simulate(cpu, tasks, 2, start, start + 1000 * 20 * MILLISECOND, note_use);
	/* Where one window of a VM follows another at once nothing is prepared, but it is asked. */
	assert_in_range(begin_late_max, 6 * MICROSECOND, 9 * MICROSECOND);
	assert_true(tasks[0].vcpu->sched.cyclic.late_max == 0 && tasks[1].vcpu->sched.cyclic.late_max == 0);
	assert_in_range(inside[0], 1000 * (8 * MILLISECOND - 30 * MICROSECOND), 1000 * 8 * MILLISECOND);
}

/* Exits of others, of up to 25 us, and no more than what the lead does not cover makes a window late; it is written down. */
static void test_lateness_is_known(void **state)
{
	struct task tasks[] = {
		{.vcpu = add(0, BIT(1), 20000, WINDOWS({0, 5000}, {10000, 2000})), .work = UINT64_MAX},
		{.vcpu = add(1, BIT(1), 20000, WINDOWS({5000, 3000})), .work = UINT64_MAX},
	};
	struct scheduler_cpu *cpu = &fixture_cpus[1];
	uint64_t begin = cpu->cyclic.epoch, late;

	(void)state;
	clear_notes(begin);
	fixture_exit_length = 25 * MICROSECOND;
	start_task(&tasks[0], begin);
	start_task(&tasks[1], begin);
	simulate(cpu, tasks, 2, begin, begin + 1000 * 20 * MILLISECOND, note_use);
	late = max_u64(tasks[0].vcpu->sched.cyclic.late_max, tasks[1].vcpu->sched.cyclic.late_max);
	assert_in_range(begin_late_max, 10 * MICROSECOND, 15 * MICROSECOND);
	assert_int_equal(late, begin_late_max);
}

/* What sleeps and wakes inside its window is not late; its window's rest is others' while it sleeps. */
static void test_sleeping_owner(void **state)
{
	struct task tasks[] = {
		{.vcpu = add(0, BIT(1), 20000, WINDOWS({0, 5000})), .work = MILLISECOND, .interval = 3 * MILLISECOND},
		{.vcpu = add(1, BIT(1), 20000, WINDOWS({5000, 15000})), .work = UINT64_MAX},
	};
	struct scheduler_cpu *cpu = &fixture_cpus[1];
	uint64_t begin = cpu->cyclic.epoch;

	(void)state;
	clear_notes(begin);
	start_task(&tasks[0], begin);
	start_task(&tasks[1], begin);
	simulate(cpu, tasks, 2, begin, begin + 1000 * 20 * MILLISECOND, note_use);
	assert_true(outside[0] == 0 && outside[1] == 0 && others_inside[1] <= 1000 * LEAD);
	assert_true(inside[1] >= 1000 * (15 * MILLISECOND - LEAD));
	assert_in_range(inside[0], 1000 * MILLISECOND, 3000 * MILLISECOND);
	assert_true(tasks[0].vcpu->sched.cyclic.late_max == 0);
	/* Inside its window it goes first at once. */
	uint64_t end, now = begin + 100000 * 20 * MILLISECOND;
	sched_policy_cyclic.dequeue(cpu, tasks[1].vcpu);
	if (!list_is_empty(&tasks[0].vcpu->sched.link))
		sched_policy_cyclic.dequeue(cpu, tasks[0].vcpu);
	assert_null(pick(cpu, now + MILLISECOND, &end));
	/* A window whose owner sleeps is no reason for anything. */
	assert_true(end == UINT64_MAX);
	enqueue(tasks[0].vcpu, SCHED_WOKEN, now + MILLISECOND);
	assert_ptr_equal(pick(cpu, now + MILLISECOND, &end), tasks[0].vcpu);
	assert_int_equal(end, now + 5 * MILLISECOND);
	assert_true(tasks[0].vcpu->sched.cyclic.late_max == 0);
}

static void test_next_event(void **state)
{
	struct vcpu *vcpu = add(0, BIT(1), 20000, WINDOWS({3000, 1000}, {8000, 2000}));
	struct scheduler_cpu *cpu = &fixture_cpus[1];
	uint64_t begin = cpu->cyclic.epoch + 7 * 20 * MILLISECOND, end;

	(void)state;
	enqueue(vcpu, SCHED_STARTED, begin);
	assert_null(pick(cpu, begin, &end));
	assert_int_equal(end, begin + 3 * MILLISECOND - LEAD);
	assert_null(pick(cpu, begin + 4 * MILLISECOND, &end));
	assert_int_equal(end, begin + 8 * MILLISECOND - LEAD);
	assert_null(pick(cpu, begin + 10 * MILLISECOND, &end));
	assert_int_equal(end, begin + 23 * MILLISECOND - LEAD);
	assert_ptr_equal(pick(cpu, begin + 8 * MILLISECOND, &end), vcpu);
	assert_int_equal(end, begin + 10 * MILLISECOND);
	assert_true(vcpu->sched.cyclic.late_max == 0);
	assert_true(cpu->enter_at == 0);
	enqueue(vcpu, SCHED_PREEMPTED, begin + 10 * MILLISECOND);
	/* Taken before its time, to begin on time, also at the frame's end. */
	assert_ptr_equal(pick(cpu, begin + 23 * MILLISECOND - LEAD, &end), vcpu);
	assert_true(cpu->enter_at == begin + 23 * MILLISECOND && end == begin + 24 * MILLISECOND);
	enqueue(vcpu, SCHED_PREEMPTED, begin + 23 * MILLISECOND - LEAD);
	/* Late is what its run shows; what it is charged for before is no run. */
	assert_ptr_equal(pick(cpu, begin + 23 * MILLISECOND + 3, &end), vcpu);
	sched_policy_cyclic.charge(cpu, vcpu, begin + 22 * MILLISECOND, begin + 23 * MILLISECOND + 3);
	sched_policy_cyclic.charge(cpu, vcpu, begin + 23 * MILLISECOND + 7, begin + 24 * MILLISECOND);
	assert_true(vcpu->sched.cyclic.late_max == 7);
	sched_policy_cyclic.charge(cpu, vcpu, begin + 23 * MILLISECOND + 70, begin + 24 * MILLISECOND);
	assert_true(vcpu->sched.cyclic.late_max == 7);
	/* A window is no event while its owner sleeps, though another one waits. */
	enqueue(add(1, BIT(1), 20000, WINDOWS({15000, 1000})), SCHED_STARTED, begin);
	assert_null(pick(cpu, begin, &end));
	assert_int_equal(end, begin + 15 * MILLISECOND - LEAD);
}

/* One that wakes just before its next window, and in its own, need not wait for it. */
static void test_own_next_window(void **state)
{
	struct vcpu *vcpu = add(0, BIT(1), 20000, WINDOWS({0, 5000}, {5000, 1000}));
	struct scheduler_cpu *cpu = &fixture_cpus[1];
	uint64_t begin = cpu->cyclic.epoch + 20 * MILLISECOND, end;

	(void)state;
	enqueue(vcpu, SCHED_WOKEN, begin + 5 * MILLISECOND - LEAD / 2);
	assert_ptr_equal(pick(cpu, begin + 5 * MILLISECOND - LEAD / 2, &end), vcpu);
	assert_true(cpu->enter_at == 0 && end == begin + 5 * MILLISECOND);
}

/* CPUs whose first VM came at other times have frames that begin at the same time. */
static void test_frames_keep_step(void **state)
{
	struct scheduler_cpu *cpus = fixture_cpus;
	uint64_t end, at;

	(void)state;
	configure(0, 10000, WINDOWS({2000, 1000}));
	assert_true(admit(&sched_policy_cyclic, &fixture_vcpus[0][0], BIT(1)));
	fake_tsc += 123456789;
	assert_true(admit(&sched_policy_cyclic, &fixture_vcpus[0][1], BIT(2)));
	assert_non_null(add(1, BIT(3), 30000, WINDOWS({2000, 1000})));
	assert_true(cpus[1].cyclic.epoch == cpus[2].cyclic.epoch && cpus[1].cyclic.epoch == cpus[3].cyclic.epoch);
	at = cpus[1].cyclic.epoch + 3000 * 10 * MILLISECOND + 2 * MILLISECOND;
	enqueue(&fixture_vcpus[0][0], SCHED_STARTED, at);
	enqueue(&fixture_vcpus[0][1], SCHED_STARTED, at);
	enqueue(&fixture_vcpus[1][0], SCHED_STARTED, at);
	for (unsigned i = 1; i <= 3; i++)
		assert_non_null(pick(&cpus[i], at, &end));
}

/* Windows that touch still do when a microsecond is no whole number of ticks, and do not overlap. */
static void test_odd_frequency(void **state)
{
	(void)state;
	fixture_start(ODD_HZ);
	struct task tasks[] = {
		{.vcpu = add(0, BIT(1), 10001, WINDOWS({0, 3333}, {5000, 1234})), .work = UINT64_MAX},
		{.vcpu = add(1, BIT(1), 10001, WINDOWS({3333, 1667}, {6234, 3767})), .work = UINT64_MAX},
	};
	struct scheduler_cpu *cpu = &fixture_cpus[1];
	uint64_t begin = cpu->cyclic.epoch;

	clear_notes(begin);
	start_task(&tasks[0], begin);
	start_task(&tasks[1], begin);
	simulate(cpu, tasks, 2, begin, begin + 1000 * ticks(10001), note_use);
	for (unsigned i = 0; i < 3; i++)
		assert_true(cpu->cyclic.windows[i].start + cpu->cyclic.windows[i].length == cpu->cyclic.windows[i + 1].start);
	/* All but what prepares the four windows. */
	assert_true(outside[0] == 0 && outside[1] == 0);
	assert_true(inside[0] + inside[1] + 4000 * ticks(10) == 1000 * ticks(10001));
	assert_true(begin_late_max == 0);
}

#define TEST(function) cmocka_unit_test_setup(function, set_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_windows_must_be_disjoint), TEST(test_one_frame_for_each_cpu), TEST(test_choice_of_cpu), TEST(test_each_vcpu_has_its_cpu),
		TEST(test_other_policies), TEST(test_no_more_room), TEST(test_windows_begin_on_time), TEST(test_switches_take_time), TEST(test_lateness_is_known),
		TEST(test_sleeping_owner), TEST(test_next_event), TEST(test_own_next_window), TEST(test_frames_keep_step), TEST(test_odd_frequency),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
