/*
 * Which vCPU runs where and when: the mechanism. Every CPU has its own run queues and its own loop, which never returns. Who
 * goes first is decided by the policies, see policy.h. A CPU that has nothing to switch to has no slice and no tick.
 */
#pragma once

#include "arch/x86/pcpu.h"
#include "lib/status.h"
#include "lib/types.h"
#include "vmm/config.h"

struct vcpu;
struct vm;

/** scheduler_init() - before any CPU enters its loop; allocates every CPU's part. */
must_check enum status scheduler_init(void);

/**
 * scheduler_loop() - the life of a CPU from the end of its boot on: calls from others, housekeeping, vCPUs, idling.
 * Interrupts off; does not return.
 */
noreturn_function void scheduler_loop(void);

/**
 * scheduler_set_housekeeping() - what the boot processor does between vCPUs and whenever scheduler_attention() was called:
 * console, shell, VMs that ended.
 * @work: returns true if it wants to be called again at once.
 */
void scheduler_set_housekeeping(bool (*work)(void));
/** scheduler_attention() - the boot processor leaves its guest or its sleep and does its housekeeping. Any CPU, any context. */
void scheduler_attention(void);
/** scheduler_attention_at() - the same at host TSC @time; the earliest asked for counts, and is forgotten once it came. Boot processor. */
void scheduler_attention_at(uint64_t time);

/** scheduler_set_cpus() - bit per CPU index that may run vCPUs, from the configuration. Before the first scheduler_add(). */
void scheduler_set_cpus(uint64_t cpus);

/**
 * scheduler_add() - admits a new vCPU (VCPU_OFF) under the policy of vm->sched_settings to one of the CPUs of
 * vcpu->sched.affinity. Boot processor, from housekeeping or boot.
 * Return: STATUS_OK; STATUS_DENIED, STATUS_NOT_FOUND: refused, @why (SCHED_REFUSAL_SIZE bytes) says why.
 */
must_check enum status scheduler_add(struct vcpu *vcpu, char *why);
/** scheduler_remove() - forgets a vCPU that is VCPU_OFF; its state is saved and its reservation given back. Same context. */
must_check enum status scheduler_remove(struct vcpu *vcpu);
/** scheduler_start() - VCPU_OFF becomes VCPU_RUNNABLE, or VCPU_WAIT_SIPI for all but the VM's first vCPU. */
void scheduler_start(struct vcpu *vcpu);

/**
 * scheduler_pause() - VCPU_RUNNABLE, VCPU_RUNNING and VCPU_BLOCKED become VCPU_PAUSED soon; scheduler_unpause() lets it go
 * on where it was. A vCPU that waits for a start-up IPI stays so, and is paused when one comes. Boot processor.
 */
void scheduler_pause(struct vcpu *vcpu);
void scheduler_unpause(struct vcpu *vcpu);

/**
 * scheduler_set_affinity() - the vCPU may run on @cpus only from now on, and moves if it must. The same context and refusals
 * as scheduler_add(); refused, nothing has changed.
 */
must_check enum status scheduler_set_affinity(struct vcpu *vcpu, uint64_t cpus, char *why);
/** scheduler_set_policy() - all vCPUs of @vm, which may run, go over to @settings; refused, nothing has changed. */
must_check enum status scheduler_set_policy(struct vm *vm, const struct config_sched *settings, char *why);

/**
 * scheduler_call() - runs @function on the vCPU's CPU, between two exits, with the vCPU loaded; waits for its end.
 * Context: from housekeeping (shell), interrupts off, no lock held.
 * Return: STATUS_OK; STATUS_TIMEOUT: the CPU did not answer within a second (@function will not be called any more).
 */
must_check enum status scheduler_call(struct vcpu *vcpu, void (*function)(struct vcpu *, void *), void *argument);

/**
 * scheduler_borrow() - the same, but on this CPU, with a vCPU that is VCPU_OFF: for long work, which its own CPU is to be spared.
 */
must_check enum status scheduler_borrow(struct vcpu *vcpu, void (*function)(struct vcpu *, void *), void *argument);

/* What a CPU did with its time since it came online [TSC ticks]; may be read on any CPU. */
struct scheduler_times {
	uint64_t guest, idle, total;
	uint64_t switches; /* from one vCPU to another */
};
void scheduler_get_times(uint32_t pcpu_index, struct scheduler_times *times);
