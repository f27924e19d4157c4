/* The registered commands by name. */
#pragma once

#include "vmm/shell/shell.h"

/** command_table_next() - the command whose name follows @previous in the alphabet; NULL starts; NULL at the end. */
const struct shell_command *command_table_next(const struct shell_command *previous);
const struct shell_command *command_table_find(const char *name);
