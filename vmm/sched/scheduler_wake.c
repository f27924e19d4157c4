/*
 * vCPUs that do not run: what others ask of them, and their timers.
 */
#include "arch/x86/clock.h"
#include "arch/x86/irq/ipi.h"
#include "vmm/sched/scheduler_cpu.h"
#include "vmm/vcpu_posting.h"
#include "vmm/vcpu_timer.h"
#include "vmm/vm.h"

/* Of a sleeping vCPU on a busy CPU: so many looks in vain in that time; the next waits until it is over. So a guest that keeps
 * asking for its sleepers cannot keep others from their CPU. */
#define LOOKS_IN_VAIN_MAX 4u
#define LOOKS_NANOSECONDS 1000000u
#define OFTEN_IN_VAIN (VCPU_REQUEST_EVENT | VCPU_REQUEST_TIMER | VCPU_REQUEST_SIPI | VCPU_REQUEST_POSTED)

void scheduler_wake_cpu(struct scheduler_cpu *cpu)
{
	struct pcpu *pcpu = pcpu_get(cpu->index);

	/* Whoever set it first sends the IPI. */
	if (!__atomic_exchange_n(&cpu->attention, true, __ATOMIC_SEQ_CST) && pcpu != pcpu_current())
		ipi_kick(pcpu);
}

void scheduler_kick_vcpu(struct vcpu *vcpu)
{
	struct pcpu *pcpu = pcpu_get(__atomic_load_n(&vcpu->pcpu_index, __ATOMIC_ACQUIRE));
	struct scheduler_cpu *cpu = pcpu->scheduler;
	bool here = pcpu == pcpu_current();

	if (here && cpu->looked_at == vcpu)
		return;
	enum vcpu_state state = __atomic_load_n(&vcpu->state, __ATOMIC_ACQUIRE);
	if (state == VCPU_RUNNING && !here)
		ipi_kick(pcpu);
	uint32_t requests = __atomic_load_n(&vcpu->requests, __ATOMIC_RELAXED) & scheduler_requests_of_interest(state);
	if (!requests)
		return;
	if (state == VCPU_BLOCKED && !(requests & ~OFTEN_IN_VAIN) && clock_now() < __atomic_load_n(&vcpu->sched.quiet_until, __ATOMIC_RELAXED))
		return;
	scheduler_wake_cpu(cpu);
}

void scheduler_finish_vcpu(struct vcpu *vcpu)
{
	struct vm *vm = vcpu->vm;

	for (uint32_t i = 0; i < vm->vcpu_count; i++) {
		if (__atomic_load_n(&vm->vcpus[i]->state, __ATOMIC_ACQUIRE) != VCPU_OFF)
			return;
	}
	enum vm_state stopping = VM_STOPPING;
	if (!__atomic_compare_exchange_n(&vm->state, &stopping, VM_STOPPED, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		return;
	/* The boot processor shows the rest of the guest's output before this line. */
	scheduler_attention();
}

/* Takes what a look deals with. A start-up IPI has no effect on a vCPU that sleeps in HLT, unless an INIT came before it. */
static uint32_t take_requests(struct vcpu *vcpu)
{
	uint32_t requests = __atomic_load_n(&vcpu->requests, __ATOMIC_RELAXED), rest;

	do {
		rest = requests & ~(VCPU_REQUEST_TIMER | VCPU_REQUEST_EVENT | (requests & VCPU_REQUEST_INIT ? 0 : VCPU_REQUEST_SIPI));
	} while (!__atomic_compare_exchange_n(&vcpu->requests, &requests, rest, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
	return requests;
}

/*
 * Expires the sleeping vCPU's timers and finds out whether an interrupt may end its sleep: its priority must let it through.
 * Timers are armed and interrupts raised under the device lock, so that no request that is taken back here was missed.
 */
static bool has_interrupt(struct vcpu *vcpu, uint64_t now, uint64_t *next_timer)
{
	struct vm *vm = vcpu->vm;

	spinlock_lock(&vm->device_lock);
	*next_timer = vcpu_timers_run(vcpu, now);
	if (unlikely(__atomic_load_n(&vcpu->requests, __ATOMIC_RELAXED) & VCPU_REQUEST_POSTED)) {
		__atomic_fetch_and(&vcpu->requests, ~VCPU_REQUEST_POSTED, __ATOMIC_SEQ_CST);
		vcpu_posting_take(vcpu);
	}
	bool pending = take_requests(vcpu) & VCPU_REQUEST_EVENT && !vcpu->sched.deaf && irq_pending_vector(vcpu) >= 0;
	spinlock_unlock(&vm->device_lock);
	return pending;
}

static void note_look_in_vain(struct scheduler_cpu *cpu, struct vcpu *vcpu, uint64_t now)
{
	struct vcpu_sched *sched = &vcpu->sched;

	if (!cpu->queued)
		return;
	uint64_t window = clock_ticks_from_nanoseconds(LOOKS_NANOSECONDS);

	if (now - sched->looks_since > window) {
		sched->looks_since = now;
		sched->looks_in_vain = 0;
	}
	if (++sched->looks_in_vain < LOOKS_IN_VAIN_MAX)
		return;
	sched->wake_at = min_u64(sched->wake_at, sched->looks_since + window);
	__atomic_store_n(&sched->quiet_until, sched->looks_since + window, __ATOMIC_RELAXED);
}

/* The time goes to the vCPU that was looked at, since somebody of its VM asked for it; if it was somebody's. */
static void charge_look(struct scheduler_cpu *cpu, struct vcpu *vcpu)
{
	if (!cpu->queued)
		return;
	uint64_t now = clock_now();

	vcpu->sched.policy->charge(cpu, vcpu, cpu->charged_until, now);
	cpu->charged_until = now;
}

/* The lock is held, and given up meanwhile: nobody else moves or wakes a vCPU that sleeps here. */
static void look_at_sleeper_locked(struct scheduler_cpu *cpu, struct vcpu *vcpu)
{
	uint64_t now = clock_now(), next_timer;

	spinlock_unlock(&cpu->lock);
	cpu->looked_at = vcpu;
	bool wakes = has_interrupt(vcpu, now, &next_timer);
	cpu->looked_at = NULL;
	wakes = wakes || __atomic_load_n(&vcpu->requests, __ATOMIC_ACQUIRE) & (VCPU_REQUEST_NMI | VCPU_REQUEST_INIT);
	charge_look(cpu, vcpu);
	spinlock_lock(&cpu->lock);
	if (wakes) {
		scheduler_enqueue(cpu, vcpu, SCHED_WOKEN, now);
		return;
	}
	vcpu->sched.wake_at = next_timer;
	note_look_in_vain(cpu, vcpu, now);
}

/* The user's pause; false if it is over by now. */
static bool pause_locked(struct scheduler_cpu *cpu, struct vcpu *vcpu, uint64_t now)
{
	__atomic_fetch_and(&vcpu->requests, ~VCPU_REQUEST_PAUSE, __ATOMIC_SEQ_CST);
	if (!vcpu->sched.paused)
		return false;
	vcpu->sched.halted = vcpu->state == VCPU_BLOCKED;
	scheduler_set_state(cpu, vcpu, VCPU_PAUSED, now);
	return true;
}

static void stop_locked(struct scheduler_cpu *cpu, struct vcpu *vcpu, uint64_t now)
{
	__atomic_fetch_and(&vcpu->requests, ~VCPU_REQUEST_STOP, __ATOMIC_SEQ_CST);
	if (vcpu->state != VCPU_OFF)
		scheduler_set_state(cpu, vcpu, VCPU_OFF, now);
	spinlock_unlock(&cpu->lock);
	scheduler_finish_vcpu(vcpu);
	spinlock_lock(&cpu->lock);
}

/* One vCPU that has a request of interest, or a timer that is due. */
static void look_locked(struct scheduler_cpu *cpu, struct vcpu *vcpu, uint64_t now)
{
	uint32_t requests = __atomic_load_n(&vcpu->requests, __ATOMIC_ACQUIRE);

	if (requests & VCPU_REQUEST_STOP) {
		stop_locked(cpu, vcpu, now);
		return;
	}
	/* One that waits for a start-up IPI is paused when it comes. */
	if (requests & VCPU_REQUEST_PAUSE && vcpu->state != VCPU_OFF && vcpu->state != VCPU_PAUSED && pause_locked(cpu, vcpu, now))
		return;
	if (vcpu->state == VCPU_WAIT_SIPI)
		scheduler_enqueue(cpu, vcpu, SCHED_WOKEN, now); /* carries out the request when it runs */
	else if (vcpu->state == VCPU_BLOCKED)
		look_at_sleeper_locked(cpu, vcpu);
}

static void look_at_all_locked(struct scheduler_cpu *cpu)
{
	uint64_t now = clock_now();

	cpu->list_changed = false;
	cpu->blocked_deadline = UINT64_MAX;
	for (uint32_t i = 0; i < cpu->vcpu_count; i++) {
		struct vcpu *vcpu = cpu->vcpus[i];
		uint32_t requests = __atomic_load_n(&vcpu->requests, __ATOMIC_RELAXED);
		if (requests & scheduler_requests_of_interest(vcpu->state) || now >= vcpu->sched.wake_at)
			look_locked(cpu, vcpu, now);
		/* Where the lock was given up meanwhile, only one that sleeps here was safe from being moved away. */
		if (cpu->list_changed)
			return;
		if (vcpu->state == VCPU_BLOCKED)
			cpu->blocked_deadline = min_u64(cpu->blocked_deadline, vcpu->sched.wake_at);
	}
}

void scheduler_look_around(struct scheduler_cpu *cpu)
{
	spinlock_lock(&cpu->lock);
	do {
		look_at_all_locked(cpu);
	} while (cpu->list_changed);
	spinlock_unlock(&cpu->lock);
}
