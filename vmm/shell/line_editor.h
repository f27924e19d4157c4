/* One line of input with a history: takes bytes of a terminal (ECMA-48), knows nothing of screens or commands. */
#pragma once

#include "lib/types.h"
#include "vmm/shell/shell.h"

#define LINE_EDITOR_HISTORY 16u

enum line_editor_event {
	LINE_EDITOR_NONE,
	LINE_EDITOR_CHANGED,   /* text or cursor: draw again */
	LINE_EDITOR_REFUSED,   /* the key has nothing to do here: a bell */
	LINE_EDITOR_LINE,      /* Enter; the line is in `text` until line_editor_clear() */
	LINE_EDITOR_COMPLETE,  /* Tab */
	LINE_EDITOR_CANCEL,    /* Ctrl-C */
	LINE_EDITOR_REDRAW,    /* Ctrl-L: clear the screen */
};

enum line_editor_state { LINE_EDITOR_TEXT, LINE_EDITOR_ESCAPE, LINE_EDITOR_SEQUENCE };

struct line_editor {
	char text[SHELL_LINE_SIZE]; /* NUL-terminated, printable characters only */
	size_t length, cursor;      /* cursor <= length < SHELL_LINE_SIZE */
	enum line_editor_state state;
	uint8_t parameter;          /* of the control sequence; 0: none */
	bool after_return;          /* so that CR LF is one end of line */
	unsigned history_count;     /* lines ever kept */
	unsigned history_back;      /* how far the user went back; 0: the line being typed */
	char typed[SHELL_LINE_SIZE]; /* that line, meanwhile */
	char history[LINE_EDITOR_HISTORY][SHELL_LINE_SIZE];
};

void line_editor_init(struct line_editor *editor);
/** line_editor_input() - one byte from the terminal. */
enum line_editor_event line_editor_input(struct line_editor *editor, uint8_t byte);
/** line_editor_insert() - @text at the cursor, as far as it fits; false if not all did. Only printable characters. */
bool line_editor_insert(struct line_editor *editor, const char *text, size_t size);
/** line_editor_clear() - an empty line, at the end of the history. */
void line_editor_clear(struct line_editor *editor);
/** line_editor_remember() - keeps the line in the history unless it is empty or the same as the last one. */
void line_editor_remember(struct line_editor *editor);
/**
 * line_editor_view() - the part of the line to show in @width columns (> 1), chosen so that the cursor is in it.
 * @size, @cursor: out: its length, and where in it the cursor stands.
 */
const char *line_editor_view(const struct line_editor *editor, size_t width, size_t *size, size_t *cursor);
