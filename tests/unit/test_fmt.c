/* Formatted text, against the C library's snprintf() wherever both mean the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "lib/fmt.h"

/* The hypervisor's function gives what snprintf() gives: text and length. */
#define ASSERT_SAME(...) \
	do { \
		char expected[200], actual[200]; \
		int expected_length = snprintf(expected, sizeof(expected), __VA_ARGS__); \
		size_t actual_length = fmt_print(actual, sizeof(actual), __VA_ARGS__); \
		assert_string_equal(actual, expected); \
		assert_int_equal(actual_length, expected_length); \
	} while (0)

/* Formats that compilers warn about must reach the function without the check. */
static size_t print_unchecked(char *buffer, size_t size, const char *format, ...)
{
	va_list arguments;
	size_t length;

	va_start(arguments, format);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	length = fmt_vprint(buffer, size, format, arguments);
#pragma GCC diagnostic pop
	va_end(arguments);
	return length;
}

static void test_decimal(void **state)
{
	(void)state;
	ASSERT_SAME("%d %i %u", 0, -1, 1u);
	ASSERT_SAME("%d %d %u", INT32_MAX, INT32_MIN, UINT32_MAX);
	ASSERT_SAME("%lld %lld %llu", (long long)INT64_MAX, (long long)INT64_MIN, (unsigned long long)UINT64_MAX);
	ASSERT_SAME("%ld %lu %zu", -5l, 5ul, sizeof(int));
	ASSERT_SAME("%hhd %hhu %hd %hu", (signed char)-3, (unsigned char)200, (short)-300, (unsigned short)60000);
	ASSERT_SAME("[%5d][%-5d][%05d][%+d][%+d]", 42, 42, 42, 42, -42);
	ASSERT_SAME("[%.3d][%8.3d][%-8.3d][%.0d][%05d]", 7, -7, 7, 0, -7);
	ASSERT_SAME("[%*d][%-*d][%.*d][%*d]", 6, 1, 6, 1, 4, 1, -6, 1);
	ASSERT_SAME("[%.*d]", -1, 5);
}

static void test_narrow_lengths_cut_the_argument(void **state)
{
	char buffer[32];

	(void)state;
	print_unchecked(buffer, sizeof(buffer), "%hhx %hx %hhd", 0x1234, 0x12345678, 0x1ff);
	assert_string_equal(buffer, "34 5678 -1");
}

static void test_hexadecimal(void **state)
{
	(void)state;
	ASSERT_SAME("%x %X %#x %#X %#x", 0xbeefu, 0xbeefu, 0xbeefu, 0xbeefu, 0u);
	ASSERT_SAME("%llx %016llx %#018llx", 0x123456789abcdefull, 0xfeedull, 0xfeedull);
	ASSERT_SAME("[%8x][%-8x][%08x][%#8x][%#.6x]", 0x1fu, 0x1fu, 0x1fu, 0x1fu, 0x1fu);
	ASSERT_SAME("%p", (void *)(uintptr_t)0xffff8000);
}

static void test_text(void **state)
{
	(void)state;
	ASSERT_SAME("%s|%10s|%-10s|%.2s|%c|%3c|%-3c|%%", "abc", "abc", "abc", "abc", 'x', 'y', 'z');
	ASSERT_SAME("%.*s", 3, "abcdef");
	ASSERT_SAME("%.0s", "abc");
	ASSERT_SAME("plain, no conversion");
}

static void test_precision_bounds_reading(void **state)
{
	const char unterminated[2] = {'o', 'k'};

	(void)state;
	ASSERT_SAME("%.2s", unterminated);
}

static void test_null_string(void **state)
{
	char buffer[16];

	(void)state;
	print_unchecked(buffer, sizeof(buffer), "%s", (const char *)NULL);
	assert_string_equal(buffer, "(null)");
}

static void test_unknown_conversion_stands(void **state)
{
	char buffer[32];

	(void)state;
	print_unchecked(buffer, sizeof(buffer), "a%yb %-5q %d", 7);
	assert_string_equal(buffer, "a%yb %-5q 7");
	print_unchecked(buffer, sizeof(buffer), "end%");
	assert_string_equal(buffer, "end%");
	print_unchecked(buffer, sizeof(buffer), "%08l");
	assert_string_equal(buffer, "%08l");
}

static void test_truncation(void **state)
{
	char buffer[8];

	(void)state;
	memset(buffer, 'Z', sizeof(buffer));
	assert_int_equal(print_unchecked(buffer, 4, "%s", "abcdef"), 6);
	assert_string_equal(buffer, "abc");
	assert_int_equal(buffer[4], 'Z');
	assert_int_equal(print_unchecked(buffer, 1, "%d", 12345), 5);
	assert_string_equal(buffer, "");
	buffer[0] = 'Q';
	assert_int_equal(print_unchecked(buffer, 0, "%d", 12345), 5);
	assert_int_equal(buffer[0], 'Q');
	assert_int_equal(print_unchecked(NULL, 0, "%x", 0x10), 2);
	assert_int_equal(print_unchecked(buffer, 4, "abc"), 3);
	assert_string_equal(buffer, "abc");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_decimal),
		cmocka_unit_test(test_narrow_lengths_cut_the_argument),
		cmocka_unit_test(test_hexadecimal),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_precision_bounds_reading),
		cmocka_unit_test(test_null_string),
		cmocka_unit_test(test_unknown_conversion_stands),
		cmocka_unit_test(test_truncation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
