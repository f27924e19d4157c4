#include "vmm/shell/command_table.h"

#include "lib/string.h"

LINKER_TABLE_DECLARE(shell_commands, const struct shell_command);

const struct shell_command *command_table_next(const struct shell_command *previous)
{
	const struct shell_command *next = NULL;

	for (size_t i = 0; i < LINKER_TABLE_COUNT(shell_commands); i++) {
		const struct shell_command *candidate = LINKER_TABLE_START(shell_commands)[i];

		if (previous != NULL && strcmp(candidate->name, previous->name) <= 0)
			continue;
		if (next == NULL || strcmp(candidate->name, next->name) < 0)
			next = candidate;
	}
	return next;
}

const struct shell_command *command_table_find(const char *name)
{
	for (size_t i = 0; i < LINKER_TABLE_COUNT(shell_commands); i++) {
		const struct shell_command *command = LINKER_TABLE_START(shell_commands)[i];

		if (strcmp(command->name, name) == 0)
			return command;
	}
	return NULL;
}
