/*
 * Names of the hypervisor's own functions, for backtraces. scripts/make_symbols makes the table from a first link of the
 * image; the final link puts it behind the code, so that no address changes.
 */
#pragma once

#include "lib/types.h"

struct symbol_table {
	uint64_t base;            /* that the offsets count from */
	uint64_t limit;           /* offset of the end of the code */
	uint32_t count;
	uint32_t names_size;      /* [bytes] */
	const uint32_t *offsets;  /* of the functions' starts, ascending */
	const char *names;        /* NUL-terminated, in the same order */
};

/**
 * symbols_find() - the function that holds @address.
 * @table: NULL is an empty table. @offset: out: from the function's start [bytes].
 * Return: its name, static; NULL if @address is not in the code.
 */
const char *symbols_find(const struct symbol_table *table, uint64_t address, uint64_t *offset);

/** symbols_print() - writes `0x... <function+0x12>`, or the number alone, into @buffer, as fmt_print() does. */
size_t symbols_print(const struct symbol_table *table, uint64_t address, char *buffer, size_t size);

/** symbols_table() - this image's table; NULL if it was linked without. */
const struct symbol_table *symbols_table(void);
