/*
 * Some CPUs' parts of the scheduler and some VMs, and a small machine that runs vCPUs as policies say: time is a number, and
 * what a vCPU does is a demand of work that comes again. Included by one .c file of a program, behind cmocka.h.
 */
#pragma once

#include <stdlib.h>
#include <string.h>

#include "arch/x86/clock.h"
#include "lib/bits.h"
#include "tests/fake/fake_cpu.h"
#include "tests/fake/fake_pcpu.h"
#include "vmm/sched/policy.h"
#include "vmm/sched/scheduler_cpu.h"
#include "vmm/vm.h"

#define CPUS 4u
#define VMS 8u
#define HZ 1000000000ull
#define MICROSECOND 1000ull /* [TSC ticks] */
#define MILLISECOND 1000000ull

/* What a vCPU of the small machine does. */
struct task {
	struct vcpu *vcpu;
	uint64_t work, interval; /* wants @work of the CPU every @interval; work = UINT64_MAX: for ever */
	uint64_t left, wake_at;  /* of the work; when it sleeps */
	uint64_t ran, released;  /* in all; since when it wanted what it now wants */
	uint64_t finished, worst; /* pieces of work; longest time from wanting to having */
	void (*slept)(struct task *task, uint64_t now); /* sets work and wake_at by itself; may be NULL */
};

static struct scheduler_cpu fixture_cpus[CPUS];
static struct vm fixture_vms[VMS];
static struct vm_config fixture_configs[VMS];
static struct vcpu fixture_vcpus[VMS][2];
static char why[SCHED_REFUSAL_SIZE];
static uint64_t fixture_exit_length; /* a vCPU that must leave does so up to that much later */
static uint64_t fixture_switch_length; /* from a decision to the guest's first instruction */
static uint32_t fixture_random = 1;

static inline uint32_t random_below(uint32_t limit)
{
	fixture_random = fixture_random * 1664525 + 1013904223;
	return (uint32_t)((uint64_t)fixture_random * limit >> 32);
}

static inline void fixture_start(uint64_t hz)
{
	memset(fixture_cpus, 0, sizeof(fixture_cpus));
	memset(fixture_vms, 0, sizeof(fixture_vms));
	memset(fixture_vcpus, 0, sizeof(fixture_vcpus));
	memset(why, 0, sizeof(why));
	fake_pcpu_reset();
	clock_set_frequency(hz);
	fake_tsc = 1000 * MILLISECOND;
	fixture_exit_length = fixture_switch_length = 0;
	for (uint32_t i = 0; i < CPUS; i++) {
		if (i > 0)
			assert_non_null(pcpu_add(i, i));
		fixture_cpus[i].index = i;
		list_init(&fixture_cpus[i].pinned.queue);
		list_init(&fixture_cpus[i].cyclic.queue);
		list_init(&fixture_cpus[i].rt.queue);
		list_init(&fixture_cpus[i].credit.queue);
		pcpu_get(i)->scheduler = &fixture_cpus[i];
	}
	for (uint32_t i = 0; i < VMS; i++) {
		strcpy(fixture_configs[i].name, "vm0");
		fixture_configs[i].name[2] = (char)('0' + i);
		fixture_vms[i].config = &fixture_configs[i];
		for (uint32_t v = 0; v < 2; v++) {
			fixture_vcpus[i][v].vm = &fixture_vms[i];
			fixture_vcpus[i][v].index = v;
			fixture_vms[i].vcpus[v] = &fixture_vcpus[i][v];
			list_init(&fixture_vcpus[i][v].sched.link);
		}
	}
}

/* Admits as the scheduler does. */
static inline bool admit(const struct sched_policy *policy, struct vcpu *vcpu, uint64_t allowed)
{
	uint32_t index = CPUS;

	memset(why, 0, sizeof(why));
	if (policy->admit(vcpu, allowed, &index, why) != STATUS_OK) {
		assert_true(strlen(why) > 10 && strlen(why) < SCHED_REFUSAL_SIZE - 1);
		return false;
	}
	assert_true(index < CPUS && allowed >> index & 1);
	vcpu->pcpu_index = index;
	vcpu->sched.policy = policy;
	fixture_cpus[index].vcpus[fixture_cpus[index].vcpu_count++] = vcpu;
	return true;
}

static inline void leave(struct vcpu *vcpu)
{
	struct scheduler_cpu *cpu = &fixture_cpus[vcpu->pcpu_index];
	uint32_t kept = 0;

	for (uint32_t i = 0; i < cpu->vcpu_count; i++) {
		if (cpu->vcpus[i] != vcpu)
			cpu->vcpus[kept++] = cpu->vcpus[i];
	}
	cpu->vcpu_count = kept;
	vcpu->sched.policy->leave(vcpu);
	vcpu->sched.policy = NULL;
}

static inline void enqueue(struct vcpu *vcpu, enum sched_enqueue_reason reason, uint64_t now)
{
	vcpu->sched.since = now;
	vcpu->sched.policy->enqueue(&fixture_cpus[vcpu->pcpu_index], vcpu, reason, now);
}

/* What the policies of @cpu want: the vCPU that runs, if any, and until when. */
static inline struct vcpu *pick(struct scheduler_cpu *cpu, uint64_t now, uint64_t *end)
{
	static const struct sched_policy *const order[] = {&sched_policy_pinned, &sched_policy_cyclic, &sched_policy_rt};
	struct vcpu *vcpu = NULL;

	*end = UINT64_MAX;
	cpu->enter_at = 0;
	cpu->run_most = UINT64_MAX;
	for (unsigned i = 0; i < array_count(order) && !vcpu; i++) {
		uint64_t until = UINT64_MAX;
		vcpu = order[i]->pick(cpu, now, &until);
		uint64_t next = order[i]->next_event(cpu, now);
		/* Nothing asks again and again without time passing. */
		assert_true(until > now && next > now);
		*end = min_u64(*end, min_u64(until, next));
	}
	if (cpu->run_most < *end - now)
		*end = now + cpu->run_most;
	return vcpu;
}

static inline void start_task(struct task *task, uint64_t now)
{
	task->left = task->work;
	task->wake_at = UINT64_MAX;
	task->released = now;
	enqueue(task->vcpu, SCHED_STARTED, now);
}

static inline uint64_t wake_tasks(struct task *tasks, unsigned count, uint64_t now)
{
	uint64_t next = UINT64_MAX;

	for (unsigned i = 0; i < count; i++) {
		if (tasks[i].wake_at <= now) {
			tasks[i].released = tasks[i].wake_at;
			tasks[i].wake_at = UINT64_MAX;
			tasks[i].left = tasks[i].work;
			enqueue(tasks[i].vcpu, SCHED_WOKEN, now);
		}
		next = min_u64(next, tasks[i].wake_at);
	}
	return next;
}

static inline void run_task(struct scheduler_cpu *cpu, struct task *task, uint64_t from, uint64_t to)
{
	struct vcpu *vcpu = task->vcpu;

	vcpu->sched.policy->charge(cpu, vcpu, from, to);
	task->ran += to - from;
	task->left -= task->left == UINT64_MAX ? 0 : min_u64(task->left, to - from);
	if (task->left) {
		enqueue(vcpu, SCHED_PREEMPTED, to);
		return;
	}
	task->finished++;
	task->worst = max_u64(task->worst, to - task->released);
	task->wake_at = max_u64(to + 1, task->released + task->interval);
	if (task->slept)
		task->slept(task, to);
}

/* Called for each stretch of time: who ran on the CPU; NULL: what no policy wanted, the time of others. */
typedef void (*simulate_note)(const struct vcpu *vcpu, uint64_t from, uint64_t to);

/* The life of @cpu, to which all the tasks belong, until @stop. Returns the time at which it ended. */
static inline uint64_t simulate(struct scheduler_cpu *cpu, struct task *tasks, unsigned count, uint64_t now, uint64_t stop, simulate_note note)
{
	while (now < stop) {
		uint64_t wake = wake_tasks(tasks, count, now), from, end, to;
		struct vcpu *vcpu = pick(cpu, now, &end);
		struct task *task = tasks;

		from = vcpu ? max_u64(now + fixture_switch_length, cpu->enter_at) : now;
		end = max_u64(min_u64(min_u64(end, wake), stop), from);
		to = end + (fixture_exit_length ? random_below((uint32_t)fixture_exit_length) : 0);
		while (vcpu && task->vcpu != vcpu)
			task++;
		if (vcpu && task->left < to - from)
			to = from + task->left;
		if (vcpu)
			run_task(cpu, task, from, to);
		if (note && from > now)
			note(NULL, now, from);
		if (note && to > from)
			note(vcpu, from, to);
		now = to;
	}
	return now;
}
