#include "vmm/guest_linear.h"

#include "arch/x86/cr.h"
#include "arch/x86/exception.h"
#include "lib/string.h"
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

/* Every register is a call and several VMREADs, so a walk reads only those that decide something. */
struct walk {
	struct vcpu *vcpu;
	const struct guest_memory *memory;
	uint64_t linear;
	uint64_t efer;
	enum guest_linear_access access;
	struct guest_linear_fault *fault;
};

static uint64_t read_register(const struct walk *walk, enum virt_register name)
{
	return virt_ops->register_read(&walk->vcpu->virt, name);
}

/* The current privilege level is the DPL of SS. */
static bool is_user(const struct walk *walk)
{
	struct virt_segment ss;

	virt_ops->segment_read(&walk->vcpu->virt, VIRT_SS, &ss);
	return bits_get(ss.attributes, 6, 5) == 3;
}

static bool reports_fetches(const struct walk *walk)
{
	uint64_t cr4 = read_register(walk, VIRT_CR4);

	return cr4 & CR4_SMEP || (cr4 & CR4_PAE && walk->efer & EFER_NXE);
}

static enum status page_fault(const struct walk *walk, uint32_t code)
{
	code |= walk->access == GUEST_LINEAR_WRITE ? FAULT_WRITE : 0;
	code |= is_user(walk) ? FAULT_USER : 0;
	code |= walk->access == GUEST_LINEAR_FETCH && reports_fetches(walk) ? FAULT_FETCH : 0;
	*walk->fault = (struct guest_linear_fault){EXCEPTION_PF, true, code, walk->linear};
	return STATUS_DENIED;
}

static enum status general_protection(const struct walk *walk)
{
	*walk->fault = (struct guest_linear_fault){EXCEPTION_GP, true, 0, 0};
	return STATUS_DENIED;
}

/* SMEP and SMAP keep supervisors from the pages of users. */
static bool user_page_allowed(const struct walk *walk)
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
static bool access_allowed(const struct walk *walk, uint64_t rights)
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

static uint64_t leaf_marks(const struct walk *walk)
{
	return ENTRY_ACCESSED | (walk->access == GUEST_LINEAR_WRITE ? ENTRY_DIRTY : 0);
}

static enum status finish_64(const struct walk *walk, uint64_t rights, uint64_t *pointer, uint64_t entry, unsigned shift,
			     gpa_t *result)
{
	uint64_t offset = BIT(shift) - 1;

	if (unlikely(shift == LEVEL_4_SHIFT))
		return page_fault(walk, FAULT_PRESENT | FAULT_RESERVED);
	if (!access_allowed(walk, rights))
		return page_fault(walk, FAULT_PRESENT);
	if (!mark(pointer, entry, leaf_marks(walk)))
		return STATUS_BUSY;
	*result = gpa((entry & ENTRY_ADDRESS & ~offset) | (walk->linear & offset));
	return STATUS_OK;
}

/* Tables of 8-byte entries, from @table down; @shift: the lowest address bit that an entry of @table translates. Of the
 * reserved bits those of addresses are not looked at: such an address is not RAM. */
static enum status walk_64(const struct walk *walk, uint64_t table, unsigned shift, gpa_t *result)
{
	uint64_t rights = ALL_RIGHTS;
	uint64_t reserved = walk->efer & EFER_NXE ? 0 : ENTRY_NX;

	for (;; shift -= 9) {
		uint64_t *pointer = guest_memory_page(walk->memory, gpa(table & ENTRY_ADDRESS));
		if (unlikely(!pointer))
			return general_protection(walk); /* the tables lead out of RAM */
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
static enum status walk_pae(const struct walk *walk, gpa_t *result)
{
	uint64_t entry = read_register(walk, (enum virt_register)(VIRT_PDPTE0 + (walk->linear >> 30 & 3)));

	return entry & ENTRY_PRESENT ? walk_64(walk, entry, LEVEL_2_SHIFT, result) : page_fault(walk, 0);
}

static enum status finish_32(const struct walk *walk, uint64_t rights, uint32_t *pointer, uint32_t entry, uint64_t page,
			     uint64_t size, gpa_t *result)
{
	if (!access_allowed(walk, rights))
		return page_fault(walk, FAULT_PRESENT);
	if (!mark_32(pointer, entry, (uint32_t)leaf_marks(walk)))
		return STATUS_BUSY;
	*result = gpa(page | (walk->linear & (size - 1)));
	return STATUS_OK;
}

/* "32-Bit Paging", with 4 MiB pages where CR4.PSE allows them. */
static enum status walk_32(const struct walk *walk, uint64_t cr4, gpa_t *result)
{
	uint64_t rights = ALL_RIGHTS;
	uint64_t table = read_register(walk, VIRT_CR3);

	for (unsigned shift = 22;; shift -= 10) {
		uint32_t *pointer = guest_memory_page(walk->memory, gpa(table & BITS(31, 12)));
		if (!pointer)
			return general_protection(walk);
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

static void start_walk(struct walk *walk, struct vcpu *vcpu, enum guest_linear_access access, struct guest_linear_fault *fault)
{
	walk->vcpu = vcpu;
	walk->memory = &vcpu->vm->memory;
	walk->access = access;
	walk->fault = fault;
	walk->efer = virt_ops->register_read(&vcpu->virt, VIRT_EFER);
}

static enum status walk_tables(struct walk *walk, uint64_t linear, gpa_t *result)
{
	walk->linear = linear;
	if (likely(walk->efer & EFER_LMA)) {
		if ((uint64_t)((int64_t)(linear << 16) >> 16) != linear)
			return general_protection(walk);
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

static no_inline enum status walk_again(struct walk *walk, uint64_t linear, gpa_t *result)
{
	for (unsigned attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
		enum status status = walk_tables(walk, linear, result);
		if (status != STATUS_BUSY)
			return status;
	}
	/* A page fault whose cause is gone when the guest looks is nothing that a CPU would not do. */
	return page_fault(walk, 0);
}

static inline enum status translate(struct walk *walk, uint64_t linear, gpa_t *result)
{
	enum status status = walk_tables(walk, linear, result);

	return likely(status != STATUS_BUSY) ? status : walk_again(walk, linear, result);
}

enum status guest_linear_translate(struct vcpu *vcpu, gva_t address, enum guest_linear_access access, gpa_t *result,
				   struct guest_linear_fault *fault)
{
	struct walk walk;

	start_walk(&walk, vcpu, access, fault);
	return translate(&walk, address.value, result);
}

/* The one or two pieces of host memory that @size bytes at a linear address are. */
struct pieces { uint8_t *first, *second; size_t first_size; };

static enum status find_pieces(struct walk *walk, uint64_t linear, size_t size, struct pieces *pieces)
{
	size_t to_border = (size_t)(PAGE_SIZE - (linear & (PAGE_SIZE - 1)));
	gpa_t address;

	pieces->first_size = size < to_border ? size : to_border;
	pieces->second = NULL;
	enum status status = translate(walk, linear, &address);
	if (status != STATUS_OK)
		return status;
	pieces->first = guest_memory_pointer(walk->memory, address, pieces->first_size);
	if (!pieces->first)
		return general_protection(walk);
	if (pieces->first_size == size)
		return STATUS_OK;
	status = translate(walk, linear + to_border, &address);
	if (status != STATUS_OK)
		return status;
	pieces->second = guest_memory_pointer(walk->memory, address, size - to_border);
	return pieces->second ? STATUS_OK : general_protection(walk);
}

enum status guest_linear_read(struct vcpu *vcpu, gva_t address, void *buffer, size_t size, struct guest_linear_fault *fault)
{
	struct walk walk;
	struct pieces pieces;

	start_walk(&walk, vcpu, GUEST_LINEAR_READ, fault);
	enum status status = find_pieces(&walk, address.value, size, &pieces);
	if (status != STATUS_OK)
		return status;
	memcpy(buffer, pieces.first, pieces.first_size);
	if (pieces.second)
		memcpy((uint8_t *)buffer + pieces.first_size, pieces.second, size - pieces.first_size);
	compiler_barrier();
	return STATUS_OK;
}

enum status guest_linear_write(struct vcpu *vcpu, gva_t address, const void *buffer, size_t size, struct guest_linear_fault *fault)
{
	struct walk walk;
	struct pieces pieces;

	start_walk(&walk, vcpu, GUEST_LINEAR_WRITE, fault);
	enum status status = find_pieces(&walk, address.value, size, &pieces);
	if (status != STATUS_OK)
		return status;
	memcpy(pieces.first, buffer, pieces.first_size);
	if (pieces.second)
		memcpy(pieces.second, (const uint8_t *)buffer + pieces.first_size, size - pieces.first_size);
	return STATUS_OK;
}

enum status guest_linear_fetch(struct vcpu *vcpu, gva_t address, uint8_t *buffer, size_t size, size_t *fetched,
			       struct guest_linear_fault *fault)
{
	struct walk walk;
	gpa_t physical;

	start_walk(&walk, vcpu, GUEST_LINEAR_FETCH, fault);
	enum status status = translate(&walk, address.value, &physical);
	if (status != STATUS_OK)
		return status;
	uint64_t offset = address.value % PAGE_SIZE;
	const uint8_t *page = guest_memory_page(walk.memory, physical);
	if (!page)
		return general_protection(&walk);
	*fetched = (size_t)min_u64(size, PAGE_SIZE - offset);
	if (likely(*fetched == GUEST_LINEAR_FETCH_SIZE))
		__builtin_memcpy(buffer, page + offset, GUEST_LINEAR_FETCH_SIZE); /* in two registers */
	else
		memcpy(buffer, page + offset, *fetched);
	compiler_barrier();
	return STATUS_OK;
}

enum status guest_linear_check(struct vcpu *vcpu, gva_t address, size_t size, bool write, struct guest_linear_fault *fault)
{
	struct walk walk;
	struct pieces pieces;

	start_walk(&walk, vcpu, write ? GUEST_LINEAR_WRITE : GUEST_LINEAR_READ, fault);
	return find_pieces(&walk, address.value, size, &pieces);
}

void guest_linear_inject(struct vcpu *vcpu, const struct guest_linear_fault *fault)
{
	if (fault->vector == EXCEPTION_PF)
		vcpu_inject_page_fault(vcpu, fault->address, fault->error_code);
	else
		virt_ops->inject_exception(&vcpu->virt, fault->vector, fault->has_error_code, fault->error_code);
}
