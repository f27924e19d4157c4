/* arch/x86/svm/instruction.c: where instructions that exit end, their prefixes and operands; hostile bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "arch/x86/svm/instruction.h"
#include "lib/bits.h"

struct sample {
	const char *bytes;
	uint8_t size, length; /* length 0: STATUS_UNSUPPORTED */
	uint16_t opcode;
	enum svm_code_size code;
};
#define SAMPLE(text, length, opcode, code) {text, sizeof(text) - 1, length, opcode, code}

static const struct sample samples[] = {
	SAMPLE("\x0f\xa2\x90\x90", 2, 0x0fa2, SVM_CODE_64),
	SAMPLE("\x66\x0f\xa2", 3, 0x0fa2, SVM_CODE_64),
	SAMPLE("\xf4", 1, 0xf4, SVM_CODE_16),
	SAMPLE("\x48\xf4", 2, 0xf4, SVM_CODE_64),
	SAMPLE("\x0f\x32", 2, 0x0f32, SVM_CODE_32),
	SAMPLE("\x2e\x2e\x0f\x30", 4, 0x0f30, SVM_CODE_64),
	SAMPLE("\x0f\x01\xd9", 3, 0x0f01, SVM_CODE_64), /* VMMCALL */
	SAMPLE("\x0f\x01\xd1", 3, 0x0f01, SVM_CODE_64), /* XSETBV */
	SAMPLE("\x0f\x01\x30\x00\x00", 3, 0x0f01, SVM_CODE_64), /* LMSW of memory */
	SAMPLE("\x0f\x01\x70\x08\x00", 4, 0x0f01, SVM_CODE_64), /* of [rax + 8] */
	SAMPLE("\x0f\x01\xb0\x08\x00\x00\x00", 7, 0x0f01, SVM_CODE_64),
	SAMPLE("\x0f\x01\x74\x24\x08", 5, 0x0f01, SVM_CODE_64), /* of [rsp + 8] */
	SAMPLE("\x0f\x01\x36\x34\x12", 5, 0x0f01, SVM_CODE_16), /* of [0x1234] */
	SAMPLE("\x0f\x01\x76\x02", 4, 0x0f01, SVM_CODE_16),
	SAMPLE("\xf3\x90", 2, 0x90, SVM_CODE_64),
	SAMPLE("\x0f\x22\xd8", 3, 0x0f22, SVM_CODE_64),
	SAMPLE("\x0f\x22\x18", 3, 0x0f22, SVM_CODE_64), /* the mode bits do not count */
	SAMPLE("\x0f\x06", 2, 0x0f06, SVM_CODE_32),
	SAMPLE("\xe4\x60", 2, 0xe4, SVM_CODE_16),
	SAMPLE("\xf3\x6e", 2, 0x6e, SVM_CODE_64),
	SAMPLE("\x40\xf4", 0, 0, SVM_CODE_32), /* INC, not a prefix */
	SAMPLE("\x0f\x0b", 0, 0, SVM_CODE_64),
};

static void test_lengths(void **state)
{
	struct svm_instruction instruction;

	(void)state;
	for (size_t i = 0; i < array_count(samples); i++) {
		const struct sample *s = &samples[i];
		enum status status = svm_instruction_decode((const uint8_t *)s->bytes, s->size, s->code, &instruction);

		assert_int_equal(status, s->length ? STATUS_OK : STATUS_UNSUPPORTED);
		if (status != STATUS_OK)
			continue;
		assert_int_equal(instruction.length, s->length);
		assert_int_equal(instruction.opcode, s->opcode);
		/* With a byte less it goes on somewhere else. */
		assert_int_equal(svm_instruction_decode((const uint8_t *)s->bytes, s->length - 1u, s->code, &instruction), STATUS_TRUNCATED);
	}
}

static struct svm_instruction decode(const char *bytes, size_t size, enum svm_code_size code)
{
	struct svm_instruction instruction;

	assert_int_equal(svm_instruction_decode((const uint8_t *)bytes, size, code, &instruction), STATUS_OK);
	return instruction;
}

static void test_operands(void **state)
{
	(void)state;
	/* mov cr8, r9 */
	struct svm_instruction i = decode("\x45\x0f\x22\xc1", 4, SVM_CODE_64);
	assert_int_equal(i.modrm_reg, 8);
	assert_int_equal(i.modrm_rm, 9);
	/* A REX prefix before another prefix is lost. */
	i = decode("\x45\x66\x0f\x22\xc1", 5, SVM_CODE_64);
	assert_int_equal(i.modrm_rm, 1);
	assert_int_equal(i.operand_size, 2);
	i = decode("\x64\x67\x6e", 3, SVM_CODE_64);
	assert_int_equal(i.segment, VIRT_FS);
	assert_int_equal(i.address_size, 4);
	assert_int_equal(decode("\x67\x6e", 2, SVM_CODE_16).address_size, 4);
	assert_int_equal(decode("\x67\x6e", 2, SVM_CODE_32).address_size, 2);
	i = decode("\x6c", 1, SVM_CODE_64);
	assert_int_equal(i.segment, VIRT_SEGMENT_COUNT);
	assert_int_equal(i.address_size, 8);
}

/* Where LMSW's operand lies: every way to say so. */
static void test_addresses(void **state)
{
	static const struct {
		const char *bytes;
		uint8_t size, base, index, scale, address_size;
		int32_t displacement;
		bool rip;
		enum svm_code_size code;
	} rows[] = {
#define ROW(text, base, index, scale, size, displacement, rip, code) {text, sizeof(text) - 1, base, index, scale, size, displacement, rip, code}
#define NONE SVM_NO_REGISTER
		ROW("\x0f\x01\x32", GPR_RDX, NONE, 0, 8, 0, false, SVM_CODE_64),
		ROW("\x41\x0f\x01\x72\xfe", GPR_R10, NONE, 0, 8, -2, false, SVM_CODE_64),
		ROW("\x0f\x01\xb3\x00\x00\x00\x80", GPR_RBX, NONE, 0, 8, INT32_MIN, false, SVM_CODE_64),
		ROW("\x0f\x01\x35\x78\x56\x34\x12", NONE, NONE, 0, 8, 0x12345678, true, SVM_CODE_64),
		ROW("\x67\x0f\x01\x35\x78\x56\x34\x12", NONE, NONE, 0, 4, 0x12345678, true, SVM_CODE_64),
		ROW("\x0f\x01\x35\x78\x56\x34\x12", NONE, NONE, 0, 4, 0x12345678, false, SVM_CODE_32),
		/* R13 and R12 share the encodings of RBP and RSP. */
		ROW("\x41\x0f\x01\x75\x00", GPR_R13, NONE, 0, 8, 0, false, SVM_CODE_64),
		ROW("\x41\x0f\x01\x34\x24", GPR_R12, NONE, 0, 8, 0, false, SVM_CODE_64),
		ROW("\x42\x0f\x01\x74\xe3\x10", GPR_RBX, GPR_R12, 3, 8, 16, false, SVM_CODE_64),
		ROW("\x0f\x01\x34\x4d\x10\x00\x00\x00", NONE, GPR_RCX, 1, 8, 16, false, SVM_CODE_64),
		ROW("\x0f\x01\x34\x25\x10\x00\x00\x00", NONE, NONE, 0, 8, 16, false, SVM_CODE_64),
		ROW("\x0f\x01\x30", GPR_RBX, GPR_RSI, 0, 2, 0, false, SVM_CODE_16),
		ROW("\x0f\x01\x73\xff", GPR_RBP, GPR_RDI, 0, 2, -1, false, SVM_CODE_16),
		ROW("\x0f\x01\xb7\x00\x80", GPR_RBX, NONE, 0, 2, -0x8000, false, SVM_CODE_16),
		ROW("\x0f\x01\x36\x34\x12", NONE, NONE, 0, 2, 0x1234, false, SVM_CODE_16),
		ROW("\x67\x0f\x01\x30", GPR_RAX, NONE, 0, 4, 0, false, SVM_CODE_16),
	};

	(void)state;
	for (size_t k = 0; k < array_count(rows); k++) {
		struct svm_instruction i = decode(rows[k].bytes, rows[k].size, rows[k].code);

		assert_int_equal(i.length, rows[k].size);
		assert_false(i.modrm_is_register);
		assert_int_equal(i.base, rows[k].base);
		assert_int_equal(i.index, rows[k].index);
		assert_int_equal(i.scale, rows[k].scale);
		assert_int_equal(i.address_size, rows[k].address_size);
		assert_int_equal(i.displacement, rows[k].displacement);
		assert_int_equal(i.base_is_rip, rows[k].rip);
	}
}

/* Fifteen bytes are the most, and an endless row of prefixes ends there. */
static void test_too_long(void **state)
{
	uint8_t bytes[16];
	struct svm_instruction instruction;

	(void)state;
	memset(bytes, 0x66, sizeof(bytes));
	bytes[14] = 0xf4;
	assert_int_equal(svm_instruction_decode(bytes, 15, SVM_CODE_64, &instruction), STATUS_OK);
	assert_int_equal(instruction.length, 15);
	bytes[14] = 0x66;
	bytes[15] = 0xf4;
	assert_int_equal(svm_instruction_decode(bytes, 16, SVM_CODE_64, &instruction), STATUS_UNSUPPORTED);
	assert_int_equal(svm_instruction_decode(bytes, 14, SVM_CODE_64, &instruction), STATUS_TRUNCATED);
	assert_int_equal(svm_instruction_decode(bytes, 0, SVM_CODE_64, &instruction), STATUS_TRUNCATED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_operands),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_too_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
