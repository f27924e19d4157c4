/*
 * Names of the hypervisor's own functions, for backtraces. scripts/make_symbols makes the table from a first link of the
 * image; the final link puts it behind the code, so that no address changes.
 */
#pragma once

#include "lib/types.h"

#define SYMBOL_NAME_SIZE 64u

/*
 * Names are packed, since names of functions have much in common: a byte below 0x80 is a letter, byte 0x80 + n stands for the two
 * bytes pairs[n], which may again stand for pairs, and 0 ends a name.
 */
struct symbol_table {
	uint64_t base;            /* that the offsets count from */
	uint64_t limit;           /* offset of the end of the code */
	uint32_t count;
	uint32_t names_size;      /* [bytes] */
	const uint16_t *steps;    /* offset of each function's start from the one before, of the first from @base */
	const uint8_t *names;     /* in the same order */
	const uint8_t (*pairs)[2];
};

/**
 * symbols_find() - the function that holds @address.
 * @table: NULL is an empty table. @name: out: cut to fit. @offset: out: from the function's start [bytes].
 * Return: false if @address is not in the code, or its function has no name.
 */
bool symbols_find(const struct symbol_table *table, uint64_t address, char name[SYMBOL_NAME_SIZE], uint64_t *offset);

/** symbols_print() - writes `0x... <function+0x12>`, or the number alone, into @buffer, as fmt_print() does. */
size_t symbols_print(const struct symbol_table *table, uint64_t address, char *buffer, size_t size);

/** symbols_table() - this image's table; NULL if it was linked without. */
const struct symbol_table *symbols_table(void);
