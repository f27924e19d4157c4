/*
 * The part of a vCPU's state that no entry or exit switches, since the hypervisor does not use it: it stays in the CPU until
 * another vCPU needs it. The same for every back end.
 */
#pragma once

#include "arch/x86/virt.h"
#include "lib/status.h"

/** virt_state_create() - the state after a reset, and a ring of one exit at @exit; @vcpu gets memory. STATUS_NO_MEMORY. */
must_check enum status virt_state_create(struct virt_vcpu *vcpu, struct vm_exit *exit);
void virt_state_destroy(struct virt_vcpu *vcpu);

/** virt_state_load() / _save() - DR0..DR3, TSC_AUX if @has_tsc_aux, XCR0 and the XSAVE state; on the CPU that loads @vcpu. */
void virt_state_load(const struct virt_vcpu *vcpu, bool has_tsc_aux);
void virt_state_save(struct virt_vcpu *vcpu, bool has_tsc_aux);
