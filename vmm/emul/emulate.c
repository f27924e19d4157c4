#include "vmm/emul/emulate.h"

#include "arch/x86/cr.h"
#include "arch/x86/virt.h"
#include "lib/bits.h"

#define FLAGS_ARITHMETIC (RFLAGS_CF | RFLAGS_PF | RFLAGS_AF | RFLAGS_ZF | RFLAGS_SF | RFLAGS_OF)

static uint64_t sign_bit(unsigned size)
{
	return (uint64_t)1 << (8 * size - 1);
}

static uint64_t flags_of_result(uint64_t result, unsigned size)
{
	uint64_t flags = 0;

	result &= size_mask(size);
	if (result == 0)
		flags |= RFLAGS_ZF;
	if (result & sign_bit(size))
		flags |= RFLAGS_SF;
	if (!(__builtin_popcountll(result & 0xff) & 1))
		flags |= RFLAGS_PF;
	return flags;
}

static uint64_t add(uint64_t a, uint64_t b, uint64_t carry, unsigned size, uint64_t *flags)
{
	uint64_t mask = size_mask(size);
	uint64_t result = (a + b + carry) & mask;

	a &= mask;
	b &= mask;
	*flags = flags_of_result(result, size) | ((a ^ b ^ result) & RFLAGS_AF);
	if (result < a || (carry && result == a))
		*flags |= RFLAGS_CF;
	if (~(a ^ b) & (a ^ result) & sign_bit(size))
		*flags |= RFLAGS_OF;
	return result;
}

static uint64_t subtract(uint64_t a, uint64_t b, uint64_t borrow, unsigned size, uint64_t *flags)
{
	uint64_t mask = size_mask(size);
	uint64_t result = (a - b - borrow) & mask;

	a &= mask;
	b &= mask;
	*flags = flags_of_result(result, size) | ((a ^ b ^ result) & RFLAGS_AF);
	if (a < b || (borrow && a == b))
		*flags |= RFLAGS_CF;
	if ((a ^ b) & (a ^ result) & sign_bit(size))
		*flags |= RFLAGS_OF;
	return result;
}

static uint64_t bit_operation(enum instruction_operation operation, uint64_t a, uint64_t number, unsigned size, uint64_t *rflags)
{
	uint64_t bit = BIT(number & (8 * size - 1));

	*rflags = (*rflags & ~RFLAGS_CF) | (a & bit ? RFLAGS_CF : 0);
	switch (operation) {
	case INSTRUCTION_BTS: return a | bit;
	case INSTRUCTION_BTR: return a & ~bit;
	case INSTRUCTION_BTC: return a ^ bit;
	default: return a;
	}
}

uint64_t emulate_arithmetic(enum instruction_operation operation, uint64_t a, uint64_t b, unsigned size, uint64_t *rflags)
{
	uint64_t carry = *rflags & RFLAGS_CF, defined = FLAGS_ARITHMETIC, flags = 0, result;

	switch (operation) {
	case INSTRUCTION_ADD: result = add(a, b, 0, size, &flags); break;
	case INSTRUCTION_ADC: result = add(a, b, carry, size, &flags); break;
	case INSTRUCTION_SUB:
	case INSTRUCTION_CMP: result = subtract(a, b, 0, size, &flags); break;
	case INSTRUCTION_SBB: result = subtract(a, b, carry, size, &flags); break;
	case INSTRUCTION_NEG: result = subtract(0, a, 0, size, &flags); break;
	case INSTRUCTION_INC: result = add(a, 1, 0, size, &flags); defined &= ~RFLAGS_CF; break;
	case INSTRUCTION_DEC: result = subtract(a, 1, 0, size, &flags); defined &= ~RFLAGS_CF; break;
	case INSTRUCTION_OR: result = a | b; flags = flags_of_result(result, size); break;
	case INSTRUCTION_XOR: result = a ^ b; flags = flags_of_result(result, size); break;
	case INSTRUCTION_AND:
	case INSTRUCTION_TEST: result = a & b; flags = flags_of_result(result, size); break;
	case INSTRUCTION_NOT: return ~a & size_mask(size);
	default: return bit_operation(operation, a, b, size, rflags) & size_mask(size);
	}
	*rflags = (*rflags & ~defined) | (flags & defined);
	return result & size_mask(size);
}

static uint64_t read_register(const struct instruction *in, const struct emulate_ops *ops, void *context)
{
	uint64_t value = ops->register_read(context, in->reg);

	return (in->reg_high_byte ? value >> 8 : value) & size_mask(in->register_size);
}

static no_inline void write_part(const struct instruction *in, const struct emulate_ops *ops, void *context, uint64_t value)
{
	uint64_t mask = size_mask(in->register_size), old = ops->register_read(context, in->reg);

	if (in->reg_high_byte) {
		mask <<= 8;
		value <<= 8;
	}
	ops->register_write(context, in->reg, (old & ~mask) | (value & mask));
}

/* 32-bit results clear the upper half, smaller ones leave the rest alone. */
static inline void write_register(const struct instruction *in, const struct emulate_ops *ops, void *context, uint64_t value)
{
	if (in->register_size == 4)
		ops->register_write(context, in->reg, (uint32_t)value);
	else if (in->register_size == 8)
		ops->register_write(context, in->reg, value);
	else
		write_part(in, ops, context, value);
}

static uint64_t sign_extend(uint64_t value, unsigned size)
{
	unsigned shift = 64 - 8 * size;

	return (uint64_t)((int64_t)(value << shift) >> shift);
}

static enum status load(const struct instruction *in, const struct emulate_ops *ops, void *context)
{
	uint64_t value;
	enum status status = ops->operand_read(context, in->memory_size, &value);

	if (status != STATUS_OK)
		return status;
	if (in->operation == INSTRUCTION_MOVSX)
		value = sign_extend(value, in->memory_size);
	write_register(in, ops, context, value);
	return STATUS_OK;
}

static bool only_sets_flags(enum instruction_operation operation)
{
	return operation == INSTRUCTION_CMP || operation == INSTRUCTION_TEST || operation == INSTRUCTION_BT;
}

/* Memory is the destination: read, compute, write; XCHG gives the old value to the register. */
static enum status modify_memory(const struct instruction *in, const struct emulate_ops *ops, void *context)
{
	uint64_t old, source = in->form == FORM_MEMORY_REGISTER ? read_register(in, ops, context) : in->immediate;

	if (in->operation == INSTRUCTION_MOV)
		return ops->operand_write(context, in->memory_size, source & size_mask(in->memory_size));
	enum status status = ops->operand_read(context, in->memory_size, &old);
	if (status != STATUS_OK)
		return status;
	if (in->operation == INSTRUCTION_XCHG) {
		status = ops->operand_write(context, in->memory_size, source);
		if (status == STATUS_OK)
			write_register(in, ops, context, old);
		return status;
	}
	uint64_t rflags = ops->flags_read(context);
	uint64_t result = emulate_arithmetic(in->operation, old, source, in->memory_size, &rflags);
	if (!only_sets_flags(in->operation)) {
		status = ops->operand_write(context, in->memory_size, result);
		if (status != STATUS_OK)
			return status;
	}
	ops->flags_write(context, rflags);
	return STATUS_OK;
}

static enum status modify_register(const struct instruction *in, const struct emulate_ops *ops, void *context)
{
	uint64_t value;
	enum status status = ops->operand_read(context, in->memory_size, &value);

	if (status != STATUS_OK)
		return status;
	uint64_t rflags = ops->flags_read(context);
	uint64_t result = emulate_arithmetic(in->operation, read_register(in, ops, context), value, in->memory_size, &rflags);
	if (!only_sets_flags(in->operation))
		write_register(in, ops, context, result);
	ops->flags_write(context, rflags);
	return STATUS_OK;
}

static void advance(const struct instruction *in, const struct emulate_ops *ops, void *context, unsigned number, int64_t step)
{
	uint64_t old = ops->register_read(context, number), mask = size_mask(in->address_size);
	uint64_t next = (old + (uint64_t)step) & mask;

	ops->register_write(context, number, in->address_size == 4 ? next : (old & ~mask) | next);
}

static enum status string_element(const struct instruction *in, const struct emulate_ops *ops, void *context)
{
	uint64_t mask = size_mask(in->address_size), value;
	enum status status = STATUS_OK;

	if (in->operation == INSTRUCTION_STOS)
		value = read_register(in, ops, context);
	else
		status = ops->string_read(context, in->segment, ops->register_read(context, GPR_RSI) & mask, in->memory_size, &value);
	if (status != STATUS_OK)
		return status;
	if (in->operation == INSTRUCTION_LODS) {
		write_register(in, ops, context, value);
		return STATUS_OK;
	}
	return ops->string_write(context, VIRT_ES, ops->register_read(context, GPR_RDI) & mask, in->memory_size, value);
}

static enum status string_instruction(const struct instruction *in, const struct emulate_ops *ops, void *context, bool *finished)
{
	uint64_t mask = size_mask(in->address_size);
	int64_t step = in->memory_size;

	if (in->repeat && !(ops->register_read(context, GPR_RCX) & mask))
		return STATUS_OK;
	enum status status = string_element(in, ops, context);
	if (status != STATUS_OK)
		return status;
	if (ops->flags_read(context) & RFLAGS_DF)
		step = -step;
	if (in->operation != INSTRUCTION_STOS)
		advance(in, ops, context, GPR_RSI, step);
	if (in->operation != INSTRUCTION_LODS)
		advance(in, ops, context, GPR_RDI, step);
	if (in->repeat) {
		advance(in, ops, context, GPR_RCX, -1);
		*finished = !(ops->register_read(context, GPR_RCX) & mask);
	}
	return STATUS_OK;
}

enum status emulate(const struct instruction *in, const struct emulate_ops *ops, void *context, bool *finished)
{
	*finished = true;
	switch (in->form) {
	case FORM_REGISTER_MEMORY:
		if (in->operation == INSTRUCTION_MOV || in->operation == INSTRUCTION_MOVZX || in->operation == INSTRUCTION_MOVSX)
			return load(in, ops, context);
		return modify_register(in, ops, context);
	case FORM_STRING:
		return string_instruction(in, ops, context, finished);
	default:
		return modify_memory(in, ops, context);
	}
}
