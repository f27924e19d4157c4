#include "vmm/config_checks.h"

#define PERCENT_OF_CPU 100u

static unsigned count_cpus(uint64_t cpus)
{
	unsigned count = 0;

	for (unsigned i = 0; i < CONFIG_MAX_CPUS; i++)
		count += cpus >> i & 1;
	return count;
}

void config_inherit_sched(const struct config_host *host, struct vm_config *vm)
{
	vm->sched = host->sched;
	if (vm->sched.cap > PERCENT_OF_CPU * vm->vcpus)
		vm->sched.cap = PERCENT_OF_CPU * vm->vcpus;
}

const char *config_check_vm(const struct config_host *host, const struct vm_config *vm)
{
	unsigned cpus = count_cpus(vm->cpus & host->cpus);
	bool own_cpus = vm->sched.policy == CONFIG_SCHED_PINNED || vm->sched.policy == CONFIG_SCHED_CYCLIC;

	if (cpus == 0)
		return "the VM's cpus are none of the host's; expected one that both lists have";
	if (vm->sched.cap > PERCENT_OF_CPU * vm->vcpus)
		return "the cap is more than the VM's vcpus can use; expected at most 100 for each";
	if (own_cpus && cpus < vm->vcpus)
		return "fewer cpus than vcpus; expected one for each with sched = pinned or cyclic";
	return NULL;
}
