/*
 * Decodes the x86 instructions that drivers and firmware use on device memory: moves, arithmetic and logic with a memory
 * operand, string moves. Whatever else it meets it refuses. Pure: bytes in, structure out.
 *
 * Manual: SDM Vol. 2A "Instruction Format", Vol. 2D "Opcode Map".
 */
#pragma once

#include "lib/status.h"
#include "lib/types.h"

#define DECODER_MAX_LENGTH 15u

enum instruction_operation {
	INSTRUCTION_NONE,
	/* In the order of their opcodes' bits 5:3 and of the immediate group's /digit. */
	INSTRUCTION_ADD, INSTRUCTION_OR, INSTRUCTION_ADC, INSTRUCTION_SBB, INSTRUCTION_AND, INSTRUCTION_SUB, INSTRUCTION_XOR, INSTRUCTION_CMP,
	INSTRUCTION_TEST, INSTRUCTION_MOV, INSTRUCTION_MOVZX, INSTRUCTION_MOVSX, INSTRUCTION_XCHG,
	INSTRUCTION_NOT, INSTRUCTION_NEG, INSTRUCTION_INC, INSTRUCTION_DEC,
	INSTRUCTION_BT, INSTRUCTION_BTS, INSTRUCTION_BTR, INSTRUCTION_BTC,
	INSTRUCTION_MOVS, INSTRUCTION_STOS, INSTRUCTION_LODS,
};

/* Which operand the memory is. */
enum instruction_form {
	FORM_MEMORY_REGISTER,  /* memory op= register */
	FORM_REGISTER_MEMORY,  /* register op= memory */
	FORM_MEMORY_IMMEDIATE, /* memory op= immediate */
	FORM_MEMORY,           /* one operand */
	FORM_STRING,           /* ES:rDI and/or segment:rSI */
};

enum decoder_mode { DECODER_16, DECODER_32, DECODER_64 };

/* No address: whoever has an instruction carried out knows from the exit where its memory operand lies. */
struct instruction {
	uint8_t length;        /* [bytes] 1..15 */
	uint8_t memory_size;   /* of the memory operand [bytes]: 1, 2, 4, 8 */
	uint8_t register_size; /* of the register operand; differs for MOVZX and MOVSX */
	uint8_t reg;           /* GPR_* number */
	bool reg_high_byte;    /* AH, CH, DH or BH: bits 15:8 of reg */
	bool repeat;           /* string instructions: REP */
	uint8_t address_size;  /* 2, 4, 8; string instructions: of rSI, rDI and rCX */
	uint8_t segment;       /* enum virt_segment_name; string instructions: of rSI */
	enum instruction_operation operation;
	enum instruction_form form;
	uint64_t immediate;    /* sign-extended */
};

/**
 * decoder_decode() - decodes the instruction at @bytes.
 * @size: how many bytes may be read.
 * Return: STATUS_OK; STATUS_TRUNCATED (more bytes are needed than @size, up to 15); STATUS_UNSUPPORTED (not one of ours, or
 *         no memory operand); STATUS_INVALID (longer than 15 bytes).
 */
must_check enum status decoder_decode(const uint8_t *bytes, size_t size, enum decoder_mode mode, struct instruction *instruction);
