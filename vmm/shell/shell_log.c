/* dmesg, log */
#include "arch/x86/log.h"
#include "vmm/shell/shell.h"

#define PIECE_SIZE 512u

static void run_dmesg(unsigned count, const char *const *arguments)
{
	char text[PIECE_SIZE];
	uint64_t position = 0;
	size_t size;

	(void)count, (void)arguments;
	while ((size = log_read(&position, text, sizeof(text))) != 0)
		log_write_raw(text, size);
}

static void run_log(unsigned count, const char *const *arguments)
{
	enum log_level level;

	if (count == 1) {
		shell_print("%s\n", log_level_name(log_get_level()));
		return;
	}
	if (!log_level_parse(arguments[1], &level)) {
		shell_print("%s: no such level; there are error, warning, info and debug\n", arguments[1]);
		return;
	}
	log_set_level(level);
}

const struct shell_command shell_dmesg_command = {
	.name = "dmesg",
	.arguments = "",
	.summary = "show the log from the beginning",
	.help = "",
	.run = run_dmesg,
};
SHELL_COMMAND(shell_dmesg_command);

const struct shell_command shell_log_command = {
	.name = "log",
	.arguments = "[LEVEL]",
	.summary = "show or set what is logged: error, warning, info or debug",
	.help = "  Lines above the level are neither shown nor kept for `dmesg`.\n",
	.maximum_arguments = 1,
	.completion = SHELL_COMPLETE_LOG_LEVEL,
	.run = run_log,
};
SHELL_COMMAND(shell_log_command);
