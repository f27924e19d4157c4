/*
 * The instructions that exit, taken apart as far as their exits need it: where they end, and prefixes and operands that the CPU
 * does not tell. For CPUs without next RIP and decode assists. Pure. AMD APM Vol. 3 "Instruction Encoding".
 */
#pragma once

#include "arch/x86/virt.h"
#include "lib/status.h"
#include "lib/types.h"

#define SVM_INSTRUCTION_MAX 15u /* bytes */

struct svm_instruction {
	uint8_t length;
	uint8_t address_size;  /* 2, 4 or 8 [bytes] */
	uint8_t operand_size;  /* the same */
	enum virt_segment_name segment; /* of a prefix; VIRT_SEGMENT_COUNT: none, so that DS counts, or SS for the stack's registers */
	bool has_lock;         /* with a MOV of CR0 it means CR8 */
	uint16_t opcode;       /* 0x0fXX of two bytes */
	uint8_t modrm_reg;     /* with the bit of a REX prefix; 0 without a ModRM byte */
	uint8_t modrm_rm;      /* the same */
	bool modrm_is_register; /* its operand is no memory; else it lies at base + (index << scale) + displacement */
	uint8_t base, index;   /* GPR_*; SVM_NO_REGISTER: none */
	uint8_t scale;
	bool base_is_rip;      /* of the next instruction */
	int32_t displacement;
};
#define SVM_NO_REGISTER 0xffu

enum svm_code_size { SVM_CODE_16, SVM_CODE_32, SVM_CODE_64 };

/**
 * svm_instruction_decode() - takes @size bytes of code apart.
 * Return: STATUS_OK; STATUS_TRUNCATED (it goes on behind the bytes); STATUS_UNSUPPORTED (none that exits, or longer than 15 bytes).
 */
must_check enum status svm_instruction_decode(const uint8_t *bytes, size_t size, enum svm_code_size code, struct svm_instruction *instruction);
