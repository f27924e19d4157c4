#include "arch/x86/mm/page_pool.h"
#include "arch/x86/mm/page_table.h"
#include "arch/x86/physmap.h"
#include "arch/x86/virt_bitmap.h"
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

/* "Virtualizing MSR-Based APIC Accesses": the registers of which the register page holds all that a read gives, and writes
 * that the hardware carries out. ICR (its upper half lies elsewhere in the page) and the current count are not among them. */
static const struct { uint16_t first, last; bool write; } x2apic_passed[] = {
	{0x802, 0x803, false}, /* ID, version */
	{0x808, 0x808, false}, {0x808, 0x808, true}, /* TPR */
	{0x80a, 0x80a, false}, /* PPR */
	{0x80b, 0x80b, true},  /* EOI */
	{0x80d, 0x80d, false}, /* LDR */
	{0x80f, 0x828, false}, /* SVR, ISR, TMR, IRR, ESR */
	{0x832, 0x838, false}, /* local vector table, initial count */
	{0x83e, 0x83e, false}, /* divide configuration */
	{0x83f, 0x83f, true},  /* SELF IPI */
};

static void pass_x2apic(uint8_t *bitmap)
{
	for (size_t i = 0; i < array_count(x2apic_passed); i++) {
		for (uint32_t msr = x2apic_passed[i].first; msr <= x2apic_passed[i].last; msr++)
			virt_bitmap_assign(bitmap + (x2apic_passed[i].write ? MSR_BITMAP_WRITE : 0), msr, false);
	}
}

enum status vmx_vm_create(struct virt_vm *vm, const struct page_table *nested)
{
	struct virt_vm_backend *backend = page_pool_allocate_pointer();
	void *io_bitmaps = page_pool_allocate_contiguous(2);
	void *msr_bitmaps = page_pool_allocate_contiguous(2);
	void *apic_access_page = vmx_settings.has_apic ? page_pool_allocate_pointer() : NULL;

	if (!backend || !io_bitmaps || !msr_bitmaps || (vmx_settings.has_apic && !apic_access_page))
		goto no_memory;
	/* Everything exits until somebody says otherwise. */
	memset(io_bitmaps, 0xff, 2 * PAGE_SIZE);
	memset(msr_bitmaps, 0xff, 2 * PAGE_SIZE);
	backend->io_bitmaps = physmap_address(io_bitmaps);
	backend->msr_bitmaps = physmap_address(msr_bitmaps);
	pass_x2apic((uint8_t *)msr_bitmaps + PAGE_SIZE);
	/* Each VM has its own: it shows through to a guest that has another of its APICs turned off. */
	vm->apic_access_page = apic_access_page ? physmap_address(apic_access_page) : hpa(0);
	backend->ept_pointer = nested->root.value | (uint64_t)(nested->format->levels - 1) << EPT_POINTER_LEVELS_SHIFT | EPT_POINTER_WB;
	vm->backend = backend;
	vm->nested = nested;
	return STATUS_OK;

no_memory:
	if (apic_access_page)
		page_pool_free_pointer(apic_access_page);
	if (msr_bitmaps)
		page_pool_free_contiguous(msr_bitmaps, 2);
	if (io_bitmaps)
		page_pool_free_contiguous(io_bitmaps, 2);
	if (backend)
		page_pool_free_pointer(backend);
	return STATUS_NO_MEMORY;
}

void vmx_vm_destroy(struct virt_vm *vm)
{
	struct virt_vm_backend *backend = vm->backend;

	if (vm->apic_access_page.value)
		page_pool_free_pointer(physmap_pointer(vm->apic_access_page));
	page_pool_free_contiguous(physmap_pointer(backend->msr_bitmaps), 2);
	page_pool_free_contiguous(physmap_pointer(backend->io_bitmaps), 2);
	page_pool_free_pointer(backend);
	vm->backend = NULL;
}

void vmx_vm_flush(struct virt_vm *vm)
{
	__atomic_fetch_add(&vm->backend->flush_generation, 1, __ATOMIC_RELEASE);
}

void vmx_msr_intercept(struct virt_vm *vm, uint32_t msr, bool read, bool write)
{
	uint8_t *bitmap = physmap_pointer(vm->backend->msr_bitmaps);

	if (msr >= MSR_HIGH_FIRST) {
		bitmap += MSR_BITMAP_HIGH;
		msr -= MSR_HIGH_FIRST;
	}
	/* MSRs outside both ranges always exit. */
	if (msr >= MSR_BITMAP_RANGE)
		return;
	for (unsigned copy = 0; copy < 2; copy++, bitmap += PAGE_SIZE) {
		virt_bitmap_assign(bitmap, msr, read);
		virt_bitmap_assign(bitmap + MSR_BITMAP_WRITE, msr, write);
	}
}

void vmx_port_intercept(struct virt_vm *vm, uint16_t port, bool intercept)
{
	virt_bitmap_assign(physmap_pointer(vm->backend->io_bitmaps), port, intercept);
}
