/* lib/ini.c: lines, columns, comments, faults, and the files that a configuration names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/ini.h"
#include "lib/string.h"

static struct ini_reader reader;
static struct ini_line line;

static void open_text(const char *text) { ini_open(&reader, text, strlen(text)); }

static void expect_key(unsigned number, const char *key, const char *value)
{
	assert_int_equal(ini_next(&reader, &line), INI_KEY);
	assert_int_equal(line.line, number);
	assert_true(ini_text_equals(line.key, key));
	assert_true(ini_text_equals(line.value, value));
}

static void expect_section(unsigned number, const char *word, const char *name)
{
	assert_int_equal(ini_next(&reader, &line), INI_SECTION);
	assert_int_equal(line.line, number);
	assert_true(ini_text_equals(line.key, word));
	assert_true(ini_text_equals(line.value, name));
}

static void test_lines(void **state)
{
	(void)state;
	open_text("\n# remark\n[host]\r\n  key = a value \r\n; other\n[vm  web ] # one\nempty =\nx=1");
	expect_section(3, "host", "");
	expect_key(4, "key", "a value");
	assert_int_equal(line.key_column, 3);
	assert_int_equal(line.value_column, 9);
	expect_section(6, "vm", "web");
	assert_int_equal(line.key_column, 2);
	assert_int_equal(line.value_column, 6);
	expect_key(7, "empty", "");
	expect_key(8, "x", "1");
	assert_int_equal(ini_next(&reader, &line), INI_END);
	assert_int_equal(ini_next(&reader, &line), INI_END);
}

static void test_comments_begin_behind_white_space(void **state)
{
	(void)state;
	open_text("a = list; report # rest\nb = x#y\t# z\nc = # nothing\n \t; remark\nd = list ; report ;\n");
	expect_key(1, "a", "list; report");
	expect_key(2, "b", "x#y");
	expect_key(3, "c", "");
	expect_key(5, "d", "list ; report ;");
}

static void test_value_keeps_equals_signs(void **state)
{
	(void)state;
	open_text("cmdline = console=ttyS0 quiet");
	expect_key(1, "cmdline", "console=ttyS0 quiet");
}

static void test_byte_order_mark(void **state)
{
	(void)state;
	open_text("\xef\xbb\xbf[host]");
	expect_section(1, "host", "");
}

static void test_errors_are_told_and_passed(void **state)
{
	static const struct { const char *text; unsigned column; } bad[] = {
		{ "word", 1 }, { "  word", 3 }, { "= value", 1 }, { "[host", 1 }, { "[", 1 }, { "[]", 1 }, { " [ ]", 2 }, { "[a] b", 5 },
		{ "a = b\x01", 6 }, { "a\x7f = b", 2 },
	};

	(void)state;
	for (size_t i = 0; i < array_count(bad); i++) {
		char text[64];

		string_copy(text, sizeof(text), bad[i].text);
		string_copy(text + strlen(text), sizeof(text) - strlen(text), "\nnext = 1\n");
		open_text(text);
		assert_int_equal(ini_next(&reader, &line), INI_ERROR);
		assert_int_equal(line.line, 1);
		assert_int_equal(line.key_column, bad[i].column);
		assert_non_null(line.error);
		expect_key(2, "next", "1");
	}
}

static void test_nul_bytes_and_no_text(void **state)
{
	(void)state;
	ini_open(&reader, "a = \0b\nc=d", 10);
	assert_int_equal(ini_next(&reader, &line), INI_ERROR);
	expect_key(2, "c", "d");
	ini_open(&reader, NULL, 0);
	assert_int_equal(ini_next(&reader, &line), INI_END);
	ini_open(&reader, "\xef\xbb", 2);
	assert_int_equal(ini_next(&reader, &line), INI_ERROR);
}

static void expect_file(unsigned number, const char *expected)
{
	struct ini_text path;

	assert_true(ini_next_file(&reader, &line, &path));
	assert_int_equal(line.line, number);
	assert_true(ini_text_equals(path, expected));
}

static void test_files(void **state)
{
	struct ini_text path;

	(void)state;
	open_text("[vm a]\nkernel = guests/a\nramdisk=\nmemory = 1G\n[\nfirmware = f.fd\ndisk = ram:x.img,ro\ndisk = nvme0\ndisk = ram:\n"
		  "ramdisk = with space # c\ndisk = ram\n");
	expect_file(2, "guests/a");
	expect_file(6, "f.fd");
	expect_file(7, "x.img");
	expect_file(10, "with space");
	assert_false(ini_next_file(&reader, &line, &path));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_comments_begin_behind_white_space),
		cmocka_unit_test(test_value_keeps_equals_signs),
		cmocka_unit_test(test_byte_order_mark),
		cmocka_unit_test(test_errors_are_told_and_passed),
		cmocka_unit_test(test_nul_bytes_and_no_text),
		cmocka_unit_test(test_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
