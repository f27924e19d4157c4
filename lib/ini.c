#include "lib/ini.h"

#include "lib/string.h"

static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

static bool is_control(char c) { return ((unsigned char)c < 0x20 && c != '\t') || c == 0x7f; }

static struct ini_text text_trimmed(struct ini_text text)
{
	while (text.length > 0 && is_blank(text.start[0])) {
		text.start++;
		text.length--;
	}
	while (text.length > 0 && is_blank(text.start[text.length - 1]))
		text.length--;
	return text;
}

/* The first @wanted in @text, or its length. */
static size_t text_find(struct ini_text text, char wanted)
{
	size_t position = 0;

	while (position < text.length && text.start[position] != wanted)
		position++;
	return position;
}

static struct ini_text text_without_comment(struct ini_text text)
{
	text = text_trimmed(text);
	if (text.length > 0 && text.start[0] == ';')
		text.length = 0;
	for (size_t i = 0; i < text.length; i++) {
		if (text.start[i] == '#' && (i == 0 || is_blank(text.start[i - 1])))
			text.length = i;
	}
	return text_trimmed(text);
}

static unsigned column_of(struct ini_text whole, const char *position) { return (unsigned)(position - whole.start) + 1; }

static enum ini_kind line_error(struct ini_line *line, unsigned column, const char *message)
{
	line->kind = INI_ERROR;
	line->key_column = line->value_column = column;
	line->error = message;
	return INI_ERROR;
}

/* Cuts the next line off the text, without its end; false when there is none left. */
static bool take_line(struct ini_reader *reader, struct ini_text *whole)
{
	if (reader->position >= reader->size)
		return false;
	whole->start = reader->text + reader->position;
	whole->length = reader->size - reader->position;
	whole->length = text_find(*whole, '\n');
	reader->position += whole->length + 1;
	reader->line++;
	if (whole->length > 0 && whole->start[whole->length - 1] == '\r')
		whole->length--;
	return true;
}

static enum ini_kind parse_section(struct ini_text whole, struct ini_text text, struct ini_line *line)
{
	size_t close = text_find(text, ']');
	struct ini_text inner = { text.start + 1, close - 1 }, rest;
	size_t word = 0;

	if (close == text.length)
		return line_error(line, column_of(whole, text.start), "a section lacks its ']'; expected [word] or [word name]");
	rest = text_trimmed((struct ini_text){ text.start + close + 1, text.length - close - 1 });
	if (rest.length > 0)
		return line_error(line, column_of(whole, rest.start), "text after ']'; expected the end of the line or a comment");
	inner = text_trimmed(inner);
	if (inner.length == 0)
		return line_error(line, column_of(whole, text.start), "a section without a name; expected [word] or [word name]");
	while (word < inner.length && !is_blank(inner.start[word]))
		word++;
	line->kind = INI_SECTION;
	line->key = (struct ini_text){ inner.start, word };
	line->value = text_trimmed((struct ini_text){ inner.start + word, inner.length - word });
	line->key_column = column_of(whole, line->key.start);
	line->value_column = column_of(whole, line->value.start);
	return INI_SECTION;
}

static enum ini_kind parse_key(struct ini_text whole, struct ini_text text, struct ini_line *line)
{
	size_t equals = text_find(text, '=');

	if (equals == text.length)
		return line_error(line, column_of(whole, text.start), "no '=' in the line; expected key = value, [section] or a comment");
	line->key = text_trimmed((struct ini_text){ text.start, equals });
	if (line->key.length == 0)
		return line_error(line, column_of(whole, text.start), "nothing before '='; expected key = value");
	line->kind = INI_KEY;
	line->value = text_trimmed((struct ini_text){ text.start + equals + 1, text.length - equals - 1 });
	line->key_column = column_of(whole, line->key.start);
	line->value_column = column_of(whole, line->value.start);
	return INI_KEY;
}

static enum ini_kind parse_line(struct ini_text whole, struct ini_text text, struct ini_line *line)
{
	for (size_t i = 0; i < text.length; i++)
		if (is_control(text.start[i]))
			return line_error(line, column_of(whole, text.start + i), "a control character; expected text");
	return text.start[0] == '[' ? parse_section(whole, text, line) : parse_key(whole, text, line);
}

void ini_open(struct ini_reader *reader, const char *text, size_t size)
{
	*reader = (struct ini_reader){ .text = text, .size = size };
	if (size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
		reader->position = 3;
}

enum ini_kind ini_next(struct ini_reader *reader, struct ini_line *line)
{
	struct ini_text whole;

	*line = (struct ini_line){ .kind = INI_END };
	while (take_line(reader, &whole)) {
		struct ini_text text = text_without_comment(whole);

		line->line = reader->line;
		if (text.length > 0)
			return parse_line(whole, text, line);
	}
	line->line = reader->line;
	return INI_END;
}

bool ini_text_equals(struct ini_text text, const char *string)
{
	return strlen(string) == text.length && memcmp(text.start, string, text.length) == 0;
}

/* What @line names as a file, empty if nothing. */
static struct ini_text line_file(const struct ini_line *line)
{
	static const char *const file_keys[] = { "kernel", "ramdisk", "firmware" };
	static const char ram_prefix[] = "ram:";
	const size_t prefix_length = sizeof(ram_prefix) - 1;
	struct ini_text path = line->value;

	for (size_t i = 0; i < array_count(file_keys); i++)
		if (ini_text_equals(line->key, file_keys[i]))
			return path;
	if (!ini_text_equals(line->key, "disk") || path.length < prefix_length ||
	    memcmp(path.start, ram_prefix, prefix_length) != 0)
		return (struct ini_text){ path.start, 0 };
	path.start += prefix_length;
	path.length -= prefix_length;
	path.length = text_find(path, ',');
	return text_trimmed(path);
}

bool ini_next_file(struct ini_reader *reader, struct ini_line *line, struct ini_text *path)
{
	while (ini_next(reader, line) != INI_END) {
		if (line->kind != INI_KEY)
			continue;
		*path = line_file(line);
		if (path->length > 0)
			return true;
	}
	return false;
}
