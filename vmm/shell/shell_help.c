/* help */
#include "lib/string.h"
#include "vmm/shell/command_table.h"
#include "vmm/shell/shell.h"

#define USAGE_WIDTH 22

static void help_list(void)
{
	const struct shell_command *command;

	for (command = command_table_next(NULL); command != NULL; command = command_table_next(command)) {
		int rest = USAGE_WIDTH - (int)strlen(command->name);

		shell_print("%s %-*s %s\n", command->name, rest > 0 ? rest : 0, command->arguments, command->summary);
	}
	shell_print("`help COMMAND` tells more. Tab completes, arrows go through the history, ';' separates commands.\n");
}

static void run_help(unsigned count, const char *const *arguments)
{
	const struct shell_command *command;

	if (count == 1) {
		help_list();
		return;
	}
	command = command_table_find(arguments[1]);
	if (command == NULL) {
		shell_print("%s: no such command\n", arguments[1]);
		return;
	}
	shell_print("%s %s\n  %s\n%s", command->name, command->arguments, command->summary, command->help);
}

const struct shell_command shell_help_command = {
	.name = "help",
	.arguments = "[COMMAND]",
	.summary = "list the commands, or tell more about one",
	.help = "",
	.maximum_arguments = 1,
	.completion = SHELL_COMPLETE_COMMAND,
	.run = run_help,
};
SHELL_COMMAND(shell_help_command);
