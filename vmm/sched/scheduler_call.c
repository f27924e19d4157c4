/*
 * Functions that run on a vCPU's CPU, with the vCPU loaded.
 */
#include "arch/x86/clock.h"
#include "arch/x86/insn.h"
#include "vmm/sched/scheduler_cpu.h"

#define CALL_TIMEOUT_NANOSECONDS 1000000000ull

/* Nobody takes away a vCPU that is loaded. False: it belongs to another CPU by now. */
static bool load_own(struct scheduler_cpu *cpu, struct vcpu *vcpu)
{
	spinlock_lock(&cpu->lock);
	bool own = vcpu->pcpu_index == cpu->index;
	if (own)
		scheduler_load(cpu, vcpu);
	spinlock_unlock(&cpu->lock);
	return own;
}

static enum status call_here(struct scheduler_cpu *cpu, struct vcpu *vcpu, void (*function)(struct vcpu *, void *), void *argument)
{
	if (!load_own(cpu, vcpu))
		return STATUS_BUSY;
	function(vcpu, argument);
	return STATUS_OK;
}

bool scheduler_run_posted_call(struct scheduler_cpu *cpu)
{
	uint32_t posted = SCHEDULER_CALL_POSTED;

	if (__atomic_load_n(&cpu->call_state, __ATOMIC_RELAXED) != SCHEDULER_CALL_POSTED)
		return false;
	if (!__atomic_compare_exchange_n(&cpu->call_state, &posted, SCHEDULER_CALL_RUNNING, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		return false;
	cpu->call_status = call_here(cpu, cpu->call_vcpu, cpu->call_function, cpu->call_argument);
	__atomic_store_n(&cpu->call_state, SCHEDULER_CALL_FREE, __ATOMIC_RELEASE);
	return true;
}

static enum status call_there(struct scheduler_cpu *cpu, uint64_t deadline)
{
	__atomic_store_n(&cpu->call_state, SCHEDULER_CALL_POSTED, __ATOMIC_RELEASE);
	scheduler_wake_cpu(cpu);
	for (;;) {
		if (__atomic_load_n(&cpu->call_state, __ATOMIC_ACQUIRE) == SCHEDULER_CALL_FREE)
			return cpu->call_status;
		uint32_t posted = SCHEDULER_CALL_POSTED;
		/* Taken back only while it has not begun; once it runs its end is near. */
		if (clock_now() > deadline && __atomic_compare_exchange_n(&cpu->call_state, &posted, SCHEDULER_CALL_FREE, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
			return STATUS_TIMEOUT;
		insn_pause();
	}
}

enum status scheduler_call(struct vcpu *vcpu, void (*function)(struct vcpu *, void *), void *argument)
{
	uint64_t deadline = clock_now() + clock_ticks_from_nanoseconds(CALL_TIMEOUT_NANOSECONDS);
	enum status status = STATUS_BUSY;

	/* It may move to another CPU while it is asked for. */
	while (status == STATUS_BUSY) {
		struct scheduler_cpu *cpu = scheduler_cpu_of(__atomic_load_n(&vcpu->pcpu_index, __ATOMIC_ACQUIRE));
		if (clock_now() > deadline)
			return STATUS_TIMEOUT;
		if (cpu->index == pcpu_current()->index) {
			status = call_here(cpu, vcpu, function, argument);
			continue;
		}
		cpu->call_vcpu = vcpu;
		cpu->call_function = function;
		cpu->call_argument = argument;
		status = call_there(cpu, deadline);
	}
	return status;
}
