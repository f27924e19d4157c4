/*
 * Formatting: one conversion made from the input must give what snprintf() gives; any bytes as a format must stay within
 * the buffer.
 */
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/fmt.h"

#define TEXT_SIZE 256u
#define RAW_FORMAT_MAX 24u

#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-security"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t product_print(char *buffer, size_t size, const char *format, ...)
{
	va_list arguments;
	size_t length;

	va_start(arguments, format);
	length = fmt_vprint(buffer, size, format, arguments);
	va_end(arguments);
	return length;
}

static int libc_print(char *buffer, size_t size, const char *format, ...)
{
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vsnprintf(buffer, size, format, arguments);
	va_end(arguments);
	return length;
}

/* The flags that C defines for a conversion. */
static const char *flags_of(char type)
{
	switch (type) {
	case 'd': case 'i': return "-0+";
	case 'u': return "-0";
	case 'x': case 'X': return "-0#";
	default: return "-";
	}
}

static void make_format(char format[64], const uint8_t *data)
{
	static const char types[] = "dixXucsp%", lengths[5][3] = {"", "h", "hh", "l", "ll"};
	char type = types[data[0] % 9];
	const char *flags = flags_of(type);
	int at = sprintf(format, "<%%");

	for (unsigned i = 0; type != '%' && flags[i] != '\0'; i++)
		if (data[1] >> i & 1)
			format[at++] = flags[i];
	if (type != '%' && data[1] & 0x40)
		at += sprintf(format + at, "%u", data[2] & 63 ? data[2] & 63u : 1u);
	if (strchr("dixXus", type) != NULL && data[1] & 0x80)
		at += sprintf(format + at, ".%u", data[3] & 63u);
	if (strchr("dixXu", type) != NULL)
		at += sprintf(format + at, "%s", lengths[data[4] % 5]);
	sprintf(format + at, "%c>", type);
}

static void compare(const char *format, size_t limit, uint64_t value)
{
	static const char text[] = "sample text, longer than a precision of a few";
	char expected[TEXT_SIZE] = {0}, actual[TEXT_SIZE] = {0};
	bool is_string = strstr(format, "s>") != NULL;
	int wanted = is_string ? libc_print(expected, limit, format, text) : libc_print(expected, limit, format, value);
	size_t got = is_string ? product_print(actual, limit, format, text) : product_print(actual, limit, format, value);

	if (got == (size_t)wanted && memcmp(actual, expected, sizeof(actual)) == 0)
		return;
	fprintf(stderr, "format %s: \"%s\" (%zu) instead of \"%s\" (%d)\n", format, actual, got, expected, wanted);
	abort();
}

/* Any text as a format; strings and '*' are taken out, since the arguments are numbers. */
static void print_raw(const uint8_t *data, size_t size, size_t limit)
{
	char format[RAW_FORMAT_MAX + 1], buffer[TEXT_SIZE];

	size = size < RAW_FORMAT_MAX ? size : RAW_FORMAT_MAX;
	for (size_t i = 0; i < size; i++)
		format[i] = data[i] == 's' || data[i] == '*' ? '%' : (char)data[i];
	format[size] = '\0';
	memset(buffer, 0x7e, sizeof(buffer));
	product_print(buffer, limit, format, 1ull, ~0ull, 3ull, 4ull, 5ull, 6ull, 7ull, 8ull, 9ull, 10ull, 11ull, 12ull);
	if (memchr(buffer, '\0', limit) == NULL || (limit < TEXT_SIZE && buffer[limit] != 0x7e))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char format[64];
	uint64_t value;

	if (size < 14)
		return 0;
	make_format(format, data);
	memcpy(&value, data + 6, sizeof(value));
	if (format[strlen(format) - 2] == 'c' && (value & 0xff) == 0)
		value |= 'c';
	if (format[strlen(format) - 2] == 'p' && value == 0)
		value = 1; /* glibc writes (nil) */
	compare(format, data[5] % TEXT_SIZE ? data[5] % TEXT_SIZE : TEXT_SIZE, value);
	print_raw(data + 14, size - 14, data[5] % TEXT_SIZE + 1u);
	return 0;
}
