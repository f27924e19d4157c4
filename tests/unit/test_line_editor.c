#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "vmm/shell/line_editor.h"

static struct line_editor editor;

static int setup(void **state)
{
	(void)state;
	line_editor_init(&editor);
	return 0;
}

static enum line_editor_event type(const char *bytes)
{
	enum line_editor_event event = LINE_EDITOR_NONE;

	for (; *bytes != '\0'; bytes++)
		event = line_editor_input(&editor, (uint8_t)*bytes);
	return event;
}

static void line_is(const char *text, size_t cursor)
{
	assert_string_equal(editor.text, text);
	assert_int_equal(editor.length, strlen(text));
	assert_int_equal(editor.cursor, cursor);
}

static void enter(const char *text)
{
	assert_int_equal(type(text), LINE_EDITOR_CHANGED);
	assert_int_equal(type("\r"), LINE_EDITOR_LINE);
	assert_string_equal(editor.text, text);
	line_editor_remember(&editor);
	line_editor_clear(&editor);
}

static void inserts_at_the_cursor(void **state)
{
	(void)state;
	type("lst");
	assert_int_equal(type("\033[D\033[D"), LINE_EDITOR_CHANGED);
	type("i");
	line_is("list", 2);
	type("\033[C\033[C");
	assert_int_equal(type("\033[C"), LINE_EDITOR_REFUSED);
	line_is("list", 4);
}

static void deletes(void **state)
{
	(void)state;
	type("console web");
	type("\x7f\b");
	line_is("console w", 9);
	type("\001\004");
	line_is("onsole w", 0);
	type("\033[3~");
	line_is("nsole w", 0);
	assert_int_equal(type("\b"), LINE_EDITOR_REFUSED);
	type("\005\027");
	line_is("nsole ", 6);
	type("\027");
	line_is("", 0);
	assert_int_equal(type("\027"), LINE_EDITOR_REFUSED);
	type("abcdef\033[D\033[D\013");
	line_is("abcd", 4);
	type("\002\025");
	line_is("d", 0);
	assert_int_equal(type("\025"), LINE_EDITOR_REFUSED);
}

static void home_and_end_in_all_spellings(void **state)
{
	static const char *const homes[] = {"\001", "\033[H", "\033OH", "\033[1~", "\033[7~"};
	static const char *const ends[] = {"\005", "\033[F", "\033OF", "\033[4~", "\033[8~"};

	(void)state;
	type("abc");
	for (unsigned i = 0; i < 5; i++) {
		type(homes[i]);
		line_is("abc", 0);
		type(ends[i]);
		line_is("abc", 3);
	}
}

static void unknown_keys_do_nothing(void **state)
{
	(void)state;
	type("a");
	assert_int_equal(type("\033[15~"), LINE_EDITOR_NONE);
	assert_int_equal(type("\033[1;5C"), LINE_EDITOR_REFUSED); /* Ctrl-right is right */
	assert_int_equal(type("\033[99999999999~"), LINE_EDITOR_NONE);
	assert_int_equal(type("\033x"), LINE_EDITOR_NONE);
	assert_int_equal(type("\007"), LINE_EDITOR_NONE);
	assert_int_equal(type("\xc3\xa9"), LINE_EDITOR_REFUSED);
	line_is("a", 1);
	/* A sequence that was cut off swallows no control character. */
	assert_int_equal(type("\033[\r"), LINE_EDITOR_LINE);
	type("b");
	line_is("ab", 2);
}

static void full_line_refuses(void **state)
{
	(void)state;
	for (unsigned i = 0; i < SHELL_LINE_SIZE - 1; i++)
		assert_int_equal(type("x"), LINE_EDITOR_CHANGED);
	assert_int_equal(type("x"), LINE_EDITOR_REFUSED);
	assert_int_equal(editor.length, SHELL_LINE_SIZE - 1);
	assert_false(line_editor_insert(&editor, "yy", 2));
	line_editor_clear(&editor);
	assert_true(line_editor_insert(&editor, "yy", 2));
	line_is("yy", 2);
}

static void one_end_of_line_each(void **state)
{
	(void)state;
	assert_int_equal(type("\r"), LINE_EDITOR_LINE);
	assert_int_equal(type("\n"), LINE_EDITOR_NONE);
	assert_int_equal(type("\n"), LINE_EDITOR_LINE);
	assert_int_equal(type("\r"), LINE_EDITOR_LINE);
	assert_int_equal(type("\r"), LINE_EDITOR_LINE);
}

static void history_goes_both_ways(void **state)
{
	(void)state;
	assert_int_equal(type("\033[A"), LINE_EDITOR_REFUSED);
	enter("one");
	enter("two");
	enter("two");
	type("unfinished");
	type("\033[A");
	line_is("two", 3);
	type("\020");
	line_is("one", 3);
	assert_int_equal(type("\033[A"), LINE_EDITOR_REFUSED);
	type("\016");
	line_is("two", 3);
	type("\033[B");
	line_is("unfinished", 10);
	assert_int_equal(type("\033[B"), LINE_EDITOR_REFUSED);
}

static void history_forgets_the_oldest(void **state)
{
	char text[8];

	(void)state;
	for (unsigned i = 0; i < 40; i++) {
		text[0] = (char)('a' + i % 26);
		text[1] = (char)('a' + i / 26);
		text[2] = '\0';
		enter(text);
	}
	for (unsigned i = 0; i < LINE_EDITOR_HISTORY; i++)
		assert_int_equal(type("\033[A"), LINE_EDITOR_CHANGED);
	assert_int_equal(type("\033[A"), LINE_EDITOR_REFUSED);
	line_is("ya", 2); /* the 25th */
}

static void empty_lines_are_not_kept(void **state)
{
	(void)state;
	line_editor_remember(&editor);
	assert_int_equal(type("\033[A"), LINE_EDITOR_REFUSED);
}

static void events_for_the_shell(void **state)
{
	(void)state;
	assert_int_equal(type("\t"), LINE_EDITOR_COMPLETE);
	assert_int_equal(type("\003"), LINE_EDITOR_CANCEL);
	assert_int_equal(type("\014"), LINE_EDITOR_REDRAW);
}

static void view_follows_the_cursor(void **state)
{
	size_t size, cursor;

	(void)state;
	for (unsigned i = 0; i < 50; i++)
		type((char[]){(char)('0' + i % 10), '\0'});
	for (unsigned i = 0; i <= 50; i++) {
		const char *view = line_editor_view(&editor, 20, &size, &cursor);

		assert_true(size <= 20 && cursor <= size);
		assert_ptr_equal(view + cursor, editor.text + editor.cursor);
		assert_true(view + size <= editor.text + editor.length);
		type("\033[D");
	}
	assert_ptr_equal(line_editor_view(&editor, 20, &size, &cursor), editor.text);
	assert_int_equal(size, 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(inserts_at_the_cursor, setup),
		cmocka_unit_test_setup(deletes, setup),
		cmocka_unit_test_setup(home_and_end_in_all_spellings, setup),
		cmocka_unit_test_setup(unknown_keys_do_nothing, setup),
		cmocka_unit_test_setup(full_line_refuses, setup),
		cmocka_unit_test_setup(one_end_of_line_each, setup),
		cmocka_unit_test_setup(history_goes_both_ways, setup),
		cmocka_unit_test_setup(history_forgets_the_oldest, setup),
		cmocka_unit_test_setup(empty_lines_are_not_kept, setup),
		cmocka_unit_test_setup(events_for_the_shell, setup),
		cmocka_unit_test_setup(view_follows_the_cursor, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
