#include "arch/x86/mm/page_pool.h"
#include "arch/x86/mm/page_table.h"
#include "arch/x86/physmap.h"
#include "arch/x86/vmx/vm_state.h"
#include "arch/x86/vmx/vmx.h"
#include "lib/bits.h"
#include "lib/string.h"

/* "Extended-Page-Table Pointer (EPTP)": write-back tables, page-walk length minus one in bits 5:3. */
#define EPT_POINTER_WB 6u
#define EPT_POINTER_LEVELS_SHIFT 3

/* "MSR-Bitmap Address": four bitmaps of 1 KiB: reads of low and high MSRs, then writes. */
#define MSR_BITMAP_HIGH 0x400u
#define MSR_BITMAP_WRITE 0x800u
#define MSR_HIGH_FIRST 0xc0000000u
#define MSR_BITMAP_RANGE 0x2000u

enum status vmx_vm_create(struct virt_vm *vm, const struct page_table *nested)
{
	struct virt_vm_backend *backend = page_pool_allocate_pointer();
	void *io_bitmaps = page_pool_allocate_contiguous(2);
	void *msr_bitmap = page_pool_allocate_pointer();

	if (!backend || !io_bitmaps || !msr_bitmap)
		goto no_memory;
	/* Everything exits until somebody says otherwise. */
	memset(io_bitmaps, 0xff, 2 * PAGE_SIZE);
	memset(msr_bitmap, 0xff, PAGE_SIZE);
	backend->io_bitmaps = physmap_address(io_bitmaps);
	backend->msr_bitmap = physmap_address(msr_bitmap);
	backend->ept_pointer = nested->root.value | (uint64_t)(nested->format->levels - 1) << EPT_POINTER_LEVELS_SHIFT | EPT_POINTER_WB;
	vm->backend = backend;
	vm->nested = nested;
	return STATUS_OK;

no_memory:
	if (msr_bitmap)
		page_pool_free_pointer(msr_bitmap);
	if (io_bitmaps)
		page_pool_free_contiguous(io_bitmaps, 2);
	if (backend)
		page_pool_free_pointer(backend);
	return STATUS_NO_MEMORY;
}

void vmx_vm_destroy(struct virt_vm *vm)
{
	struct virt_vm_backend *backend = vm->backend;

	page_pool_free_pointer(physmap_pointer(backend->msr_bitmap));
	page_pool_free_contiguous(physmap_pointer(backend->io_bitmaps), 2);
	page_pool_free_pointer(backend);
	vm->backend = NULL;
}

void vmx_vm_flush(struct virt_vm *vm)
{
	__atomic_fetch_add(&vm->backend->flush_generation, 1, __ATOMIC_RELEASE);
}

static void bitmap_assign(uint8_t *bitmap, uint32_t bit, bool value)
{
	if (value)
		bitmap[bit / 8] |= (uint8_t)(1u << bit % 8);
	else
		bitmap[bit / 8] &= (uint8_t)~(1u << bit % 8);
}

void vmx_msr_intercept(struct virt_vm *vm, uint32_t msr, bool read, bool write)
{
	uint8_t *bitmap = physmap_pointer(vm->backend->msr_bitmap);

	if (msr >= MSR_HIGH_FIRST) {
		bitmap += MSR_BITMAP_HIGH;
		msr -= MSR_HIGH_FIRST;
	}
	/* MSRs outside both ranges always exit. */
	if (msr >= MSR_BITMAP_RANGE)
		return;
	bitmap_assign(bitmap, msr, read);
	bitmap_assign(bitmap + MSR_BITMAP_WRITE, msr, write);
}

void vmx_port_intercept(struct virt_vm *vm, uint16_t port, bool intercept)
{
	bitmap_assign(physmap_pointer(vm->backend->io_bitmaps), port, intercept);
}
