/* arch/x86/svm/instruction.c: where instructions that exit end, their prefixes and operands; hostile bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "arch/x86/svm/instruction.h"

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
	SAMPLE("\x0f\x01\x30\x00\x00", 0, 0, SVM_CODE_64), /* LMSW of memory */
	SAMPLE("\x0f\x22\xd8", 3, 0x0f22, SVM_CODE_64),
	SAMPLE("\x0f\x22\x18", 3, 0x0f22, SVM_CODE_64), /* the mode bits do not count */
	SAMPLE("\x0f\x06", 2, 0x0f06, SVM_CODE_32),
	SAMPLE("\xe4\x60", 2, 0xe4, SVM_CODE_16),
	SAMPLE("\xf3\x6e", 2, 0x6e, SVM_CODE_64),
	SAMPLE("\x40\xf4", 0, 0, SVM_CODE_32), /* INC, not a prefix */
	SAMPLE("\x90", 0, 0, SVM_CODE_64),
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
		cmocka_unit_test(test_too_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
