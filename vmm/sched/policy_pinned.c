/*
 * pinned: a vCPU owns its CPU. Nothing else is admitted there, so it is never asked to leave and there is nothing to decide.
 */
#include "vmm/sched/policy_pinned.h"

#include "lib/bits.h"
#include "lib/fmt.h"
#include "vmm/sched/policy.h"
#include "vmm/sched/scheduler_cpu.h"
#include "vmm/vm.h"

static uint64_t owned_cpus; /* bit per CPU index, atomic; changed under that CPU's lock */

uint64_t sched_cpus_not_pinned(uint64_t allowed)
{
	return allowed & ~__atomic_load_n(&owned_cpus, __ATOMIC_RELAXED);
}

enum status sched_refuse_pinned(char *why)
{
	fmt_print(why, SCHED_REFUSAL_SIZE, "all its CPUs are owned by pinned vCPUs; give it others by `cpus`");
	return STATUS_DENIED;
}

/* Another vCPU that belongs to @cpu, of whatever policy; NULL: none. */
static const struct vcpu *find_other_locked(const struct scheduler_cpu *cpu, const struct vcpu *vcpu)
{
	if (cpu->pinned.owner && cpu->pinned.owner != vcpu)
		return cpu->pinned.owner;
	for (uint32_t i = 0; i < cpu->vcpu_count; i++) {
		if (cpu->vcpus[i] != vcpu)
			return cpu->vcpus[i];
	}
	return NULL;
}

/* Takes possession of CPU @index; if it is not free, says whose it is. */
static bool take_cpu(struct vcpu *vcpu, uint32_t index, char *why)
{
	struct scheduler_cpu *cpu = scheduler_cpu_of(index);

	spinlock_lock(&cpu->lock);
	const struct vcpu *other = find_other_locked(cpu, vcpu);
	if (other) {
		fmt_print(why, SCHED_REFUSAL_SIZE, "none of its CPUs is free: vCPU %u of %s is on CPU %u; keep others away by `cpus`",
			  other->index, other->vm->config->name, index);
	} else {
		cpu->pinned.owner = vcpu;
		__atomic_fetch_or(&owned_cpus, BIT(index), __ATOMIC_RELAXED);
	}
	spinlock_unlock(&cpu->lock);
	return !other;
}

/* The boot processor has console and housekeeping to look after: it is given away only where nothing else is allowed. */
static enum status admit_pinned(struct vcpu *vcpu, uint64_t allowed, uint32_t *pcpu_index, char *why)
{
	uint64_t candidates = allowed & ~BIT(0) ? allowed & ~BIT(0) : allowed;

	for (; candidates; candidates &= candidates - 1) {
		uint32_t index = bits_lowest(candidates);

		if (!take_cpu(vcpu, index, why))
			continue;
		*pcpu_index = index;
		return STATUS_OK;
	}
	return STATUS_DENIED;
}

static void leave_pinned(struct vcpu *vcpu)
{
	struct scheduler_cpu *cpu = scheduler_cpu_of(vcpu->pcpu_index);

	spinlock_lock(&cpu->lock);
	if (cpu->pinned.owner == vcpu) {
		cpu->pinned.owner = NULL;
		__atomic_fetch_and(&owned_cpus, ~BIT(vcpu->pcpu_index), __ATOMIC_RELAXED);
	}
	spinlock_unlock(&cpu->lock);
}

static void enqueue_pinned(struct scheduler_cpu *cpu, struct vcpu *vcpu, enum sched_enqueue_reason reason, uint64_t now)
{
	(void)reason, (void)now;
	list_append(&cpu->pinned.queue, &vcpu->sched.link);
}

static void dequeue_pinned(struct scheduler_cpu *cpu, struct vcpu *vcpu)
{
	(void)cpu;
	list_remove(&vcpu->sched.link);
}

static struct vcpu *pick_pinned(struct scheduler_cpu *cpu, uint64_t now, uint64_t *until)
{
	(void)now;
	if (list_is_empty(&cpu->pinned.queue))
		return NULL;
	struct vcpu *vcpu = list_entry(cpu->pinned.queue.next, struct vcpu, sched.link);
	list_remove(&vcpu->sched.link);
	*until = UINT64_MAX;
	return vcpu;
}

static uint64_t next_event_pinned(struct scheduler_cpu *cpu, uint64_t now)
{
	(void)cpu, (void)now;
	return UINT64_MAX;
}

static void charge_pinned(struct scheduler_cpu *cpu, struct vcpu *vcpu, uint64_t from, uint64_t to)
{
	(void)cpu, (void)vcpu, (void)from, (void)to;
}

const struct sched_policy sched_policy_pinned = {
	.name = "pinned",
	.precedence = 10,
	.admit = admit_pinned,
	.leave = leave_pinned,
	.enqueue = enqueue_pinned,
	.dequeue = dequeue_pinned,
	.pick = pick_pinned,
	.next_event = next_event_pinned,
	.charge = charge_pinned,
};
