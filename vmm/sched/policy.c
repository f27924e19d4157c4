#include "vmm/sched/policy.h"

const struct sched_policy *const sched_policies[SCHED_POLICY_COUNT] = {
	&sched_policy_pinned, &sched_policy_cyclic, &sched_policy_rt, &sched_policy_credit,
};

static const struct sched_policy *const by_configuration[CONFIG_SCHED_COUNT] = {
	[CONFIG_SCHED_CREDIT] = &sched_policy_credit,
	[CONFIG_SCHED_RT] = &sched_policy_rt,
	[CONFIG_SCHED_CYCLIC] = &sched_policy_cyclic,
	[CONFIG_SCHED_PINNED] = &sched_policy_pinned,
};

const struct sched_policy *sched_policy_of(enum config_sched_policy policy)
{
	return by_configuration[policy];
}
