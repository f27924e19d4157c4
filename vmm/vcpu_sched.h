/*
 * What the scheduler keeps of a vCPU. Plain data: the mechanism (vmm/sched/scheduler.c) and the policy that the vCPU's VM
 * chose (vmm/sched/policy_*.c) are the only ones who write it, on the vCPU's CPU or under that CPU's scheduler lock.
 */
#pragma once

#include "lib/list.h"
#include "lib/types.h"

struct sched_policy;

struct vcpu_sched {
	const struct sched_policy *policy; /* NULL: not admitted anywhere */
	uint64_t affinity;    /* bit per CPU index where it may run */
	struct list link;     /* in its policy's queue on its CPU while VCPU_RUNNABLE; else linked to itself */
	uint64_t run_ticks;   /* time on a CPU, in the guest and its exits [TSC ticks] */
	uint64_t since;       /* host TSC when its state changed last */
	uint64_t wait_ticks;  /* time that it was runnable and did not run */
	uint32_t switches;    /* times that it was put on a CPU */
	uint32_t migrations;
	uint64_t wake_at;     /* host TSC at which the sleeping vCPU must be looked at, for a timer; UINT64_MAX: never */
	uint64_t quiet_until; /* host TSC before which kicks of the sleeping vCPU cause no look; atomic, a hint */
	uint64_t looks_since; /* begin of the time in which looks_in_vain counts */
	uint32_t looks_in_vain;
	bool waits_for_sipi;  /* since INIT no start-up IPI was carried out */
	bool deaf;            /* sleeps with interrupts off: only NMI and INIT end its HLT */
	bool halted;          /* VCPU_PAUSED in its HLT */
	bool paused;          /* by the user: becomes VCPU_PAUSED instead of running on */
	bool boosted;         /* credit: woke for an event and goes first */
	union {
		/* Its share is its VM's, struct vm_sched. Of a boost [TSC ticks]; of the cap's rest, given in advance [TSC ticks]. */
		struct { uint64_t boost_left, granted; bool yielded; } credit;
		struct {
			uint64_t budget, period; /* as admitted [TSC ticks] */
			uint64_t share;          /* budget / period, in parts of 2^32 */
			uint64_t deadline;       /* host TSC of the period's end */
			uint64_t budget_left;    /* in this period [TSC ticks] */
			uint64_t debt;           /* used beyond the budget; the next one pays for it [TSC ticks] */
			uint64_t missed;         /* periods that ended while it was runnable with budget left */
		} rt;
		struct {
			uint64_t due;      /* host TSC at which the window begins whose first run is not measured yet; 0: none */
			uint64_t late_max; /* latest begin of a window so far [TSC ticks behind its time] */
		} cyclic;
	};
};

/* Of a whole VM. */
struct vm_sched {
	uint64_t virtual_time; /* credit: time used, divided by weight; atomic */
	uint64_t cap_window;   /* credit: begin of the window in which cap_used counts; atomic */
	uint64_t cap_used;     /* [TSC ticks], atomic */
	uint64_t service_ticks; /* that the boot processor spent on its output and the like, not charged yet; atomic, anyone adds */
};
