#include "lib/string.h"

/* A quadword at any address that may belong to an object of any type. */
typedef uint64_t aligned_to(1) __attribute__((may_alias)) any_quadword;

#define QUADWORD sizeof(any_quadword)
#define BLOCK (4 * QUADWORD)

/*
 * The barriers keep the compiler from recognizing a loop as memcpy() or memset() and calling the function from within
 * itself. One per block costs no instruction.
 */
static void copy_forward(unsigned char *to, const unsigned char *from, size_t size)
{
	for (; size >= BLOCK; size -= BLOCK, to += BLOCK, from += BLOCK) {
		uint64_t a = ((const any_quadword *)from)[0], b = ((const any_quadword *)from)[1];
		uint64_t c = ((const any_quadword *)from)[2], d = ((const any_quadword *)from)[3];

		((any_quadword *)to)[0] = a;
		((any_quadword *)to)[1] = b;
		((any_quadword *)to)[2] = c;
		((any_quadword *)to)[3] = d;
		compiler_barrier();
	}
	for (; size >= QUADWORD; size -= QUADWORD, to += QUADWORD, from += QUADWORD) {
		*(any_quadword *)to = *(const any_quadword *)from;
		compiler_barrier();
	}
	for (; size != 0; size--) {
		*to++ = *from++;
		compiler_barrier();
	}
}

static void copy_backward(unsigned char *to, const unsigned char *from, size_t size)
{
	for (; size >= QUADWORD; size -= QUADWORD) {
		*(any_quadword *)(to + size - QUADWORD) = *(const any_quadword *)(from + size - QUADWORD);
		compiler_barrier();
	}
	for (; size != 0; size--) {
		to[size - 1] = from[size - 1];
		compiler_barrier();
	}
}

void *memcpy(void *restrict destination, const void *restrict source, size_t size)
{
	copy_forward(destination, source, size);
	return destination;
}

void *memmove(void *destination, const void *source, size_t size)
{
	/* Forward is right when the destination does not begin inside the source. */
	if ((uintptr_t)destination - (uintptr_t)source >= size)
		copy_forward(destination, source, size);
	else
		copy_backward(destination, source, size);
	return destination;
}

void *memset(void *destination, int value, size_t size)
{
	unsigned char *to = destination;
	uint64_t pattern = (unsigned char)value * 0x0101010101010101ull;

	for (; size >= BLOCK; size -= BLOCK, to += BLOCK) {
		((any_quadword *)to)[0] = pattern;
		((any_quadword *)to)[1] = pattern;
		((any_quadword *)to)[2] = pattern;
		((any_quadword *)to)[3] = pattern;
		compiler_barrier();
	}
	for (; size >= QUADWORD; size -= QUADWORD, to += QUADWORD) {
		*(any_quadword *)to = pattern;
		compiler_barrier();
	}
	for (; size != 0; size--) {
		*to++ = (unsigned char)value;
		compiler_barrier();
	}
	return destination;
}

int memcmp(const void *a, const void *b, size_t size)
{
	const unsigned char *left = a, *right = b;

	while (size >= QUADWORD && *(const any_quadword *)left == *(const any_quadword *)right) {
		left += QUADWORD;
		right += QUADWORD;
		size -= QUADWORD;
	}
	for (; size != 0; size--, left++, right++)
		if (*left != *right)
			return *left - *right;
	return 0;
}

size_t strlen(const char *string)
{
	return string_length_bounded(string, SIZE_MAX);
}

int strcmp(const char *a, const char *b)
{
	return strncmp(a, b, SIZE_MAX);
}

int strncmp(const char *a, const char *b, size_t size)
{
	for (; size != 0; size--, a++, b++) {
		if (*a != *b)
			return (unsigned char)*a - (unsigned char)*b;
		if (*a == '\0')
			return 0;
	}
	return 0;
}

size_t string_length_bounded(const char *string, size_t limit)
{
	size_t length = 0;

	while (length < limit && string[length] != '\0') {
		length++;
		compiler_barrier();
	}
	return length;
}

bool string_copy(char *destination, size_t size, const char *source)
{
	size_t length = string_length_bounded(source, size);
	bool fits = length < size;

	if (!fits)
		length = size - 1;
	memcpy(destination, source, length);
	destination[length] = '\0';
	return fits;
}

bool string_starts_with(const char *string, const char *prefix)
{
	return strncmp(string, prefix, strlen(prefix)) == 0;
}
