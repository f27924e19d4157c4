/* The log: prefix, levels, cutting, the ring when it runs over, sinks, rate limit and panic mode. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86/clock.h"
#include "arch/x86/log.h"
#include "fake_cpu.h"

static char shown[1 << 18];
static size_t shown_length;
static bool shown_synchronously;

static void capture(const char *text, size_t size, bool synchronous)
{
	assert_true(shown_length + size < sizeof(shown));
	memcpy(shown + shown_length, text, size);
	shown_length += size;
	shown[shown_length] = '\0';
	shown_synchronously = synchronous;
}

static struct log_sink sink = {.name = "capture", .write = capture};

static void forget(void)
{
	shown_length = 0;
	shown[0] = '\0';
}

static int setup(void **state)
{
	(void)state;
	fake_cpu_reset();
	fake_tsc_step = 0;
	log_set_level(LOG_INFO);
	forget();
	return 0;
}

/* The tests run in this order and share the one log. */

static void test_sink_is_shown_what_was_logged_before_it(void **state)
{
	(void)state;
	fake_tsc = 5000;
	log_info("first %d", 1);
	clock_set_frequency(1000000);
	fake_tsc = 5000 + 1234567;
	log_warning("second");
	assert_string_equal(shown, "");
	log_add_sink(&sink);
	assert_string_equal(shown, "[    0.000000] info: first 1\n[    1.234567] warning: second\n");
	assert_false(shown_synchronously);
}

static void test_levels(void **state)
{
	enum log_level level = LOG_ERROR;

	(void)state;
	fake_tsc = 5000;
	log_debug("not shown");
	assert_string_equal(shown, "");
	log_set_level(LOG_DEBUG);
	assert_int_equal(log_get_level(), LOG_DEBUG);
	log_debug("shown");
	assert_string_equal(shown, "[    0.000000] debug: shown\n");
	log_set_level(LOG_ERROR);
	log_warning("not shown");
	forget();
	log_error("e");
	assert_string_equal(shown, "[    0.000000] error: e\n");

	assert_true(log_level_parse("warning", &level));
	assert_int_equal(level, LOG_WARNING);
	assert_false(log_level_parse("Warning", &level));
	assert_false(log_level_parse("", &level));
	assert_int_equal(level, LOG_WARNING);
	assert_string_equal(log_level_name(LOG_DEBUG), "debug");
	assert_string_equal(log_level_name((enum log_level)77), "unknown");
}

static void test_line_is_one_line_without_control_characters(void **state)
{
	(void)state;
	fake_tsc = 5000;
	log_info("a\tb\x1b[2Jc\r\nd\x7f" "e\n\n");
	assert_string_equal(shown, "[    0.000000] info: a\tb?[2Jc??d?e\n");
}

static void test_long_lines_are_cut(void **state)
{
	char text[600];

	(void)state;
	fake_tsc = 5000;
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	log_info("%s", text);
	assert_int_equal(shown_length, 511);
	assert_string_equal(shown + 511 - 5, "x...\n");

	/* One that just fits is whole. */
	forget();
	text[510 - strlen("[    0.000000] info: ")] = '\0';
	log_info("%s", text);
	assert_int_equal(shown_length, 511);
	assert_string_equal(shown + 511 - 3, "xx\n");
}

static size_t read_all(char *buffer, size_t size, size_t piece)
{
	struct log_reader reader = {0};
	size_t length = 0, count;

	while ((count = log_read(&reader, buffer + length, min_u64(piece, size - length))) != 0)
		length += count;
	return length;
}

static void test_ring_keeps_the_newest_whole_lines(void **state)
{
	static char all[70000], again[70000];
	size_t length, other;

	(void)state;
	for (unsigned i = 0; i < 4000; i++)
		log_info("line number %u", i);
	length = read_all(all, sizeof(all), sizeof(all));
	assert_true(length > 65536 - 100 && length <= 65536);
	all[length] = '\0';
	assert_memory_equal(all, "[", 1);
	assert_non_null(strstr(all, "line number 3999\n"));
	assert_null(strstr(all, "line number 1\n"));
	assert_int_equal(all[length - 1], '\n');
	other = read_all(again, sizeof(again), 7);
	assert_int_equal(other, length);
	assert_memory_equal(again, all, length);
}

static void test_reading_that_was_overtaken_goes_on_with_the_oldest_line(void **state)
{
	char buffer[64];
	struct log_reader reader = {0}, end = {0};
	uint64_t lines;

	(void)state;
	assert_int_equal(log_read(&reader, buffer, 10), 10);
	lines = reader.lost;
	for (unsigned i = 0; i < 4000; i++)
		log_info("line number %u", i);
	assert_true(log_read(&reader, buffer, sizeof(buffer)) > 0);
	/* Of these 4000, and what was there before, as many are left as fit. */
	assert_true(reader.lost - lines > 2000);
	assert_int_equal(buffer[0], '[');
	while (log_read(&end, buffer, sizeof(buffer)) != 0)
		continue;
	assert_int_equal(log_read(&end, buffer, sizeof(buffer)), 0);
	log_info("new");
	assert_int_equal(log_read(&end, buffer, sizeof(buffer)), strlen("[    0.000000] info: new\n"));
}

static void test_raw_text_is_not_kept(void **state)
{
	static char all[70000];
	size_t length;

	(void)state;
	log_write_raw("prompt> ", 8);
	assert_string_equal(shown, "prompt> ");
	length = read_all(all, sizeof(all) - 1, sizeof(all) - 1);
	all[length] = '\0';
	assert_null(strstr(all, "prompt>"));
}

static void test_rate_limit(void **state)
{
	struct log_limit limit = {0};
	unsigned passed = 0;

	(void)state;
	clock_set_frequency(1000000);
	fake_tsc = 10000000;
	for (unsigned i = 0; i < 25; i++)
		passed += log_limit_pass(&limit);
	assert_int_equal(passed, LOG_LIMIT_PER_SECOND);
	assert_string_equal(shown, "");
	fake_tsc += 999999;
	assert_false(log_limit_pass(&limit));
	fake_tsc += 1;
	assert_true(log_limit_pass(&limit));
	assert_non_null(strstr(shown, "warning: 16 lines suppressed\n"));
	forget();
	fake_tsc += 1000000;
	assert_true(log_limit_pass(&limit));
	assert_string_equal(shown, "");
}

/* A sink that faults while the log's lock is held: the panic path must get through. */
static void log_again(const char *text, size_t size, bool synchronous)
{
	(void)text;
	(void)size;
	if (synchronous)
		return;
	log_panic_mode();
	log_error("from within");
}

static void test_panic_mode_waits_for_no_lock(void **state)
{
	static struct log_sink faulty = {.name = "faulty", .write = log_again};

	(void)state;
	log_add_sink(&faulty);
	log_info("outer");
	assert_non_null(strstr(shown, "error: from within\n"));
	assert_true(shown_synchronously);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_sink_is_shown_what_was_logged_before_it, setup),
		cmocka_unit_test_setup(test_levels, setup),
		cmocka_unit_test_setup(test_line_is_one_line_without_control_characters, setup),
		cmocka_unit_test_setup(test_long_lines_are_cut, setup),
		cmocka_unit_test_setup(test_ring_keeps_the_newest_whole_lines, setup),
		cmocka_unit_test_setup(test_reading_that_was_overtaken_goes_on_with_the_oldest_line, setup),
		cmocka_unit_test_setup(test_raw_text_is_not_kept, setup),
		cmocka_unit_test_setup(test_rate_limit, setup),
		cmocka_unit_test_setup(test_panic_mode_waits_for_no_lock, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
