/*
 * A user who types anything, while guests send anything: editor, parser, completion and console. The first byte of each
 * pair says where the second goes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "tests/unit/shell_fixture.h"
#include "vmm/sched/vm_life.h"
#include "vmm/shell/parser.h"
#include "vmm/shell/shell.h"

extern const struct shell_command shell_help_command;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

const char *vm_life_creatable(uint32_t index)
{
	return index == 0 ? "mail" : NULL;
}

const char *log_level_name(enum log_level level)
{
	static const char *const names[] = {"error", "warning", "info", "debug"};

	return names[level];
}

static void run_console(unsigned count, const char *const *arguments)
{
	struct vm *vm = vm_find(arguments[1]);
	uint64_t number;

	if (count != 2)
		abort();
	if (vm != NULL && console_mux_attach(vm) != STATUS_OK)
		abort();
	if (vm == NULL && parser_read_number(arguments[1], &number) == STATUS_OK)
		shell_print("%llu\n", (unsigned long long)number);
}

static const struct shell_command console_command = {
	.name = "c", .arguments = "NAME", .summary = "connect", .help = "", .minimum_arguments = 1, .maximum_arguments = 1,
	.completion = SHELL_COMPLETE_VM, .run = run_console,
};
SHELL_COMMAND(console_command);

static void step(uint8_t where, const uint8_t *byte)
{
	uint8_t got;

	switch (where & 7) {
	case 0:
		(void)!vm_console_put(&fixture_vms[where >> 3 & 1].console, *byte);
		break;
	case 1:
		while (vm_console_get_input(&fixture_vms[where >> 3 & 1].console, &got))
			;
		break;
	case 2:
		terminal_room = *byte * 64u;
		break;
	case 3:
		log_write_raw("[    0.000000] info: text\n", 26);
		break;
	default:
		terminal_type_bytes(byte, 1);
		break;
	}
	(void)console_mux_poll();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (shell_help_command.run == NULL)
		abort();
	fixture_start();
	shell_start();
	for (size_t i = 0; i + 1 < size && i < 16384; i += 2) {
		step(data[i], &data[i + 1]);
		if (terminal_length > TERMINAL_SIZE / 2)
			terminal_clear();
	}
	terminal_room = 8192;
	fixture_end();
	return 0;
}
