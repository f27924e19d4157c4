/*
 * Carries out a decoded instruction on registers, flags and memory that the caller reaches through callbacks. Pure.
 */
#pragma once

#include "lib/status.h"
#include "lib/types.h"
#include "vmm/emul/decoder.h"

/*
 * @context: the caller's. Memory callbacks return anything but STATUS_OK to end the instruction (a fault, no device);
 * emulate() then returns that and has changed no register and no flag.
 */
struct emulate_ops {
	uint64_t (*register_read)(void *context, unsigned number);
	void (*register_write)(void *context, unsigned number, uint64_t value);
	uint64_t (*flags_read)(void *context);
	void (*flags_write)(void *context, uint64_t rflags);
	/* The memory operand of an instruction that is no string instruction; the caller knows where it lies. */
	enum status (*operand_read)(void *context, unsigned size, uint64_t *value);
	enum status (*operand_write)(void *context, unsigned size, uint64_t value);
	/* @offset in @segment (enum virt_segment_name), for string instructions. */
	enum status (*string_read)(void *context, unsigned segment, uint64_t offset, unsigned size, uint64_t *value);
	enum status (*string_write)(void *context, unsigned segment, uint64_t offset, unsigned size, uint64_t value);
};

/**
 * emulate() - one instruction; of a repeated string instruction one element.
 * @finished: out: the instruction is complete; false: it must be executed again (REP with elements left).
 * Return: STATUS_OK, or what a memory callback returned.
 */
must_check enum status emulate(const struct instruction *instruction, const struct emulate_ops *ops, void *context, bool *finished);

/**
 * emulate_arithmetic() - the result of @a op @b and the flags, as the CPU sets them.
 * @operation: INSTRUCTION_ADD..INSTRUCTION_CMP, TEST, NOT, NEG, INC, DEC (of these the operand is @a), BT..BTC (@b: bit number).
 * @size: 1, 2, 4, 8 [bytes]. @rflags: in: carry for ADC and SBB; out: OF SF ZF AF PF CF replaced where the instruction defines them.
 */
uint64_t emulate_arithmetic(enum instruction_operation operation, uint64_t a, uint64_t b, unsigned size, uint64_t *rflags);
