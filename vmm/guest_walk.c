#include "vmm/guest_walk.h"

#include "arch/x86/cr.h"
#include "arch/x86/exception.h"
#include "vmm/vm.h"

#define ENTRY_PRESENT BIT(0)
#define ENTRY_WRITE BIT(1)
#define ENTRY_USER BIT(2)
#define ENTRY_ACCESSED BIT(5)
#define ENTRY_DIRTY BIT(6)
#define ENTRY_LARGE BIT(7)
#define ENTRY_NX BIT(63)
#define ENTRY_ADDRESS BITS(51, 12)

#define FAULT_PRESENT 0x01u
#define FAULT_WRITE 0x02u
#define FAULT_USER 0x04u
#define FAULT_RESERVED 0x08u
#define FAULT_FETCH 0x10u

/* Lowest address bit that an entry of a table with 8-byte entries translates. */
#define LEVEL_4_SHIFT 39u
#define LEVEL_2_SHIFT 21u

#define MAX_ATTEMPTS 16u /* at one walk, while other vCPUs change its entries */

static uint64_t read_register(const struct guest_walk *walk, enum virt_register name)
{
	return virt_ops->register_read(&walk->vcpu->virt, name);
}

/* The current privilege level is the DPL of SS. */
static bool is_user(const struct guest_walk *walk)
{
	struct virt_segment ss;

	virt_ops->segment_read(&walk->vcpu->virt, VIRT_SS, &ss);
	return bits_get(ss.attributes, 6, 5) == 3;
}

static bool reports_fetches(const struct guest_walk *walk)
{
	uint64_t cr4 = read_register(walk, VIRT_CR4);

	return cr4 & CR4_SMEP || (cr4 & CR4_PAE && walk->efer & EFER_NXE);
}

static enum status page_fault(const struct guest_walk *walk, uint32_t code)
{
	code |= walk->access == GUEST_LINEAR_WRITE ? FAULT_WRITE : 0;
	code |= is_user(walk) ? FAULT_USER : 0;
	code |= walk->access >= GUEST_LINEAR_FETCH && reports_fetches(walk) ? FAULT_FETCH : 0;
	*walk->fault = (struct guest_linear_fault){EXCEPTION_PF, true, code, walk->linear};
	return STATUS_DENIED;
}

enum status guest_walk_general_protection(const struct guest_walk *walk)
{
	*walk->fault = (struct guest_linear_fault){EXCEPTION_GP, true, 0, 0};
	return STATUS_DENIED;
}

/* SMEP and SMAP keep supervisors from the pages of users. */
static bool user_page_allowed(const struct guest_walk *walk)
{
	uint64_t cr4 = read_register(walk, VIRT_CR4);

	if (walk->access == GUEST_LINEAR_FETCH)
		return !(cr4 & CR4_SMEP) || is_user(walk);
	return !(cr4 & CR4_SMAP) || read_register(walk, VIRT_RFLAGS) & RFLAGS_AC || is_user(walk);
}

/* Rights are the bits of an entry with NX inverted, so that what all levels allow is their AND. */
#define ALL_RIGHTS (~(uint64_t)0)
#define RIGHT_EXECUTE ENTRY_NX

static uint64_t rights_of(uint64_t entry)
{
	return entry ^ ENTRY_NX;
}

/* "Determination of Access Rights" */
static bool access_allowed(const struct guest_walk *walk, uint64_t rights)
{
	if (rights & ENTRY_USER ? !user_page_allowed(walk) : is_user(walk))
		return false;
	if (walk->access == GUEST_LINEAR_FETCH)
		return rights & RIGHT_EXECUTE;
	if (walk->access == GUEST_LINEAR_READ || rights & ENTRY_WRITE)
		return true;
	return !is_user(walk) && !(read_register(walk, VIRT_CR0) & CR0_WP);
}

/* Accessed on the way, dirty at the leaf. Other vCPUs change the same tables: a bit only goes into the entry that was
 * read, or false is returned and the walk starts again. Most entries have the bits already and are not written. */
static bool mark(uint64_t *pointer, uint64_t entry, uint64_t bits)
{
	return (entry & bits) == bits ||
	       __atomic_compare_exchange_n(pointer, &entry, entry | bits, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

static bool mark_32(uint32_t *pointer, uint32_t entry, uint32_t bits)
{
	return (entry & bits) == bits ||
	       __atomic_compare_exchange_n(pointer, &entry, entry | bits, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

static uint64_t leaf_marks(const struct guest_walk *walk)
{
	return ENTRY_ACCESSED | (walk->access == GUEST_LINEAR_WRITE ? ENTRY_DIRTY : 0);
}

static enum status finish_64(const struct guest_walk *walk, uint64_t rights, uint64_t *pointer, uint64_t entry, unsigned shift,
			     gpa_t *result)
{
	uint64_t offset = BIT(shift) - 1;

	if (unlikely(shift == LEVEL_4_SHIFT))
		return page_fault(walk, FAULT_PRESENT | FAULT_RESERVED);
	if (walk->access != GUEST_LINEAR_REFETCH && !access_allowed(walk, rights))
		return page_fault(walk, FAULT_PRESENT);
	if (!mark(pointer, entry, leaf_marks(walk)))
		return STATUS_BUSY;
	*result = gpa((entry & ENTRY_ADDRESS & ~offset) | (walk->linear & offset));
	return STATUS_OK;
}

/* Tables of 8-byte entries, from @table down; @shift: the lowest address bit that an entry of @table translates. Of the
 * reserved bits those of addresses are not looked at: such an address is not RAM. */
static enum status walk_64(const struct guest_walk *walk, uint64_t table, unsigned shift, gpa_t *result)
{
	uint64_t rights = ALL_RIGHTS;
	uint64_t reserved = walk->efer & EFER_NXE ? 0 : ENTRY_NX;

	for (;; shift -= 9) {
		uint64_t *pointer = guest_memory_page(walk->memory, gpa(table & ENTRY_ADDRESS));
		if (unlikely(!pointer))
			return guest_walk_general_protection(walk); /* the tables lead out of RAM */
		pointer += walk->linear >> shift & 511;
		uint64_t entry = __atomic_load_n(pointer, __ATOMIC_RELAXED);
		if (unlikely(!(entry & ENTRY_PRESENT)))
			return page_fault(walk, 0);
		if (unlikely(entry & reserved))
			return page_fault(walk, FAULT_PRESENT | FAULT_RESERVED);
		rights &= rights_of(entry);
		if (shift == PAGE_SHIFT || entry & ENTRY_LARGE)
			return finish_64(walk, rights, pointer, entry, shift, result);
		if (unlikely(!mark(pointer, entry, ENTRY_ACCESSED)))
			return STATUS_BUSY;
		table = entry;
	}
}

/* "PAE Paging": the first table's four entries were loaded into registers, which memory no longer changes. */
static enum status walk_pae(const struct guest_walk *walk, gpa_t *result)
{
	uint64_t entry = read_register(walk, (enum virt_register)(VIRT_PDPTE0 + (walk->linear >> 30 & 3)));

	return entry & ENTRY_PRESENT ? walk_64(walk, entry, LEVEL_2_SHIFT, result) : page_fault(walk, 0);
}

static enum status finish_32(const struct guest_walk *walk, uint64_t rights, uint32_t *pointer, uint32_t entry, uint64_t page,
			     uint64_t size, gpa_t *result)
{
	if (walk->access != GUEST_LINEAR_REFETCH && !access_allowed(walk, rights))
		return page_fault(walk, FAULT_PRESENT);
	if (!mark_32(pointer, entry, (uint32_t)leaf_marks(walk)))
		return STATUS_BUSY;
	*result = gpa(page | (walk->linear & (size - 1)));
	return STATUS_OK;
}

/* "32-Bit Paging", with 4 MiB pages where CR4.PSE allows them. */
static enum status walk_32(const struct guest_walk *walk, uint64_t cr4, gpa_t *result)
{
	uint64_t rights = ALL_RIGHTS;
	uint64_t table = read_register(walk, VIRT_CR3);

	for (unsigned shift = 22;; shift -= 10) {
		uint32_t *pointer = guest_memory_page(walk->memory, gpa(table & BITS(31, 12)));
		if (!pointer)
			return guest_walk_general_protection(walk);
		pointer += walk->linear >> shift & 1023;
		uint32_t entry = __atomic_load_n(pointer, __ATOMIC_RELAXED);
		if (!(entry & ENTRY_PRESENT))
			return page_fault(walk, 0);
		rights &= rights_of(entry);
		if (shift == PAGE_SHIFT)
			return finish_32(walk, rights, pointer, entry, entry & BITS(31, 12), PAGE_SIZE, result);
		if (entry & ENTRY_LARGE && cr4 & CR4_PSE)
			return finish_32(walk, rights, pointer, entry, (entry & BITS(31, 22)) | bits_get(entry, 20, 13) << 32, 4 * MIB, result);
		if (!mark_32(pointer, entry, (uint32_t)ENTRY_ACCESSED))
			return STATUS_BUSY;
		table = entry;
	}
}

void guest_walk_start(struct guest_walk *walk, struct vcpu *vcpu, enum guest_linear_access access, struct guest_linear_fault *fault)
{
	walk->vcpu = vcpu;
	walk->memory = &vcpu->vm->memory;
	walk->access = access;
	walk->fault = fault;
	walk->efer = virt_ops->register_read(&vcpu->virt, VIRT_EFER);
}

static enum status walk_tables(struct guest_walk *walk, uint64_t linear, gpa_t *result)
{
	walk->linear = linear;
	if (likely(walk->efer & EFER_LMA)) {
		if ((uint64_t)((int64_t)(linear << 16) >> 16) != linear)
			return guest_walk_general_protection(walk);
		return walk_64(walk, read_register(walk, VIRT_CR3), LEVEL_4_SHIFT, result);
	}
	walk->linear = (uint32_t)linear;
	if (!(read_register(walk, VIRT_CR0) & CR0_PG)) {
		*result = gpa(walk->linear);
		return STATUS_OK;
	}
	uint64_t cr4 = read_register(walk, VIRT_CR4);
	return cr4 & CR4_PAE ? walk_pae(walk, result) : walk_32(walk, cr4, result);
}

static no_inline enum status walk_again(struct guest_walk *walk, uint64_t linear, gpa_t *result)
{
	for (unsigned attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
		enum status status = walk_tables(walk, linear, result);
		if (status != STATUS_BUSY)
			return status;
	}
	/* A page fault whose cause is gone when the guest looks is nothing that a CPU would not do. */
	return page_fault(walk, 0);
}

enum status guest_walk_translate(struct guest_walk *walk, uint64_t linear, gpa_t *result)
{
	enum status status = walk_tables(walk, linear, result);

	return likely(status != STATUS_BUSY) ? status : walk_again(walk, linear, result);
}
