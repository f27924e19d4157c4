/* Text on a framebuffer in memory: what the pixels say is read back as characters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "arch/x86/mm/host_paging.h"
#include "drivers/framebuffer/font.h"
#include "drivers/framebuffer/framebuffer.h"
#include "tests/fake/fake_cpu.h"

#define COLUMNS 20u
#define ROWS 16u
#define WIDTH (COLUMNS * FONT_WIDTH + 3) /* a rest that no cell fills */
#define HEIGHT (ROWS * FONT_HEIGHT + 5)
#define PITCH (WIDTH * 4 + 64)

static uint8_t *pixels; /* a block of its own, so that ASan sees what goes beyond */
static bool mapping_fails, mapped_write_combining;
static unsigned writes;

void *host_paging_map_device(hpa_t address, uint64_t length, bool write_combining)
{
	assert_int_equal(address.value, 0xe0000000);
	assert_int_equal(length, PITCH * HEIGHT);
	mapped_write_combining = write_combining;
	return mapping_fails ? NULL : pixels;
}

static uint64_t count_read(void *context, uint64_t offset, unsigned size)
{
	(void)context;
	(void)offset;
	(void)size;
	fail_msg("framebuffers are slow to read");
	return 0;
}

static void count_write(void *context, uint64_t offset, unsigned size, uint64_t value)
{
	(void)context;
	assert_int_equal(size, 4);
	assert_true(offset <= PITCH * HEIGHT - 4);
	assert_true(offset % PITCH < WIDTH * 4);
	memcpy(pixels + offset, &value, 4);
	writes++;
}

static struct boot_framebuffer description(void)
{
	return (struct boot_framebuffer){
		.base = 0xe0000000, .width = WIDTH, .height = HEIGHT, .pitch = PITCH, .bits_per_pixel = 32,
		.red_shift = 16, .green_shift = 8, .blue_shift = 0,
	};
}

static int set_up(void **state)
{
	struct boot_framebuffer framebuffer = description();
	struct fake_mmio_device device = {.length = PITCH * HEIGHT, .read = count_read, .write = count_write};

	(void)state;
	pixels = malloc(PITCH * HEIGHT);
	memset(pixels, 0xee, PITCH * HEIGHT);
	fake_cpu_reset();
	device.base = pixels;
	fake_mmio_add(&device);
	mapping_fails = false;
	assert_int_equal(framebuffer_init(&framebuffer), STATUS_OK);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	free(pixels);
	return 0;
}

static void show(const char *text)
{
	framebuffer_write(text, strlen(text), false);
}

static bool cell_is(unsigned row, unsigned column, char character)
{
	for (unsigned y = 0; y < FONT_HEIGHT; y++) {
		for (unsigned x = 0; x < FONT_WIDTH; x++) {
			uint32_t expected = (font_row((uint8_t)character, y) & 0x80 >> x) != 0 ? 0xc0c0c0 : 0, seen;

			memcpy(&seen, pixels + (row * FONT_HEIGHT + y) * PITCH + (column * FONT_WIDTH + x) * 4, 4);
			if (seen != expected)
				return false;
		}
	}
	return true;
}

static char cell(unsigned row, unsigned column)
{
	for (char c = ' '; c <= '~'; c++)
		if (cell_is(row, column, c))
			return c;
	return '\0';
}

static void assert_line(unsigned row, const char *expected)
{
	char seen[COLUMNS + 1];

	for (unsigned i = 0; i < COLUMNS; i++)
		seen[i] = cell(row, i);
	seen[COLUMNS] = '\0';
	for (unsigned i = COLUMNS; i-- > 0 && seen[i] == ' ';)
		seen[i] = '\0';
	assert_string_equal(seen, expected);
}

static void test_font(void **state)
{
	(void)state;
	for (unsigned a = 32; a <= 126; a++) {
		unsigned dots = 0;

		for (unsigned y = 0; y < FONT_HEIGHT; y++) {
			dots += font_row((uint8_t)a, y) != 0;
			assert_int_equal(font_row((uint8_t)a, y) & 1, 0); /* a gap to the next character */
		}
		assert_true(a == ' ' ? dots == 0 : dots > 0);
		for (unsigned b = 32; b < a; b++) {
			bool differs = false;

			for (unsigned y = 0; y < FONT_HEIGHT; y++)
				differs |= font_row((uint8_t)a, y) != font_row((uint8_t)b, y);
			assert_true(differs);
		}
	}
	assert_int_equal(font_row(200, 5), font_row('?', 5));
	assert_int_equal(font_row('A', FONT_HEIGHT), 0);
}

static void test_init(void **state)
{
	struct boot_framebuffer framebuffer = description();

	(void)state;
	assert_true(mapped_write_combining);
	assert_true(framebuffer_is_available());
	for (unsigned row = 0; row < ROWS; row++)
		assert_line(row, "");
	framebuffer.bits_per_pixel = 24;
	assert_int_equal(framebuffer_init(&framebuffer), STATUS_UNSUPPORTED);
	framebuffer = description();
	framebuffer.base = 0;
	assert_int_equal(framebuffer_init(&framebuffer), STATUS_NOT_FOUND);
	framebuffer = description();
	framebuffer.height = FONT_HEIGHT - 1;
	assert_int_equal(framebuffer_init(&framebuffer), STATUS_UNSUPPORTED);
	framebuffer = description();
	framebuffer.pitch = WIDTH * 4 - 4;
	assert_int_equal(framebuffer_init(&framebuffer), STATUS_INVALID);
	framebuffer = description();
	framebuffer.red_shift = 25;
	assert_int_equal(framebuffer_init(&framebuffer), STATUS_INVALID);
	framebuffer = description();
	mapping_fails = true;
	assert_int_equal(framebuffer_init(&framebuffer), STATUS_NO_MEMORY);
	assert_false(framebuffer_is_available());
	writes = 0;
	show("nowhere");
	assert_int_equal(writes, 0);
}

static void test_text(void **state)
{
	(void)state;
	show("Hello, World! {}~\nsecond\rS\ttab\n");
	assert_line(0, "Hello, World! {}~");
	assert_line(1, "Second  tab");
	show("ab\bc\b\b\b\bd\x7f\x80\xff\a");
	assert_line(2, "d???");
	framebuffer_write("panic", 5, true);
	assert_line(2, "d???panic");
}

static void test_wrap(void **state)
{
	(void)state;
	show("01234567890123456789");
	assert_line(0, "01234567890123456789");
	show("\nx");
	assert_line(1, "x"); /* the line was full, but there is no empty line */
	show("\n0123456789012345678\t\t\tyz");
	assert_line(2, "0123456789012345678");
	assert_line(3, "yz");
}

static void test_escape_sequences(void **state)
{
	(void)state;
	show("a\x1b[1;31mb\x1b[0mc\x1b[2J\x1b(Bd\x1b]0;title\ae\x1b]0;t\x1b\\f\x1b");
	show("[3");
	show("1mg\x1b" "7h");
	assert_line(0, "abcdefgh");
	show("\x1b[12\nnext\x1b]open\nend");
	assert_line(1, "next");
	assert_line(2, "end");
}

static void test_scroll(void **state)
{
	char text[] = "line A\n";

	(void)state;
	for (unsigned i = 0; i < 40; i++) {
		text[5] = (char)('A' + i);
		show(text);
	}
	/* The last line is empty or near the end, and all above are in order. */
	for (unsigned row = 0; row < ROWS; row++) {
		if (cell(row, 0) == ' ')
			continue;
		assert_int_equal(cell(row, 5), cell(0, 5) + (int)row);
	}
	assert_true(cell(0, 5) >= 'A' + 40 - (int)ROWS);
	for (unsigned row = 0; row < ROWS; row++)
		if (cell(row, 5) == 'A' + 39)
			return;
	fail_msg("the newest line is not seen");
}

static void test_only_changes_are_drawn(void **state)
{
	char text[] = "the same in all\n";

	(void)state;
	writes = 0;
	show("x");
	assert_int_equal(writes, FONT_WIDTH * FONT_HEIGHT);
	show("\rx");
	assert_int_equal(writes, FONT_WIDTH * FONT_HEIGHT);
	for (unsigned i = 0; i < 100; i++)
		show(text);
	writes = 0;
	for (unsigned i = 0; i < 2; i++)
		show(text);
	assert_true(writes <= 2 * 2 * COLUMNS * FONT_WIDTH * FONT_HEIGHT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_font),
		cmocka_unit_test_setup_teardown(test_init, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_text, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_wrap, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_escape_sequences, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_scroll, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_only_changes_are_drawn, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
