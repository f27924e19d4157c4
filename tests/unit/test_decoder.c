/* Lengths, operands and sizes of the instructions that reach device memory, and refusal of everything else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86/virt.h"
#include "lib/types.h"
#include "vmm/emul/decoder.h"

#define BYTES(...) {__VA_ARGS__}, sizeof((uint8_t[]){__VA_ARGS__})

struct row {
	enum decoder_mode mode;
	uint8_t bytes[15];
	size_t size; /* the length that is expected */
	enum instruction_operation operation;
	enum instruction_form form;
	uint8_t memory_size, register_size, reg;
	uint64_t immediate;
};

#define MODE_16 DECODER_16
#define MODE_32 DECODER_32
#define MODE_64 DECODER_64
#define REGISTER_LAST INSTRUCTION_MOV, FORM_MEMORY_REGISTER
#define REGISTER_FIRST INSTRUCTION_MOV, FORM_REGISTER_MEMORY
#define IMMEDIATE(operation) INSTRUCTION_##operation, FORM_MEMORY_IMMEDIATE

/* Lengths as GNU objdump gives them. */
static const struct row rows[] = {
	/* every form of address, 64 bits */
	{MODE_64, BYTES(0x8b, 0x00), REGISTER_FIRST, 4, 4, GPR_RAX, 0},                            /* mov (%rax),%eax */
	{MODE_64, BYTES(0x89, 0x10), REGISTER_LAST, 4, 4, GPR_RDX, 0},                             /* mov %edx,(%rax) */
	{MODE_64, BYTES(0x8b, 0x04, 0x25, 0, 0, 0xe0, 0xfe), REGISTER_FIRST, 4, 4, GPR_RAX, 0},    /* absolute: SIB without base */
	{MODE_64, BYTES(0x8b, 0x0d, 1, 2, 3, 4), REGISTER_FIRST, 4, 4, GPR_RCX, 0},                /* RIP-relative */
	{MODE_64, BYTES(0x8b, 0x44, 0x88, 0x10), REGISTER_FIRST, 4, 4, GPR_RAX, 0},                /* SIB, 8-bit displacement */
	{MODE_64, BYTES(0x8b, 0x84, 0x88, 1, 2, 3, 4), REGISTER_FIRST, 4, 4, GPR_RAX, 0},          /* SIB, 32-bit displacement */
	{MODE_64, BYTES(0x8b, 0x45, 0xf8), REGISTER_FIRST, 4, 4, GPR_RAX, 0},                      /* -8(%rbp) */
	{MODE_64, BYTES(0x8b, 0x85, 1, 2, 3, 4), REGISTER_FIRST, 4, 4, GPR_RAX, 0},                /* disp32(%rbp) */
	{MODE_64, BYTES(0x8b, 0x04, 0x24), REGISTER_FIRST, 4, 4, GPR_RAX, 0},                      /* (%rsp) */
	{MODE_64, BYTES(0x41, 0x8b, 0x04, 0x24), REGISTER_FIRST, 4, 4, GPR_RAX, 0},                /* (%r12) has a SIB too */
	{MODE_64, BYTES(0x41, 0x8b, 0x45, 0x00), REGISTER_FIRST, 4, 4, GPR_RAX, 0},                /* (%r13) has a displacement */
	{MODE_64, BYTES(0x42, 0x8b, 0x04, 0x20), REGISTER_FIRST, 4, 4, GPR_RAX, 0},                /* (%rax,%r12) */
	{MODE_64, BYTES(0x67, 0x8b, 0x00), REGISTER_FIRST, 4, 4, GPR_RAX, 0},                      /* (%eax) */
	{MODE_64, BYTES(0xa1, 1, 2, 3, 4, 5, 6, 7, 8), REGISTER_FIRST, 4, 4, GPR_RAX, 0},          /* movabs */
	{MODE_64, BYTES(0x67, 0xa1, 1, 2, 3, 4), REGISTER_FIRST, 4, 4, GPR_RAX, 0},
	{MODE_64, BYTES(0x48, 0xa3, 1, 2, 3, 4, 5, 6, 7, 8), REGISTER_LAST, 8, 8, GPR_RAX, 0},
	/* and 32 and 16 bits */
	{MODE_32, BYTES(0xa1, 1, 2, 3, 4), REGISTER_FIRST, 4, 4, GPR_RAX, 0},
	{MODE_32, BYTES(0x8b, 0x0d, 1, 2, 3, 4), REGISTER_FIRST, 4, 4, GPR_RCX, 0},
	{MODE_32, BYTES(0x67, 0x8b, 0x07), REGISTER_FIRST, 4, 4, GPR_RAX, 0},                      /* (%bx) */
	{MODE_32, BYTES(0x67, 0x8b, 0x06, 1, 2), REGISTER_FIRST, 4, 4, GPR_RAX, 0},                /* disp16 */
	{MODE_16, BYTES(0x8b, 0x07), REGISTER_FIRST, 2, 2, GPR_RAX, 0},
	{MODE_16, BYTES(0x8b, 0x06, 1, 2), REGISTER_FIRST, 2, 2, GPR_RAX, 0},
	{MODE_16, BYTES(0x8b, 0x46, 1), REGISTER_FIRST, 2, 2, GPR_RAX, 0},                         /* disp8(%bp) */
	{MODE_16, BYTES(0x8b, 0x84, 1, 2), REGISTER_FIRST, 2, 2, GPR_RAX, 0},                      /* disp16(%si): no SIB here */
	{MODE_16, BYTES(0xa1, 1, 2), REGISTER_FIRST, 2, 2, GPR_RAX, 0},
	{MODE_16, BYTES(0x66, 0xa1, 1, 2), REGISTER_FIRST, 4, 4, GPR_RAX, 0},
	{MODE_16, BYTES(0x67, 0x66, 0x8b, 0x04, 0x25, 1, 2, 3, 4), REGISTER_FIRST, 4, 4, GPR_RAX, 0},
	/* sizes and registers */
	{MODE_64, BYTES(0x48, 0x8b, 0x18), REGISTER_FIRST, 8, 8, GPR_RBX, 0},
	{MODE_64, BYTES(0x66, 0x8b, 0x18), REGISTER_FIRST, 2, 2, GPR_RBX, 0},
	{MODE_64, BYTES(0x66, 0x48, 0x8b, 0x18), REGISTER_FIRST, 8, 8, GPR_RBX, 0},                /* REX.W is stronger */
	{MODE_64, BYTES(0x48, 0x66, 0x8b, 0x18), REGISTER_FIRST, 2, 2, GPR_RBX, 0},                /* REX not last: no REX */
	{MODE_64, BYTES(0x4c, 0x40, 0x8b, 0x18), REGISTER_FIRST, 4, 4, GPR_RBX, 0},                /* the last REX counts */
	{MODE_64, BYTES(0x44, 0x8b, 0x18), REGISTER_FIRST, 4, 4, GPR_R11, 0},
	{MODE_64, BYTES(0x8a, 0x18), REGISTER_FIRST, 1, 1, GPR_RBX, 0},
	{MODE_64, BYTES(0x40, 0x88, 0x38), REGISTER_LAST, 1, 1, GPR_RDI, 0},                       /* DIL, not BH */
	/* immediates */
	{MODE_64, BYTES(0xc7, 0x00, 0x78, 0x56, 0x34, 0x12), IMMEDIATE(MOV), 4, 4, 0, 0x12345678},
	{MODE_64, BYTES(0x48, 0xc7, 0x00, 0, 0, 0, 0x80), IMMEDIATE(MOV), 8, 8, 0, 0xffffffff80000000},
	{MODE_64, BYTES(0x66, 0xc7, 0x00, 0x34, 0x12), IMMEDIATE(MOV), 2, 2, 0, 0x1234},
	{MODE_64, BYTES(0xc6, 0x40, 0x07, 0x5a), IMMEDIATE(MOV), 1, 1, 0, 0x5a},
	{MODE_16, BYTES(0xc7, 0x07, 0x34, 0x12), IMMEDIATE(MOV), 2, 2, 0, 0x1234},
	{MODE_64, BYTES(0x83, 0x08, 0xfe), IMMEDIATE(OR), 4, 4, 0, (uint64_t)-2},
	{MODE_64, BYTES(0x81, 0x38, 1, 0, 0, 0), IMMEDIATE(CMP), 4, 4, 0, 1},
	{MODE_64, BYTES(0x80, 0x20, 0x7f), IMMEDIATE(AND), 1, 1, 0, 0x7f},
	{MODE_64, BYTES(0xf7, 0x00, 1, 2, 3, 4), IMMEDIATE(TEST), 4, 4, 0, 0x04030201},
	{MODE_64, BYTES(0xf6, 0x08, 0x80), IMMEDIATE(TEST), 1, 1, 0, (uint64_t)-128},
	{MODE_64, BYTES(0x0f, 0xba, 0x28, 0x1f), IMMEDIATE(BTS), 4, 4, 0, 0x1f},
	{MODE_64, BYTES(0xf0, 0x0f, 0xba, 0x30, 0x03), IMMEDIATE(BTR), 4, 4, 0, 3},
	/* arithmetic, one operand, widening */
	{MODE_64, BYTES(0x09, 0x18), INSTRUCTION_OR, FORM_MEMORY_REGISTER, 4, 4, GPR_RBX, 0},
	{MODE_64, BYTES(0x3b, 0x18), INSTRUCTION_CMP, FORM_REGISTER_MEMORY, 4, 4, GPR_RBX, 0},
	{MODE_64, BYTES(0x85, 0x18), INSTRUCTION_TEST, FORM_MEMORY_REGISTER, 4, 4, GPR_RBX, 0},
	{MODE_64, BYTES(0x87, 0x18), INSTRUCTION_XCHG, FORM_MEMORY_REGISTER, 4, 4, GPR_RBX, 0},
	{MODE_64, BYTES(0xf7, 0x10), INSTRUCTION_NOT, FORM_MEMORY, 4, 4, 0, 0},
	{MODE_64, BYTES(0xf6, 0x18), INSTRUCTION_NEG, FORM_MEMORY, 1, 1, 0, 0},
	{MODE_64, BYTES(0xff, 0x00), INSTRUCTION_INC, FORM_MEMORY, 4, 4, 0, 0},
	{MODE_64, BYTES(0xfe, 0x08), INSTRUCTION_DEC, FORM_MEMORY, 1, 1, 0, 0},
	{MODE_64, BYTES(0x0f, 0xb6, 0x08), INSTRUCTION_MOVZX, FORM_REGISTER_MEMORY, 1, 4, GPR_RCX, 0},
	{MODE_64, BYTES(0x48, 0x0f, 0xb7, 0x08), INSTRUCTION_MOVZX, FORM_REGISTER_MEMORY, 2, 8, GPR_RCX, 0},
	{MODE_64, BYTES(0x66, 0x0f, 0xbe, 0x08), INSTRUCTION_MOVSX, FORM_REGISTER_MEMORY, 1, 2, GPR_RCX, 0},
	{MODE_64, BYTES(0x48, 0x63, 0x08), INSTRUCTION_MOVSX, FORM_REGISTER_MEMORY, 4, 8, GPR_RCX, 0},
	{MODE_64, BYTES(0x66, 0x63, 0x08), INSTRUCTION_MOVSX, FORM_REGISTER_MEMORY, 2, 2, GPR_RCX, 0},
	/* strings */
	{MODE_64, BYTES(0xa4), INSTRUCTION_MOVS, FORM_STRING, 1, 1, 0, 0},
	{MODE_64, BYTES(0xf3, 0x48, 0xa5), INSTRUCTION_MOVS, FORM_STRING, 8, 8, 0, 0},
	{MODE_64, BYTES(0xf3, 0x66, 0xab), INSTRUCTION_STOS, FORM_STRING, 2, 2, 0, 0},
	{MODE_32, BYTES(0xad), INSTRUCTION_LODS, FORM_STRING, 4, 4, 0, 0},
	/* 15 bytes, the longest */
	{MODE_64, BYTES(0x66, 0x2e, 0x64, 0x48, 0xc7, 0x84, 0x88, 1, 2, 3, 4, 0x78, 0x56, 0x34, 0x12), IMMEDIATE(MOV), 8, 8, 0, 0x12345678},
};

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_count(rows); i++) {
		const struct row *row = &rows[i];
		struct instruction out;
		uint8_t bytes[16];

		/* What follows the instruction does not matter. */
		memset(bytes, 0xcc, sizeof(bytes));
		memcpy(bytes, row->bytes, row->size);
		enum status status = decoder_decode(bytes, sizeof(bytes), row->mode, &out);
		if (status != STATUS_OK || out.length != row->size)
			fail_msg("row %zu (%02x %02x): status %d, length %u", i, bytes[0], bytes[1], status, out.length);
		assert_int_equal(out.operation, row->operation);
		assert_int_equal(out.form, row->form);
		assert_int_equal(out.memory_size, row->memory_size);
		assert_int_equal(out.register_size, row->register_size);
		assert_int_equal(out.reg, row->reg);
		assert_false(out.reg_high_byte);
		assert_int_equal(out.immediate, row->immediate);
	}
}

/* Every byte of an instruction is needed, and none behind it is read: the buffer ends where the size says. */
static void test_truncated(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_count(rows); i++) {
		for (size_t size = 0; size <= rows[i].size; size++) {
			struct instruction out;
			uint8_t *bytes = malloc(size + 1);

			assert_non_null(bytes);
			memcpy(bytes + 1, rows[i].bytes, size);
			enum status status = decoder_decode(bytes + 1, size, rows[i].mode, &out);
			assert_int_equal(status, size == rows[i].size ? STATUS_OK : STATUS_TRUNCATED);
			free(bytes);
		}
	}
}

static void test_too_long(void **state)
{
	uint8_t bytes[32];
	struct instruction out;

	(void)state;
	memset(bytes, 0x66, sizeof(bytes));
	assert_int_equal(decoder_decode(bytes, sizeof(bytes), DECODER_64, &out), STATUS_INVALID);
	assert_int_equal(decoder_decode(bytes, 15, DECODER_64, &out), STATUS_INVALID);
	assert_int_equal(decoder_decode(bytes, 14, DECODER_64, &out), STATUS_TRUNCATED);
	bytes[13] = 0x8b;
	bytes[14] = 0x00;
	assert_int_equal(decoder_decode(bytes, sizeof(bytes), DECODER_64, &out), STATUS_OK);
	assert_int_equal(out.length, 15);
	assert_int_equal(out.memory_size, 2);
	bytes[14] = 0x40; /* and a displacement */
	assert_int_equal(decoder_decode(bytes, sizeof(bytes), DECODER_64, &out), STATUS_INVALID);
}

static void test_unsupported(void **state)
{
	static const struct { enum decoder_mode mode; uint8_t bytes[3]; } refused[] = {
		{DECODER_64, {0x8b, 0xc0, 0}},    /* no memory operand */
		{DECODER_64, {0x8f, 0x00, 0}},    /* POP */
		{DECODER_64, {0xff, 0x30, 0}},    /* PUSH */
		{DECODER_64, {0xff, 0x10, 0}},    /* CALL */
		{DECODER_64, {0xf7, 0x20, 0}},    /* MUL */
		{DECODER_64, {0xc7, 0x08, 0}},
		{DECODER_64, {0xfe, 0x10, 0}},
		{DECODER_64, {0x0f, 0xba, 0x00}}, /* /0 of the bit group */
		{DECODER_64, {0x0f, 0x28, 0x00}}, /* MOVAPS */
		{DECODER_64, {0x0f, 0x0f, 0x00}},
		{DECODER_64, {0xa6, 0, 0}},       /* CMPS */
		{DECODER_64, {0x90, 0, 0}},
		{DECODER_32, {0x63, 0x00, 0}},    /* ARPL */
		{DECODER_32, {0x48, 0x8b, 0x00}}, /* DEC: no REX here */
		{DECODER_16, {0x40, 0x8b, 0x00}},
	};

	(void)state;
	for (size_t i = 0; i < array_count(refused); i++) {
		struct instruction out;
		uint8_t bytes[15] = {0};

		memcpy(bytes, refused[i].bytes, 3);
		assert_int_equal(decoder_decode(bytes, sizeof(bytes), refused[i].mode, &out), STATUS_UNSUPPORTED);
	}
}

static struct instruction decode(enum decoder_mode mode, const uint8_t *bytes, size_t size)
{
	struct instruction out;

	assert_int_equal(decoder_decode(bytes, size, mode, &out), STATUS_OK);
	assert_int_equal(out.length, size);
	return out;
}

#define DECODE(mode, ...) decode(mode, (const uint8_t[]){__VA_ARGS__}, sizeof((uint8_t[]){__VA_ARGS__}))

static void test_high_bytes(void **state)
{
	struct instruction out = DECODE(DECODER_64, 0x88, 0x20);

	(void)state;
	assert_int_equal(out.reg, GPR_RAX);
	assert_true(out.reg_high_byte);
	out = DECODE(DECODER_32, 0x8a, 0x38);
	assert_int_equal(out.reg, GPR_RBX);
	assert_true(out.reg_high_byte);
	out = DECODE(DECODER_64, 0x40, 0x88, 0x20); /* SPL */
	assert_int_equal(out.reg, GPR_RSP);
	assert_false(out.reg_high_byte);
	out = DECODE(DECODER_64, 0x89, 0x20); /* ESP */
	assert_int_equal(out.reg, GPR_RSP);
	assert_false(out.reg_high_byte);
	out = DECODE(DECODER_64, 0x0f, 0xb6, 0x20); /* the register is no byte */
	assert_int_equal(out.reg, GPR_RSP);
	assert_false(out.reg_high_byte);
}

static void test_segments(void **state)
{
	(void)state;
	assert_int_equal(DECODE(DECODER_64, 0xa4).segment, VIRT_DS);
	assert_int_equal(DECODE(DECODER_64, 0x64, 0xa4).segment, VIRT_FS);
	assert_int_equal(DECODE(DECODER_64, 0x65, 0xa4).segment, VIRT_GS);
	assert_int_equal(DECODE(DECODER_64, 0x65, 0x64, 0xa4).segment, VIRT_FS);
	assert_int_equal(DECODE(DECODER_64, 0x26, 0xa4).segment, VIRT_DS);
	assert_int_equal(DECODE(DECODER_64, 0x64, 0x36, 0xa4).segment, VIRT_FS);
	assert_int_equal(DECODE(DECODER_32, 0x64, 0x36, 0xa4).segment, VIRT_SS);
	assert_int_equal(DECODE(DECODER_16, 0x26, 0xa4).segment, VIRT_ES);
	assert_int_equal(DECODE(DECODER_16, 0x2e, 0xa4).segment, VIRT_CS);
	assert_int_equal(DECODE(DECODER_16, 0x3e, 0xa4).segment, VIRT_DS);
}

static void test_repeat_and_address_size(void **state)
{
	(void)state;
	assert_false(DECODE(DECODER_64, 0xa4).repeat);
	assert_true(DECODE(DECODER_64, 0xf3, 0xa4).repeat);
	assert_true(DECODE(DECODER_64, 0xf2, 0xa4).repeat);
	assert_int_equal(DECODE(DECODER_64, 0xa4).address_size, 8);
	assert_int_equal(DECODE(DECODER_64, 0x67, 0xa4).address_size, 4);
	assert_int_equal(DECODE(DECODER_32, 0xa4).address_size, 4);
	assert_int_equal(DECODE(DECODER_32, 0x67, 0xa4).address_size, 2);
	assert_int_equal(DECODE(DECODER_16, 0xa4).address_size, 2);
	assert_int_equal(DECODE(DECODER_16, 0x67, 0xa4).address_size, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_too_long),
		cmocka_unit_test(test_unsupported),
		cmocka_unit_test(test_high_bytes),
		cmocka_unit_test(test_segments),
		cmocka_unit_test(test_repeat_and_address_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
