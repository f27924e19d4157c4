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
	SHAPE_PREFIX,
	SHAPE_REX,          /* a prefix in 64-bit mode */
};

struct opcode_row {
	uint8_t operation; /* enum instruction_operation; INSTRUCTION_NONE with SHAPE_E*: the ModRM digit chooses (group) */
	uint8_t shape;
	uint8_t fixed_size; /* of the memory operand [bytes]; 0: the operand-size attribute decides */
};

#define ARITHMETIC(first, name) \
	[first] = {name, SHAPE_E_G, 1}, [(first) + 1] = {name, SHAPE_E_G, 0}, [(first) + 2] = {name, SHAPE_G_E, 1}, [(first) + 3] = {name, SHAPE_G_E, 0}

#define PREFIX {INSTRUCTION_NONE, SHAPE_PREFIX, 0}
#define REX {INSTRUCTION_NONE, SHAPE_REX, 0}

static const struct opcode_row one_byte[256] = {
	[0x26] = PREFIX, [0x2e] = PREFIX, [0x36] = PREFIX, [0x3e] = PREFIX, [0x64] = PREFIX, [0x65] = PREFIX, [0x66] = PREFIX, [0x67] = PREFIX,
	[0xf0] = PREFIX, [0xf2] = PREFIX, [0xf3] = PREFIX,
	[0x40] = REX, [0x41] = REX, [0x42] = REX, [0x43] = REX, [0x44] = REX, [0x45] = REX, [0x46] = REX, [0x47] = REX,
	[0x48] = REX, [0x49] = REX, [0x4a] = REX, [0x4b] = REX, [0x4c] = REX, [0x4d] = REX, [0x4e] = REX, [0x4f] = REX,
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

/* MOVSXD shares its opcode with ARPL, which exists outside 64-bit mode only. */
static const struct opcode_row movsxd = {INSTRUCTION_MOVSX, SHAPE_G_E, 4};

/* Each mode's size attributes without and with their prefix [bytes]. */
static const uint8_t operand_size[] = {[DECODER_16] = 2, [DECODER_32] = 4, [DECODER_64] = 4};
static const uint8_t other_operand_size[] = {[DECODER_16] = 4, [DECODER_32] = 2, [DECODER_64] = 2};
static const uint8_t address_size[] = {[DECODER_16] = 2, [DECODER_32] = 4, [DECODER_64] = 8};
static const uint8_t other_address_size[] = {[DECODER_16] = 4, [DECODER_32] = 2, [DECODER_64] = 4};

struct decoder {
	const uint8_t *bytes;
	size_t size;
	size_t position; /* beyond size: truncated */
	enum decoder_mode mode;
	uint8_t rex;
	uint8_t operand_size, address_size; /* [bytes] as the prefixes say; REX.W comes on top */
	uint8_t opcode;
	bool is_two_byte;
	struct instruction *out;
};

#define REX_W 0x8u
#define REX_R 0x4u

static uint8_t next_byte(struct decoder *d)
{
	size_t position = d->position++;

	return likely(position < d->size) ? d->bytes[position] : 0;
}

static bool is_truncated(const struct decoder *d)
{
	return d->position > d->size;
}

static uint64_t next_signed(struct decoder *d, unsigned size)
{
	uint64_t value = 0;
	unsigned shift = 64 - 8 * size;

	for (unsigned i = 0; i < size; i++)
		value |= (uint64_t)next_byte(d) << 8 * i;
	return (uint64_t)((int64_t)(value << shift) >> shift);
}

/* In 64-bit mode the other segments' prefixes do nothing, not even to one of these two before them. */
static void override_segment(struct decoder *d, enum virt_segment_name segment)
{
	if (d->mode != DECODER_64 || segment == VIRT_FS || segment == VIRT_GS)
		d->out->segment = (uint8_t)segment;
}

static void take_prefix(struct decoder *d, uint8_t byte)
{
	switch (byte) {
	case 0x26: override_segment(d, VIRT_ES); break;
	case 0x2e: override_segment(d, VIRT_CS); break;
	case 0x36: override_segment(d, VIRT_SS); break;
	case 0x3e: override_segment(d, VIRT_DS); break;
	case 0x64: override_segment(d, VIRT_FS); break;
	case 0x65: override_segment(d, VIRT_GS); break;
	case 0x66: d->operand_size = other_operand_size[d->mode]; break;
	case 0x67: d->address_size = other_address_size[d->mode]; break;
	case 0xf2:
	case 0xf3: d->out->repeat = true; break;
	default: break; /* LOCK: means nothing to a device */
	}
}

/* Prefixes in any order, then the opcode; a REX only counts right before it. */
static const struct opcode_row *read_opcode(struct decoder *d)
{
	uint8_t byte = next_byte(d);
	const struct opcode_row *row = &one_byte[byte];

	while (row->shape == SHAPE_PREFIX || (row->shape == SHAPE_REX && d->mode == DECODER_64)) {
		if (row->shape == SHAPE_PREFIX)
			take_prefix(d, byte);
		d->rex = row->shape == SHAPE_REX ? byte : 0;
		byte = next_byte(d);
		row = &one_byte[byte];
	}
	d->is_two_byte = byte == 0x0f;
	if (d->is_two_byte) {
		byte = next_byte(d);
		row = &two_byte[byte];
	} else if (byte == 0x63 && d->mode == DECODER_64) {
		row = &movsxd;
	}
	d->opcode = byte;
	return row;
}

/* The SIB byte and the displacement: "16-Bit" and "32-Bit Addressing Forms with the ModR/M Byte". */
static void skip_address(struct decoder *d, unsigned mod, unsigned rm)
{
	bool wide = d->out->address_size != 2;
	unsigned no_base = wide ? 5 : 6; /* with mod 0: a displacement alone */

	if (wide && rm == 4)
		rm = next_byte(d) & 7;
	if (mod == 1)
		d->position += 1;
	else if (mod == 2 || rm == no_base)
		d->position += wide ? 4 : 2;
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

static enum status read_group_operands(struct decoder *d, const struct opcode_row *row, unsigned digit)
{
	struct instruction *out = d->out;

	out->operation = group_operation(d, digit);
	if (out->operation == INSTRUCTION_NONE)
		return STATUS_UNSUPPORTED;
	out->form = row->shape == SHAPE_E && out->operation != INSTRUCTION_TEST ? FORM_MEMORY : FORM_MEMORY_IMMEDIATE;
	if (out->form == FORM_MEMORY_IMMEDIATE)
		out->immediate = next_signed(d, row->shape == SHAPE_E_IMM8 ? 1 : out->memory_size > 4 ? 4 : out->memory_size);
	return STATUS_OK;
}

static enum status read_modrm_operands(struct decoder *d, const struct opcode_row *row)
{
	unsigned modrm = next_byte(d), digit = modrm >> 3 & 7;

	if (modrm >= 0xc0) /* no memory operand */
		return STATUS_UNSUPPORTED;
	skip_address(d, modrm >> 6, modrm & 7);
	if (row->shape != SHAPE_E_G && row->shape != SHAPE_G_E)
		return read_group_operands(d, row, digit);
	d->out->form = row->shape == SHAPE_E_G ? FORM_MEMORY_REGISTER : FORM_REGISTER_MEMORY;
	read_register(d, digit);
	return STATUS_OK;
}

static void set_sizes(struct decoder *d, const struct opcode_row *row)
{
	struct instruction *out = d->out;
	uint8_t size = d->rex & REX_W ? 8 : d->operand_size;

	out->address_size = d->address_size;
	out->memory_size = size;
	out->register_size = size;
	if (!row->fixed_size)
		return;
	/* Only MOVSXD has a fixed size above the smallest operand-size attribute, and gives in to it. */
	out->memory_size = row->fixed_size < 4 || size > 2 ? row->fixed_size : 2;
	if (row->operation != INSTRUCTION_MOVZX && row->operation != INSTRUCTION_MOVSX)
		out->register_size = out->memory_size;
}

static enum status read_operands(struct decoder *d, const struct opcode_row *row)
{
	struct instruction *out = d->out;

	switch ((enum opcode_shape)row->shape) {
	case SHAPE_UNSUPPORTED:
	case SHAPE_PREFIX:
	case SHAPE_REX:
		return STATUS_UNSUPPORTED;
	case SHAPE_OFFSET_LOAD:
	case SHAPE_OFFSET_STORE:
		out->form = row->shape == SHAPE_OFFSET_LOAD ? FORM_REGISTER_MEMORY : FORM_MEMORY_REGISTER;
		d->position += out->address_size;
		return STATUS_OK;
	case SHAPE_STRING:
		out->form = FORM_STRING;
		return STATUS_OK;
	default:
		return read_modrm_operands(d, row);
	}
}

enum status decoder_decode(const uint8_t *bytes, size_t size, enum decoder_mode mode, struct instruction *out)
{
	struct decoder d = {
		.bytes = bytes, .size = min_u64(size, DECODER_MAX_LENGTH), .mode = mode, .out = out,
		.operand_size = operand_size[mode], .address_size = address_size[mode],
	};

	*out = (struct instruction){.reg = GPR_RAX, .segment = VIRT_DS};
	const struct opcode_row *row = read_opcode(&d);
	out->operation = (enum instruction_operation)row->operation;
	set_sizes(&d, row);
	enum status status = read_operands(&d, row);
	if (unlikely(is_truncated(&d)))
		return size >= DECODER_MAX_LENGTH ? STATUS_INVALID : STATUS_TRUNCATED;
	out->length = (uint8_t)d.position;
	return status;
}
