/* Any bytes as the instruction that exited: none is read beyond the end, and what is told of one depends on its own bytes alone. */
#include <stdlib.h>
#include <string.h>

#include "arch/x86/svm/instruction.h"

#define BYTES_MAX 32u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
	if (!condition)
		abort();
}

/* From a block that ends where the bytes do. */
static enum status decode(const uint8_t *bytes, size_t size, enum svm_code_size code, struct svm_instruction *instruction)
{
	uint8_t *copy = malloc(size);

	if (size != 0)
		memcpy(copy, bytes, size);
	memset(instruction, 0xa5, sizeof(*instruction));
	enum status status = svm_instruction_decode(copy, size, code, instruction);
	free(copy);
	return status;
}

static bool is_register(uint8_t number)
{
	return number < GPR_COUNT || number == SVM_NO_REGISTER;
}

static void check_fields(const struct svm_instruction *i)
{
	require(i->address_size == 2 || i->address_size == 4 || i->address_size == 8);
	require(i->operand_size == 2 || i->operand_size == 4);
	require(i->segment <= VIRT_GS || i->segment == VIRT_SEGMENT_COUNT);
	require(i->modrm_reg < GPR_COUNT && i->modrm_rm < GPR_COUNT);
	require(is_register(i->base) && is_register(i->index) && i->index != GPR_RSP && i->scale < 4);
	require(!i->base_is_rip || (i->base == SVM_NO_REGISTER && i->index == SVM_NO_REGISTER));
}

static void check_same(const struct svm_instruction *a, const struct svm_instruction *b)
{
	require(a->length == b->length && a->opcode == b->opcode && a->address_size == b->address_size && a->segment == b->segment);
	require(a->modrm_reg == b->modrm_reg && a->modrm_rm == b->modrm_rm && a->modrm_is_register == b->modrm_is_register);
	require(a->base == b->base && a->index == b->index && a->scale == b->scale && a->displacement == b->displacement);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct svm_instruction instruction, again;

	if (size < 1 || size - 1 > BYTES_MAX)
		return 0;
	enum svm_code_size code = (enum svm_code_size)(data[0] % 3);
	enum status status = decode(data + 1, --size, code, &instruction);

	require(status == STATUS_OK || status == STATUS_TRUNCATED || status == STATUS_UNSUPPORTED);
	require(status != STATUS_TRUNCATED || size < SVM_INSTRUCTION_MAX);
	for (size_t less = 0; less < size && status != STATUS_OK; less++)
		require(decode(data + 1, less, code, &again) != STATUS_OK);
	if (status != STATUS_OK)
		return 0;
	require(instruction.length >= 1 && instruction.length <= SVM_INSTRUCTION_MAX && instruction.length <= size);
	check_fields(&instruction);
	require(decode(data + 1, instruction.length, code, &again) == STATUS_OK);
	check_same(&instruction, &again);
	require(decode(data + 1, instruction.length - 1u, code, &again) == STATUS_TRUNCATED);
	return 0;
}
