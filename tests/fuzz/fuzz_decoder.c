/* Any bytes as an instruction: nothing behind them is read, and what is decoded has sizes that exist and a length that
 * is needed in full. The first byte is the mode. */
#include <stdlib.h>
#include <string.h>

#include "arch/x86/virt.h"
#include "vmm/emul/decoder.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
	if (!condition)
		abort();
}

/* In a block of its own, so that a byte too far is found. */
static enum status decode(const uint8_t *data, size_t size, enum decoder_mode mode, struct instruction *out)
{
	uint8_t *bytes = malloc(size + 1);

	if (!bytes)
		abort();
	if (size > 0)
		memcpy(bytes + 1, data, size);
	enum status status = decoder_decode(bytes + 1, size, mode, out);
	free(bytes);
	return status;
}

static bool is_operand_size(unsigned size)
{
	return size == 1 || size == 2 || size == 4 || size == 8;
}

static void check(const uint8_t *bytes, size_t size, enum decoder_mode mode, const struct instruction *in)
{
	struct instruction again;

	require(in->length >= 1 && in->length <= DECODER_MAX_LENGTH && in->length <= size);
	require(in->operation > INSTRUCTION_NONE && in->operation <= INSTRUCTION_LODS && in->form <= FORM_STRING);
	require(is_operand_size(in->memory_size) && is_operand_size(in->register_size));
	require(in->address_size != 1 && is_operand_size(in->address_size));
	require(in->reg < (mode == DECODER_64 ? 16 : 8) && in->segment <= VIRT_GS);
	require(!in->reg_high_byte || (in->register_size == 1 && in->reg < 4));
	require(mode == DECODER_64 || (in->memory_size < 8 && in->register_size < 8 && in->address_size < 8));
	require(decode(bytes, in->length, mode, &again) == STATUS_OK && again.length == in->length);
	require(decode(bytes, in->length - 1u, mode, &again) == STATUS_TRUNCATED);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct instruction instruction;

	if (size == 0)
		return 0;
	enum decoder_mode mode = (enum decoder_mode)(data[0] % 3);
	enum status status = decode(data + 1, size - 1, mode, &instruction);
	require(status == STATUS_OK || status == STATUS_UNSUPPORTED || status == STATUS_TRUNCATED || status == STATUS_INVALID);
	require(status != STATUS_TRUNCATED || size - 1 < DECODER_MAX_LENGTH);
	require(status != STATUS_INVALID || size - 1 >= DECODER_MAX_LENGTH);
	if (status == STATUS_OK)
		check(data + 1, size - 1, mode, &instruction);
	return 0;
}
