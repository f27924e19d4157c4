#include "vmm/shell/vcpu_figures.h"

#include "arch/x86/clock.h"

const char *vcpu_state_name(enum vcpu_state state)
{
	static const char *const names[] = {
		[VCPU_OFF] = "off", [VCPU_WAIT_SIPI] = "waits for SIPI", [VCPU_RUNNABLE] = "runnable", [VCPU_RUNNING] = "running",
		[VCPU_BLOCKED] = "blocked", [VCPU_PAUSED] = "paused",
	};

	return (unsigned)state < array_count(names) ? names[state] : "?";
}

uint64_t vcpu_wait_ticks(const struct vcpu *vcpu)
{
	uint64_t ticks = vcpu->sched.wait_ticks, since = vcpu->sched.since, now = clock_now();

	return vcpu->state == VCPU_RUNNABLE && now > since ? ticks + (now - since) : ticks;
}

uint64_t vcpu_exit_count(const struct vcpu *vcpu)
{
	uint64_t sum = 0;

	for (uint32_t reason = 0; reason < VIRT_EXIT_REASON_MAX; reason++)
		sum += vcpu->exit_counts[reason];
	return sum;
}
