/*
 * A CPU's part of the scheduler; private to this folder.
 */
#pragma once

#include "arch/x86/pcpu.h"
#include "arch/x86/spinlock.h"
#include "lib/list.h"
#include "lib/types.h"
#include "vmm/sched/policy.h"
#include "vmm/sched/policy_cpu.h"
#include "vmm/sched/scheduler.h"
#include "vmm/vcpu.h"

#define SCHEDULER_MAX_VCPUS 128u

enum scheduler_call_state { SCHEDULER_CALL_FREE, SCHEDULER_CALL_POSTED, SCHEDULER_CALL_RUNNING };

struct scheduler_cpu {
	/*
	 * Protects what the policies keep here, vcpus, vcpu_count, and state, pcpu_index and place in a queue of the vCPUs that
	 * belong here. Of two CPUs' locks the one of the lower index is taken first.
	 */
	struct spinlock lock;
	uint32_t index;            /* of this CPU */
	struct vcpu *vcpus[SCHEDULER_MAX_VCPUS]; /* all that belong here, running or not */
	uint32_t vcpu_count;
	struct policy_pinned_cpu pinned;
	struct policy_cyclic_cpu cyclic;
	struct policy_rt_cpu rt;
	struct policy_credit_cpu credit;

	struct vcpu *running;      /* VCPU_RUNNING here; written by this CPU under the lock */
	struct vcpu *loaded;       /* whose state is in this CPU; written by this CPU, read by others under the lock */
	bool idle;                 /* sleeps or is about to; atomic */
	bool attention;            /* leave the guest and look around; atomic */
	bool list_changed;         /* a vCPU was taken out of the list; under the lock */
	uint32_t queued;           /* vCPUs in the policies' queues; changed under the lock, read by others as a hint */

	/* Of this CPU only. */
	struct vcpu *looked_at;    /* a sleeping vCPU that is being looked at, so that its kicks need no attention */
	struct vcpu *last;         /* ran here last, if it still belongs here; compared only */
	enum vcpu_state next_state; /* of the vCPU that runs, once it has left */
	bool yielded;              /* it left because it spins */
	uint64_t blocked_deadline; /* earliest wake_at of the vCPUs here */
	uint64_t run_end;          /* host TSC at which the vCPU that runs must leave; UINT64_MAX: never */
	uint64_t enter_at;         /* set by pick(): host TSC before which the guest is not entered, up to 200 us ahead; 0: at once */
	uint64_t run_most;         /* set by pick(): the longest run from the guest's entry on [TSC ticks], whatever the switch to
				    * it took; UINT64_MAX: no limit but *until */
	uint64_t entered_at, left_at; /* host TSC of the begin and the end of the last run */
	uint64_t balance_at;       /* host TSC before which other CPUs' queues need not be looked at again */
	uint64_t charged_until;    /* host TSC up to which it is known who used this CPU */
	struct vcpu *sleeper;      /* went to sleep, which was why this CPU is given to another one; compared with `loaded` first */
	uint64_t switch_ticks;     /* that the last change of `loaded` took */

	uint32_t call_state;       /* enum scheduler_call_state, atomic */
	enum status call_status;
	struct vcpu *call_vcpu;
	void (*call_function)(struct vcpu *, void *);
	void *call_argument;

	/* For scheduler_get_times(); written by this CPU. */
	uint64_t online_since, guest_ticks, idle_ticks, switches;
	uint64_t running_since, idle_since; /* host TSC; 0: it does not */
};

/** scheduler_cpu_of() - the part of CPU @index < pcpu_count(). */
static inline struct scheduler_cpu *scheduler_cpu_of(uint32_t index) { return pcpu_get(index)->scheduler; }

/**
 * scheduler_usable_cpus() - bit per CPU index that may run vCPUs: configured, online, able to. Any context.
 */
uint64_t scheduler_usable_cpus(void);
/** scheduler_is_usable() - whether CPU @index < pcpu_count() is one of them. */
bool scheduler_is_usable(uint32_t index);

/**
 * scheduler_wake_cpu() - @cpu leaves its guest or its sleep and looks around. Any CPU, any context.
 */
void scheduler_wake_cpu(struct scheduler_cpu *cpu);

/* scheduler_queue.c: state and place of vCPUs; the lock of @cpu, to which the vCPU belongs, is held. */
/** scheduler_set_state() - of a vCPU that is in no queue, or leaves it by this call. Sees to it that pending requests are found. */
void scheduler_set_state(struct scheduler_cpu *cpu, struct vcpu *vcpu, enum vcpu_state state, uint64_t now);
/** scheduler_enqueue() - VCPU_RUNNABLE, in its policy's queue. */
void scheduler_enqueue(struct scheduler_cpu *cpu, struct vcpu *vcpu, enum sched_enqueue_reason reason, uint64_t now);
/** scheduler_set_running() - of a vCPU that its policy has just taken out of its queue. */
void scheduler_set_running(struct scheduler_cpu *cpu, struct vcpu *vcpu, uint64_t now);
/** scheduler_requests_of_interest() - those that a vCPU in @state has to be looked at for. */
uint32_t scheduler_requests_of_interest(enum vcpu_state state);
/** scheduler_attach(), scheduler_detach() - the vCPU belongs to @cpu from now on / no longer; if runnable, it is queued there. */
void scheduler_attach(struct scheduler_cpu *cpu, struct vcpu *vcpu, uint64_t now);
void scheduler_detach(struct scheduler_cpu *cpu, struct vcpu *vcpu, uint64_t now);
/** scheduler_may_move() - a queued vCPU whose state is in no CPU and that @to may run; both locks are held. */
bool scheduler_may_move(const struct scheduler_cpu *from, const struct scheduler_cpu *to, const struct vcpu *vcpu);

/* scheduler_wake.c */
/** scheduler_look_around() - what was asked of vCPUs that do not run here, and their timers. On @cpu, no lock held. */
void scheduler_look_around(struct scheduler_cpu *cpu);
/** scheduler_finish_vcpu() - behind VCPU_OFF, no lock held: the last one that leaves ends its VM. */
void scheduler_finish_vcpu(struct vcpu *vcpu);
/** scheduler_kick_vcpu() - see vcpu_set_kick_handler(). */
void scheduler_kick_vcpu(struct vcpu *vcpu);

/* scheduler_balance.c */
/** scheduler_balance() - takes over a vCPU that waits elsewhere (then true), or asks another CPU to take one. On @cpu, no lock
 * held. */
bool scheduler_balance(struct scheduler_cpu *cpu, uint64_t now);
/** scheduler_offer() - wakes an idle CPU that may take what is queued here. On @cpu, no lock held. */
void scheduler_offer(struct scheduler_cpu *cpu);

/* scheduler_call.c */
/** scheduler_run_posted_call() - returns whether there was one. */
bool scheduler_run_posted_call(struct scheduler_cpu *cpu);

/* vcpu_run.c */
/**
 * scheduler_run_vcpu() - runs a vCPU, which is loaded, until it blocks, stops, or its CPU is wanted; then cpu->next_state and cpu->yielded say why.
 * @run_end: host TSC, UINT64_MAX for never.
 */
void scheduler_run_vcpu(struct scheduler_cpu *cpu, struct vcpu *vcpu, uint64_t run_end);
/** scheduler_load() - makes @vcpu (or nobody: NULL) the one whose state is in this CPU. */
void scheduler_load(struct scheduler_cpu *cpu, struct vcpu *vcpu);
