/*
 * What each policy keeps of a CPU; embedded in struct scheduler_cpu and protected by its lock. A policy reaches its own as
 * cpu->NAME and leaves the others' alone. All is zero at first; scheduler_init() makes the lists.
 */
#pragma once

#include "lib/list.h"
#include "lib/types.h"
#include "vmm/config.h"

struct vcpu;
struct vm;

#define POLICY_CYCLIC_MAX_WINDOWS (CONFIG_MAX_WINDOWS * 4u)

struct policy_pinned_cpu {
	struct vcpu *owner; /* the one vCPU that may run here; NULL: the CPU is everybody's. Written by the boot processor */
	struct list queue;  /* the owner, while it is runnable */
};

struct policy_cyclic_window {
	uint64_t start, length; /* [TSC ticks from the frame's begin] */
	struct vm *owner;
};

struct policy_cyclic_cpu {
	struct list queue;  /* runnable ones, of all owners */
	uint64_t frame;     /* length of the major frame [TSC ticks]; 0: no frame is in force */
	uint64_t epoch;     /* host TSC at which a frame began */
	uint64_t lead;      /* how long before a window its vCPU is taken [TSC ticks] */
	uint32_t window_count;
	struct policy_cyclic_window windows[POLICY_CYCLIC_MAX_WINDOWS]; /* in order of start, disjoint */
};

struct policy_rt_cpu {
	struct list queue;  /* runnable ones, those without budget included */
	uint64_t reserved;  /* sum of budget / period of all admitted, in parts of 2^32 */
	const struct vcpu *yielder; /* yielded just now; compared only, never followed */
};

struct policy_credit_cpu {
	struct list queue;   /* runnable ones, in order of arrival */
	struct vcpu *turn;   /* whose slice it is; compared only, never followed */
	uint64_t turn_left;  /* of that slice [TSC ticks] */
	uint64_t clock;      /* virtual time of the VM that was picked last; atomic */
};
