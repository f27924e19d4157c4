/*
 * The part of a vCPU's state that no entry or exit switches, since the hypervisor does not use it: it stays in the CPU until
 * another vCPU needs it. The same for every back end.
 */
#pragma once

#include "arch/x86/cpu/xsave.h"
#include "arch/x86/insn.h"
#include "arch/x86/msr.h"
#include "arch/x86/virt.h"
#include "lib/status.h"

/** virt_state_create() - the state after a reset, and a ring of one exit at @exit; @vcpu gets memory. STATUS_NO_MEMORY. */
must_check enum status virt_state_create(struct virt_vcpu *vcpu, struct vm_exit *exit);
void virt_state_destroy(struct virt_vcpu *vcpu);

/*
 * virt_state_load() / _save() - DR0..DR3, TSC_AUX if @has_tsc_aux, XCR0 and the XSAVE state; on the CPU that loads @vcpu. Part of
 * every switch between vCPUs, so inline.
 */
static always_inline void virt_state_load(const struct virt_vcpu *vcpu, bool has_tsc_aux)
{
	insn_write_dr0(vcpu->dr[0]);
	insn_write_dr1(vcpu->dr[1]);
	insn_write_dr2(vcpu->dr[2]);
	insn_write_dr3(vcpu->dr[3]);
	if (has_tsc_aux)
		insn_wrmsr(MSR_TSC_AUX, vcpu->tsc_aux);
	xsave_restore(vcpu->xsave_area, xsave_supported_mask());
	xsave_set_xcr0(vcpu->xcr0);
}

static always_inline void virt_state_save(struct virt_vcpu *vcpu, bool has_tsc_aux)
{
	uint64_t components = xsave_supported_mask();

	vcpu->dr[0] = insn_read_dr0();
	vcpu->dr[1] = insn_read_dr1();
	vcpu->dr[2] = insn_read_dr2();
	vcpu->dr[3] = insn_read_dr3();
	if (has_tsc_aux)
		vcpu->tsc_aux = insn_rdmsr(MSR_TSC_AUX);
	xsave_set_xcr0(components);
	xsave_save(vcpu->xsave_area, components);
}
