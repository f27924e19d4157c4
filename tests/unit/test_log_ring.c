/* The log's memory: what is kept, what is told to be lost, and whether a change of it is found. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86/log_ring.h"

static struct log_ring ring;
static char text[LOG_RING_SIZE + 1];

static int setup(void **state)
{
	(void)state;
	memset(&ring, 0, sizeof(ring));
	return 0;
}

static void put_line(unsigned number)
{
	char line[32];

	log_ring_put(&ring, line, (size_t)snprintf(line, sizeof(line), "line %06u\n", number));
}

static size_t read_all(struct log_reader *reader, size_t piece)
{
	size_t length = 0, size;

	while ((size = log_ring_read(&ring, reader, text + length, piece < LOG_RING_SIZE - length ? piece : LOG_RING_SIZE - length)) != 0)
		length += size;
	text[length] = '\0';
	return length;
}

static void test_all_that_fits_is_read(void **state)
{
	struct log_reader reader = {0};

	(void)state;
	assert_int_equal(read_all(&reader, 100), 0);
	for (unsigned i = 0; i < 100; i++)
		put_line(i);
	assert_int_equal(read_all(&reader, 7), 1200);
	assert_int_equal(reader.lost, 0);
	assert_int_equal(reader.lines, 100);
	assert_memory_equal(text, "line 000000\nline 000001\n", 24);
	put_line(100);
	assert_int_equal(read_all(&reader, 7), 12);
	assert_string_equal(text, "line 000100\n");
}

/* As many lines as are missing are told, whether a line's end or its middle was overwritten last. */
static void test_lost_lines_are_counted(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 20000; i++) {
		put_line(i);
		if (i < 5000 || i % 997 != 0)
			continue;
		struct log_reader reader = {0};
		unsigned first;

		read_all(&reader, 4096);
		assert_int_equal(sscanf(text, "line %u\n", &first), 1);
		assert_int_equal(reader.lost, first);
		assert_int_equal(reader.lines, i + 1);
	}
}

static void test_lines_lost_amid_reading_are_counted(void **state)
{
	struct log_reader reader = {0};
	char piece[24];
	unsigned first;

	(void)state;
	for (unsigned i = 0; i < 10; i++)
		put_line(i);
	assert_int_equal(log_ring_read(&ring, &reader, piece, 24), 24);
	for (unsigned i = 10; i < 10000; i++)
		put_line(i);
	read_all(&reader, 512);
	assert_int_equal(sscanf(text, "line %u\n", &first), 1);
	assert_int_equal(reader.lost, first - 2);
	assert_int_equal(reader.lines, 10000);
}

static void test_any_change_is_found(void **state)
{
	(void)state;
	assert_true(log_ring_is_sound(&ring));
	log_ring_begin(&ring, 12345);
	for (unsigned i = 0; i < 20000; i++)
		put_line(i);
	assert_true(log_ring_is_sound(&ring));
	for (size_t i = 0; i < LOG_RING_SIZE; i += 1009) {
		ring.text[i] ^= 1;
		assert_false(log_ring_is_sound(&ring));
		ring.text[i] ^= 1;
	}
	char first = ring.text[100];
	ring.text[100] = ring.text[101];
	ring.text[101] = first;
	assert_true(ring.text[100] == ring.text[101] || !log_ring_is_sound(&ring));
	first = ring.text[100];
	ring.text[100] = ring.text[101];
	ring.text[101] = first;
	ring.written++;
	assert_false(log_ring_is_sound(&ring));
	ring.written--;
	ring.start_tsc++;
	assert_false(log_ring_is_sound(&ring));
}

/* Of an earlier boot, after something else wrote there: no read leaves the ring, and each ends. */
static void test_any_numbers_are_readable(void **state)
{
	static const uint64_t numbers[] = {0, 1, LOG_RING_SIZE, LOG_RING_SIZE + 1, UINT64_MAX, UINT64_MAX - LOG_RING_SIZE, 1ull << 63};

	(void)state;
	memset(ring.text, 'x', sizeof(ring.text));
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		struct log_reader reader = {0};

		ring.written = numbers[i];
		ring.overwritten = UINT64_MAX;
		assert_true(read_all(&reader, 4096) <= LOG_RING_SIZE);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_all_that_fits_is_read, setup),
		cmocka_unit_test_setup(test_lost_lines_are_counted, setup),
		cmocka_unit_test_setup(test_lines_lost_amid_reading_are_counted, setup),
		cmocka_unit_test_setup(test_any_change_is_found, setup),
		cmocka_unit_test_setup(test_any_numbers_are_readable, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
