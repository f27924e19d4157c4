#include "vmm/sched/scheduler.h"

#include "arch/x86/clock.h"
#include "arch/x86/insn.h"
#include "arch/x86/irq/interrupt.h"
#include "arch/x86/irq/lapic_timer.h"
#include "arch/x86/mm/page_pool.h"
#include "lib/bits.h"
#include "vmm/sched/scheduler_cpu.h"
#include "vmm/vm.h"
#include "vmm/watchdog.h"

#define SCHEDULER_CPU_PAGES ((unsigned)(align_up(sizeof(struct scheduler_cpu), PAGE_SIZE) / PAGE_SIZE))

static bool (*housekeeping)(void);
static bool housekeeping_wanted; /* atomic */
static uint64_t housekeeping_at = UINT64_MAX; /* boot processor only */
static uint64_t configured_cpus = UINT64_MAX;
static uint32_t idle_count; /* atomic; a hint */

/* It only ends a sleep: the loop looks at the deadlines itself. */
static void handle_timer(uint8_t vector)
{
	(void)vector;
}

enum status scheduler_init(void)
{
	for (uint32_t i = 0; i < pcpu_count(); i++) {
		struct scheduler_cpu *cpu = page_pool_allocate_contiguous(SCHEDULER_CPU_PAGES);
		if (!cpu)
			return STATUS_NO_MEMORY;
		cpu->index = i;
		cpu->blocked_deadline = UINT64_MAX;
		list_init(&cpu->pinned.queue);
		list_init(&cpu->cyclic.queue);
		list_init(&cpu->rt.queue);
		list_init(&cpu->credit.queue);
		pcpu_get(i)->scheduler = cpu;
	}
	vcpu_set_kick_handler(scheduler_kick_vcpu);
	interrupt_register(INTERRUPT_VECTOR_TIMER, handle_timer);
	return STATUS_OK;
}

void scheduler_set_housekeeping(bool (*work)(void))
{
	housekeeping = work;
}

void scheduler_attention(void)
{
	__atomic_store_n(&housekeeping_wanted, true, __ATOMIC_RELEASE);
	scheduler_wake_cpu(scheduler_cpu_of(0));
}

void scheduler_attention_at(uint64_t time)
{
	housekeeping_at = min_u64(housekeeping_at, time);
}

void scheduler_set_cpus(uint64_t cpus)
{
	configured_cpus = cpus;
}

bool scheduler_is_usable(uint32_t index)
{
	return configured_cpus >> index & 1 && pcpu_get(index)->virtualization_on;
}

uint64_t scheduler_usable_cpus(void)
{
	uint64_t usable = 0;

	for (uint32_t i = 0; i < pcpu_count(); i++) {
		if (scheduler_is_usable(i))
			usable |= BIT(i);
	}
	return usable;
}

/* Returns whether there was something to do. */
static bool keep_house(void)
{
	if (housekeeping_at != UINT64_MAX && clock_now() >= housekeeping_at) {
		housekeeping_at = UINT64_MAX;
		housekeeping_wanted = true;
	}
	if (!__atomic_load_n(&housekeeping_wanted, __ATOMIC_RELAXED) || !__atomic_exchange_n(&housekeeping_wanted, false, __ATOMIC_ACQ_REL))
		return false;
	if (housekeeping())
		scheduler_attention();
	return true;
}

/* As in sched_policies: a policy is not asked while nobody is in its queue. */
static const uint32_t queue_offsets[SCHED_POLICY_COUNT] = {
	offsetof(struct scheduler_cpu, pinned.queue),
	offsetof(struct scheduler_cpu, cyclic.queue),
	offsetof(struct scheduler_cpu, rt.queue),
	offsetof(struct scheduler_cpu, credit.queue),
};

/* Asks the policies in the order of their precedence. @end: when they want to be asked again. */
static struct vcpu *pick(struct scheduler_cpu *cpu, uint64_t now, uint64_t *end)
{
	struct vcpu *vcpu = NULL;

	*end = UINT64_MAX;
	cpu->enter_at = 0;
	cpu->run_most = UINT64_MAX;
	if (!__atomic_load_n(&cpu->queued, __ATOMIC_RELAXED))
		return NULL;
	spinlock_lock(&cpu->lock);
	for (unsigned i = 0; i < SCHED_POLICY_COUNT && !vcpu; i++) {
		uint64_t until = UINT64_MAX;
		if (list_is_empty((const struct list *)((const uint8_t *)cpu + queue_offsets[i])))
			continue;
		vcpu = sched_policies[i]->pick(cpu, now, &until);
		*end = min_u64(*end, min_u64(until, sched_policies[i]->next_event(cpu, now)));
	}
	if (vcpu)
		scheduler_set_running(cpu, vcpu, now);
	spinlock_unlock(&cpu->lock);
	return vcpu;
}

/* It has left the CPU for @state, though the user's pause may be over by now. */
static void put_back(struct scheduler_cpu *cpu, struct vcpu *vcpu, enum vcpu_state state, uint64_t now)
{
	uint64_t timer = vcpu->sched.wake_at;

	spinlock_lock(&cpu->lock);
	cpu->running = NULL;
	vcpu->sched.run_ticks += cpu->left_at - cpu->entered_at;
	if (state == VCPU_PAUSED && !vcpu->sched.paused)
		state = VCPU_RUNNABLE;
	if (state == VCPU_RUNNABLE)
		scheduler_enqueue(cpu, vcpu, cpu->yielded ? SCHED_YIELDED : SCHED_PREEMPTED, now);
	else
		scheduler_set_state(cpu, vcpu, state, now);
	if (state == VCPU_BLOCKED) {
		vcpu->sched.wake_at = timer;
		cpu->blocked_deadline = min_u64(cpu->blocked_deadline, timer);
	}
	spinlock_unlock(&cpu->lock);
	if (state == VCPU_OFF)
		scheduler_finish_vcpu(vcpu);
}

/*
 * Makes @vcpu the one that is loaded. Who caused the switch pays for it: the vCPU that went to sleep, or the one that woke
 * and goes first; a slice's end is nobody's. The one that slept is there still, since it is loaded.
 */
static void switch_to(struct scheduler_cpu *cpu, struct vcpu *vcpu)
{
	struct vcpu *payer = cpu->sleeper == cpu->loaded ? cpu->sleeper : NULL;

	cpu->sleeper = NULL;
	if (cpu->loaded == vcpu)
		return;
	if (!payer && vcpu->sched.boosted)
		payer = vcpu;
	uint64_t now = clock_now();
	if (payer)
		payer->sched.policy->charge(cpu, payer, cpu->charged_until, now + cpu->switch_ticks);
	scheduler_load(cpu, vcpu);
	cpu->switch_ticks = clock_now() - now;
}

static void run_one(struct scheduler_cpu *cpu, struct vcpu *vcpu, uint64_t end)
{
	if (cpu->last != vcpu) {
		cpu->last = vcpu;
		cpu->switches++;
		vcpu->sched.switches++;
	}
	switch_to(cpu, vcpu);
	if (cpu->queued && __atomic_load_n(&idle_count, __ATOMIC_RELAXED))
		scheduler_offer(cpu);
	cpu->running_since = vcpu->sched.since;
	scheduler_run_vcpu(cpu, vcpu, end);
	cpu->running_since = 0;
	cpu->guest_ticks += cpu->left_at - cpu->entered_at;
	cpu->charged_until = cpu->left_at;
	vcpu->sched.policy->charge(cpu, vcpu, cpu->entered_at, cpu->left_at);
	if (cpu->next_state == VCPU_BLOCKED)
		cpu->sleeper = vcpu;
	put_back(cpu, vcpu, cpu->next_state, cpu->left_at);
}

/*
 * Sleeps in HLT, not in MWAIT on cpu->attention: a CPU in MWAIT needs no IPI, but it wakes at every store to that line, takes
 * interrupts only with a second look at them, and its deep states stop the local APIC timer of some processors; the IPI that
 * it would save costs less than the VM exit of whoever sends it.
 */
static void idle(struct scheduler_cpu *cpu, uint64_t now, uint64_t deadline)
{
	struct pcpu *pcpu = pcpu_current();

	__atomic_store_n(&cpu->idle, true, __ATOMIC_RELEASE);
	__atomic_fetch_add(&idle_count, 1, __ATOMIC_SEQ_CST);
	if (!__atomic_load_n(&cpu->attention, __ATOMIC_ACQUIRE)) {
		cpu->idle_since = now;
		if (deadline != UINT64_MAX)
			lapic_timer_arm(deadline);
		pcpu->activity = "idle";
		pcpu->idle = true;
		insn_sti_hlt_cli();
		pcpu->idle = false;
		pcpu->activity = "scheduling";
	} else {
		/* Work that goes on without end must not keep interrupts out. */
		insn_sti_nop_cli();
	}
	__atomic_store_n(&cpu->idle, false, __ATOMIC_RELAXED);
	__atomic_fetch_sub(&idle_count, 1, __ATOMIC_RELAXED);
	cpu->charged_until = clock_now();
	/* It would disturb a guest, which may run for a long time. */
	if (deadline != UINT64_MAX && cpu->charged_until < deadline)
		lapic_timer_cancel();
	if (cpu->idle_since)
		cpu->idle_ticks += cpu->charged_until - cpu->idle_since;
	cpu->idle_since = 0;
}

static void run_or_idle(struct scheduler_cpu *cpu)
{
	uint64_t now = clock_now(), look = watchdog_look(now), end;

	if (cpu->queued && now >= cpu->balance_at)
		(void)scheduler_balance(cpu, now);
	struct vcpu *vcpu = pick(cpu, now, &end);
	if (!vcpu && scheduler_balance(cpu, now))
		vcpu = pick(cpu, now, &end);
	end = min_u64(end, cpu->blocked_deadline);
	if (cpu->index == 0)
		end = min_u64(end, housekeeping_at);
	if (cpu->index == 0 || !vcpu || vcpu->sched.policy != &sched_policy_pinned)
		end = min_u64(end, look);
	if (vcpu)
		run_one(cpu, vcpu, end);
	else
		idle(cpu, now, end);
}

noreturn_function void scheduler_loop(void)
{
	struct scheduler_cpu *cpu = pcpu_current()->scheduler;

	cpu->online_since = cpu->charged_until = clock_now();
	for (;;) {
		/* A full barrier: what was asked before it is found below. */
		bool attention = __atomic_exchange_n(&cpu->attention, false, __ATOMIC_SEQ_CST);

		if (scheduler_run_posted_call(cpu) || (cpu->index == 0 && keep_house()))
			cpu->charged_until = clock_now(); /* nobody's */
		if (attention || clock_now() >= cpu->blocked_deadline)
			scheduler_look_around(cpu);
		run_or_idle(cpu);
	}
}

void scheduler_get_times(uint32_t pcpu_index, struct scheduler_times *times)
{
	const struct scheduler_cpu *cpu = scheduler_cpu_of(pcpu_index);
	uint64_t running_since = cpu->running_since, idle_since = cpu->idle_since, now = clock_now();

	*times = (struct scheduler_times){.guest = cpu->guest_ticks, .idle = cpu->idle_ticks, .switches = cpu->switches};
	if (cpu->online_since)
		times->total = now - cpu->online_since;
	if (running_since && running_since < now)
		times->guest += now - running_since;
	if (idle_since && idle_since < now)
		times->idle += now - idle_since;
}
