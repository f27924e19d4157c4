/*
 * INI text cut into sections and key = value lines, without knowing any key. Used by the configuration parser and by the
 * loaders, which must find the files that a configuration names.
 *
 * A line is empty, a comment, `[word]`, `[word name]`, or `key = value`. '#' starts a comment at the beginning of a line or after
 * white space, ';' only at the beginning, since it also stands between commands. Values are trimmed; there is no quoting and no
 * continuation. CR LF and a UTF-8 byte-order mark are accepted.
 */
#pragma once

#include "lib/types.h"

enum ini_kind { INI_END, INI_SECTION, INI_KEY, INI_ERROR };

struct ini_text { const char *start; size_t length; };

struct ini_line {
	enum ini_kind kind;
	unsigned line;         /* from 1 */
	unsigned key_column, value_column; /* from 1; of the word/name for INI_SECTION */
	struct ini_text key;   /* INI_KEY: the key; INI_SECTION: the first word ("host", "vm") */
	struct ini_text value; /* INI_KEY: the value, may be empty; INI_SECTION: the name, may be empty */
	const char *error;     /* INI_ERROR: static text: what was wrong and what was expected */
};

struct ini_reader {
	const char *text;
	size_t size, position;
	unsigned line;
};

/** ini_open() - reads @text of @size bytes, which is lent; need not be NUL-terminated, may hold any bytes. */
void ini_open(struct ini_reader *reader, const char *text, size_t size);
/** ini_next() - the next line that says something; after an INI_ERROR reading goes on with the line behind it. */
enum ini_kind ini_next(struct ini_reader *reader, struct ini_line *line);
/** ini_text_equals() - @text is exactly the NUL-terminated @string. */
bool ini_text_equals(struct ini_text text, const char *string);

/**
 * ini_next_file() - the next file that a configuration names: values of the keys kernel, ramdisk, firmware, and of disk
 * when it starts with "ram:" (options after ',' are cut off).
 * Return: true and the path's place in the text; false at the end.
 */
bool ini_next_file(struct ini_reader *reader, struct ini_line *line, struct ini_text *path);
