#include "arch/x86/svm/instruction.h"

#include "lib/bits.h"

#define PREFIX_OPERAND 0x66
#define PREFIX_ADDRESS 0x67
#define ESCAPE 0x0f
#define REX_FIRST 0x40
#define REX_LAST 0x4f
#define REX_R BIT(2)
#define REX_B BIT(0)

/* What follows the opcode. */
enum tail { TAIL_NONE, TAIL_IMMEDIATE, TAIL_MODRM, TAIL_MODRM_REGISTER /* whatever its first bits say */ };

static const struct { uint16_t first, last; enum tail tail; } opcodes[] = {
	{0x6c, 0x6f, TAIL_NONE},      /* INS, OUTS */
	{0xe4, 0xe7, TAIL_IMMEDIATE}, /* IN, OUT with a port */
	{0xec, 0xef, TAIL_NONE},      /* IN, OUT with DX */
	{0xf4, 0xf4, TAIL_NONE},      /* HLT */
	{0x0f01, 0x0f01, TAIL_MODRM}, /* LMSW, SMSW, VMMCALL, XSETBV and others */
	{0x0f06, 0x0f06, TAIL_NONE},  /* CLTS */
	{0x0f08, 0x0f09, TAIL_NONE},  /* INVD, WBINVD */
	{0x0f20, 0x0f23, TAIL_MODRM_REGISTER}, /* MOV of control and debug registers */
	{0x0f30, 0x0f33, TAIL_NONE},  /* WRMSR, RDTSC, RDMSR, RDPMC */
	{0x0fa2, 0x0fa2, TAIL_NONE},  /* CPUID */
};

struct reader {
	const uint8_t *bytes;
	size_t size, position;
};

static bool next(struct reader *reader, uint8_t *byte)
{
	if (reader->position >= reader->size)
		return false;
	*byte = reader->bytes[reader->position++];
	return true;
}

/* True if @byte is a prefix. */
static bool take_prefix(struct svm_instruction *instruction, uint8_t byte, enum svm_code_size code)
{
	switch (byte) {
	case 0x26: instruction->segment = VIRT_ES; return true;
	case 0x2e: instruction->segment = VIRT_CS; return true;
	case 0x36: instruction->segment = VIRT_SS; return true;
	case 0x3e: instruction->segment = VIRT_DS; return true;
	case 0x64: instruction->segment = VIRT_FS; return true;
	case 0x65: instruction->segment = VIRT_GS; return true;
	case PREFIX_OPERAND: instruction->operand_size = code == SVM_CODE_16 ? 4 : 2; return true;
	case PREFIX_ADDRESS: instruction->address_size = code == SVM_CODE_32 ? 2 : 4; return true;
	case 0xf0: case 0xf2: case 0xf3: return true;
	default: return false;
	}
}

/* Gives the first byte behind the prefixes; a REX prefix counts only just before it. */
static bool take_prefixes(struct reader *reader, struct svm_instruction *instruction, enum svm_code_size code, uint8_t *rex, uint8_t *byte)
{
	*rex = 0;
	while (next(reader, byte)) {
		bool is_rex = code == SVM_CODE_64 && *byte >= REX_FIRST && *byte <= REX_LAST;

		if (!is_rex && !take_prefix(instruction, *byte, code))
			return true;
		*rex = is_rex ? *byte : 0;
	}
	return false;
}

static enum status find_tail(uint16_t opcode, enum tail *tail)
{
	for (size_t i = 0; i < array_count(opcodes); i++) {
		if (opcode >= opcodes[i].first && opcode <= opcodes[i].last) {
			*tail = opcodes[i].tail;
			return STATUS_OK;
		}
	}
	return STATUS_UNSUPPORTED;
}

static enum status take_modrm(struct svm_instruction *instruction, uint8_t modrm, uint8_t rex, enum tail tail)
{
	instruction->modrm_is_register = tail == TAIL_MODRM_REGISTER || bits_get(modrm, 7, 6) == 3;
	instruction->modrm_reg = (uint8_t)(bits_get(modrm, 5, 3) | (rex & REX_R ? 8 : 0));
	instruction->modrm_rm = (uint8_t)(bits_get(modrm, 2, 0) | (rex & REX_B ? 8 : 0));
	return instruction->modrm_is_register ? STATUS_OK : STATUS_UNSUPPORTED;
}

enum status svm_instruction_decode(const uint8_t *bytes, size_t size, enum svm_code_size code, struct svm_instruction *instruction)
{
	struct reader reader = {bytes, min_u64(size, SVM_INSTRUCTION_MAX), 0};
	const enum status short_of_bytes = size < SVM_INSTRUCTION_MAX ? STATUS_TRUNCATED : STATUS_UNSUPPORTED;
	enum tail tail;
	uint8_t byte, rex;

	*instruction = (struct svm_instruction){.segment = VIRT_SEGMENT_COUNT, .operand_size = code == SVM_CODE_16 ? 2 : 4,
						.address_size = (uint8_t)(2u << code)};
	if (!take_prefixes(&reader, instruction, code, &rex, &byte))
		return short_of_bytes;
	instruction->opcode = byte;
	if (byte == ESCAPE) {
		if (!next(&reader, &byte))
			return short_of_bytes;
		instruction->opcode = (uint16_t)(ESCAPE << 8 | byte);
	}
	enum status status = find_tail(instruction->opcode, &tail);
	if (status != STATUS_OK)
		return status;
	if (tail != TAIL_NONE && !next(&reader, &byte))
		return short_of_bytes;
	if (tail == TAIL_MODRM || tail == TAIL_MODRM_REGISTER)
		status = take_modrm(instruction, byte, rex, tail);
	instruction->length = (uint8_t)reader.position;
	return status;
}
