#include "arch/x86/cpu/symbols.h"

#include "lib/fmt.h"
#include "lib/string.h"

extern const struct symbol_table symbol_table __attribute__((weak));

const struct symbol_table *symbols_table(void)
{
	return &symbol_table;
}

/* The names lie behind each other, so the one of @index is counted to: a backtrace has time. */
static const char *name_at(const struct symbol_table *table, uint32_t index)
{
	const char *name = table->names, *end = table->names + table->names_size;

	for (; index != 0 && name < end; index--)
		name += string_length_bounded(name, (size_t)(end - name)) + 1;
	return name < end ? name : NULL;
}

const char *symbols_find(const struct symbol_table *table, uint64_t address, uint64_t *offset)
{
	uint32_t low = 0, high;

	*offset = 0;
	if (table == NULL || address < table->base || address - table->base >= table->limit)
		return NULL;
	high = table->count;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (table->offsets[middle] <= address - table->base)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == 0)
		return NULL;
	*offset = address - table->base - table->offsets[low - 1];
	return name_at(table, low - 1);
}

size_t symbols_print(const struct symbol_table *table, uint64_t address, char *buffer, size_t size)
{
	uint64_t offset;
	const char *name = symbols_find(table, address, &offset);

	if (name == NULL)
		return fmt_print(buffer, size, "%#llx", (unsigned long long)address);
	return fmt_print(buffer, size, "%#llx <%s+%#llx>", (unsigned long long)address, name, (unsigned long long)offset);
}
