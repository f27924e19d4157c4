/*
 * Interrupts of passed-through functions that the IOMMU leaves in descriptors of vCPUs (arch/x86/posted_interrupts.h),
 * instead of interrupting a CPU for each. A descriptor notifies the CPU on which its vCPU runs, whose guest takes the
 * request without an exit; while the vCPU sleeps another vector wakes it; while it waits for its turn nothing is
 * notified, since it looks before it runs.
 *
 * Nothing gets lost: who changes what a descriptor notifies does so in one step and looks for requests behind it; a
 * unit sets the request and looks whom to notify in one step too. So either the unit sees the change, or who made it
 * sees the request. VT-d Specification, "Interrupt Posting"; SDM Vol. 3C "Posted-Interrupt Processing".
 */
#pragma once

#include "lib/status.h"
#include "lib/types.h"
#include "vmm/vcpu.h"

struct vm;

/** vcpu_posting_init() - registers the vectors; boot, once, before a VM is created. */
void vcpu_posting_init(void);

/** vcpu_posting_create() - descriptors for all of @vm's vCPUs, none of which was loaded yet. STATUS_NO_MEMORY. */
must_check enum status vcpu_posting_create(struct vm *vm);
/** vcpu_posting_destroy() - takes them away; the vCPUs are not loaded any more, and no unit posts to them: what one may
 * still write to, since it did not answer (vm->posting.lost), is never used again. None there: nothing. */
void vcpu_posting_destroy(struct vm *vm);
/** vcpu_posting_descriptor() - where a unit finds the descriptor of @vcpu, which has one. */
hpa_t vcpu_posting_descriptor(const struct vcpu *vcpu);
/** vcpu_posting_holds() - whether @descriptor is one of @vm's. */
bool vcpu_posting_holds(const struct vm *vm, hpa_t descriptor);

/**
 * vcpu_posting_follow() - @vcpu, which has a descriptor, is in @state at CPU @pcpu_index from now on; what was posted
 * meanwhile is among its requests when this returns. Whoever may change the state calls this: under the scheduler's
 * lock of that CPU.
 */
void vcpu_posting_follow(struct vcpu *vcpu, enum vcpu_state state, uint32_t pcpu_index);
/** vcpu_posting_take() - moves what was posted to the vCPU's local APIC. On the CPU that it runs or sleeps at, the
 * guest does not run; device lock held. No descriptor: nothing. */
void vcpu_posting_take(struct vcpu *vcpu);
