/*
 * The parts that values of configuration keys are made of: words of a set, numbers, durations, lists of CPUs. The shell reads its
 * arguments with the same functions.
 */
#pragma once

#include "lib/ini.h"
#include "lib/types.h"

/* What a value became, and what to say if it was refused. */
struct config_value {
	struct ini_text text;   /* trimmed; may be empty */
	size_t fault_offset;    /* out: of the fault in the text */
	const char *expected;   /* out: static text, what a good value looks like */
	const char *problem;    /* out: static text; NULL: "bad value" */
	const char *suggestion; /* out: static text, the word that was probably meant; NULL: none */
};

struct config_word {
	const char *name;
	uint32_t value;
};

/* The nearest of several names to a word; begins as { 0 }. */
struct config_suggestion {
	const char *name; /* NULL: none is near enough */
	unsigned distance;
};

/** config_refuse() - notes why @value is refused; @problem may be NULL. Return: false. */
bool config_refuse(struct config_value *value, size_t offset, const char *problem, const char *expected);

/** config_consider_word() - keeps @name in @best if it is like @word and nearer to it than those before. */
void config_consider_word(struct ini_text word, const char *name, struct config_suggestion *best);

/**
 * config_find_word() - what @word, a part of @value's text, means among @words; if none equals it, @value is refused with
 * @expected and with the one that was probably meant.
 */
bool config_find_word(struct config_value *value, struct ini_text word, const struct config_word *words, size_t count,
		      const char *expected, uint32_t *found);

/** config_take_character() - moves *@position over @character if it stands there. */
bool config_take_character(struct ini_text text, size_t *position, char character);
/** config_take_number() - reads a decimal number at *@position, which moves behind it; false: none, or above 2^64 - 1. */
bool config_take_number(struct ini_text text, size_t *position, uint64_t *number);
/** config_take_duration() - the same for a number with a unit of us, ms or s [microseconds]. */
bool config_take_duration(struct ini_text text, size_t *position, uint64_t *microseconds);
/** config_take_word() - the next word of @text, between blanks, at *@position, which moves behind it; empty at the end. */
struct ini_text config_take_word(struct ini_text text, size_t *position);

/** config_read_number() - the whole of @text is one number. */
bool config_read_number(struct ini_text text, uint64_t *number);
/** config_read_cpus() - `all`, or a list of numbers and ranges such as 0-3,5: a bit per CPU, at least one. */
bool config_read_cpus(struct config_value *value, uint64_t *cpus);
/** config_copy_text() - the text with a NUL into @target of @size bytes. */
bool config_copy_text(struct config_value *value, char *target, size_t size, const char *expected);
