#include "vmm/shell/shell.h"

#include <stdarg.h>

#include "arch/x86/log.h"
#include "lib/fmt.h"
#include "lib/string.h"
#include "vmm/console_mux.h"
#include "vmm/shell/command_table.h"
#include "vmm/shell/completion.h"
#include "vmm/shell/line_editor.h"
#include "vmm/shell/parser.h"
#include "vmm/vm.h"

#define SCREEN_WIDTH 80u
#define PRINT_SIZE 512u
#define COLUMN_WIDTH 16u

static struct line_editor editor;
static bool running; /* a command is: what is typed meanwhile waits in the line's own buffer */

void shell_print(const char *format, ...)
{
	char text[PRINT_SIZE];
	va_list arguments;
	size_t size;

	va_start(arguments, format);
	size = fmt_vprint(text, sizeof(text), format, arguments);
	va_end(arguments);
	log_write_raw(text, min_u64(size, sizeof(text) - 1));
}

static void show_prompt(void)
{
	char text[SCREEN_WIDTH];
	size_t prompt = strlen(SHELL_PROMPT), size, cursor;
	const char *view = line_editor_view(&editor, SCREEN_WIDTH - 1 - prompt, &size, &cursor);

	memcpy(text, SHELL_PROMPT, prompt);
	memcpy(text + prompt, view, size);
	console_mux_set_prompt(text, prompt + size, prompt + cursor);
}

/* Leaves the line as it stands and goes to the next. */
static void leave_line(void)
{
	console_mux_set_prompt("", 0, 0);
	console_mux_write("\r\n", 2);
}

static void print_usage(const struct shell_command *command)
{
	shell_print("usage: %s%s%s\n", command->name, command->arguments[0] != '\0' ? " " : "", command->arguments);
}

static void run_words(const struct shell_words *words)
{
	const struct shell_command *command;

	if (words->count == 0)
		return;
	command = command_table_find(words->words[0]);
	if (command == NULL) {
		shell_print("%s: no such command; `help` lists them\n", words->words[0]);
		return;
	}
	if (words->count - 1 < command->minimum_arguments || words->count - 1 > command->maximum_arguments) {
		print_usage(command);
		return;
	}
	command->run(words->count, words->words);
}

void shell_execute(const char *line)
{
	char text[SHELL_LINE_SIZE];
	char *rest = text;

	string_copy(text, sizeof(text), line);
	while (rest != NULL) {
		struct shell_words words;
		enum status status = parser_cut_command(rest, &words, &rest);

		if (status != STATUS_OK)
			shell_print("%s: more than %u words\n", words.words[0], SHELL_MAX_ARGUMENTS);
		else
			run_words(&words);
	}
}

/* What stands in the editor. */
static void run_line(void)
{
	char line[SHELL_LINE_SIZE];

	string_copy(line, sizeof(line), editor.text);
	leave_line();
	line_editor_remember(&editor);
	line_editor_clear(&editor);
	running = true;
	shell_execute(line);
	running = false;
	/* `console` may have given the line to a VM. */
	if (console_mux_attached() == NULL)
		show_prompt();
}

void shell_execute_script(const char *commands)
{
	/* `console` gives the line to a VM: then nobody sees more. */
	while (*commands != '\0' && console_mux_attached() == NULL) {
		size_t length = 0;

		while (commands[length] != '\0' && commands[length] != ';')
			length++;
		while (length != 0 && *commands == ' ')
			commands++, length--;
		line_editor_clear(&editor);
		if (length != 0 && line_editor_insert(&editor, commands, length)) {
			show_prompt();
			run_line();
		}
		commands += length;
		commands += *commands == ';';
	}
}

static void list_candidates(const struct completion *completion)
{
	unsigned columns = SCREEN_WIDTH / COLUMN_WIDTH;

	leave_line();
	for (unsigned i = 0; i < completion->count; i++) {
		bool last = i % columns == columns - 1 || i + 1 == completion->count;

		shell_print("%-*s%s", (int)COLUMN_WIDTH - 1, completion->candidates[i], last ? "\n" : " ");
	}
}

static void complete_word(void)
{
	struct completion completion;

	completion_find(editor.text, editor.cursor, &completion);
	if (completion.count == 0) {
		console_mux_write("\a", 1);
		return;
	}
	if (completion.common > completion.prefix)
		(void)line_editor_insert(&editor, completion.candidates[0] + completion.prefix,
					 completion.common - completion.prefix);
	else if (completion.count > 1)
		list_candidates(&completion);
	if (completion.count == 1)
		(void)line_editor_insert(&editor, " ", 1);
	show_prompt();
}

static void cancel_line(void)
{
	console_mux_set_prompt("", 0, 0);
	console_mux_write("^C\r\n", 4);
	line_editor_clear(&editor);
	show_prompt();
}

static void clear_screen(void)
{
	console_mux_set_prompt("", 0, 0);
	console_mux_write("\033[H\033[2J", 7);
	show_prompt();
}

void shell_input(uint8_t byte)
{
	if (running)
		return;
	switch (line_editor_input(&editor, byte)) {
	case LINE_EDITOR_CHANGED: show_prompt(); break;
	case LINE_EDITOR_REFUSED: console_mux_write("\a", 1); break;
	case LINE_EDITOR_LINE: run_line(); break;
	case LINE_EDITOR_COMPLETE: complete_word(); break;
	case LINE_EDITOR_CANCEL: cancel_line(); break;
	case LINE_EDITOR_REDRAW: clear_screen(); break;
	default: break;
	}
}

static void attached_changed(bool attached)
{
	/* While a command runs, its own end shows the prompt. */
	if (!attached && !running)
		show_prompt();
}

void shell_start(void)
{
	line_editor_init(&editor);
	console_mux_set_shell(shell_input, attached_changed);
	show_prompt();
}
