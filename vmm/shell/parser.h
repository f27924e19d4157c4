/* Command lines cut into words, and words into numbers. */
#pragma once

#include "lib/status.h"
#include "lib/types.h"
#include "vmm/shell/shell.h"

struct shell_words {
	unsigned count;
	const char *words[SHELL_MAX_ARGUMENTS];
};

/**
 * parser_cut_command() - cuts the first command off a line of commands separated by ';' and splits it at blanks.
 * @line: NUL-terminated; written to; the words point into it.
 * @rest: out: what follows the ';', NULL if nothing does.
 * Return: STATUS_OK (count may be 0); STATUS_OUT_OF_RANGE: more than SHELL_MAX_ARGUMENTS words; *@rest is set even so.
 */
must_check enum status parser_cut_command(char *line, struct shell_words *words, char **rest);

/**
 * parser_read_number() - a whole word as a number, decimal or hexadecimal (0x..), with an optional K, M or G behind it.
 * Return: STATUS_OK; STATUS_INVALID (no number); STATUS_OUT_OF_RANGE (does not fit 64 bits).
 */
must_check enum status parser_read_number(const char *word, uint64_t *number);
