/*
 * rt: each vCPU may use `budget` of every `period`, and of those with budget left the one whose period ends first runs. Where
 * the sum of budget / period stays below the limit, earliest deadline first gives every vCPU its budget before its period ends
 * (C. L. Liu, J. W. Layland, "Scheduling Algorithms for Multiprogramming in a Hard-Real-Time Environment"). A vCPU that wakes
 * gets a period of its own by the rule of the constant bandwidth server (L. Abeni, G. Buttazzo, "Integrating Multimedia
 * Applications in Hard Real-Time Systems"), so that sleeping and waking never makes its share larger. The budget is hard: a
 * vCPU that has used it up waits for its next period, even beside an idle CPU.
 */
#include "arch/x86/clock.h"
#include "lib/bits.h"
#include "lib/fmt.h"
#include "vmm/sched/policy.h"
#include "vmm/sched/policy_pinned.h"
#include "vmm/sched/scheduler_cpu.h"
#include "vmm/vm.h"

#define SHARE_OF_ONE_CPU BIT(32) /* shares are parts of it */
#define LIMIT_PERCENT 95u        /* the rest is for the exits of others, switches and housekeeping */
#define SHARE_LIMIT (SHARE_OF_ONE_CPU * LIMIT_PERCENT / 100 + SCHEDULER_MAX_VCPUS) /* each share was rounded up */
#define YIELD_MICROSECONDS 50u   /* that a vCPU of the same VM may go first when one spins */

static uint64_t ticks_from_microseconds(uint64_t microseconds)
{
	return clock_ticks_from_nanoseconds(microseconds * 1000);
}

/* ---- admission ---- */

static uint64_t share_of(const struct config_sched *settings)
{
	return (SHARE_OF_ONE_CPU * settings->budget + settings->period - 1) / settings->period;
}

/* Shares in tenths of a percent, for people. */
static uint32_t permille(uint64_t share)
{
	return (uint32_t)((share * 1000 + SHARE_OF_ONE_CPU / 2) >> 32);
}

/* @freest: of its CPUs; NULL: all have cyclic windows. */
static enum status refuse(char *why, uint64_t share, const struct scheduler_cpu *freest)
{
	if (!freest) {
		fmt_print(why, SCHED_REFUSAL_SIZE, "all its CPUs have cyclic windows, which would take its time; give it others by `cpus`");
		return STATUS_DENIED;
	}
	uint64_t left = freest->rt.reserved < SHARE_LIMIT ? SHARE_LIMIT - freest->rt.reserved : 0;
	fmt_print(why, SCHED_REFUSAL_SIZE,
		  "needs %u.%u%% of a CPU; CPU %u has most left of %u%%: %u.%u%%; less budget, longer period or more `cpus` help",
		  permille(share) / 10, permille(share) % 10, freest->index, LIMIT_PERCENT, permille(left) / 10, permille(left) % 10);
	return STATUS_DENIED;
}

/* The CPU of @candidates with the most time left; NULL: all have cyclic windows. Reservations change on the boot processor only. */
static struct scheduler_cpu *find_freest(uint64_t candidates)
{
	struct scheduler_cpu *freest = NULL;

	for (; candidates; candidates &= candidates - 1) {
		struct scheduler_cpu *cpu = scheduler_cpu_of(bits_lowest(candidates));

		if (!cpu->cyclic.window_count && (!freest || cpu->rt.reserved < freest->rt.reserved))
			freest = cpu;
	}
	return freest;
}

static enum status admit_rt(struct vcpu *vcpu, uint64_t allowed, uint32_t *pcpu_index, char *why)
{
	const struct config_sched *settings = &vcpu->vm->sched_settings;
	uint64_t candidates = sched_cpus_not_pinned(allowed);
	uint64_t share = share_of(settings);

	if (!candidates)
		return sched_refuse_pinned(why);
	/* The boot processor has other work too. */
	struct scheduler_cpu *cpu = find_freest(candidates & ~BIT(0));
	if (!cpu || cpu->rt.reserved + share > SHARE_LIMIT)
		cpu = find_freest(candidates);
	if (!cpu || cpu->rt.reserved + share > SHARE_LIMIT)
		return refuse(why, share, cpu);
	spinlock_lock(&cpu->lock);
	cpu->rt.reserved += share;
	vcpu->sched.rt.budget = ticks_from_microseconds(settings->budget);
	vcpu->sched.rt.period = ticks_from_microseconds(settings->period);
	vcpu->sched.rt.share = share;
	vcpu->sched.rt.deadline = vcpu->sched.rt.budget_left = vcpu->sched.rt.debt = vcpu->sched.rt.missed = 0;
	spinlock_unlock(&cpu->lock);
	*pcpu_index = cpu->index;
	return STATUS_OK;
}

static void leave_rt(struct vcpu *vcpu)
{
	struct scheduler_cpu *cpu = scheduler_cpu_of(vcpu->pcpu_index);

	spinlock_lock(&cpu->lock);
	cpu->rt.reserved -= vcpu->sched.rt.share;
	vcpu->sched.rt.share = 0;
	spinlock_unlock(&cpu->lock);
}

/* ---- periods ---- */

/* @periods begin, of which the last is the current one: budgets first pay what was used too much. */
static void fill_up(struct vcpu *vcpu, uint64_t periods)
{
	uint64_t earlier = vcpu->sched.rt.budget * (periods - 1);
	uint64_t debt = vcpu->sched.rt.debt > earlier ? vcpu->sched.rt.debt - earlier : 0;
	uint64_t paid = min_u64(debt, vcpu->sched.rt.budget);

	vcpu->sched.rt.budget_left = vcpu->sched.rt.budget - paid;
	vcpu->sched.rt.debt = debt - paid;
}

/* For a vCPU that wants to run: goes on to the period in which @now lies. */
static void advance_period(struct vcpu *vcpu, uint64_t now)
{
	if (now < vcpu->sched.rt.deadline)
		return;
	uint64_t periods = (now - vcpu->sched.rt.deadline) / vcpu->sched.rt.period + 1;
	if (vcpu->sched.rt.budget_left)
		vcpu->sched.rt.missed += periods;
	vcpu->sched.rt.deadline += periods * vcpu->sched.rt.period;
	fill_up(vcpu, periods);
}

/* Keeps the current period only if what is left of the budget is no larger a share than it was admitted with. */
static void begin_after_sleep(struct vcpu *vcpu, uint64_t now)
{
	uint64_t deadline = vcpu->sched.rt.deadline, periods = 1;
	unsigned __int128 left = (unsigned __int128)vcpu->sched.rt.budget_left * vcpu->sched.rt.period;

	if (now < deadline && left <= (unsigned __int128)(deadline - now) * vcpu->sched.rt.budget)
		return;
	if (now > deadline)
		periods += (now - deadline) / vcpu->sched.rt.period;
	vcpu->sched.rt.deadline = now + vcpu->sched.rt.period;
	fill_up(vcpu, periods);
}

/* ---- the queue ---- */

static void enqueue_rt(struct scheduler_cpu *cpu, struct vcpu *vcpu, enum sched_enqueue_reason reason, uint64_t now)
{
	if (reason == SCHED_STARTED || reason == SCHED_WOKEN)
		begin_after_sleep(vcpu, now);
	if (reason == SCHED_YIELDED)
		cpu->rt.yielder = vcpu;
	list_append(&cpu->rt.queue, &vcpu->sched.link);
}

static void dequeue_rt(struct scheduler_cpu *cpu, struct vcpu *vcpu)
{
	(void)cpu;
	list_remove(&vcpu->sched.link);
}

static bool goes_before(const struct vcpu *vcpu, const struct vcpu *other)
{
	return !other || vcpu->sched.rt.deadline < other->sched.rt.deadline;
}

/* The vCPU with budget left, of @vm or of any (NULL), whose period ends first; not @except. */
static struct vcpu *find_earliest(struct scheduler_cpu *cpu, const struct vm *vm, const struct vcpu *except)
{
	struct vcpu *earliest = NULL;

	list_for_each(link, &cpu->rt.queue) {
		struct vcpu *vcpu = list_entry(link, struct vcpu, sched.link);

		if (vcpu != except && (!vm || vcpu->vm == vm) && vcpu->sched.rt.budget_left && goes_before(vcpu, earliest))
			earliest = vcpu;
	}
	return earliest;
}

/* When the first of those without budget gets a new one; its period may then end before that of the one that runs. */
static uint64_t next_event_rt(struct scheduler_cpu *cpu, uint64_t now)
{
	uint64_t next = UINT64_MAX;

	(void)now;
	list_for_each(link, &cpu->rt.queue) {
		const struct vcpu *vcpu = list_entry(link, struct vcpu, sched.link);

		if (!vcpu->sched.rt.budget_left)
			next = min_u64(next, vcpu->sched.rt.deadline);
	}
	return next;
}

static struct vcpu *pick_rt(struct scheduler_cpu *cpu, uint64_t now, uint64_t *until)
{
	list_for_each(link, &cpu->rt.queue)
		advance_period(list_entry(link, struct vcpu, sched.link), now);
	struct vcpu *vcpu = find_earliest(cpu, NULL, NULL), *sibling = NULL;
	if (!vcpu)
		return NULL;
	if (vcpu == cpu->rt.yielder)
		sibling = find_earliest(cpu, vcpu->vm, vcpu);
	cpu->rt.yielder = NULL;
	uint64_t most = UINT64_MAX;
	if (sibling) {
		vcpu = sibling;
		most = ticks_from_microseconds(YIELD_MICROSECONDS);
	}
	list_remove(&vcpu->sched.link);
	cpu->run_most = min_u64(most, vcpu->sched.rt.budget_left);
	/* Then it has to go on to its next period. */
	*until = vcpu->sched.rt.deadline;
	return vcpu;
}

static void charge_rt(struct scheduler_cpu *cpu, struct vcpu *vcpu, uint64_t from, uint64_t to)
{
	uint64_t used = to - from, paid = min_u64(used, vcpu->sched.rt.budget_left);

	(void)cpu;
	vcpu->sched.rt.budget_left -= paid;
	vcpu->sched.rt.debt += used - paid;
}

const struct sched_policy sched_policy_rt = {
	.name = "rt",
	.precedence = 30,
	.admit = admit_rt,
	.leave = leave_rt,
	.enqueue = enqueue_rt,
	.dequeue = dequeue_rt,
	.pick = pick_rt,
	.next_event = next_event_rt,
	.charge = charge_rt,
};
