/* The little of <string.h> that the hypervisor needs; the compiler may also call the mem functions by itself. */
#pragma once

#include "lib/types.h"

void *memcpy(void *restrict destination, const void *restrict source, size_t size);
void *memmove(void *destination, const void *source, size_t size);
void *memset(void *destination, int value, size_t size);
int memcmp(const void *a, const void *b, size_t size);
size_t strlen(const char *string);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t size);

/** string_length_bounded() - length of a string that may lack its NUL: at most @limit. */
size_t string_length_bounded(const char *string, size_t limit);

/**
 * string_copy() - copies @source into @destination of @size bytes (> 0), cut to fit, always NUL-terminated.
 * Return: true if all of it fitted.
 */
bool string_copy(char *destination, size_t size, const char *source);

/** string_starts_with() - @string begins with @prefix. */
bool string_starts_with(const char *string, const char *prefix);
