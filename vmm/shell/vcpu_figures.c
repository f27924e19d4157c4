#include "vmm/shell/vcpu_figures.h"

#include "arch/x86/clock.h"
#include "vmm/shell/shell.h"
#include "vmm/vm.h"

const char *vcpu_state_name(enum vcpu_state state)
{
	static const char *const names[] = {
		[VCPU_OFF] = "off", [VCPU_WAIT_SIPI] = "waits for SIPI", [VCPU_RUNNABLE] = "runnable", [VCPU_RUNNING] = "running",
		[VCPU_BLOCKED] = "blocked", [VCPU_PAUSED] = "paused",
	};

	return (unsigned)state < array_count(names) ? names[state] : "?";
}

bool vcpu_is_admitted(const struct vcpu *vcpu)
{
	if (vcpu->sched.policy != NULL)
		return true;
	shell_print("%s: not now, it is being created or destroyed\n", vcpu->vm->config->name);
	return false;
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
