#include "arch/x86/svm/instruction.h"

#include "lib/bits.h"

#define PREFIX_OPERAND 0x66
#define PREFIX_ADDRESS 0x67
#define ESCAPE 0x0f
#define REX_FIRST 0x40
#define REX_LAST 0x4f
#define REX_R BIT(2)
#define REX_X BIT(1)
#define REX_B BIT(0)

/* What follows the opcode. */
enum tail { TAIL_NONE, TAIL_IMMEDIATE, TAIL_MODRM, TAIL_MODRM_REGISTER /* whatever its first bits say */ };

static const struct { uint16_t first, last; enum tail tail; } opcodes[] = {
	{0x6c, 0x6f, TAIL_NONE},      /* INS, OUTS */
	{0x90, 0x90, TAIL_NONE},      /* PAUSE */
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
	enum svm_code_size code;
	uint8_t rex; /* 0: none */
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
	case 0xf0: instruction->has_lock = true; return true;
	case 0xf2: case 0xf3: return true;
	default: return false;
	}
}

/* Gives the first byte behind the prefixes; a REX prefix counts only just before it. */
static bool take_prefixes(struct reader *reader, struct svm_instruction *instruction, uint8_t *byte)
{
	while (next(reader, byte)) {
		bool is_rex = reader->code == SVM_CODE_64 && *byte >= REX_FIRST && *byte <= REX_LAST;

		if (!is_rex && !take_prefix(instruction, *byte, reader->code))
			return true;
		reader->rex = is_rex ? *byte : 0;
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

static bool take_displacement(struct reader *reader, unsigned size, struct svm_instruction *instruction)
{
	uint32_t value = 0;
	uint8_t byte;

	for (unsigned i = 0; i < size; i++) {
		if (!next(reader, &byte))
			return false;
		value |= (uint32_t)byte << 8 * i;
	}
	if (size == 1)
		instruction->displacement = (int8_t)value;
	else
		instruction->displacement = size == 2 ? (int16_t)value : (int32_t)value;
	return true;
}

/* "ModRM and SIB Bytes": the register that a number means for a base or an index. */
static uint8_t register_of(const struct reader *reader, uint64_t number, uint64_t rex_bit)
{
	return (uint8_t)(number | (reader->rex & rex_bit ? 8 : 0));
}

static bool take_address_16(struct reader *reader, struct svm_instruction *instruction, unsigned mod, unsigned rm)
{
	static const struct { uint8_t base, index; } forms[8] = {
		{GPR_RBX, GPR_RSI}, {GPR_RBX, GPR_RDI}, {GPR_RBP, GPR_RSI}, {GPR_RBP, GPR_RDI},
		{GPR_RSI, SVM_NO_REGISTER}, {GPR_RDI, SVM_NO_REGISTER}, {GPR_RBP, SVM_NO_REGISTER}, {GPR_RBX, SVM_NO_REGISTER},
	};

	instruction->base = forms[rm].base;
	instruction->index = forms[rm].index;
	if (mod == 0 && rm == 6) {
		instruction->base = SVM_NO_REGISTER;
		return take_displacement(reader, 2, instruction);
	}
	return take_displacement(reader, mod, instruction);
}

static bool take_address(struct reader *reader, struct svm_instruction *instruction, unsigned mod, unsigned rm)
{
	unsigned base = rm;
	uint8_t sib;

	if (rm == 4) {
		if (!next(reader, &sib))
			return false;
		base = (unsigned)bits_get(sib, 2, 0);
		instruction->scale = (uint8_t)bits_get(sib, 7, 6);
		instruction->index = register_of(reader, bits_get(sib, 5, 3), REX_X);
		if (instruction->index == GPR_RSP)
			instruction->index = SVM_NO_REGISTER;
	}
	if (mod == 0 && base == 5) {
		instruction->base_is_rip = rm == 5 && reader->code == SVM_CODE_64;
		return take_displacement(reader, 4, instruction);
	}
	instruction->base = register_of(reader, base, REX_B);
	return take_displacement(reader, mod == 2 ? 4 : mod, instruction);
}

/* False: it goes on behind the bytes. */
static bool take_modrm(struct reader *reader, struct svm_instruction *instruction, enum tail tail)
{
	uint8_t modrm;

	if (!next(reader, &modrm))
		return false;
	unsigned mod = (unsigned)bits_get(modrm, 7, 6), rm = (unsigned)bits_get(modrm, 2, 0);

	instruction->modrm_is_register = tail == TAIL_MODRM_REGISTER || mod == 3;
	instruction->modrm_reg = register_of(reader, bits_get(modrm, 5, 3), REX_R);
	instruction->modrm_rm = register_of(reader, rm, REX_B);
	if (instruction->modrm_is_register)
		return true;
	if (instruction->address_size == 2)
		return take_address_16(reader, instruction, mod, rm);
	return take_address(reader, instruction, mod, rm);
}

static bool take_tail(struct reader *reader, struct svm_instruction *instruction, enum tail tail)
{
	uint8_t immediate;

	switch (tail) {
	case TAIL_IMMEDIATE:
		return next(reader, &immediate);
	case TAIL_MODRM:
	case TAIL_MODRM_REGISTER:
		return take_modrm(reader, instruction, tail);
	default:
		return true;
	}
}

enum status svm_instruction_decode(const uint8_t *bytes, size_t size, enum svm_code_size code, struct svm_instruction *instruction)
{
	struct reader reader = {.bytes = bytes, .size = min_u64(size, SVM_INSTRUCTION_MAX), .code = code};
	const enum status short_of_bytes = size < SVM_INSTRUCTION_MAX ? STATUS_TRUNCATED : STATUS_UNSUPPORTED;
	enum tail tail;
	uint8_t byte;

	*instruction = (struct svm_instruction){.segment = VIRT_SEGMENT_COUNT, .operand_size = code == SVM_CODE_16 ? 2 : 4,
						.address_size = (uint8_t)(2u << code), .base = SVM_NO_REGISTER, .index = SVM_NO_REGISTER};
	if (!take_prefixes(&reader, instruction, &byte))
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
	if (!take_tail(&reader, instruction, tail))
		return short_of_bytes;
	instruction->length = (uint8_t)reader.position;
	return STATUS_OK;
}
