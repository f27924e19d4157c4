#include "vmm/guest_linear.h"

#include "arch/x86/cr.h"
#include "arch/x86/exception.h"
#include "lib/string.h"
#include "vmm/guest_walk.h"
#include "vmm/vm.h"

enum status guest_linear_translate(struct vcpu *vcpu, gva_t address, enum guest_linear_access access, gpa_t *result,
				   struct guest_linear_fault *fault)
{
	struct guest_walk walk;

	guest_walk_start(&walk, vcpu, access, fault);
	return guest_walk_translate(&walk, address.value, result);
}

/* The one or two pieces of host memory that @size bytes at a linear address are. */
struct pieces { uint8_t *first, *second; size_t first_size; };

static enum status find_pieces(struct guest_walk *walk, uint64_t linear, size_t size, struct pieces *pieces)
{
	size_t to_border = (size_t)(PAGE_SIZE - (linear & (PAGE_SIZE - 1)));
	gpa_t address;

	pieces->first_size = size < to_border ? size : to_border;
	pieces->second = NULL;
	enum status status = guest_walk_translate(walk, linear, &address);
	if (status != STATUS_OK)
		return status;
	pieces->first = guest_memory_pointer(walk->memory, address, pieces->first_size);
	if (!pieces->first)
		return guest_walk_general_protection(walk);
	if (pieces->first_size == size)
		return STATUS_OK;
	status = guest_walk_translate(walk, linear + to_border, &address);
	if (status != STATUS_OK)
		return status;
	pieces->second = guest_memory_pointer(walk->memory, address, size - to_border);
	return pieces->second ? STATUS_OK : guest_walk_general_protection(walk);
}

enum status guest_linear_read(struct vcpu *vcpu, gva_t address, void *buffer, size_t size, struct guest_linear_fault *fault)
{
	struct guest_walk walk;
	struct pieces pieces;

	guest_walk_start(&walk, vcpu, GUEST_LINEAR_READ, fault);
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
	struct guest_walk walk;
	struct pieces pieces;

	guest_walk_start(&walk, vcpu, GUEST_LINEAR_WRITE, fault);
	enum status status = find_pieces(&walk, address.value, size, &pieces);
	if (status != STATUS_OK)
		return status;
	memcpy(pieces.first, buffer, pieces.first_size);
	if (pieces.second)
		memcpy(pieces.second, (const uint8_t *)buffer + pieces.first_size, size - pieces.first_size);
	return STATUS_OK;
}

enum status guest_linear_check(struct vcpu *vcpu, gva_t address, size_t size, bool write, struct guest_linear_fault *fault)
{
	struct guest_walk walk;
	struct pieces pieces;

	guest_walk_start(&walk, vcpu, write ? GUEST_LINEAR_WRITE : GUEST_LINEAR_READ, fault);
	return find_pieces(&walk, address.value, size, &pieces);
}

static enum decoder_mode code_mode(const struct guest_walk *walk, const struct virt_segment *cs)
{
	if (cs->attributes & VIRT_SEGMENT_L && walk->efer & EFER_LMA)
		return DECODER_64;
	return cs->attributes & VIRT_SEGMENT_DB ? DECODER_32 : DECODER_16;
}

/* Appends what the page of the first byte that is missing has. */
static inline enum status fetch_piece(struct guest_walk *walk, struct guest_linear_code *code)
{
	uint64_t linear = code->address + code->size, offset = linear % PAGE_SIZE;
	gpa_t address;

	enum status status = guest_walk_translate(walk, linear, &address);
	if (status != STATUS_OK)
		return status;
	const uint8_t *page = guest_memory_page(walk->memory, address);
	if (!page)
		return guest_walk_general_protection(walk);
	if (likely(offset <= PAGE_SIZE - GUEST_LINEAR_CODE_SIZE && code->size == 0)) {
		__builtin_memcpy(code->bytes, page + offset, GUEST_LINEAR_CODE_SIZE); /* in two registers */
		code->size = GUEST_LINEAR_CODE_SIZE;
	} else {
		size_t size = (size_t)min_u64(GUEST_LINEAR_CODE_SIZE - code->size, PAGE_SIZE - offset);
		memcpy(code->bytes + code->size, page + offset, size);
		code->size = (uint8_t)(code->size + size);
	}
	compiler_barrier();
	return STATUS_OK;
}

enum status guest_linear_fetch(struct vcpu *vcpu, uint64_t rip, struct guest_linear_code *code, struct guest_linear_fault *fault)
{
	struct virt_segment cs;
	struct guest_walk walk;

	guest_walk_start(&walk, vcpu, GUEST_LINEAR_REFETCH, fault);
	virt_ops->segment_read(&vcpu->virt, VIRT_CS, &cs);
	code->mode = code_mode(&walk, &cs);
	code->address = code->mode == DECODER_64 ? rip : (uint32_t)(cs.base + rip);
	code->size = 0;
	return fetch_piece(&walk, code);
}

enum status guest_linear_fetch_more(struct vcpu *vcpu, struct guest_linear_code *code, struct guest_linear_fault *fault)
{
	struct guest_walk walk;

	guest_walk_start(&walk, vcpu, GUEST_LINEAR_REFETCH, fault);
	return fetch_piece(&walk, code);
}

void guest_linear_inject(struct vcpu *vcpu, const struct guest_linear_fault *fault)
{
	if (fault->vector == EXCEPTION_PF)
		vcpu_inject_page_fault(vcpu, fault->address, fault->error_code);
	else
		virt_ops->inject_exception(&vcpu->virt, fault->vector, fault->has_error_code, fault->error_code);
}
