/*
 * The shell on the host's console. A command is registered by the file that has it; nothing else names it.
 */
#pragma once

#include "lib/linker_table.h"
#include "lib/types.h"

struct vm;

#define SHELL_PROMPT "trivet> "
#define SHELL_LINE_SIZE 160u   /* with the NUL */
#define SHELL_MAX_ARGUMENTS 16u /* with the command's name */

/* What Tab offers for a command's arguments. */
enum shell_completion { SHELL_COMPLETE_NONE, SHELL_COMPLETE_VM, SHELL_COMPLETE_COMMAND, SHELL_COMPLETE_LOG_LEVEL, SHELL_COMPLETE_CREATABLE };

struct shell_command {
	const char *name;
	const char *arguments; /* "NAME GPA [N]"; "" if there are none */
	const char *summary;   /* one line, for `help` */
	const char *help;      /* more, for `help COMMAND`; lines end in '\n'; may be "" */
	unsigned minimum_arguments, maximum_arguments; /* without the name */
	enum shell_completion completion; /* of the first argument */
	/* @arguments[0] is the command's name; @count counts it. Boot processor, interrupts off, no lock held. */
	void (*run)(unsigned count, const char *const *arguments);
};

#define SHELL_COMMAND(object) LINKER_TABLE_ENTRY(shell_commands, const struct shell_command, object)

/** shell_start() - shows the prompt; from now on the console's input comes here. After console_mux_init(); boot processor. */
void shell_start(void);
/** shell_input() - one byte typed. */
void shell_input(uint8_t byte);
/** shell_execute() - runs one line, commands separated by ';', as if typed. @line is cut at SHELL_LINE_SIZE - 1 bytes. */
void shell_execute(const char *line);
/** shell_execute_script() - the same for any number of commands, each shown as if typed at the prompt. After shell_start(). */
void shell_execute_script(const char *commands);

/** shell_print() - output of a command: to the console and every other sink; not kept in the log. */
void shell_print(const char *format, ...) printf_like(1, 2);
