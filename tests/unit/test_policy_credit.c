/* vmm/sched/policy_credit.c: shares by weight, caps, boosts, yields and balance, on CPUs whose time is a number. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/policy_fixture.h"

#define CPU0 (&fixture_cpus[0])
#define CPU1 (&fixture_cpus[1])
#define SLICE (10 * MILLISECOND)

static unsigned woken_cpus;

/* In place of scheduler_wake.c's. */
void scheduler_wake_cpu(struct scheduler_cpu *cpu)
{
	(void)cpu;
	woken_cpus++;
}

static uint64_t now;
static uint64_t ran[VMS];
static unsigned turns[VMS];

static int set_up(void **state)
{
	(void)state;
	fixture_start(HZ);
	now = fake_tsc;
	memset(ran, 0, sizeof(ran));
	memset(turns, 0, sizeof(turns));
	return 0;
}

static struct vcpu *add_vcpu(unsigned vm, unsigned index, uint64_t cpus)
{
	struct vcpu *vcpu = &fixture_vcpus[vm][index];

	if (fixture_vms[vm].vcpu_count <= index)
		fixture_vms[vm].vcpu_count = index + 1;
	vcpu->sched.affinity = cpus;
	assert_true(admit(&sched_policy_credit, vcpu, cpus));
	vcpu->state = VCPU_RUNNABLE;
	enqueue(vcpu, SCHED_STARTED, now);
	fixture_cpus[vcpu->pcpu_index].queued++;
	return vcpu;
}

static struct vcpu *add(unsigned vm, uint32_t weight, uint32_t cap, uint64_t cpus)
{
	fixture_vms[vm].sched_settings = (struct config_sched){.policy = CONFIG_SCHED_CREDIT, .weight = weight, .cap = cap};
	return add_vcpu(vm, 0, cpus);
}

/* The next run on @cpu begins; @length: how long it may last. */
static struct vcpu *begin(struct scheduler_cpu *cpu, uint64_t *length)
{
	uint64_t until = UINT64_MAX;

	cpu->run_most = UINT64_MAX;
	struct vcpu *vcpu = sched_policy_credit.pick(cpu, now, &until);
	uint64_t next = sched_policy_credit.next_event(cpu, now);
	assert_true(until > now && next > now);
	*length = min_u64(cpu->run_most, min_u64(until, next) - now);
	if (vcpu) {
		vcpu->state = VCPU_RUNNING;
		vcpu->sched.since = now;
		cpu->queued--;
		turns[vcpu->vm - fixture_vms]++;
	}
	cpu->running = vcpu;
	return vcpu;
}

static void end(struct scheduler_cpu *cpu, struct vcpu *vcpu, uint64_t length, enum sched_enqueue_reason reason)
{
	now += length;
	cpu->running = NULL;
	sched_policy_credit.charge(cpu, vcpu, now - length, now);
	ran[vcpu->vm - fixture_vms] += length;
	vcpu->state = VCPU_RUNNABLE;
	enqueue(vcpu, reason, now);
	cpu->queued++;
}

/* CPU 0 alone, with vCPUs that compute for ever; each run ends up to @late after its time. */
static void compute(uint64_t duration, uint32_t late)
{
	uint64_t stop = now + duration, length;

	while (now < stop) {
		struct vcpu *vcpu = begin(CPU0, &length);
		length = min_u64(length, stop - now) + (late ? random_below(late) : 0);
		if (vcpu)
			end(CPU0, vcpu, length, SCHED_PREEMPTED);
		else
			now += length;
	}
}

static void sleep_now(struct scheduler_cpu *cpu, struct vcpu *vcpu)
{
	sched_policy_credit.dequeue(cpu, vcpu);
	vcpu->state = VCPU_BLOCKED;
	cpu->queued--;
}

static void wake(struct scheduler_cpu *cpu, struct vcpu *vcpu)
{
	vcpu->state = VCPU_RUNNABLE;
	enqueue(vcpu, SCHED_WOKEN, now);
	cpu->queued++;
}

/* Within @permille of @wanted. */
static void assert_near(uint64_t value, uint64_t wanted, uint64_t permille)
{
	assert_in_range(value, wanted - wanted * permille / 1000, wanted + wanted * permille / 1000);
}

static void test_weights(void **state)
{
	(void)state;
	add(0, 512, 0, 1);
	add(1, 256, 0, 1);
	add(2, 256, 0, 1);
	compute(10000 * MILLISECOND, 0);
	assert_near(ran[0], 5000 * MILLISECOND, 5);
	assert_near(ran[1], 2500 * MILLISECOND, 5);
	assert_near(ran[2], 2500 * MILLISECOND, 5);
	/* By turns of a slice. */
	assert_in_range(turns[0] + turns[1] + turns[2], 1000, 1010);
}

static void test_weights_with_late_exits(void **state)
{
	(void)state;
	add(0, 65535, 0, 1);
	add(1, 65535 / 4, 0, 1);
	compute(10000 * MILLISECOND, 2 * MILLISECOND);
	assert_near(ran[0], ran[1] * 4, 10);
}

static void test_alone_without_limit(void **state)
{
	uint64_t length;

	(void)state;
	add(0, 256, 0, 1);
	assert_ptr_equal(begin(CPU0, &length), &fixture_vcpus[0][0]);
	assert_true(length > 1000000 * SLICE);
}

static void test_cap(void **state)
{
	(void)state;
	add(0, 256, 30, 1);
	compute(5000 * MILLISECOND, 0);
	assert_near(ran[0], 1500 * MILLISECOND, 3);
	/* Used up at once in each window, and not in little pieces. */
	assert_in_range(turns[0], 495, 505);
}

static void test_cap_beside_others(void **state)
{
	(void)state;
	add(0, 1024, 30, 1);
	add(1, 256, 0, 1);
	compute(5000 * MILLISECOND, 100 * (uint32_t)MICROSECOND);
	assert_near(ran[0], 1500 * MILLISECOND, 5);
	assert_near(ran[1], 3500 * MILLISECOND, 20);
}

/* Two vCPUs on two CPUs together use no more than the VM's cap. */
static void test_cap_of_two_vcpus(void **state)
{
	uint64_t length[2], stop = now + 3000 * MILLISECOND, ends[2] = {0, 0};
	struct vcpu *runs[2] = {NULL, NULL};

	(void)state;
	add(0, 256, 50, 1);
	add_vcpu(0, 1, 2);
	while (now < stop) {
		for (unsigned i = 0; i < 2; i++) {
			if (now < ends[i])
				continue;
			if (runs[i]) {
				uint64_t began = runs[i]->sched.since;
				now = began;
				end(&fixture_cpus[i], runs[i], ends[i] - began, SCHED_PREEMPTED);
			}
			runs[i] = begin(&fixture_cpus[i], &length[i]);
			ends[i] = now + length[i];
		}
		now = min_u64(ends[0], ends[1]);
	}
	assert_near(ran[0], 1500 * MILLISECOND, 15);
}

static void test_boost(void **state)
{
	uint64_t length;

	(void)state;
	struct vcpu *busy = add(0, 256, 0, 1), *sleeper = add(1, 256, 0, 1);
	sleep_now(CPU0, sleeper);
	compute(100 * MILLISECOND, 0);
	assert_ptr_equal(begin(CPU0, &length), busy);
	/* An event in the middle of the other's slice. */
	end(CPU0, busy, 3 * MILLISECOND, SCHED_PREEMPTED);
	wake(CPU0, sleeper);
	assert_ptr_equal(begin(CPU0, &length), sleeper);
	assert_true(length <= MILLISECOND);
	end(CPU0, sleeper, length / 2, SCHED_PREEMPTED);
	assert_ptr_equal(begin(CPU0, &length), sleeper);
	end(CPU0, sleeper, length, SCHED_PREEMPTED);
	/* The boost is used up. */
	assert_false(sleeper->sched.boosted);
}

static void test_preempted_keeps_its_slice(void **state)
{
	uint64_t length, whole;

	(void)state;
	struct vcpu *busy = add(0, 256, 0, 1);
	struct vcpu *sleeper = add(1, 256, 0, 1);
	add(2, 256, 0, 1);
	sleep_now(CPU0, sleeper);
	struct vcpu *first = begin(CPU0, &whole);
	assert_true(first == busy || first == &fixture_vcpus[2][0]);
	end(CPU0, first, 4 * MILLISECOND, SCHED_PREEMPTED);
	wake(CPU0, sleeper);
	assert_ptr_equal(begin(CPU0, &length), sleeper);
	CPU0->running = NULL;
	now += 100 * MICROSECOND;
	sched_policy_credit.charge(CPU0, sleeper, now - 100 * MICROSECOND, now);
	sleeper->state = VCPU_BLOCKED;
	assert_ptr_equal(begin(CPU0, &length), first);
	assert_int_equal(length, whole - 4 * MILLISECOND);
}

/* Waking again and again gives no more than the fair share, however short the runs are. */
static void test_boosts_are_no_way_to_more(void **state)
{
	uint64_t length;

	(void)state;
	struct vcpu *busy = add(0, 256, 0, 1), *greedy = add(1, 256, 0, 1);
	sleep_now(CPU0, greedy);
	for (unsigned i = 0; i < 20000; i++) {
		if (greedy->state == VCPU_BLOCKED)
			wake(CPU0, greedy);
		struct vcpu *vcpu = begin(CPU0, &length);
		end(CPU0, vcpu, min_u64(length, vcpu == greedy ? 900 * MICROSECOND : 50 * MICROSECOND), SCHED_PREEMPTED);
		if (vcpu == greedy)
			sleep_now(CPU0, greedy);
	}
	assert_near(ran[0], ran[1], 30);
	(void)busy;
}

/* Who slept long has no claim to all of that time. */
static void test_long_sleep(void **state)
{
	(void)state;
	struct vcpu *sleeper = add(1, 256, 0, 1);
	add(0, 256, 0, 1);
	sleep_now(CPU0, sleeper);
	compute(10000 * MILLISECOND, 0);
	memset(ran, 0, sizeof(ran));
	wake(CPU0, sleeper);
	compute(200 * MILLISECOND, 0);
	assert_in_range(ran[1], 95 * MILLISECOND, 115 * MILLISECOND);
}

static void test_yield_to_sibling(void **state)
{
	uint64_t length;

	(void)state;
	struct vcpu *spinner = add(0, 256, 0, 1), *holder = add_vcpu(0, 1, 1);
	add(1, 256, 0, 1);
	compute(300 * MILLISECOND, 0);
	for (unsigned i = 0; i < 10; i++) {
		struct vcpu *vcpu = begin(CPU0, &length);
		end(CPU0, vcpu, 20 * MICROSECOND, vcpu == spinner ? SCHED_YIELDED : SCHED_PREEMPTED);
		if (vcpu != spinner)
			continue;
		assert_ptr_not_equal(begin(CPU0, &length), spinner);
		return;
	}
	(void)holder;
}

/* Spinners do not pass the turn to each other for ever while another vCPU of their VM waits. */
static void test_yields_reach_everybody(void **state)
{
	uint64_t length, others = 0;

	(void)state;
	struct vcpu *spinner = add(0, 256, 0, 1);
	struct vcpu *worker = add_vcpu(0, 1, 1);
	for (unsigned i = 0; i < 1000; i++) {
		struct vcpu *vcpu = begin(CPU0, &length);
		end(CPU0, vcpu, vcpu == worker ? min_u64(length, MILLISECOND) : 10 * MICROSECOND, vcpu == spinner ? SCHED_YIELDED : SCHED_PREEMPTED);
		others += vcpu == worker;
	}
	assert_true(others > 400);
}

static void test_idle_cpu_takes_what_waits(void **state)
{
	uint64_t length;

	(void)state;
	add(0, 256, 0, 3);
	add(1, 256, 0, 1);
	struct vcpu *movable = &fixture_vcpus[0][0];
	struct scheduler_cpu *from = &fixture_cpus[movable->pcpu_index], *to = from == CPU0 ? CPU1 : CPU0;
	assert_ptr_equal(sched_policy_credit.steal(from, to, now), to == CPU1 ? movable : NULL);
	/* Not one whose state is in the other CPU, and not where its affinity forbids it. */
	from->loaded = movable;
	assert_null(sched_policy_credit.steal(from, &fixture_cpus[2], now));
	from->loaded = NULL;
	assert_null(sched_policy_credit.steal(from, &fixture_cpus[2], now));
	(void)begin(from, &length);
}

/* Three equal VMs on two CPUs: what waits goes to the CPU whose VM had more. */
static void test_busy_cpu_takes_who_is_behind(void **state)
{
	uint64_t length;

	(void)state;
	struct vcpu *ahead = add(0, 256, 0, 3), *behind = add(1, 256, 0, 3);
	struct scheduler_cpu *to = &fixture_cpus[ahead->pcpu_index], *from = &fixture_cpus[behind->pcpu_index];
	assert_ptr_not_equal(from, to);
	assert_ptr_equal(begin(to, &length), ahead);
	end(to, ahead, SLICE / 2, SCHED_PREEMPTED);
	assert_null(sched_policy_credit.steal(from, to, now));
	for (unsigned i = 0; i < 4; i++) {
		assert_ptr_equal(begin(to, &length), ahead);
		end(to, ahead, SLICE, SCHED_PREEMPTED);
	}
	assert_ptr_equal(sched_policy_credit.steal(from, to, now), behind);
}

static void test_admission(void **state)
{
	(void)state;
	/* The least loaded, the boot processor last. */
	assert_int_equal(add(0, 256, 0, 7)->pcpu_index, 1);
	assert_int_equal(add(1, 256, 0, 7)->pcpu_index, 2);
	assert_int_equal(add(2, 256, 0, 7)->pcpu_index, 0);
	fixture_vms[3].sched_settings.policy = CONFIG_SCHED_PINNED;
	assert_true(admit(&sched_policy_pinned, &fixture_vcpus[3][0], 8));
	assert_false(admit(&sched_policy_credit, &fixture_vcpus[4][0], 8));
	leave(&fixture_vcpus[3][0]);
}

#define TEST(function) cmocka_unit_test_setup(function, set_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_weights), TEST(test_weights_with_late_exits), TEST(test_alone_without_limit), TEST(test_cap), TEST(test_cap_beside_others),
		TEST(test_cap_of_two_vcpus), TEST(test_boost), TEST(test_preempted_keeps_its_slice), TEST(test_boosts_are_no_way_to_more),
		TEST(test_long_sleep), TEST(test_yield_to_sibling), TEST(test_yields_reach_everybody), TEST(test_idle_cpu_takes_what_waits),
		TEST(test_busy_cpu_takes_who_is_behind), TEST(test_admission),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
