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

struct walk {
	struct vcpu *vcpu;
	uint64_t linear;
	enum guest_linear_access access;
	bool user;
	uint64_t cr0, cr3, cr4, efer, rflags;
	uint64_t rights; /* W and U of all levels anded, NX of all levels ored */
	struct guest_linear_fault *fault;
};

static enum status page_fault(const struct walk *walk, uint32_t code)
{
	bool fetch_reported = walk->efer & EFER_NXE || walk->cr4 & CR4_SMEP;

	code |= walk->access == GUEST_LINEAR_WRITE ? FAULT_WRITE : 0;
	code |= walk->user ? FAULT_USER : 0;
	code |= walk->access == GUEST_LINEAR_FETCH && fetch_reported ? FAULT_FETCH : 0;
	*walk->fault = (struct guest_linear_fault){EXCEPTION_PF, true, code, walk->linear};
	return STATUS_DENIED;
}

static enum status general_protection(struct guest_linear_fault *fault)
{
	*fault = (struct guest_linear_fault){EXCEPTION_GP, true, 0, 0};
	return STATUS_DENIED;
}

/* "Determination of Access Rights" */
static bool access_allowed(const struct walk *walk)
{
	bool user_page = walk->rights & ENTRY_USER;

	if (walk->user && !user_page)
		return false;
	if (walk->access == GUEST_LINEAR_FETCH) {
		if (walk->rights & ENTRY_NX && walk->efer & EFER_NXE)
			return false;
		return walk->user || !user_page || !(walk->cr4 & CR4_SMEP);
	}
	if (!walk->user && user_page && walk->cr4 & CR4_SMAP && !(walk->rflags & RFLAGS_AC))
		return false;
	if (walk->access == GUEST_LINEAR_READ || walk->rights & ENTRY_WRITE)
		return true;
	return !walk->user && !(walk->cr0 & CR0_WP);
}

static void add_rights(struct walk *walk, uint64_t entry)
{
	uint64_t both = ENTRY_WRITE | ENTRY_USER;

	walk->rights = (walk->rights & entry & both) | ((walk->rights | entry) & ENTRY_NX);
}

/* The entry's place in host memory, or NULL if the guest's tables lead out of its RAM. */
static void *entry_pointer(const struct walk *walk, uint64_t table, unsigned index, unsigned size)
{
	return guest_memory_pointer(&walk->vcpu->vm->memory, gpa(table + (uint64_t)index * size), size);
}

static enum status finish(struct walk *walk, uint64_t entry, uint64_t page_size, uint64_t page, gpa_t *result)
{
	(void)entry;
	if (!access_allowed(walk))
		return page_fault(walk, FAULT_PRESENT);
	*result = gpa(page | (walk->linear & (page_size - 1)));
	return STATUS_OK;
}

/* Accessed on the way, dirty at the leaf; the entry is only written when a bit is missing, so that read-only reading stays
 * cheap. The OR is atomic because other vCPUs walk the same tables. */
static void mark(uint64_t *pointer, uint64_t entry, uint64_t bits)
{
	if ((entry & bits) != bits)
		__atomic_fetch_or(pointer, bits, __ATOMIC_RELAXED);
}

static uint64_t leaf_marks(const struct walk *walk)
{
	return ENTRY_ACCESSED | (walk->access == GUEST_LINEAR_WRITE ? ENTRY_DIRTY : 0);
}

/* 8-byte entries: PAE from level 3 (whose PDPTEs have no rights), 4-level from level 4. */
static enum status walk_64(struct walk *walk, unsigned level, gpa_t *result)
{
	uint64_t table = walk->cr3 & (level == 3 ? BITS(31, 5) : ENTRY_ADDRESS);
	bool pae = level == 3;

	for (;; level--) {
		unsigned shift = 12 + 9 * (level - 1);
		unsigned index = (unsigned)(walk->linear >> shift) & (pae && level == 3 ? 3 : 511);
		uint64_t *pointer = entry_pointer(walk, table, index, 8);
		if (!pointer)
			return general_protection(walk->fault);
		uint64_t entry = __atomic_load_n(pointer, __ATOMIC_RELAXED);
		if (!(entry & ENTRY_PRESENT))
			return page_fault(walk, 0);
		if (pae && level == 3) {
			table = entry & ENTRY_ADDRESS;
			continue;
		}
		if (entry & ENTRY_NX && !(walk->efer & EFER_NXE))
			return page_fault(walk, FAULT_PRESENT | FAULT_RESERVED);
		add_rights(walk, entry);
		bool leaf = level == 1 || (entry & ENTRY_LARGE && level <= 3);
		if (!leaf && entry & ENTRY_LARGE)
			return page_fault(walk, FAULT_PRESENT | FAULT_RESERVED);
		if (leaf) {
			uint64_t size = (uint64_t)1 << shift;
			enum status status = finish(walk, entry, size, entry & ENTRY_ADDRESS & ~(size - 1), result);
			if (status == STATUS_OK)
				mark(pointer, entry, leaf_marks(walk));
			return status;
		}
		mark(pointer, entry, ENTRY_ACCESSED);
		table = entry & ENTRY_ADDRESS;
	}
}

static void mark_32(uint32_t *pointer, uint32_t entry, uint32_t bits)
{
	if ((entry & bits) != bits)
		__atomic_fetch_or(pointer, bits, __ATOMIC_RELAXED);
}

/* "32-Bit Paging", with 4 MiB pages where CR4.PSE allows them. */
static enum status walk_32(struct walk *walk, gpa_t *result)
{
	uint32_t *pointer = entry_pointer(walk, walk->cr3 & BITS(31, 12), (unsigned)(walk->linear >> 22) & 1023, 4);

	if (!pointer)
		return general_protection(walk->fault);
	uint32_t entry = __atomic_load_n(pointer, __ATOMIC_RELAXED);
	if (!(entry & ENTRY_PRESENT))
		return page_fault(walk, 0);
	add_rights(walk, entry);
	uint64_t size = PAGE_SIZE, page;
	if (entry & ENTRY_LARGE && walk->cr4 & CR4_PSE) {
		size = 4 * MIB;
		page = (entry & BITS(31, 22)) | bits_get(entry, 20, 13) << 32;
	} else {
		mark_32(pointer, entry, (uint32_t)ENTRY_ACCESSED);
		pointer = entry_pointer(walk, entry & BITS(31, 12), (unsigned)(walk->linear >> 12) & 1023, 4);
		if (!pointer)
			return general_protection(walk->fault);
		entry = __atomic_load_n(pointer, __ATOMIC_RELAXED);
		if (!(entry & ENTRY_PRESENT))
			return page_fault(walk, 0);
		add_rights(walk, entry);
		page = entry & BITS(31, 12);
	}
	enum status status = finish(walk, entry, size, page, result);
	if (status == STATUS_OK)
		mark_32(pointer, entry, (uint32_t)leaf_marks(walk));
	return status;
}

static void start_walk(struct walk *walk, struct vcpu *vcpu, enum guest_linear_access access, struct guest_linear_fault *fault)
{
	struct virt_segment ss;

	*walk = (struct walk){.vcpu = vcpu, .access = access, .rights = ENTRY_WRITE | ENTRY_USER, .fault = fault};
	walk->cr0 = virt_ops->register_read(&vcpu->virt, VIRT_CR0);
	if (!(walk->cr0 & CR0_PG))
		return;
	walk->cr3 = virt_ops->register_read(&vcpu->virt, VIRT_CR3);
	walk->cr4 = virt_ops->register_read(&vcpu->virt, VIRT_CR4);
	walk->efer = virt_ops->register_read(&vcpu->virt, VIRT_EFER);
	walk->rflags = virt_ops->register_read(&vcpu->virt, VIRT_RFLAGS);
	virt_ops->segment_read(&vcpu->virt, VIRT_SS, &ss);
	walk->user = bits_get(ss.attributes, 6, 5) == 3;
}

static enum status translate(struct walk *walk, uint64_t linear, gpa_t *result)
{
	walk->linear = linear;
	walk->rights = ENTRY_WRITE | ENTRY_USER;
	if (!(walk->cr0 & CR0_PG)) {
		*result = gpa((uint32_t)linear);
		return STATUS_OK;
	}
	if (walk->efer & EFER_LMA) {
		if ((uint64_t)((int64_t)(linear << 16) >> 16) != linear)
			return general_protection(walk->fault);
		return walk_64(walk, 4, result);
	}
	walk->linear = (uint32_t)linear;
	return walk->cr4 & CR4_PAE ? walk_64(walk, 3, result) : walk_32(walk, result);
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
	const struct guest_memory *memory = &walk->vcpu->vm->memory;
	size_t to_border = (size_t)(PAGE_SIZE - (linear & (PAGE_SIZE - 1)));
	gpa_t address;

	pieces->first_size = size < to_border ? size : to_border;
	pieces->second = NULL;
	enum status status = translate(walk, linear, &address);
	if (status != STATUS_OK)
		return status;
	pieces->first = guest_memory_pointer(memory, address, pieces->first_size);
	if (!pieces->first)
		return general_protection(walk->fault);
	if (pieces->first_size == size)
		return STATUS_OK;
	status = translate(walk, linear + to_border, &address);
	if (status != STATUS_OK)
		return status;
	pieces->second = guest_memory_pointer(memory, address, size - to_border);
	return pieces->second ? STATUS_OK : general_protection(walk->fault);
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
	struct pieces pieces;
	size_t to_border = (size_t)(PAGE_SIZE - (address.value & (PAGE_SIZE - 1)));

	start_walk(&walk, vcpu, GUEST_LINEAR_FETCH, fault);
	*fetched = size;
	enum status status = find_pieces(&walk, address.value, size, &pieces);
	if (status != STATUS_OK && to_border < size) {
		*fetched = to_border;
		status = find_pieces(&walk, address.value, to_border, &pieces);
	}
	if (status != STATUS_OK)
		return status;
	memcpy(buffer, pieces.first, pieces.first_size);
	if (pieces.second)
		memcpy(buffer + pieces.first_size, pieces.second, *fetched - pieces.first_size);
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
