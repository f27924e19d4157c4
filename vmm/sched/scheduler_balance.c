/*
 * vCPUs change their CPU: one with nothing to do takes what waits elsewhere; a busy one takes what its policy wants there.
 */
#include "arch/x86/clock.h"
#include "vmm/sched/scheduler_cpu.h"

#define BALANCE_NANOSECONDS 10000000u

static uint64_t balance_interval(void)
{
	static uint64_t interval;

	if (!interval)
		interval = clock_ticks_from_nanoseconds(BALANCE_NANOSECONDS);
	return interval;
}

static void lock_both(struct scheduler_cpu *a, struct scheduler_cpu *b)
{
	spinlock_lock(a->index < b->index ? &a->lock : &b->lock);
	spinlock_lock(a->index < b->index ? &b->lock : &a->lock);
}

static void unlock_both(struct scheduler_cpu *a, struct scheduler_cpu *b)
{
	spinlock_unlock(&a->lock);
	spinlock_unlock(&b->lock);
}

/* Somebody queued at @from whose policy would rather have it at @to. */
static struct vcpu *find_candidate(struct scheduler_cpu *from, struct scheduler_cpu *to, uint64_t now)
{
	for (unsigned i = 0; i < SCHED_POLICY_COUNT; i++) {
		struct vcpu *vcpu = sched_policies[i]->steal ? sched_policies[i]->steal(from, to, now) : NULL;
		if (vcpu)
			return vcpu;
	}
	return NULL;
}

static bool steal_from(struct scheduler_cpu *from, struct scheduler_cpu *to, uint64_t now)
{
	lock_both(from, to);
	struct vcpu *vcpu = to->vcpu_count < SCHEDULER_MAX_VCPUS ? find_candidate(from, to, now) : NULL;
	if (vcpu) {
		scheduler_detach(from, vcpu, now);
		vcpu->sched.migrations++;
		scheduler_attach(to, vcpu, now);
	}
	unlock_both(from, to);
	return vcpu != NULL;
}

/* @to runs something without end, and does not know that somebody waits here. */
static void offer_to(struct scheduler_cpu *from, struct scheduler_cpu *to, uint64_t now)
{
	lock_both(from, to);
	bool wanted = to->running && find_candidate(from, to, now);
	unlock_both(from, to);
	if (!wanted)
		return;
	__atomic_store_n(&to->balance_at, 0, __ATOMIC_RELAXED);
	scheduler_wake_cpu(to);
}

bool scheduler_balance(struct scheduler_cpu *cpu, uint64_t now)
{
	__atomic_store_n(&cpu->balance_at, now + balance_interval(), __ATOMIC_RELAXED);
	if (!scheduler_is_usable(cpu->index))
		return false;
	for (uint32_t i = 0; i < pcpu_count(); i++) {
		struct scheduler_cpu *other = scheduler_cpu_of(i);
		bool waits_there = __atomic_load_n(&other->queued, __ATOMIC_RELAXED) != 0;
		if (other == cpu)
			continue;
		if (waits_there && steal_from(other, cpu, now))
			return true;
		if (!waits_there && cpu->queued && scheduler_is_usable(i))
			offer_to(cpu, other, now);
	}
	return false;
}

/* The first that may move there; the rest follows when that CPU is busy and somebody still waits. */
void scheduler_offer(struct scheduler_cpu *cpu)
{
	for (uint32_t i = 0; i < pcpu_count(); i++) {
		struct scheduler_cpu *other = scheduler_cpu_of(i);
		if (other == cpu || !__atomic_load_n(&other->idle, __ATOMIC_RELAXED) || !scheduler_is_usable(i))
			continue;
		lock_both(cpu, other);
		bool wanted = find_candidate(cpu, other, clock_now()) != NULL;
		unlock_both(cpu, other);
		if (wanted) {
			scheduler_wake_cpu(other);
			return;
		}
	}
}
