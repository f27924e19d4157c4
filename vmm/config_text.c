#include "vmm/config_text.h"

#include "lib/bits.h"
#include "lib/checked.h"
#include "lib/string.h"
#include "vmm/config.h"

/* Longest word that is compared for a suggestion; all names are shorter. */
#define WORD_MAX 24u
/* More differences than this make another word. */
#define DISTANCE_MAX 2u

static bool is_blank(char c) { return c == ' ' || c == '\t'; }

bool config_refuse(struct config_value *value, size_t offset, const char *problem, const char *expected)
{
	value->fault_offset = offset;
	value->problem = problem;
	value->expected = expected;
	return false;
}

static unsigned min_of(unsigned a, unsigned b) { return a < b ? a : b; }

/* Whether the letters before @i and @j stand in swapped order, as fast typists do. */
static bool is_swapped(const char *a, unsigned i, const char *b, unsigned j)
{
	return i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
}

/*
 * Letters to insert, delete, replace or swap with a neighbour to make @name of @word (optimal string alignment). Rows of the
 * usual matrix: three suffice, since a swap looks two rows back.
 */
static unsigned word_distance(struct ini_text word, const char *name)
{
	unsigned rows[3][WORD_MAX + 1];
	unsigned name_length = (unsigned)strlen(name);

	if (word.length > WORD_MAX || name_length > WORD_MAX)
		return WORD_MAX;
	for (unsigned i = 0; i <= word.length; i++) {
		unsigned *row = rows[i % 3], *above = rows[(i + 2) % 3], *above_two = rows[(i + 1) % 3];

		for (unsigned j = 0; j <= name_length; j++) {
			if (i == 0 || j == 0) {
				row[j] = i + j;
				continue;
			}
			row[j] = min_of(above[j - 1] + (word.start[i - 1] != name[j - 1]), min_of(above[j], row[j - 1]) + 1);
			if (is_swapped(word.start, i, name, j))
				row[j] = min_of(row[j], above_two[j - 2] + 1);
		}
	}
	return rows[word.length % 3][name_length];
}

void config_consider_word(struct ini_text word, const char *name, struct config_suggestion *best)
{
	unsigned distance = word_distance(word, name);

	/* A word of few letters has no far relatives. */
	if (distance > DISTANCE_MAX || 2 * distance > strlen(name) || (best->name && distance >= best->distance))
		return;
	*best = (struct config_suggestion){ name, distance };
}

bool config_find_word(struct config_value *value, struct ini_text word, const struct config_word *words, size_t count,
		      const char *expected, uint32_t *found)
{
	struct config_suggestion best = { 0 };

	for (size_t i = 0; i < count; i++) {
		if (ini_text_equals(word, words[i].name)) {
			*found = words[i].value;
			return true;
		}
		config_consider_word(word, words[i].name, &best);
	}
	value->suggestion = best.name;
	return config_refuse(value, (size_t)(word.start - value->text.start), NULL, expected);
}

bool config_take_character(struct ini_text text, size_t *position, char character)
{
	if (*position >= text.length || text.start[*position] != character)
		return false;
	(*position)++;
	return true;
}

bool config_take_number(struct ini_text text, size_t *position, uint64_t *number)
{
	size_t start = *position;

	*number = 0;
	while (*position < text.length && text.start[*position] >= '0' && text.start[*position] <= '9') {
		if (!checked_multiply(*number, 10, number) ||
		    !checked_add(*number, (uint64_t)(text.start[*position] - '0'), number))
			return false;
		(*position)++;
	}
	return *position > start;
}

bool config_take_duration(struct ini_text text, size_t *position, uint64_t *microseconds)
{
	uint64_t scale = 1000000;

	if (!config_take_number(text, position, microseconds))
		return false;
	if (config_take_character(text, position, 'm'))
		scale = 1000;
	else if (config_take_character(text, position, 'u'))
		scale = 1;
	return config_take_character(text, position, 's') && checked_multiply(*microseconds, scale, microseconds);
}

struct ini_text config_take_word(struct ini_text text, size_t *position)
{
	size_t start;

	while (*position < text.length && is_blank(text.start[*position]))
		(*position)++;
	start = *position;
	while (*position < text.length && !is_blank(text.start[*position]))
		(*position)++;
	return (struct ini_text){ text.start + start, *position - start };
}

bool config_read_number(struct ini_text text, uint64_t *number)
{
	size_t position = 0;

	return config_take_number(text, &position, number) && position == text.length;
}

bool config_read_cpus(struct config_value *value, uint64_t *cpus)
{
	static const char expected[] = "all, or a list such as 0-3,5 of numbers below 64";
	struct ini_text text = value->text;
	uint64_t list = 0, first, last;
	size_t position = 0;

	if (ini_text_equals(text, "all")) {
		*cpus = ~(uint64_t)0;
		return true;
	}
	do {
		size_t start = position;

		if (!config_take_number(text, &position, &first))
			return config_refuse(value, start, "no number where one belongs", expected);
		last = first;
		if (config_take_character(text, &position, '-') && !config_take_number(text, &position, &last))
			return config_refuse(value, start, "no number where one belongs", expected);
		if (first > last || last >= CONFIG_MAX_CPUS)
			return config_refuse(value, start, "a range that ends before it begins, or a number too large", expected);
		list |= BITS(last, first);
	} while (config_take_character(text, &position, ','));
	if (position != text.length)
		return config_refuse(value, position, NULL, expected);
	*cpus = list;
	return true;
}

bool config_copy_text(struct config_value *value, char *target, size_t size, const char *expected)
{
	if (value->text.length >= size)
		return config_refuse(value, size - 1, "the value is too long", expected);
	memcpy(target, value->text.start, value->text.length);
	target[value->text.length] = '\0';
	return true;
}
