/*
 * A vCPU's state, the CPU that it belongs to, and its place in a queue.
 *
 * Nothing that is asked of a vCPU gets lost: whoever asks sets the request first and then reads the state and the CPU
 * (vcpu_kick()); whoever changes the state or the CPU does so first and then reads the requests (below). Both sides have a
 * full barrier between the two steps. So either the one who asks sees where the vCPU is now and wakes that CPU, or the one
 * who moves it sees the request. That holds for a thief too, which changes pcpu_index under both CPUs' locks.
 */
#include "vmm/sched/scheduler_cpu.h"
#include "vmm/vcpu_posting.h"

static const uint32_t requests_of_interest[] = {
	[VCPU_OFF] = VCPU_REQUEST_STOP,
	[VCPU_WAIT_SIPI] = VCPU_REQUEST_STOP | VCPU_REQUEST_SIPI,
	[VCPU_RUNNABLE] = VCPU_REQUEST_STOP | VCPU_REQUEST_PAUSE,
	[VCPU_RUNNING] = 0, /* it looks itself, before every entry */
	[VCPU_BLOCKED] = VCPU_REQUEST_STOP | VCPU_REQUEST_PAUSE | VCPU_REQUEST_EVENT | VCPU_REQUEST_TIMER | VCPU_REQUEST_NMI | VCPU_REQUEST_INIT |
			 VCPU_REQUEST_SIPI | VCPU_REQUEST_POSTED,
	[VCPU_PAUSED] = VCPU_REQUEST_STOP,
};

uint32_t scheduler_requests_of_interest(enum vcpu_state state)
{
	return requests_of_interest[state];
}

static always_inline void look_for_requests(struct scheduler_cpu *cpu, const struct vcpu *vcpu)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (__atomic_load_n(&vcpu->requests, __ATOMIC_RELAXED) & requests_of_interest[vcpu->state])
		scheduler_wake_cpu(cpu);
}

/* What devices post finds it where it is. */
static no_inline void find_posted(struct scheduler_cpu *cpu, struct vcpu *vcpu)
{
	vcpu_posting_follow(vcpu, vcpu->state, cpu->index);
	look_for_requests(cpu, vcpu);
}

static always_inline void find_requests(struct scheduler_cpu *cpu, struct vcpu *vcpu)
{
	if (unlikely(vcpu->virt.posted))
		find_posted(cpu, vcpu);
	else
		look_for_requests(cpu, vcpu);
}

/* It waited for its turn until @now; another CPU may have queued it behind that. */
static void end_wait(struct vcpu *vcpu, uint64_t now)
{
	if (now > vcpu->sched.since)
		vcpu->sched.wait_ticks += now - vcpu->sched.since;
}

static void leave_queue(struct scheduler_cpu *cpu, struct vcpu *vcpu, uint64_t now)
{
	if (list_is_empty(&vcpu->sched.link))
		return;
	vcpu->sched.policy->dequeue(cpu, vcpu);
	cpu->queued--;
	end_wait(vcpu, now);
}

void scheduler_set_state(struct scheduler_cpu *cpu, struct vcpu *vcpu, enum vcpu_state state, uint64_t now)
{
	leave_queue(cpu, vcpu, now);
	vcpu->sched.since = now;
	vcpu->sched.wake_at = UINT64_MAX;
	__atomic_store_n(&vcpu->state, state, __ATOMIC_RELEASE);
	find_requests(cpu, vcpu);
}

void scheduler_enqueue(struct scheduler_cpu *cpu, struct vcpu *vcpu, enum sched_enqueue_reason reason, uint64_t now)
{
	vcpu->sched.since = now;
	vcpu->sched.wake_at = UINT64_MAX;
	__atomic_store_n(&vcpu->state, VCPU_RUNNABLE, __ATOMIC_RELEASE);
	vcpu->sched.policy->enqueue(cpu, vcpu, reason, now);
	cpu->queued++;
	find_requests(cpu, vcpu);
}

void scheduler_set_running(struct scheduler_cpu *cpu, struct vcpu *vcpu, uint64_t now)
{
	cpu->queued--;
	cpu->running = vcpu;
	end_wait(vcpu, now);
	vcpu->sched.since = now;
	__atomic_store_n(&vcpu->state, VCPU_RUNNING, __ATOMIC_RELEASE);
	if (unlikely(vcpu->virt.posted))
		vcpu_posting_follow(vcpu, VCPU_RUNNING, cpu->index);
}

void scheduler_attach(struct scheduler_cpu *cpu, struct vcpu *vcpu, uint64_t now)
{
	cpu->vcpus[cpu->vcpu_count++] = vcpu;
	__atomic_store_n(&vcpu->pcpu_index, cpu->index, __ATOMIC_RELEASE);
	vcpu->scheduler = cpu;
	/* Its timers were another CPU's business until now. */
	if (vcpu->state == VCPU_BLOCKED)
		vcpu->sched.wake_at = 0;
	if (vcpu->state == VCPU_RUNNABLE)
		scheduler_enqueue(cpu, vcpu, SCHED_STARTED, now);
	else
		find_requests(cpu, vcpu);
}

void scheduler_detach(struct scheduler_cpu *cpu, struct vcpu *vcpu, uint64_t now)
{
	uint32_t place = 0;

	leave_queue(cpu, vcpu, now);
	while (cpu->vcpus[place] != vcpu)
		place++;
	cpu->vcpus[place] = cpu->vcpus[--cpu->vcpu_count];
	cpu->list_changed = true;
	/* Another vCPU may get its memory. */
	if (cpu->last == vcpu)
		cpu->last = NULL;
}

bool scheduler_may_move(const struct scheduler_cpu *from, const struct scheduler_cpu *to, const struct vcpu *vcpu)
{
	return __atomic_load_n(&from->loaded, __ATOMIC_ACQUIRE) != vcpu && vcpu->sched.affinity >> to->index & 1;
}
