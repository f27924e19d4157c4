#include "vmm/emul/decoder.h"

#include "arch/x86/virt.h"
#include "lib/bits.h"

/* How the bytes behind an opcode are read. */
enum opcode_shape {
	SHAPE_UNSUPPORTED,
	SHAPE_E_G,       /* ModRM; E is the destination */
	SHAPE_G_E,       /* ModRM; G is the destination */
	SHAPE_E_IMM,     /* ModRM, immediate of the operand's size (at most 4) */
	SHAPE_E_IMM8,    /* ModRM, sign-extended byte */
	SHAPE_E,         /* ModRM */
	SHAPE_OFFSET_LOAD,  /* rAX from an absolute offset */
	SHAPE_OFFSET_STORE, /* rAX to it */
	SHAPE_STRING,
};

struct opcode_row {
	uint8_t operation; /* enum instruction_operation; INSTRUCTION_NONE with SHAPE_E*: the ModRM digit chooses (group) */
	uint8_t shape;
	uint8_t byte_sized; /* 1: the memory operand is a byte, 2: a word; else by the operand-size attribute */
};

#define ARITHMETIC(first, name) \
	[first] = {name, SHAPE_E_G, 1}, [(first) + 1] = {name, SHAPE_E_G, 0}, [(first) + 2] = {name, SHAPE_G_E, 1}, [(first) + 3] = {name, SHAPE_G_E, 0}

static const struct opcode_row one_byte[256] = {
	ARITHMETIC(0x00, INSTRUCTION_ADD), ARITHMETIC(0x08, INSTRUCTION_OR), ARITHMETIC(0x10, INSTRUCTION_ADC), ARITHMETIC(0x18, INSTRUCTION_SBB),
	ARITHMETIC(0x20, INSTRUCTION_AND), ARITHMETIC(0x28, INSTRUCTION_SUB), ARITHMETIC(0x30, INSTRUCTION_XOR), ARITHMETIC(0x38, INSTRUCTION_CMP),
	[0x80] = {INSTRUCTION_NONE, SHAPE_E_IMM8, 1}, [0x81] = {INSTRUCTION_NONE, SHAPE_E_IMM, 0}, [0x83] = {INSTRUCTION_NONE, SHAPE_E_IMM8, 0},
	[0x84] = {INSTRUCTION_TEST, SHAPE_E_G, 1}, [0x85] = {INSTRUCTION_TEST, SHAPE_E_G, 0},
	[0x86] = {INSTRUCTION_XCHG, SHAPE_E_G, 1}, [0x87] = {INSTRUCTION_XCHG, SHAPE_E_G, 0},
	[0x88] = {INSTRUCTION_MOV, SHAPE_E_G, 1}, [0x89] = {INSTRUCTION_MOV, SHAPE_E_G, 0},
	[0x8a] = {INSTRUCTION_MOV, SHAPE_G_E, 1}, [0x8b] = {INSTRUCTION_MOV, SHAPE_G_E, 0},
	[0xa0] = {INSTRUCTION_MOV, SHAPE_OFFSET_LOAD, 1}, [0xa1] = {INSTRUCTION_MOV, SHAPE_OFFSET_LOAD, 0},
	[0xa2] = {INSTRUCTION_MOV, SHAPE_OFFSET_STORE, 1}, [0xa3] = {INSTRUCTION_MOV, SHAPE_OFFSET_STORE, 0},
	[0xa4] = {INSTRUCTION_MOVS, SHAPE_STRING, 1}, [0xa5] = {INSTRUCTION_MOVS, SHAPE_STRING, 0},
	[0xaa] = {INSTRUCTION_STOS, SHAPE_STRING, 1}, [0xab] = {INSTRUCTION_STOS, SHAPE_STRING, 0},
	[0xac] = {INSTRUCTION_LODS, SHAPE_STRING, 1}, [0xad] = {INSTRUCTION_LODS, SHAPE_STRING, 0},
	[0xc6] = {INSTRUCTION_NONE, SHAPE_E_IMM8, 1}, [0xc7] = {INSTRUCTION_NONE, SHAPE_E_IMM, 0},
	[0xf6] = {INSTRUCTION_NONE, SHAPE_E, 1}, [0xf7] = {INSTRUCTION_NONE, SHAPE_E, 0},
	[0xfe] = {INSTRUCTION_NONE, SHAPE_E, 1}, [0xff] = {INSTRUCTION_NONE, SHAPE_E, 0},
};

static const struct opcode_row two_byte[256] = {
	[0xb6] = {INSTRUCTION_MOVZX, SHAPE_G_E, 1}, [0xb7] = {INSTRUCTION_MOVZX, SHAPE_G_E, 2},
	[0xbe] = {INSTRUCTION_MOVSX, SHAPE_G_E, 1}, [0xbf] = {INSTRUCTION_MOVSX, SHAPE_G_E, 2},
	[0xba] = {INSTRUCTION_NONE, SHAPE_E_IMM8, 0},
};

struct decoder {
	const uint8_t *bytes;
	size_t size;
	size_t position;
	enum decoder_mode mode;
	uint8_t rex;
	bool operand_override, address_override;
	uint8_t opcode;
	bool is_two_byte;
	bool truncated;
	struct instruction *out;
};

#define REX_W 0x8u
#define REX_R 0x4u
#define REX_X 0x2u
#define REX_B 0x1u

static uint8_t next_byte(struct decoder *d)
{
	if (d->position >= d->size) {
		d->truncated = true;
		return 0;
	}
	return d->bytes[d->position++];
}

static int64_t next_signed(struct decoder *d, unsigned size)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < size; i++)
		value |= (uint64_t)next_byte(d) << 8 * i;
	unsigned shift = 64 - 8 * size;
	return (int64_t)(value << shift) >> shift;
}

static bool take_prefix(struct decoder *d, uint8_t byte)
{
	switch (byte) {
	case 0x26: d->out->segment = VIRT_ES; return true;
	case 0x2e: d->out->segment = VIRT_CS; return true;
	case 0x36: d->out->segment = VIRT_SS; return true;
	case 0x3e: d->out->segment = VIRT_DS; return true;
	case 0x64: d->out->segment = VIRT_FS; return true;
	case 0x65: d->out->segment = VIRT_GS; return true;
	case 0x66: d->operand_override = true; return true;
	case 0x67: d->address_override = true; return true;
	case 0xf0: return true;
	case 0xf2:
	case 0xf3: d->out->repeat = true; return true;
	default: return false;
	}
}

/* Prefixes in any order; a REX only counts right before the opcode. */
static void read_prefixes(struct decoder *d)
{
	uint8_t byte = next_byte(d);

	while (!d->truncated) {
		if (take_prefix(d, byte))
			d->rex = 0;
		else if (d->mode == DECODER_64 && (byte & 0xf0) == 0x40)
			d->rex = byte;
		else
			break;
		byte = next_byte(d);
	}
	d->is_two_byte = byte == 0x0f;
	d->opcode = d->is_two_byte ? next_byte(d) : byte;
}

static unsigned operand_size(const struct decoder *d)
{
	if (d->rex & REX_W)
		return 8;
	return (d->mode == DECODER_16) != d->operand_override ? 2 : 4;
}

static unsigned address_size(const struct decoder *d)
{
	if (d->mode == DECODER_64)
		return d->address_override ? 4 : 8;
	return (d->mode == DECODER_16) != d->address_override ? 2 : 4;
}

/* "16-Bit Addressing Forms with the ModR/M Byte" */
static void read_memory_16(struct decoder *d, unsigned mod, unsigned rm)
{
	static const uint8_t bases[8] = {GPR_RBX, GPR_RBX, GPR_RBP, GPR_RBP, GPR_RSI, GPR_RDI, GPR_RBP, GPR_RBX};
	static const uint8_t indexes[4] = {GPR_RSI, GPR_RDI, GPR_RSI, GPR_RDI};
	struct instruction *out = d->out;

	if (mod == 0 && rm == 6) {
		out->displacement = next_signed(d, 2);
		return;
	}
	out->base = bases[rm];
	if (rm < 4)
		out->index = indexes[rm];
	if (mod != 0)
		out->displacement = next_signed(d, mod == 1 ? 1 : 2);
}

static void read_sib(struct decoder *d, unsigned mod)
{
	uint8_t sib = next_byte(d);
	unsigned index = (unsigned)(sib >> 3 & 7) | (d->rex & REX_X ? 8 : 0);

	if (index != GPR_RSP) {
		d->out->index = (uint8_t)index;
		d->out->scale = (uint8_t)(1u << (sib >> 6));
	}
	if ((sib & 7) == 5 && mod == 0)
		d->out->displacement = next_signed(d, 4);
	else
		d->out->base = (uint8_t)((sib & 7) | (d->rex & REX_B ? 8 : 0));
}

static void read_memory(struct decoder *d, unsigned mod, unsigned rm)
{
	struct instruction *out = d->out;

	if (out->address_size == 2) {
		read_memory_16(d, mod, rm);
		return;
	}
	if (rm == 4) {
		read_sib(d, mod);
	} else if (rm == 5 && mod == 0) {
		out->rip_relative = d->mode == DECODER_64;
		out->displacement = next_signed(d, 4);
	} else {
		out->base = (uint8_t)(rm | (d->rex & REX_B ? 8 : 0));
	}
	if (mod != 0)
		out->displacement = next_signed(d, mod == 1 ? 1 : 4);
}

static void default_segment(struct instruction *out)
{
	if (out->segment == DECODER_NO_REGISTER)
		out->segment = out->base == GPR_RBP || out->base == GPR_RSP ? VIRT_SS : VIRT_DS;
}

/* Opcodes whose operation stands in the ModRM byte's middle digit. */
static enum instruction_operation group_operation(const struct decoder *d, unsigned digit)
{
	static const uint8_t f6_group[4] = {INSTRUCTION_TEST, INSTRUCTION_TEST, INSTRUCTION_NOT, INSTRUCTION_NEG};

	if (d->is_two_byte)
		return digit >= 4 ? (enum instruction_operation)(INSTRUCTION_BT + (digit - 4)) : INSTRUCTION_NONE;
	switch (d->opcode) {
	case 0x80: case 0x81: case 0x83:
		return (enum instruction_operation)(INSTRUCTION_ADD + digit);
	case 0xc6: case 0xc7:
		return digit == 0 ? INSTRUCTION_MOV : INSTRUCTION_NONE;
	case 0xf6: case 0xf7:
		return digit < 4 ? (enum instruction_operation)f6_group[digit] : INSTRUCTION_NONE;
	default:
		return digit < 2 ? (enum instruction_operation)(INSTRUCTION_INC + digit) : INSTRUCTION_NONE;
	}
}

static void read_register(struct decoder *d, unsigned digit)
{
	struct instruction *out = d->out;

	out->reg = (uint8_t)(digit | (d->rex & REX_R ? 8 : 0));
	if (out->register_size == 1 && !d->rex && digit >= 4) {
		out->reg = (uint8_t)(digit - 4);
		out->reg_high_byte = true;
	}
}

static enum status read_modrm_operands(struct decoder *d, const struct opcode_row *row)
{
	struct instruction *out = d->out;
	uint8_t modrm = next_byte(d);
	unsigned mod = modrm >> 6, digit = modrm >> 3 & 7;

	if (mod == 3)
		return d->truncated ? STATUS_TRUNCATED : STATUS_UNSUPPORTED;
	read_memory(d, mod, modrm & 7);
	default_segment(out);
	if (row->shape == SHAPE_E_G || row->shape == SHAPE_G_E) {
		out->form = row->shape == SHAPE_E_G ? FORM_MEMORY_REGISTER : FORM_REGISTER_MEMORY;
		read_register(d, digit);
		return STATUS_OK;
	}
	out->operation = group_operation(d, digit);
	if (out->operation == INSTRUCTION_NONE)
		return STATUS_UNSUPPORTED;
	out->form = row->shape == SHAPE_E && out->operation != INSTRUCTION_TEST ? FORM_MEMORY : FORM_MEMORY_IMMEDIATE;
	if (out->form == FORM_MEMORY_IMMEDIATE)
		out->immediate = (uint64_t)next_signed(d, row->shape == SHAPE_E_IMM8 ? 1 : out->memory_size > 4 ? 4 : out->memory_size);
	return STATUS_OK;
}

static void read_offset(struct decoder *d, const struct opcode_row *row)
{
	d->out->displacement = next_signed(d, d->out->address_size);
	default_segment(d->out);
	d->out->reg = GPR_RAX;
	d->out->form = row->shape == SHAPE_OFFSET_LOAD ? FORM_REGISTER_MEMORY : FORM_MEMORY_REGISTER;
}

static void set_sizes(struct decoder *d, const struct opcode_row *row)
{
	struct instruction *out = d->out;
	unsigned size = operand_size(d);

	out->address_size = (uint8_t)address_size(d);
	out->memory_size = (uint8_t)(row->byte_sized ? row->byte_sized : size);
	out->register_size = out->operation == INSTRUCTION_MOVZX || out->operation == INSTRUCTION_MOVSX ? (uint8_t)size : out->memory_size;
}

static enum status read_operands(struct decoder *d, const struct opcode_row *row)
{
	switch ((enum opcode_shape)row->shape) {
	case SHAPE_UNSUPPORTED:
		return STATUS_UNSUPPORTED;
	case SHAPE_OFFSET_LOAD:
	case SHAPE_OFFSET_STORE:
		read_offset(d, row);
		return STATUS_OK;
	case SHAPE_STRING:
		d->out->form = FORM_STRING;
		d->out->reg = GPR_RAX;
		default_segment(d->out);
		return STATUS_OK;
	default:
		return read_modrm_operands(d, row);
	}
}

/* MOVSXD shares its opcode with ARPL, which exists outside 64-bit mode only. */
static const struct opcode_row movsxd = {INSTRUCTION_MOVSX, SHAPE_G_E, 4};

enum status decoder_decode(const uint8_t *bytes, size_t size, enum decoder_mode mode, struct instruction *out)
{
	struct decoder d = {.bytes = bytes, .size = size < DECODER_MAX_LENGTH ? size : DECODER_MAX_LENGTH, .mode = mode, .out = out};

	*out = (struct instruction){.segment = DECODER_NO_REGISTER, .base = DECODER_NO_REGISTER, .index = DECODER_NO_REGISTER, .scale = 1};
	read_prefixes(&d);
	const struct opcode_row *row = d.is_two_byte ? &two_byte[d.opcode] : &one_byte[d.opcode];
	if (!d.is_two_byte && d.opcode == 0x63 && mode == DECODER_64)
		row = &movsxd;
	out->operation = (enum instruction_operation)row->operation;
	set_sizes(&d, row);
	enum status status = d.truncated ? STATUS_TRUNCATED : read_operands(&d, row);
	if (d.truncated)
		return size >= DECODER_MAX_LENGTH ? STATUS_INVALID : STATUS_TRUNCATED;
	out->length = (uint8_t)d.position;
	return status;
}
