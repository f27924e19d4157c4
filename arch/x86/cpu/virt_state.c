#include "arch/x86/cpu/virt_state.h"

#include "arch/x86/cpu/xsave.h"
#include "arch/x86/cr.h"
#include "arch/x86/insn.h"
#include "arch/x86/mm/page_pool.h"
#include "arch/x86/msr.h"

static unsigned xsave_pages(void)
{
	return (unsigned)(align_up(xsave_area_size(), PAGE_SIZE) / PAGE_SIZE);
}

enum status virt_state_create(struct virt_vcpu *vcpu, struct vm_exit *exit)
{
	vcpu->xsave_area = page_pool_allocate_contiguous(xsave_pages());
	if (!vcpu->xsave_area)
		return STATUS_NO_MEMORY;
	xsave_area_init(vcpu->xsave_area);
	vcpu->xcr0 = XCR0_X87;
	vcpu->dr6 = DR6_FIXED;
	vcpu->entry_deadline = UINT64_MAX;
	vcpu->exits = exit;
	vcpu->exits_end = vcpu->exits + 1;
	vcpu->exit = vcpu->exits;
	return STATUS_OK;
}

void virt_state_destroy(struct virt_vcpu *vcpu)
{
	page_pool_free_contiguous(vcpu->xsave_area, xsave_pages());
}

static void set_xcr0(uint64_t value)
{
	if (xsave_is_available())
		insn_xsetbv(0, value);
}

void virt_state_load(const struct virt_vcpu *vcpu, bool has_tsc_aux)
{
	insn_write_dr0(vcpu->dr[0]);
	insn_write_dr1(vcpu->dr[1]);
	insn_write_dr2(vcpu->dr[2]);
	insn_write_dr3(vcpu->dr[3]);
	if (has_tsc_aux)
		insn_wrmsr(MSR_TSC_AUX, vcpu->tsc_aux);
	xsave_restore(vcpu->xsave_area, xsave_supported_mask());
	set_xcr0(vcpu->xcr0);
}

void virt_state_save(struct virt_vcpu *vcpu, bool has_tsc_aux)
{
	vcpu->dr[0] = insn_read_dr0();
	vcpu->dr[1] = insn_read_dr1();
	vcpu->dr[2] = insn_read_dr2();
	vcpu->dr[3] = insn_read_dr3();
	if (has_tsc_aux)
		vcpu->tsc_aux = insn_rdmsr(MSR_TSC_AUX);
	set_xcr0(xsave_supported_mask());
	xsave_save(vcpu->xsave_area, xsave_supported_mask());
}
