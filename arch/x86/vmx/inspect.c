#include "arch/x86/cpu/xsave.h"
#include "arch/x86/physmap.h"
#include "arch/x86/virt_bitmap.h"
#include "arch/x86/vmx/vm_state.h"
#include "arch/x86/vmx/vmx.h"
#include "lib/bits.h"

#define WORD_BITS 64u
#define PORT_COUNT 0x10000u
#define MSR_RANGE 0x2000u
#define MSR_HIGH_FIRST 0xc0000000u

static void open_ports(const struct virt_vm *vm, void (*visit)(void *context, uint16_t port), void *context)
{
	const uint64_t *bitmap = physmap_pointer(vm->backend->io_bitmaps);

	for (uint32_t port = 0; (port = virt_bitmap_next_open(bitmap, port, PORT_COUNT)) < PORT_COUNT; port++)
		visit(context, (uint16_t)port);
}

/* "MSR-Bitmap Address": four bitmaps: reads of low and high MSRs, then writes; a second page of them for x2APIC mode. */
static void open_msrs(const struct virt_vm *vm, void (*visit)(void *context, uint32_t msr, bool write, bool x2apic), void *context)
{
	const uint64_t *bitmap = physmap_pointer(vm->backend->msr_bitmaps);

	for (unsigned part = 0; part < 8; part++, bitmap += MSR_RANGE / WORD_BITS)
		for (uint32_t msr = 0; (msr = virt_bitmap_next_open(bitmap, msr, MSR_RANGE)) < MSR_RANGE; msr++)
			visit(context, (part & 1 ? MSR_HIGH_FIRST : 0) + msr, part & 2, part & 4);
}

static uint32_t vcpu_tag(const struct virt_vcpu *vcpu)
{
	return vcpu->backend->vpid;
}

static void vm_pages(const struct virt_vm *vm, void (*visit)(void *context, hpa_t pages, uint64_t bytes), void *context)
{
	visit(context, physmap_address(vm->backend), PAGE_SIZE);
	visit(context, vm->backend->io_bitmaps, 2 * PAGE_SIZE);
	visit(context, vm->backend->msr_bitmaps, 2 * PAGE_SIZE);
	if (vm->apic_access_page.value != 0)
		visit(context, vm->apic_access_page, PAGE_SIZE);
}

static void vcpu_pages(const struct virt_vcpu *vcpu, void (*visit)(void *context, hpa_t pages, uint64_t bytes), void *context)
{
	visit(context, physmap_address(vcpu->backend), PAGE_SIZE);
	visit(context, vcpu->backend->vmcs, PAGE_SIZE);
	visit(context, physmap_address(vcpu->xsave_area), align_up(xsave_area_size(), PAGE_SIZE));
	if (vcpu->apic_page != NULL)
		visit(context, physmap_address(vcpu->apic_page), PAGE_SIZE);
}

const struct virt_inspect_ops vmx_inspect_ops = {
	.open_ports = open_ports,
	.open_msrs = open_msrs,
	.vcpu_tag = vcpu_tag,
	.vm_pages = vm_pages,
	.vcpu_pages = vcpu_pages,
};
