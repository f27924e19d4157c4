#include "arch/x86/cpu/symbols.h"

#include "lib/fmt.h"

#define FIRST_PAIR 0x80u
/* How deep pairs stand within pairs; scripts/make_symbols makes them less deep. */
#define DEPTH_MAX 32u

extern const struct symbol_table symbol_table __attribute__((weak));

const struct symbol_table *symbols_table(void)
{
	return &symbol_table;
}

/* Writes the letters that @byte stands for behind the @length that @name has. Return: the new length. */
static size_t unpack(const struct symbol_table *table, uint8_t byte, char name[SYMBOL_NAME_SIZE], size_t length)
{
	uint8_t pending[DEPTH_MAX];
	unsigned count = 1;

	pending[0] = byte;
	while (count > 0 && length < SYMBOL_NAME_SIZE - 1) {
		byte = pending[--count];
		if (byte >= FIRST_PAIR && count + 2 <= DEPTH_MAX) {
			pending[count++] = table->pairs[byte - FIRST_PAIR][1];
			pending[count++] = table->pairs[byte - FIRST_PAIR][0];
		} else {
			name[length++] = byte < FIRST_PAIR ? (char)byte : '?';
		}
	}
	return length;
}

/* The names lie behind each other, so the one of @index is counted to: a backtrace has time. */
static bool name_at(const struct symbol_table *table, uint32_t index, char name[SYMBOL_NAME_SIZE])
{
	uint32_t position = 0;
	size_t length = 0;

	for (; index != 0 && position < table->names_size; position++)
		index -= table->names[position] == 0;
	for (; position < table->names_size && table->names[position] != 0; position++)
		length = unpack(table, table->names[position], name, length);
	name[length] = '\0';
	return length > 0;
}

bool symbols_find(const struct symbol_table *table, uint64_t address, char name[SYMBOL_NAME_SIZE], uint64_t *offset)
{
	uint64_t start = 0;
	uint32_t index = 0;

	*offset = 0;
	if (table == NULL || address < table->base || address - table->base >= table->limit)
		return false;
	while (index < table->count && start + table->steps[index] <= address - table->base)
		start += table->steps[index++];
	if (index == 0)
		return false;
	*offset = address - table->base - start;
	return name_at(table, index - 1, name);
}

size_t symbols_print(const struct symbol_table *table, uint64_t address, char *buffer, size_t size)
{
	char name[SYMBOL_NAME_SIZE];
	uint64_t offset;

	if (!symbols_find(table, address, name, &offset))
		return fmt_print(buffer, size, "%#llx", (unsigned long long)address);
	return fmt_print(buffer, size, "%#llx <%s+%#llx>", (unsigned long long)address, name, (unsigned long long)offset);
}
