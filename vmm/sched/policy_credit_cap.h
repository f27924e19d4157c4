/*
 * The cap of the credit policy: how much of each window of 10 ms a VM may use, all its vCPUs together. Time is given to its
 * vCPUs in advance, so that several of them do not exceed it; what was used too much counts in the next windows.
 * Context: any CPU, its scheduler lock may be held.
 */
#pragma once

#include "vmm/vcpu.h"
#include "vmm/vm.h"

static inline bool credit_has_cap(const struct vm *vm) { return vm->sched_settings.cap != 0; }

/** credit_cap_init() - before the others; when the clock's frequency is known. More than once does no harm. */
void credit_cap_init(void);
/** credit_cap_left() - what a VM with a cap may still use of the window in which @now lies [TSC ticks]. */
uint64_t credit_cap_left(struct vm *vm, uint64_t now);
/** credit_cap_grant() - gives a vCPU a part of that in advance [TSC ticks]; the rest of it comes back by credit_cap_charge(). */
uint64_t credit_cap_grant(struct vcpu *vcpu, uint64_t now);
/** credit_cap_charge() - the vCPU used @used ticks, of a grant or without one; nothing for VMs without a cap. */
void credit_cap_charge(struct vcpu *vcpu, uint64_t used);
/** credit_cap_window_end() - host TSC at which the VM's current window ends. */
uint64_t credit_cap_window_end(const struct vm *vm);
