/*
 * What guests may do with model-specific registers: a table of rows, sorted by number. A register in no row does not
 * exist for a guest (#GP).
 *
 * Manual: SDM Vol. 4 "Architectural MSRs".
 */
#pragma once

#include "lib/status.h"
#include "lib/types.h"

struct vcpu;
struct virt_vm;

/** msr_policy_init() - reads what the host's registers tell; once, at boot, after cpuid_policy_init(). */
void msr_policy_init(void);

/** msr_policy_apply() - lets the registers that the back end switches through without an exit; after virt_ops->vm_create(). */
void msr_policy_apply(struct virt_vm *vm);

/** msr_policy_reset() - values after power-on of the registers that struct vcpu keeps; the vCPU does not run. */
void msr_policy_reset(struct vcpu *vcpu);

/**
 * msr_policy_read() / msr_policy_write() - RDMSR and WRMSR of @vcpu, which is loaded.
 * @msr, @value: the guest's, any value.
 * Context: interrupts off; takes the VM's device lock for registers that belong to a device.
 * Return: STATUS_OK; anything else means #GP(0), and nothing changed.
 */
must_check enum status msr_policy_read(struct vcpu *vcpu, uint32_t msr, uint64_t *value);
must_check enum status msr_policy_write(struct vcpu *vcpu, uint32_t msr, uint64_t value);

/** msr_policy_name() - the manual's name of @msr if a row has it, else NULL; for dumps. */
const char *msr_policy_name(uint32_t msr);
