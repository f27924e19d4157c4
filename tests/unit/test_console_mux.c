#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/shell_fixture.h"

static char shell_got[256];
static int attached_calls, detached_calls;

static void shell_gets(uint8_t byte)
{
	size_t length = strlen(shell_got);

	assert_true(length < sizeof(shell_got) - 1);
	shell_got[length] = (char)byte;
	shell_got[length + 1] = '\0';
}

static void attached_changes(bool attached)
{
	*(attached ? &attached_calls : &detached_calls) += 1;
}

static int setup(void **state)
{
	(void)state;
	fixture_start();
	shell_got[0] = '\0';
	attached_calls = detached_calls = 0;
	console_mux_set_shell(shell_gets, attached_changes);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fixture_end();
	return 0;
}

static void poll_all(void)
{
	while (console_mux_poll())
		;
}

static void terminal_got(const char *text)
{
	assert_string_equal(terminal_text, text);
	terminal_clear();
}

static void guest_gets(unsigned vm, const char *text)
{
	uint8_t byte;

	for (; *text != '\0'; text++) {
		assert_true(vm_console_get_input(&fixture_vms[vm].console, &byte));
		assert_int_equal(byte, (uint8_t)*text);
	}
	assert_false(vm_console_get_input(&fixture_vms[vm].console, &byte));
}

static void shows_whole_lines(void **state)
{
	(void)state;
	guest_says(0, "hel");
	guest_says(1, "second\r\n");
	poll_all();
	terminal_got("(worker) second\n");
	assert_false(console_mux_has_output());
	guest_says(0, "lo\nworld\n");
	assert_true(console_mux_has_output());
	poll_all();
	terminal_got("(web) hello\n(web) world\n");
}

static void cuts_long_lines(void **state)
{
	char expected[300];

	(void)state;
	for (unsigned i = 0; i < 201; i++)
		guest_says(0, "x");
	poll_all();
	memset(expected, 'x', sizeof(expected));
	memcpy(expected, "(web) ", 6);
	strcpy(expected + 206, "\n");
	terminal_got(expected);
	guest_says(0, "\n");
	poll_all();
	terminal_got("(web) x\n");
}

static void leaves_out_terminal_sequences(void **state)
{
	(void)state;
	guest_says(0, "[\033[0;32m  OK  \033[0m] \033]0;title\aA\033(B\tB\b\007\033[2J\x7f");
	guest_says(0, "\xc2\x9b\xc3\xa9\x9b\xff\xc0\xaf\033]never ends\nnext\n");
	poll_all();
	terminal_got("(web) [  OK  ] A\tB\xc3\xa9\n(web) next\n");
}

static void last_line_after_the_end(void **state)
{
	(void)state;
	guest_says(0, "Power down");
	poll_all();
	terminal_got("");
	fixture_vms[0].state = VM_STOPPED;
	fixture_vms[0].stop_announced = true;
	poll_all();
	terminal_got("(web) Power down\n");
	poll_all();
	terminal_got("");
	guest_says(1, "gone");
	console_mux_flush(&fixture_vms[1]);
	terminal_got("(worker) gone\n");
}

static void waits_for_room(void **state)
{
	(void)state;
	terminal_room = 0;
	guest_says(0, "text\n");
	assert_false(console_mux_poll());
	assert_true(console_mux_has_output());
	terminal_room = 8192;
	poll_all();
	terminal_got("(web) text\n");
}

/* With little room nothing is taken, so that there is no work for a few bytes each time. */
static void output_goes_in_bursts(void **state)
{
	static struct console_port port;

	(void)state;
	port = terminal_port;
	port.burst = 4096;
	fixture_sink = NULL;
	console_mux_init(&port);
	terminal_room = 4095;
	guest_says(0, "text\n");
	assert_false(console_mux_poll());
	assert_true(console_mux_has_output());
	terminal_room = 4096;
	poll_all();
	terminal_got("(web) text\n");
	assert_true(fixture_vms[0].sched.service_ticks != 0);
	assert_int_equal(fixture_vms[1].sched.service_ticks, 0);
}

static void input_goes_to_the_shell(void **state)
{
	(void)state;
	terminal_type("list\r\035");
	assert_string_equal(shell_got, "list\r\035");
	guest_gets(0, "");
}

static void attached_is_raw(void **state)
{
	(void)state;
	guest_says(0, "web login: ");
	poll_all();
	assert_int_equal(console_mux_attach(&fixture_vms[0]), STATUS_OK);
	assert_int_equal(attached_calls, 1);
	terminal_got("web login: ");
	terminal_type("root\r\003\033[A");
	guest_gets(0, "root\r\003\033[A");
	guest_says(0, "\033[1mhi\r\n");
	guest_says(1, "other\n");
	poll_all();
	terminal_got("\033[1mhi\r\n(worker) other\n");
	assert_ptr_equal(console_mux_attached(), &fixture_vms[0]);
	terminal_type("x\035y");
	guest_gets(0, "");
	assert_null(console_mux_attached());
	assert_int_equal(detached_calls, 1);
	assert_string_equal(shell_got, "y");
}

static void log_line_starts_a_line_of_its_own(void **state)
{
	(void)state;
	assert_int_equal(console_mux_attach(&fixture_vms[0]), STATUS_OK);
	guest_says(0, "$ ");
	poll_all();
	log_write_raw("[1] info: x\n", 12);
	log_write_raw("[2] info: y\n", 12);
	terminal_got("$ \r\n[1] info: x\n[2] info: y\n");
}

static void typed_is_kept_while_the_guest_is_slow(void **state)
{
	static uint8_t bytes[4000];
	uint8_t byte;

	(void)state;
	for (unsigned i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)('a' + i % 26);
	assert_int_equal(console_mux_attach(&fixture_vms[0]), STATUS_OK);
	terminal_type_bytes(bytes, sizeof(bytes));
	for (unsigned i = 0; i < sizeof(bytes); i++) {
		assert_true(vm_console_get_input(&fixture_vms[0].console, &byte));
		assert_int_equal(byte, bytes[i]);
		(void)console_mux_poll();
	}
	assert_false(vm_console_get_input(&fixture_vms[0].console, &byte));
	terminal_got("");
}

static void detach_works_on_a_deaf_guest(void **state)
{
	static uint8_t bytes[8000];

	(void)state;
	memset(bytes, 'a', sizeof(bytes));
	assert_int_equal(console_mux_attach(&fixture_vms[0]), STATUS_OK);
	terminal_type_bytes(bytes, sizeof(bytes));
	assert_non_null(strchr(terminal_text, '\a'));
	terminal_type("\035");
	assert_null(console_mux_attached());
}

static void stopped_vm_gives_the_line_back(void **state)
{
	(void)state;
	assert_int_equal(console_mux_attach(&fixture_vms[0]), STATUS_OK);
	guest_says(0, "bye");
	fixture_vms[0].state = VM_STOPPED;
	poll_all();
	terminal_got("bye");
	/* It may start again: then the user stays where he is. */
	assert_ptr_equal(console_mux_attached(), &fixture_vms[0]);
	fixture_vms[0].stop_announced = true;
	fixture_vms[0].state = VM_RESTARTING;
	poll_all();
	assert_ptr_equal(console_mux_attached(), &fixture_vms[0]);
	fixture_vms[0].state = VM_DESTROYING;
	poll_all();
	assert_null(console_mux_attached());
	assert_int_equal(detached_calls, 1);
	assert_int_equal(console_mux_attach(&fixture_vms[1]), STATUS_OK);
	console_mux_forget(&fixture_vms[1]);
	assert_null(console_mux_attached());
}

static void prompt_is_taken_away_for_lines(void **state)
{
	(void)state;
	console_mux_set_prompt("> ab", 4, 3);
	terminal_got("\r\033[K> ab\033[1D");
	log_write_raw("line\n", 5);
	terminal_got("\r\033[Kline\n\r\033[K> ab\033[1D");
	console_mux_set_prompt("> ab", 4, 4);
	terminal_clear();
	console_mux_set_prompt("> abcd", 6, 6); /* typing at the end sends no more than what was typed */
	terminal_got("cd");
	console_mux_set_prompt("", 0, 0);
	terminal_got("");
	log_write_raw("line\n", 5);
	terminal_got("line\n");
}

static void panic_takes_no_lock(void **state)
{
	(void)state;
	fixture_sink->write("panic\n", 6, true);
	terminal_got("!panic\n");
}

static void works_without_a_line(void **state)
{
	(void)state;
	fixture_sink = NULL;
	console_mux_init(NULL);
	assert_null(fixture_sink);
	guest_says(0, "text\n");
	assert_true(console_mux_poll());
	assert_false(console_mux_poll());
	assert_int_equal(console_mux_attach(&fixture_vms[0]), STATUS_UNSUPPORTED);
	console_mux_set_prompt("x", 1, 1);
	console_mux_write("x", 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(shows_whole_lines, setup, teardown),
		cmocka_unit_test_setup_teardown(cuts_long_lines, setup, teardown),
		cmocka_unit_test_setup_teardown(leaves_out_terminal_sequences, setup, teardown),
		cmocka_unit_test_setup_teardown(last_line_after_the_end, setup, teardown),
		cmocka_unit_test_setup_teardown(waits_for_room, setup, teardown),
		cmocka_unit_test_setup_teardown(output_goes_in_bursts, setup, teardown),
		cmocka_unit_test_setup_teardown(input_goes_to_the_shell, setup, teardown),
		cmocka_unit_test_setup_teardown(attached_is_raw, setup, teardown),
		cmocka_unit_test_setup_teardown(log_line_starts_a_line_of_its_own, setup, teardown),
		cmocka_unit_test_setup_teardown(typed_is_kept_while_the_guest_is_slow, setup, teardown),
		cmocka_unit_test_setup_teardown(detach_works_on_a_deaf_guest, setup, teardown),
		cmocka_unit_test_setup_teardown(stopped_vm_gives_the_line_back, setup, teardown),
		cmocka_unit_test_setup_teardown(prompt_is_taken_away_for_lines, setup, teardown),
		cmocka_unit_test_setup_teardown(panic_takes_no_lock, setup, teardown),
		cmocka_unit_test_setup_teardown(works_without_a_line, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
