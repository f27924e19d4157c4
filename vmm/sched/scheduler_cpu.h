/*
 * A CPU's part of the scheduler; private to this folder.
 */
#pragma once

#include "arch/x86/spinlock.h"
#include "lib/list.h"
#include "lib/types.h"
#include "vmm/vcpu.h"

#define SCHEDULER_MAX_VCPUS 128u

enum scheduler_call_state { SCHEDULER_CALL_FREE, SCHEDULER_CALL_POSTED, SCHEDULER_CALL_RUNNING };

struct scheduler_cpu {
	struct spinlock lock;      /* protects run_queue, vcpus, vcpu_count, and the state of vCPUs that do not run */
	struct list run_queue;     /* runnable ones, next first */
	struct vcpu *vcpus[SCHEDULER_MAX_VCPUS]; /* all that belong here */
	uint32_t vcpu_count;
	struct vcpu *loaded;       /* whose state is in this CPU; only its own CPU */
	bool attention;            /* leave the guest and look around; atomic */
	bool looking_around;       /* the sleeping vCPUs are being looked at, so their kicks need no attention; only its own CPU */
	uint64_t blocked_deadline; /* earliest timer of the vCPUs that are blocked; only its own CPU */
	uint64_t slice_end;        /* host TSC; of the vCPU that runs; UINT64_MAX: none; only its own CPU */
	uint32_t call_state;       /* enum scheduler_call_state, atomic */
	struct vcpu *call_vcpu;
	void (*call_function)(struct vcpu *, void *);
	void *call_argument;
};

/* vcpu_run.c */
/**
 * scheduler_run_vcpu() - runs a vCPU until it blocks, stops, uses up its slice, or its CPU is wanted.
 * @slice_end: host TSC, UINT64_MAX for none.
 */
void scheduler_run_vcpu(struct scheduler_cpu *cpu, struct vcpu *vcpu, uint64_t slice_end);
/** scheduler_load() - makes @vcpu (or nobody: NULL) the one whose state is in this CPU. */
void scheduler_load(struct scheduler_cpu *cpu, struct vcpu *vcpu);
