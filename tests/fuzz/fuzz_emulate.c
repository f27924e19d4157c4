/*
 * Any instruction on any registers, with memory that gives any values and refuses at any time: the callbacks get sizes
 * that exist, values within them, registers by numbers that exist, and a refused access changes nothing.
 * Input: the mode, what memory answers, 15 bytes of code, then registers and values as far as they go.
 */
#include <stdlib.h>
#include <string.h>

#include "arch/x86/cr.h"
#include "arch/x86/virt.h"
#include "lib/bits.h"
#include "vmm/emul/emulate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HEADER (2 + DECODER_MAX_LENGTH)
#define MAX_ACCESSES 2u /* of one instruction or string element: a read and a write */

struct machine {
	uint64_t gpr[GPR_COUNT], rflags;
	const uint8_t *values;
	size_t values_size;
	uint8_t refuse; /* bit n: the access n is refused */
	unsigned accesses;
	bool refused;
};

static void require(bool condition)
{
	if (!condition)
		abort();
}

static uint64_t next_value(struct machine *machine, size_t size)
{
	uint64_t value = 0;
	size_t taken = size < machine->values_size ? size : machine->values_size;

	memcpy(&value, machine->values, taken);
	machine->values += taken;
	machine->values_size -= taken;
	return value;
}

static enum status memory_access(struct machine *machine, unsigned size)
{
	require(size == 1 || size == 2 || size == 4 || size == 8);
	require(!machine->refused && machine->accesses < MAX_ACCESSES);
	machine->refused = machine->refuse >> machine->accesses++ & 1;
	return machine->refused ? STATUS_DENIED : STATUS_OK;
}

static uint64_t register_read(void *context, unsigned number)
{
	require(number < GPR_COUNT);
	return ((struct machine *)context)->gpr[number];
}

static void register_write(void *context, unsigned number, uint64_t value)
{
	require(number < GPR_COUNT);
	((struct machine *)context)->gpr[number] = value;
}

static uint64_t flags_read(void *context)
{
	return ((struct machine *)context)->rflags;
}

static void flags_write(void *context, uint64_t rflags)
{
	((struct machine *)context)->rflags = rflags;
}

static enum status operand_read(void *context, unsigned size, uint64_t *value)
{
	enum status status = memory_access(context, size);

	if (status == STATUS_OK)
		*value = next_value(context, size);
	return status;
}

static enum status operand_write(void *context, unsigned size, uint64_t value)
{
	require((value & ~size_mask(size)) == 0);
	return memory_access(context, size);
}

static enum status string_read(void *context, unsigned segment, uint64_t offset, unsigned size, uint64_t *value)
{
	(void)offset;
	require(segment <= VIRT_GS);
	return operand_read(context, size, value);
}

static enum status string_write(void *context, unsigned segment, uint64_t offset, unsigned size, uint64_t value)
{
	(void)offset;
	require(segment == VIRT_ES);
	return operand_write(context, size, value);
}

static const struct emulate_ops ops = {register_read, register_write, flags_read, flags_write, operand_read, operand_write, string_read,
				       string_write};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct instruction instruction;
	bool finished;

	if (size < HEADER)
		return 0;
	struct machine machine = {.values = data + HEADER, .values_size = size - HEADER, .refuse = data[1]};
	if (decoder_decode(data + 2, DECODER_MAX_LENGTH, (enum decoder_mode)(data[0] % 3), &instruction) != STATUS_OK)
		return 0;
	machine.rflags = next_value(&machine, 4);
	for (unsigned i = 0; i < GPR_COUNT; i++)
		machine.gpr[i] = next_value(&machine, 8);
	struct machine before = machine;

	enum status status = emulate(&instruction, &ops, &machine, &finished);
	require((status != STATUS_OK) == machine.refused);
	require(status == STATUS_OK || (memcmp(before.gpr, machine.gpr, sizeof(before.gpr)) == 0 && before.rflags == machine.rflags));
	require(status != STATUS_OK || finished || (instruction.form == FORM_STRING && instruction.repeat));
	require(((before.rflags ^ machine.rflags) & ~(RFLAGS_CF | RFLAGS_PF | RFLAGS_AF | RFLAGS_ZF | RFLAGS_SF | RFLAGS_OF)) == 0);
	return 0;
}
