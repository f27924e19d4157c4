#include "arch/x86/cpu/virt_state.h"

#include "arch/x86/cr.h"
#include "arch/x86/mm/page_pool.h"

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
