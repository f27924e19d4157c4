/* Formatted text into bounded buffers: the printf family without floating point and without locale. */
#pragma once

#include <stdarg.h>

#include "lib/types.h"

/**
 * fmt_vprint() / fmt_print() - write @format into @buffer of @size bytes, always NUL-terminated when @size > 0.
 * Understands %d %i %u %x %X %c %s %p %% with flags '-' '0' '#' '+', width and precision (also '*'), and lengths
 * hh h l ll z. An unknown conversion is written as it stands.
 * Return: the length that the whole text has, as snprintf() does.
 */
size_t fmt_vprint(char *buffer, size_t size, const char *format, va_list arguments) printf_like(3, 0);
size_t fmt_print(char *buffer, size_t size, const char *format, ...) printf_like(3, 4);
