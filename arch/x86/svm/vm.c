#include "arch/x86/mm/page_pool.h"
#include "arch/x86/mm/page_table.h"
#include "arch/x86/physmap.h"
#include "arch/x86/svm/svm_internal.h"
#include "arch/x86/virt_bitmap.h"
#include "lib/string.h"

/* "MSR Intercepts": two bits for each MSR, 2 KiB for each range. */
const uint32_t svm_msr_ranges[SVM_MSR_RANGES] = {0, 0xc0000000, 0xc0010000};

enum status svm_vm_create(struct virt_vm *vm, const struct page_table *nested)
{
	struct virt_vm_backend *backend = page_pool_allocate_pointer();
	void *io_permissions = page_pool_allocate_contiguous(SVM_IO_PAGES);
	void *msr_permissions = page_pool_allocate_contiguous(SVM_MSR_PAGES);

	if (!backend || !io_permissions || !msr_permissions)
		goto no_memory;
	/* Everything exits until somebody says otherwise. */
	memset(io_permissions, 0xff, SVM_IO_PAGES * PAGE_SIZE);
	memset(msr_permissions, 0xff, SVM_MSR_PAGES * PAGE_SIZE);
	backend->io_permissions = physmap_address(io_permissions);
	backend->msr_permissions = physmap_address(msr_permissions);
	vm->apic_access_page = hpa(0);
	vm->backend = backend;
	vm->nested = nested;
	return STATUS_OK;

no_memory:
	if (msr_permissions)
		page_pool_free_contiguous(msr_permissions, SVM_MSR_PAGES);
	if (io_permissions)
		page_pool_free_contiguous(io_permissions, SVM_IO_PAGES);
	if (backend)
		page_pool_free_pointer(backend);
	return STATUS_NO_MEMORY;
}

void svm_vm_destroy(struct virt_vm *vm)
{
	struct virt_vm_backend *backend = vm->backend;

	page_pool_free_contiguous(physmap_pointer(backend->msr_permissions), SVM_MSR_PAGES);
	page_pool_free_contiguous(physmap_pointer(backend->io_permissions), SVM_IO_PAGES);
	page_pool_free_pointer(backend);
	vm->backend = NULL;
}

void svm_vm_flush(struct virt_vm *vm)
{
	__atomic_fetch_add(&vm->backend->flush_generation, 1, __ATOMIC_RELEASE);
}

void svm_msr_intercept(struct virt_vm *vm, uint32_t msr, bool read, bool write)
{
	uint8_t *bitmap = physmap_pointer(vm->backend->msr_permissions);

	/* MSRs outside the ranges always exit. */
	for (unsigned range = 0; range < SVM_MSR_RANGES; range++) {
		uint32_t index = msr - svm_msr_ranges[range] + range * SVM_MSR_RANGE_SIZE;

		if (msr - svm_msr_ranges[range] >= SVM_MSR_RANGE_SIZE)
			continue;
		virt_bitmap_assign(bitmap, 2 * index, read);
		virt_bitmap_assign(bitmap, 2 * index + 1, write);
	}
}

void svm_port_intercept(struct virt_vm *vm, uint16_t port, bool intercept)
{
	virt_bitmap_assign(physmap_pointer(vm->backend->io_permissions), port, intercept);
}
