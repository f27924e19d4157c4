/*
 * Which vCPU runs where and when: the mechanism. Every CPU has its own run queue and its own loop, which never returns.
 * vCPUs take turns of SCHEDULER_SLICE_MICROSECONDS; a CPU with one runnable vCPU has no slice and no tick.
 */
#pragma once

#include "arch/x86/pcpu.h"
#include "lib/status.h"
#include "lib/types.h"

struct vcpu;
struct vm;

#define SCHEDULER_SLICE_MICROSECONDS 10000u

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

/** scheduler_add() - a new vCPU (VCPU_OFF) becomes known to CPU @pcpu_index. */
void scheduler_add(struct vcpu *vcpu, uint32_t pcpu_index);
/** scheduler_remove() - forgets a vCPU that is VCPU_OFF; its state is saved first. Boot processor, from housekeeping. */
must_check enum status scheduler_remove(struct vcpu *vcpu);
/** scheduler_start() - VCPU_OFF becomes VCPU_RUNNABLE. */
void scheduler_start(struct vcpu *vcpu);

/**
 * scheduler_call() - runs @function on the vCPU's CPU, between two exits, with the vCPU loaded; waits for its end.
 * Context: from housekeeping (shell), interrupts off, no lock held.
 * Return: STATUS_OK; STATUS_TIMEOUT: the CPU did not answer within a second (@function will not be called any more).
 */
must_check enum status scheduler_call(struct vcpu *vcpu, void (*function)(struct vcpu *, void *), void *argument);
