/*
 * credit: shares by weight. Each VM has a virtual time, which goes on while its vCPUs run, the slower the more weight it has;
 * the VM that is behind goes first. Equals take turns of a slice. What wakes for an event is boosted: it goes before the
 * others at once, but only for a short while and only if its VM is not ahead of its share. A VM may have a cap, see
 * policy_credit_cap.h.
 *
 * Virtual times are compared by their difference, since they may wrap around.
 */
#include "arch/x86/clock.h"
#include "lib/bits.h"
#include "lib/fmt.h"
#include "vmm/sched/policy_credit_cap.h"
#include "vmm/sched/policy_pinned.h"
#include "vmm/sched/scheduler_cpu.h"
#include "vmm/vm.h"

#define LEAD_SLICES 20 /* the most that a VM pays back for when others meet it */

#define VIRTUAL_SCALE 1024u
#define DEFAULT_WEIGHT 256u

/* [TSC ticks], set at the first admission. */
static struct {
	uint64_t slice;
	uint64_t boost;      /* for each event */
	uint64_t yield;      /* the turn of whoever goes before one that spins */
	uint64_t least;      /* not worth a switch: a shorter rest of a turn */
	uint64_t starved;    /* so long a vCPU waits at most, even if its VM used its share by others */
	uint64_t starved_turn;
	int64_t virtual_slice; /* of a VM with the default weight, in virtual time */
} lengths;

static void set_lengths(void)
{
	const uint64_t microsecond = clock_ticks_from_nanoseconds(1000);

	lengths.slice = 10000 * microsecond;
	lengths.boost = lengths.yield = 1000 * microsecond;
	lengths.least = 50 * microsecond;
	lengths.starved = 200000 * microsecond;
	lengths.starved_turn = 2000 * microsecond;
	lengths.virtual_slice = (int64_t)(lengths.slice * VIRTUAL_SCALE / DEFAULT_WEIGHT);
}

static uint64_t virtual_time(const struct vcpu *vcpu)
{
	return __atomic_load_n(&vcpu->vm->sched.virtual_time, __ATOMIC_RELAXED);
}

static void set_virtual_time(struct vcpu *vcpu, uint64_t time)
{
	__atomic_store_n(&vcpu->vm->sched.virtual_time, time, __ATOMIC_RELAXED);
}

static uint32_t weight_of(const struct vm *vm)
{
	uint32_t weight = vm->sched_settings.weight;

	return weight ? weight : DEFAULT_WEIGHT;
}

/* With the run that goes on, which is charged at its end: it may be long. */
static uint64_t virtual_time_now(const struct vcpu *vcpu, uint64_t now)
{
	uint64_t time = virtual_time(vcpu);

	if (vcpu->state == VCPU_RUNNING && now > vcpu->sched.since)
		time += (now - vcpu->sched.since) * VIRTUAL_SCALE / weight_of(vcpu->vm);
	return time;
}

/* ---- admission ---- */

static enum status admit_credit(struct vcpu *vcpu, uint64_t allowed, uint32_t *pcpu_index, char *why)
{
	struct scheduler_cpu *best = NULL;

	set_lengths();
	credit_cap_init();
	/* The boot processor has other work too, and is the last choice among equals. */
	for (uint64_t left = sched_cpus_not_pinned(allowed); left; left &= left - 1) {
		struct scheduler_cpu *cpu = scheduler_cpu_of(bits_lowest(left));
		if (!best || cpu->vcpu_count < best->vcpu_count || (best->index == 0 && cpu->vcpu_count == best->vcpu_count))
			best = cpu;
	}
	if (!best) {
		fmt_print(why, SCHED_REFUSAL_SIZE, "all its CPUs are owned by pinned vCPUs; give it others by `cpus`");
		return STATUS_DENIED;
	}
	vcpu->sched.boosted = false;
	vcpu->sched.credit.boost_left = vcpu->sched.credit.granted = 0;
	vcpu->sched.credit.yielded = false;
	*pcpu_index = best->index;
	return STATUS_OK;
}

static void leave_credit(struct vcpu *vcpu)
{
	vcpu->sched.boosted = false;
}

static bool may_run(const struct vcpu *vcpu, uint64_t now)
{
	return !credit_has_cap(vcpu->vm) || credit_cap_left(vcpu->vm, now) != 0;
}

/* ---- virtual time ---- */

static bool others_awake(const struct vcpu *vcpu)
{
	const struct vm *vm = vcpu->vm;

	for (uint32_t i = 0; i < vm->vcpu_count; i++) {
		enum vcpu_state state = __atomic_load_n(&vm->vcpus[i]->state, __ATOMIC_RELAXED);
		if (vm->vcpus[i] != vcpu && (state == VCPU_RUNNABLE || state == VCPU_RUNNING))
			return true;
	}
	return false;
}

static void note_behind(const struct vcpu *vcpu, const struct vcpu *other, const struct vcpu **most)
{
	if (other->vm != vcpu->vm && other->sched.policy == &sched_policy_credit &&
	    (!*most || (int64_t)(virtual_time(other) - virtual_time(*most)) < 0))
		*most = other;
}

/*
 * How far the VM of @vcpu is ahead of the one that is most behind of those that it competes with: here, or, if it is alone
 * here, where other CPUs that it may run on stand. Negative: it is behind. False: nobody to compare with.
 */
static bool find_lead(struct scheduler_cpu *cpu, const struct vcpu *vcpu, int64_t *lead)
{
	const struct vcpu *most = NULL;
	bool found = false;

	list_for_each(link, &cpu->credit.queue)
		note_behind(vcpu, list_entry(link, struct vcpu, sched.link), &most);
	if (cpu->running)
		note_behind(vcpu, cpu->running, &most);
	if (most) {
		*lead = (int64_t)(virtual_time(vcpu) - virtual_time(most));
		return true;
	}
	for (uint32_t i = 0; i < pcpu_count(); i++) {
		const struct scheduler_cpu *other = scheduler_cpu_of(i);
		if (other == cpu)
			continue;
		uint64_t clock = __atomic_load_n(&other->credit.clock, __ATOMIC_RELAXED);
		int64_t ahead = (int64_t)(virtual_time(vcpu) - clock);
		if (!(vcpu->sched.affinity >> i & 1) || __atomic_load_n(&other->idle, __ATOMIC_RELAXED) || !clock)
			continue;
		*lead = found ? (ahead > *lead ? ahead : *lead) : ahead;
		found = true;
	}
	return found;
}

/* A VM that slept has no claim to the time that it did not want; one that was alone need not pay for what nobody wanted. */
static int64_t limit_lead(struct vcpu *vcpu, int64_t lead)
{
	int64_t limited = lead;

	if (lead < -lengths.virtual_slice && !others_awake(vcpu))
		limited = -lengths.virtual_slice;
	if (lead > LEAD_SLICES * lengths.virtual_slice)
		limited = LEAD_SLICES * lengths.virtual_slice;
	if (limited != lead)
		set_virtual_time(vcpu, virtual_time(vcpu) + (uint64_t)(limited - lead));
	return limited;
}

/* ---- the queue ---- */

/* The vCPU of the same VM that waits longest for its turn, anywhere; a hint, since others may change it meanwhile. */
static struct vcpu *find_sibling(const struct vcpu *vcpu)
{
	const struct vm *vm = vcpu->vm;
	struct vcpu *longest = NULL;

	for (uint32_t i = 0; i < vm->vcpu_count; i++) {
		struct vcpu *sibling = vm->vcpus[i];
		if (sibling != vcpu && __atomic_load_n(&sibling->state, __ATOMIC_RELAXED) == VCPU_RUNNABLE &&
		    (!longest || sibling->sched.since < longest->sched.since))
			longest = sibling;
	}
	return longest;
}

/* One that spins lets others of its VM go first, since one of them may hold what it waits for; at the cost of other VMs only
 * if its own is not ahead. */
static void yield_to_sibling(struct scheduler_cpu *cpu, struct vcpu *vcpu)
{
	struct vcpu *sibling = find_sibling(vcpu);
	int64_t lead = 0;

	vcpu->sched.boosted = false;
	vcpu->sched.credit.yielded = true;
	if (!sibling || __atomic_load_n(&sibling->sched.boosted, __ATOMIC_RELAXED) || (find_lead(cpu, vcpu, &lead) && lead > 0))
		return;
	sibling->sched.credit.boost_left = lengths.boost;
	__atomic_store_n(&sibling->sched.boosted, true, __ATOMIC_RELEASE);
	if (sibling->pcpu_index != cpu->index)
		scheduler_wake_cpu(scheduler_cpu_of(sibling->pcpu_index));
}

static void enqueue_credit(struct scheduler_cpu *cpu, struct vcpu *vcpu, enum sched_enqueue_reason reason, uint64_t now)
{
	int64_t lead = 0;

	(void)now;
	vcpu->sched.credit.yielded = false;
	if (reason == SCHED_STARTED || reason == SCHED_WOKEN) {
		if (find_lead(cpu, vcpu, &lead))
			lead = limit_lead(vcpu, lead);
		vcpu->sched.boosted = reason == SCHED_WOKEN && lead <= 0;
		vcpu->sched.credit.boost_left = lengths.boost;
	}
	if (reason == SCHED_YIELDED)
		yield_to_sibling(cpu, vcpu);
	list_append(&cpu->credit.queue, &vcpu->sched.link);
}

static void dequeue_credit(struct scheduler_cpu *cpu, struct vcpu *vcpu)
{
	if (cpu->credit.turn == vcpu)
		cpu->credit.turn = NULL;
	list_remove(&vcpu->sched.link);
}

static bool is_starved(const struct vcpu *vcpu, uint64_t now)
{
	return now > vcpu->sched.since && now - vcpu->sched.since > lengths.starved;
}

/* 0 goes before 1, and so on; equals by virtual time, those of one VM as they came. */
static unsigned rank(const struct scheduler_cpu *cpu, const struct vcpu *vcpu, uint64_t now)
{
	if (__atomic_load_n(&vcpu->sched.boosted, __ATOMIC_RELAXED))
		return 0;
	if (is_starved(vcpu, now))
		return 1;
	if (vcpu == cpu->credit.turn && cpu->credit.turn_left && !vcpu->sched.credit.yielded)
		return 2;
	return vcpu->sched.credit.yielded ? 4 : 3;
}

static struct vcpu *find_best(struct scheduler_cpu *cpu, uint64_t now, unsigned *best_rank)
{
	struct vcpu *best = NULL, *behind = NULL;

	*best_rank = UINT32_MAX;
	list_for_each(link, &cpu->credit.queue) {
		struct vcpu *vcpu = list_entry(link, struct vcpu, sched.link);
		unsigned vcpu_rank = rank(cpu, vcpu, now);
		if (!may_run(vcpu, now))
			continue;
		if (!behind || (int64_t)(virtual_time(vcpu) - virtual_time(behind)) < 0)
			behind = vcpu;
		if (vcpu_rank < *best_rank || (vcpu_rank == *best_rank && (int64_t)(virtual_time(vcpu) - virtual_time(best)) < 0)) {
			best = vcpu;
			*best_rank = vcpu_rank;
		}
	}
	/* Somebody's slice ends early if another VM is far behind, as one that had to wait because of its cap. */
	if (*best_rank == 2 && (int64_t)(virtual_time(best) - virtual_time(behind)) > 2 * lengths.virtual_slice) {
		*best_rank = 3;
		best = behind;
	}
	return best;
}

/* How long the chosen one may run when others wait. */
static uint64_t turn_of(struct scheduler_cpu *cpu, struct vcpu *vcpu, unsigned vcpu_rank, bool spinner_waits)
{
	if (vcpu_rank == 0)
		return vcpu->sched.credit.boost_left;
	if (vcpu_rank == 1)
		return lengths.starved_turn;
	if (vcpu_rank == 2)
		return cpu->credit.turn_left;
	cpu->credit.turn = vcpu;
	cpu->credit.turn_left = spinner_waits ? lengths.yield : lengths.slice;
	return cpu->credit.turn_left;
}

static bool somebody_waits(struct scheduler_cpu *cpu, uint64_t now, bool *spinner)
{
	bool waits = false;

	*spinner = false;
	list_for_each(link, &cpu->credit.queue) {
		struct vcpu *vcpu = list_entry(link, struct vcpu, sched.link);
		waits = waits || may_run(vcpu, now);
		*spinner = *spinner || vcpu->sched.credit.yielded;
	}
	return waits;
}

static struct vcpu *pick_credit(struct scheduler_cpu *cpu, uint64_t now, uint64_t *until)
{
	unsigned best_rank;
	struct vcpu *vcpu = find_best(cpu, now, &best_rank);
	bool spinner;

	if (!vcpu)
		return NULL;
	list_remove(&vcpu->sched.link);
	vcpu->sched.credit.yielded = false;
	bool waits = somebody_waits(cpu, now, &spinner);
	uint64_t turn = turn_of(cpu, vcpu, best_rank, spinner);
	if (best_rank > 0)
		__atomic_store_n(&cpu->credit.clock, virtual_time(vcpu) | 1, __ATOMIC_RELAXED);
	cpu->run_most = waits ? turn : UINT64_MAX;
	if (credit_has_cap(vcpu->vm)) {
		cpu->run_most = min_u64(cpu->run_most, credit_cap_grant(vcpu, now));
		*until = credit_cap_window_end(vcpu->vm);
	}
	return vcpu;
}

/* The next window of a VM that has used up its cap. */
static uint64_t next_event_credit(struct scheduler_cpu *cpu, uint64_t now)
{
	uint64_t next = UINT64_MAX;

	list_for_each(link, &cpu->credit.queue) {
		struct vcpu *vcpu = list_entry(link, struct vcpu, sched.link);
		if (!may_run(vcpu, now))
			next = min_u64(next, credit_cap_window_end(vcpu->vm));
	}
	return next;
}

/* What is left of a turn; less than a switch costs is nothing. */
static uint64_t rest(uint64_t left, uint64_t used)
{
	return left > used + lengths.least ? left - used : 0;
}

static void charge_credit(struct scheduler_cpu *cpu, struct vcpu *vcpu, uint64_t from, uint64_t to)
{
	uint64_t used = to - from;
	uint64_t service = __atomic_exchange_n(&vcpu->vm->sched.service_ticks, 0, __ATOMIC_RELAXED);

	__atomic_fetch_add(&vcpu->vm->sched.virtual_time, (used + service) * VIRTUAL_SCALE / weight_of(vcpu->vm), __ATOMIC_RELAXED);
	credit_cap_charge(vcpu, used);
	if (cpu->credit.turn == vcpu)
		cpu->credit.turn_left = rest(cpu->credit.turn_left, used);
	if (!vcpu->sched.boosted)
		return;
	vcpu->sched.credit.boost_left = rest(vcpu->sched.credit.boost_left, used);
	if (!vcpu->sched.credit.boost_left)
		vcpu->sched.boosted = false;
}

/* ---- balance ---- */

/* Whether @vcpu, which waits elsewhere, should rather run at @to than all that is there. */
static bool is_wanted(struct scheduler_cpu *to, const struct vcpu *vcpu, uint64_t now)
{
	const struct vcpu *most = to->running;

	if (most && most->sched.policy != &sched_policy_credit)
		return false;
	list_for_each(link, &to->credit.queue) {
		const struct vcpu *other = list_entry(link, struct vcpu, sched.link);
		if (may_run(other, now) && (!most || (int64_t)(virtual_time(other) - virtual_time_now(most, now)) < 0))
			most = other;
	}
	if (!most)
		return true;
	/* vCPUs of one VM share its time equally. */
	if (most->vm == vcpu->vm)
		return most->sched.since + 2 * lengths.slice < now && vcpu->sched.since + 2 * lengths.slice < now;
	return (int64_t)(virtual_time_now(most, now) - virtual_time(vcpu)) > lengths.virtual_slice;
}

static struct vcpu *steal_credit(struct scheduler_cpu *from, struct scheduler_cpu *to, uint64_t now)
{
	struct vcpu *best = NULL;

	if (to->pinned.owner)
		return NULL;
	list_for_each(link, &from->credit.queue) {
		struct vcpu *vcpu = list_entry(link, struct vcpu, sched.link);
		if (!scheduler_may_move(from, to, vcpu) || !may_run(vcpu, now) || !is_wanted(to, vcpu, now))
			continue;
		if (!best || (int64_t)(virtual_time(vcpu) - virtual_time(best)) < 0)
			best = vcpu;
	}
	return best;
}

const struct sched_policy sched_policy_credit = {
	.name = "credit",
	.precedence = 40,
	.admit = admit_credit,
	.leave = leave_credit,
	.enqueue = enqueue_credit,
	.dequeue = dequeue_credit,
	.pick = pick_credit,
	.next_event = next_event_credit,
	.charge = charge_credit,
	.steal = steal_credit,
};
