/*
 * A scheduling policy: who of its vCPUs runs on a CPU, and until when. The mechanism (scheduler.c) asks the policies of a CPU
 * in the order of their precedence, and runs the vCPU of the first that has one:
 *
 *   pinned (10)  owns its CPU: nothing else is ever admitted there
 *   cyclic (20)  in its own window, nobody else goes first; the rest of a window that its owner does not use, and time
 *                outside all windows, go to the policies below
 *   rt     (30)  while it has budget left, earliest deadline first
 *   credit (40)  whatever is left, by weight
 *
 * Each policy is one file, policy_NAME.c, and keeps its state of a CPU in a block that scheduler_cpu holds.
 *
 * Context of all operations: the scheduler lock of @cpu is held and interrupts are off, unless said otherwise; times are host
 * TSC ticks; UINT64_MAX is never.
 */
#pragma once

#include "lib/status.h"
#include "lib/types.h"
#include "vmm/config.h"
#include "vmm/vcpu.h"

struct scheduler_cpu;

#define SCHED_REFUSAL_SIZE 128u

enum sched_enqueue_reason {
	SCHED_STARTED,   /* its VM starts, it was unpaused, or it came from another CPU */
	SCHED_WOKEN,     /* an event ended its HLT */
	SCHED_PREEMPTED, /* it could go on, but its CPU was wanted or its time is up */
	SCHED_YIELDED,   /* it spins and lets others go first */
};

struct sched_policy {
	const char *name;    /* as in the configuration */
	uint32_t precedence; /* lower goes first */

	/**
	 * Reserves what @vcpu needs on one CPU of @allowed (never 0; online CPUs only) and chooses it.
	 * Context: boot processor; no scheduler lock held: the policy takes those it needs.
	 * Return: STATUS_OK and *@pcpu_index; else @why says what is missing and what would help (SCHED_REFUSAL_SIZE bytes).
	 */
	enum status (*admit)(struct vcpu *vcpu, uint64_t allowed, uint32_t *pcpu_index, char *why);
	/* Gives back what admit() reserved. Same context; the vCPU is in no queue. */
	void (*leave)(struct vcpu *vcpu);

	/* @vcpu became runnable / is taken out of the queue without running (it migrates, is paused or stopped). */
	void (*enqueue)(struct scheduler_cpu *cpu, struct vcpu *vcpu, enum sched_enqueue_reason reason, uint64_t now);
	void (*dequeue)(struct scheduler_cpu *cpu, struct vcpu *vcpu);
	/**
	 * Takes the vCPU that is to run now out of the queue; NULL: none has a right to. *@until: when this policy wants to
	 * be asked again if it runs that long (end of slice, budget, window, cap).
	 */
	struct vcpu *(*pick)(struct scheduler_cpu *cpu, uint64_t now, uint64_t *until);
	/**
	 * When this policy, having given none to pick() or being one of lower precedence's betters, wants to be asked again:
	 * a window begins, a budget is filled up, a cap ends.
	 */
	uint64_t (*next_event)(struct scheduler_cpu *cpu, uint64_t now);
	/* @vcpu used @cpu from @from to @to: it ran, or it sleeps and was looked at because somebody kicked it. Called before it
	 * is queued again. No lock held; on @cpu. */
	void (*charge)(struct scheduler_cpu *cpu, struct vcpu *vcpu, uint64_t from, uint64_t to);
	/**
	 * A vCPU queued at @from that should rather run at @to now; the caller dequeues it. NULL: none. Both locks are held; what
	 * is loaded at @from, or may not run at @to, is no candidate (scheduler_may_move()). May be NULL: vCPUs of this policy
	 * stay where they are.
	 */
	struct vcpu *(*steal)(struct scheduler_cpu *from, struct scheduler_cpu *to, uint64_t now);
};

extern const struct sched_policy sched_policy_pinned, sched_policy_cyclic, sched_policy_rt, sched_policy_credit;
/** In order of precedence; indexed by nothing else. */
#define SCHED_POLICY_COUNT 4u
extern const struct sched_policy *const sched_policies[SCHED_POLICY_COUNT];
/** sched_policy_of() - the policy of a configuration. */
const struct sched_policy *sched_policy_of(enum config_sched_policy policy);
