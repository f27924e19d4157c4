/* The hypervisor's own string functions, against the C library's. Host builds rename those that libc has, too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "lib/string.h"

void *product_memcpy(void *restrict destination, const void *restrict source, size_t size);
void *product_memmove(void *destination, const void *source, size_t size);
void *product_memset(void *destination, int value, size_t size);
int product_memcmp(const void *a, const void *b, size_t size);
size_t product_strlen(const char *string);
int product_strcmp(const char *a, const char *b);
int product_strncmp(const char *a, const char *b, size_t size);

#define AREA 160u
#define SIZES 100u

static int sign(int value)
{
	return (value > 0) - (value < 0);
}

static void fill_pattern(unsigned char *area, unsigned seed)
{
	for (unsigned i = 0; i < AREA; i++)
		area[i] = (unsigned char)(i * 7 + seed);
}

static void test_memcpy_all_sizes_and_alignments(void **state)
{
	unsigned char source[AREA], expected[AREA], actual[AREA];

	(void)state;
	fill_pattern(source, 3);
	for (unsigned size = 0; size < SIZES; size++) {
		for (unsigned offset = 0; offset < 9; offset++) {
			fill_pattern(expected, 90);
			fill_pattern(actual, 90);
			memcpy(expected + offset, source + 8 - offset % 8, size);
			assert_ptr_equal(product_memcpy(actual + offset, source + 8 - offset % 8, size), actual + offset);
			assert_memory_equal(actual, expected, AREA);
		}
	}
}

static void test_memmove_overlaps(void **state)
{
	unsigned char expected[AREA], actual[AREA];

	(void)state;
	for (unsigned size = 0; size < SIZES; size++) {
		for (unsigned to = 0; to < 45; to++) {
			fill_pattern(expected, size);
			fill_pattern(actual, size);
			memmove(expected + to, expected + 20, size);
			assert_ptr_equal(product_memmove(actual + to, actual + 20, size), actual + to);
			assert_memory_equal(actual, expected, AREA);
		}
	}
}

static void test_memset(void **state)
{
	unsigned char expected[AREA], actual[AREA];

	(void)state;
	for (unsigned size = 0; size < SIZES; size++) {
		fill_pattern(expected, 1);
		fill_pattern(actual, 1);
		memset(expected + size % 9, 0x1a5, size);
		assert_ptr_equal(product_memset(actual + size % 9, 0x1a5, size), actual + size % 9);
		assert_memory_equal(actual, expected, AREA);
	}
}

static void test_memcmp(void **state)
{
	unsigned char a[AREA], b[AREA];

	(void)state;
	fill_pattern(a, 0);
	fill_pattern(b, 0);
	assert_int_equal(product_memcmp(a, b, AREA), 0);
	for (unsigned i = 0; i < SIZES; i++) {
		b[i] ^= 0x80;
		assert_int_equal(product_memcmp(a, b, i), 0);
		assert_int_equal(sign(product_memcmp(a, b, AREA)), sign(memcmp(a, b, AREA)));
		assert_int_equal(sign(product_memcmp(b, a, i + 1)), sign(memcmp(b, a, i + 1)));
		b[i] ^= 0x80;
	}
	/* The first difference decides, though a later byte of the same quadword differs the other way. */
	assert_true(product_memcmp("\1\0\0\0\0\0\0\377", "\2\0\0\0\0\0\0\0", 8) < 0);
}

static void test_strings(void **state)
{
	static const char *const samples[] = {"", "a", "ab", "abc", "abd", "\377", "abcdefghijklmnop"};

	(void)state;
	for (unsigned i = 0; i < array_count(samples); i++) {
		assert_int_equal(product_strlen(samples[i]), strlen(samples[i]));
		for (unsigned j = 0; j < array_count(samples); j++) {
			assert_int_equal(sign(product_strcmp(samples[i], samples[j])), sign(strcmp(samples[i], samples[j])));
			for (unsigned size = 0; size < 5; size++)
				assert_int_equal(sign(product_strncmp(samples[i], samples[j], size)),
						 sign(strncmp(samples[i], samples[j], size)));
		}
	}
}

static void test_length_bounded(void **state)
{
	const char unterminated[3] = {'a', 'b', 'c'};

	(void)state;
	assert_int_equal(string_length_bounded(unterminated, 3), 3);
	assert_int_equal(string_length_bounded("ab", 3), 2);
	assert_int_equal(string_length_bounded("ab", 0), 0);
}

static void test_copy_cuts(void **state)
{
	char buffer[5] = "zzzz";

	(void)state;
	assert_true(string_copy(buffer, sizeof(buffer), "four"));
	assert_string_equal(buffer, "four");
	assert_false(string_copy(buffer, sizeof(buffer), "fives"));
	assert_string_equal(buffer, "five");
	assert_false(string_copy(buffer, 1, "x"));
	assert_string_equal(buffer, "");
	assert_true(string_copy(buffer, 1, ""));
}

static void test_starts_with(void **state)
{
	(void)state;
	assert_true(string_starts_with("console linux", "console"));
	assert_true(string_starts_with("console", ""));
	assert_true(string_starts_with("", ""));
	assert_false(string_starts_with("con", "console"));
	assert_false(string_starts_with("", "c"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memcpy_all_sizes_and_alignments),
		cmocka_unit_test(test_memmove_overlaps),
		cmocka_unit_test(test_memset),
		cmocka_unit_test(test_memcmp),
		cmocka_unit_test(test_strings),
		cmocka_unit_test(test_length_bounded),
		cmocka_unit_test(test_copy_cuts),
		cmocka_unit_test(test_starts_with),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
