#include "vmm/shell/parser.h"

#include "lib/checked.h"

static bool is_blank(char character)
{
	return character == ' ' || character == '\t';
}

static char *find_end_of_command(char *line)
{
	while (*line != '\0' && *line != ';')
		line++;
	return line;
}

enum status parser_cut_command(char *line, struct shell_words *words, char **rest)
{
	char *end = find_end_of_command(line);

	*rest = *end == ';' ? end + 1 : NULL;
	*end = '\0';
	words->count = 0;
	for (;;) {
		while (is_blank(*line))
			*line++ = '\0';
		if (*line == '\0')
			return STATUS_OK;
		if (words->count == SHELL_MAX_ARGUMENTS)
			return STATUS_OUT_OF_RANGE;
		words->words[words->count++] = line;
		while (*line != '\0' && !is_blank(*line))
			line++;
	}
}

/* 16 for what is no digit. */
static unsigned digit_value(char character)
{
	if (character >= '0' && character <= '9')
		return (unsigned)(character - '0');
	if (character >= 'a' && character <= 'f')
		return (unsigned)(character - 'a') + 10;
	if (character >= 'A' && character <= 'F')
		return (unsigned)(character - 'A') + 10;
	return 16;
}

static uint64_t unit_value(char character)
{
	switch (character) {
	case 'K': return KIB;
	case 'M': return MIB;
	case 'G': return GIB;
	default: return 0;
	}
}

enum status parser_read_number(const char *word, uint64_t *number)
{
	unsigned base = 10;
	uint64_t value = 0;

	if (word[0] == '0' && (word[1] == 'x' || word[1] == 'X')) {
		base = 16;
		word += 2;
	}
	if (digit_value(*word) >= base)
		return STATUS_INVALID;
	for (; digit_value(*word) < base; word++) {
		if (!checked_multiply(value, base, &value) || !checked_add(value, digit_value(*word), &value))
			return STATUS_OUT_OF_RANGE;
	}
	if (unit_value(*word) != 0 && !checked_multiply(value, unit_value(*word++), &value))
		return STATUS_OUT_OF_RANGE;
	if (*word != '\0')
		return STATUS_INVALID;
	*number = value;
	return STATUS_OK;
}
