/* Parser, completion, and the shell over a terminal with commands of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/shell_fixture.h"
#include "vmm/sched/vm_life.h"
#include "vmm/shell/command_table.h"
#include "vmm/shell/completion.h"
#include "vmm/shell/parser.h"
#include "vmm/shell/shell.h"

extern const struct shell_command shell_help_command;

static char said[512];

static void run_say(unsigned count, const char *const *arguments)
{
	said[0] = '\0';
	for (unsigned i = 0; i < count; i++) {
		strcat(said, arguments[i]);
		strcat(said, "|");
	}
	shell_print("said %u\n", count);
}

static void run_attach(unsigned count, const char *const *arguments)
{
	(void)count;
	assert_int_equal(console_mux_attach(vm_find(arguments[1])), STATUS_OK);
}

static const struct shell_command say_command = {
	.name = "say", .arguments = "WORD [WORD]", .summary = "say it", .help = "  Loudly.\n",
	.minimum_arguments = 1, .maximum_arguments = 2, .run = run_say,
};
SHELL_COMMAND(say_command);

static const struct shell_command sail_command = {
	.name = "sail", .arguments = "NAME", .summary = "attach", .help = "",
	.minimum_arguments = 1, .maximum_arguments = 1, .completion = SHELL_COMPLETE_VM, .run = run_attach,
};
SHELL_COMMAND(sail_command);

static const struct shell_command level_command = {
	.name = "zlevel", .arguments = "", .summary = "", .help = "", .completion = SHELL_COMPLETE_LOG_LEVEL, .run = run_say,
};
SHELL_COMMAND(level_command);

const char *vm_life_creatable(uint32_t index) { return index == 0 ? "mail" : NULL; }

const char *log_level_name(enum log_level level)
{
	static const char *const names[] = {"error", "warning", "info", "debug"};

	return names[level];
}

static int setup(void **state)
{
	(void)state;
	fixture_start();
	said[0] = '\0';
	shell_start();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fixture_end();
	return 0;
}

static void words_are(char *line, unsigned count, const char *const *expected, const char *expected_rest)
{
	struct shell_words words;
	char *rest;

	assert_int_equal(parser_cut_command(line, &words, &rest), STATUS_OK);
	assert_int_equal(words.count, count);
	for (unsigned i = 0; i < count; i++)
		assert_string_equal(words.words[i], expected[i]);
	if (expected_rest == NULL)
		assert_null(rest);
	else
		assert_string_equal(rest, expected_rest);
}

static void parser_cuts_words(void **state)
{
	char first[] = "  mem\tweb   0x1000 ; list", empty[] = " \t ", bare[] = ";;", last[] = "a b";

	(void)state;
	words_are(first, 3, (const char *const[]){"mem", "web", "0x1000"}, " list");
	words_are(empty, 0, NULL, NULL);
	words_are(bare, 0, NULL, ";");
	words_are(last, 2, (const char *const[]){"a", "b"}, NULL);
}

static void parser_bounds_words(void **state)
{
	char line[] = "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16", more[] = "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17;x";
	struct shell_words words;
	char *rest;

	(void)state;
	assert_int_equal(parser_cut_command(line, &words, &rest), STATUS_OK);
	assert_int_equal(words.count, 16);
	assert_string_equal(words.words[15], "16");
	assert_int_equal(parser_cut_command(more, &words, &rest), STATUS_OUT_OF_RANGE);
	assert_string_equal(rest, "x");
}

static void number_is(const char *word, uint64_t expected)
{
	uint64_t number = 77;

	assert_int_equal(parser_read_number(word, &number), STATUS_OK);
	assert_int_equal(number, expected);
}

static void number_fails(const char *word, enum status expected)
{
	uint64_t number = 77;

	assert_int_equal(parser_read_number(word, &number), expected);
	assert_int_equal(number, 77);
}

static void parser_reads_numbers(void **state)
{
	(void)state;
	number_is("0", 0);
	number_is("18446744073709551615", UINT64_MAX);
	number_is("0xFfffFFFFffffffff", UINT64_MAX);
	number_is("0X10", 16);
	number_is("4K", 4096);
	number_is("0x10M", 16 << 20);
	number_is("3G", 3ull << 30);
	number_fails("18446744073709551616", STATUS_OUT_OF_RANGE);
	number_fails("0x10000000000000000", STATUS_OUT_OF_RANGE);
	number_fails("17179869184G", STATUS_OUT_OF_RANGE);
	number_fails("", STATUS_INVALID);
	number_fails("0x", STATUS_INVALID);
	number_fails("-1", STATUS_INVALID);
	number_fails("12a", STATUS_INVALID);
	number_fails("1KK", STATUS_INVALID);
	number_fails("K", STATUS_INVALID);
}

static void completes(const char *line, unsigned count, size_t prefix, size_t common)
{
	struct completion completion;

	completion_find(line, strlen(line), &completion);
	assert_int_equal(completion.count, count);
	assert_int_equal(completion.prefix, prefix);
	assert_int_equal(completion.common, common);
}

static void completion_finds(void **state)
{
	(void)state;
	completes("sa", 2, 2, 2);
	completes("sai", 1, 3, 4);
	completes("x", 0, 1, 0);
	completes("", 4, 0, 0);
	completes("sail ", 2, 0, 1);
	completes("sail wo", 1, 2, 6);
	completes("sail web ", 0, 0, 0);
	completes("say w", 0, 1, 0);
	completes("nosuch w", 0, 1, 0);
	completes("help; sail   wo", 1, 2, 6);
	completes("help say", 1, 3, 3);
	completes("zlevel i", 1, 1, 4);
}

static void completion_looks_before_the_cursor_only(void **state)
{
	struct completion completion;

	(void)state;
	completion_find("saxyz", 2, &completion);
	assert_int_equal(completion.count, 2);
}

static void prompt_and_echo(void **state)
{
	(void)state;
	assert_string_equal(terminal_text, "\r\033[Ktrivet> ");
	terminal_clear();
	terminal_type("say");
	assert_string_equal(terminal_text, "say");
}

static void runs_commands(void **state)
{
	(void)state;
	terminal_clear();
	terminal_type("say a b\r");
	assert_string_equal(said, "say|a|b|");
	assert_string_equal(terminal_text, "say a b\r\nsaid 3\n\r\033[Ktrivet> ");
	terminal_type("\033[A\r");
	assert_non_null(strstr(terminal_text, "trivet> say a b"));
	terminal_clear();
	shell_execute("say x; say y");
	assert_string_equal(said, "say|y|");
}

static void refuses_wrong_commands(void **state)
{
	(void)state;
	terminal_clear();
	shell_execute("frob");
	assert_non_null(strstr(terminal_text, "frob: no such command"));
	shell_execute("say");
	shell_execute("say 1 2 3");
	assert_string_equal(said, "");
	assert_non_null(strstr(terminal_text, "usage: say WORD [WORD]"));
	shell_execute("say 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; say z");
	assert_non_null(strstr(terminal_text, "say: more than 16 words"));
	assert_string_equal(said, "say|z|");
	shell_execute(";; ;");
}

static void cuts_long_lines(void **state)
{
	char line[1000];

	(void)state;
	memset(line, 'x', sizeof(line));
	line[sizeof(line) - 1] = '\0';
	memcpy(line, "say ", 4);
	shell_execute(line);
	assert_int_equal(strlen(said), SHELL_LINE_SIZE - 1 + 1);
}

static void tab_completes(void **state)
{
	(void)state;
	terminal_type("sai\two\t\r");
	assert_ptr_equal(console_mux_attached(), &fixture_vms[1]);
	terminal_clear();
	terminal_type("\035");
	assert_string_equal(terminal_text, "\r\033[Ktrivet> ");
	terminal_clear();
	terminal_type("sa\t");
	assert_non_null(strstr(terminal_text, "sail            say"));
	assert_non_null(strstr(terminal_text, "\r\033[Ktrivet> sa"));
	terminal_clear();
	terminal_type("q\t");
	assert_string_equal(terminal_text, "q\a");
}

static void control_keys(void **state)
{
	(void)state;
	terminal_type("say lost");
	terminal_clear();
	terminal_type("\003");
	assert_string_equal(terminal_text, "^C\r\n\r\033[Ktrivet> ");
	terminal_type("\r");
	assert_string_equal(said, "");
	terminal_clear();
	terminal_type("\014");
	assert_string_equal(terminal_text, "\033[H\033[2J\r\033[Ktrivet> ");
	terminal_clear();
	terminal_type("\b");
	assert_string_equal(terminal_text, "\a");
}

static void log_lines_do_not_garble_the_line(void **state)
{
	(void)state;
	terminal_type("say hello\033[D\033[D");
	terminal_clear();
	log_write_raw("[1] info: x\n", 12);
	assert_string_equal(terminal_text, "\r\033[K[1] info: x\n\r\033[Ktrivet> say hello\033[2D");
	terminal_type("\r");
	assert_string_equal(said, "say|hello|");
}

static void long_lines_scroll(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 150; i++) {
		terminal_clear();
		terminal_type("x");
		assert_true(terminal_length < 3 + 4 + 80 + 8);
	}
}

static void help_lists_and_explains(void **state)
{
	(void)state;
	terminal_clear();
	shell_execute("help");
	assert_non_null(strstr(terminal_text, "say WORD [WORD]"));
	assert_true(strstr(terminal_text, "sail NAME") < strstr(terminal_text, "say WORD"));
	terminal_clear();
	shell_execute("help say");
	assert_non_null(strstr(terminal_text, "say WORD [WORD]\n  say it\n  Loudly.\n"));
	terminal_clear();
	shell_execute("help frob");
	assert_non_null(strstr(terminal_text, "frob: no such command\n"));
	assert_ptr_equal(command_table_find("help"), &shell_help_command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parser_cuts_words),
		cmocka_unit_test(parser_bounds_words),
		cmocka_unit_test(parser_reads_numbers),
		cmocka_unit_test_setup_teardown(completion_finds, setup, teardown),
		cmocka_unit_test_setup_teardown(completion_looks_before_the_cursor_only, setup, teardown),
		cmocka_unit_test_setup_teardown(prompt_and_echo, setup, teardown),
		cmocka_unit_test_setup_teardown(runs_commands, setup, teardown),
		cmocka_unit_test_setup_teardown(refuses_wrong_commands, setup, teardown),
		cmocka_unit_test_setup_teardown(cuts_long_lines, setup, teardown),
		cmocka_unit_test_setup_teardown(tab_completes, setup, teardown),
		cmocka_unit_test_setup_teardown(control_keys, setup, teardown),
		cmocka_unit_test_setup_teardown(log_lines_do_not_garble_the_line, setup, teardown),
		cmocka_unit_test_setup_teardown(long_lines_scroll, setup, teardown),
		cmocka_unit_test_setup_teardown(help_lists_and_explains, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
