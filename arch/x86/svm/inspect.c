#include "arch/x86/cpu/xsave.h"
#include "arch/x86/physmap.h"
#include "arch/x86/svm/svm_internal.h"
#include "arch/x86/virt_bitmap.h"

#define PORT_COUNT 0x10000u

static void open_ports(const struct virt_vm *vm, void (*visit)(void *context, uint16_t port), void *context)
{
	const uint64_t *bitmap = physmap_pointer(vm->backend->io_permissions);

	for (uint32_t port = 0; (port = virt_bitmap_next_open(bitmap, port, PORT_COUNT)) < PORT_COUNT; port++)
		visit(context, (uint16_t)port);
}

static void open_msrs(const struct virt_vm *vm, void (*visit)(void *context, uint32_t msr, bool write, bool x2apic), void *context)
{
	const uint32_t count = 2 * SVM_MSR_RANGES * SVM_MSR_RANGE_SIZE;
	const uint64_t *bitmap = physmap_pointer(vm->backend->msr_permissions);

	for (uint32_t bit = 0; (bit = virt_bitmap_next_open(bitmap, bit, count)) < count; bit++) {
		uint32_t range = bit / 2 / SVM_MSR_RANGE_SIZE;

		visit(context, svm_msr_ranges[range] + bit / 2 % SVM_MSR_RANGE_SIZE, bit & 1, false);
	}
}

static void vm_pages(const struct virt_vm *vm, void (*visit)(void *context, hpa_t pages, uint64_t bytes), void *context)
{
	visit(context, physmap_address(vm->backend), PAGE_SIZE);
	visit(context, vm->backend->io_permissions, SVM_IO_PAGES * PAGE_SIZE);
	visit(context, vm->backend->msr_permissions, SVM_MSR_PAGES * PAGE_SIZE);
}

static void vcpu_pages(const struct virt_vcpu *vcpu, void (*visit)(void *context, hpa_t pages, uint64_t bytes), void *context)
{
	visit(context, physmap_address(vcpu->backend), PAGE_SIZE);
	visit(context, physmap_address(vcpu->backend->vmcb), PAGE_SIZE);
	visit(context, physmap_address(vcpu->xsave_area), align_up(xsave_area_size(), PAGE_SIZE));
}

const struct virt_inspect_ops svm_inspect_ops = {
	.open_ports = open_ports,
	.open_msrs = open_msrs,
	.vcpu_tag = svm_vcpu_tag,
	.vm_pages = vm_pages,
	.vcpu_pages = vcpu_pages,
};
