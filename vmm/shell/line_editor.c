#include "vmm/shell/line_editor.h"

#include "lib/string.h"

#define CONTROL(letter) ((letter) - 'A' + 1)
#define KEY_ESCAPE 0x1bu
#define KEY_DELETE 0x7fu

typedef enum line_editor_event (*key_action)(struct line_editor *editor);

void line_editor_init(struct line_editor *editor)
{
	memset(editor, 0, sizeof(*editor));
}

void line_editor_clear(struct line_editor *editor)
{
	editor->length = editor->cursor = 0;
	editor->text[0] = '\0';
	editor->history_back = 0;
}

bool line_editor_insert(struct line_editor *editor, const char *text, size_t size)
{
	size_t fits = min_u64(size, SHELL_LINE_SIZE - 1 - editor->length);
	char *place = editor->text + editor->cursor;

	memmove(place + fits, place, editor->length - editor->cursor + 1);
	memcpy(place, text, fits);
	editor->length += fits;
	editor->cursor += fits;
	return fits == size;
}

/* Takes [@start, @end) out and leaves the cursor there. */
static enum line_editor_event erase(struct line_editor *editor, size_t start, size_t end)
{
	if (start == end)
		return LINE_EDITOR_REFUSED;
	memmove(editor->text + start, editor->text + end, editor->length - end + 1);
	editor->length -= end - start;
	editor->cursor = start;
	return LINE_EDITOR_CHANGED;
}

static enum line_editor_event move(struct line_editor *editor, size_t cursor)
{
	editor->cursor = cursor;
	return LINE_EDITOR_CHANGED;
}

static enum line_editor_event go_left(struct line_editor *editor)
{
	return editor->cursor > 0 ? move(editor, editor->cursor - 1) : LINE_EDITOR_REFUSED;
}

static enum line_editor_event go_right(struct line_editor *editor)
{
	return editor->cursor < editor->length ? move(editor, editor->cursor + 1) : LINE_EDITOR_REFUSED;
}

static enum line_editor_event go_home(struct line_editor *editor)
{
	return move(editor, 0);
}

static enum line_editor_event go_end(struct line_editor *editor)
{
	return move(editor, editor->length);
}

static enum line_editor_event erase_before(struct line_editor *editor)
{
	return erase(editor, editor->cursor > 0 ? editor->cursor - 1 : 0, editor->cursor);
}

static enum line_editor_event erase_after(struct line_editor *editor)
{
	return erase(editor, editor->cursor, min_u64(editor->cursor + 1, editor->length));
}

static enum line_editor_event erase_to_start(struct line_editor *editor)
{
	return erase(editor, 0, editor->cursor);
}

static enum line_editor_event erase_to_end(struct line_editor *editor)
{
	return erase(editor, editor->cursor, editor->length);
}

static enum line_editor_event erase_word(struct line_editor *editor)
{
	size_t start = editor->cursor;

	while (start > 0 && editor->text[start - 1] == ' ')
		start--;
	while (start > 0 && editor->text[start - 1] != ' ')
		start--;
	return erase(editor, start, editor->cursor);
}

static void replace_text(struct line_editor *editor, const char *text)
{
	string_copy(editor->text, sizeof(editor->text), text);
	editor->length = editor->cursor = strlen(editor->text);
}

static const char *history_line(const struct line_editor *editor, unsigned back)
{
	return editor->history[(editor->history_count - back) % LINE_EDITOR_HISTORY];
}

static enum line_editor_event go_older(struct line_editor *editor)
{
	if (editor->history_back >= min_u64(editor->history_count, LINE_EDITOR_HISTORY))
		return LINE_EDITOR_REFUSED;
	if (editor->history_back == 0)
		string_copy(editor->typed, sizeof(editor->typed), editor->text);
	editor->history_back++;
	replace_text(editor, history_line(editor, editor->history_back));
	return LINE_EDITOR_CHANGED;
}

static enum line_editor_event go_newer(struct line_editor *editor)
{
	if (editor->history_back == 0)
		return LINE_EDITOR_REFUSED;
	editor->history_back--;
	replace_text(editor, editor->history_back == 0 ? editor->typed : history_line(editor, editor->history_back));
	return LINE_EDITOR_CHANGED;
}

void line_editor_remember(struct line_editor *editor)
{
	if (editor->length == 0)
		return;
	if (editor->history_count != 0 && strcmp(history_line(editor, 1), editor->text) == 0)
		return;
	string_copy(editor->history[editor->history_count % LINE_EDITOR_HISTORY], SHELL_LINE_SIZE, editor->text);
	editor->history_count++;
}

/* Control characters that act at once. */
static enum line_editor_event control_key(struct line_editor *editor, uint8_t byte)
{
	static const key_action actions[KEY_DELETE + 1] = {
		[CONTROL('A')] = go_home, [CONTROL('E')] = go_end, [CONTROL('B')] = go_left, [CONTROL('F')] = go_right,
		[CONTROL('P')] = go_older, [CONTROL('N')] = go_newer, [CONTROL('D')] = erase_after, [CONTROL('H')] = erase_before,
		[KEY_DELETE] = erase_before, [CONTROL('U')] = erase_to_start, [CONTROL('K')] = erase_to_end,
		[CONTROL('W')] = erase_word,
	};

	switch (byte) {
	case '\r':
	case '\n': return LINE_EDITOR_LINE;
	case '\t': return LINE_EDITOR_COMPLETE;
	case CONTROL('C'): return LINE_EDITOR_CANCEL;
	case CONTROL('L'): return LINE_EDITOR_REDRAW;
	default: return actions[byte] != NULL ? actions[byte](editor) : LINE_EDITOR_NONE;
	}
}

/* `ESC [ 3 ~` and its like. */
static enum line_editor_event numbered_key(struct line_editor *editor)
{
	switch (editor->parameter) {
	case 1:
	case 7: return go_home(editor);
	case 3: return erase_after(editor);
	case 4:
	case 8: return go_end(editor);
	default: return LINE_EDITOR_NONE;
	}
}

static enum line_editor_event sequence_key(struct line_editor *editor, uint8_t final)
{
	switch (final) {
	case 'A': return go_older(editor);
	case 'B': return go_newer(editor);
	case 'C': return go_right(editor);
	case 'D': return go_left(editor);
	case 'H': return go_home(editor);
	case 'F': return go_end(editor);
	case '~': return numbered_key(editor);
	default: return LINE_EDITOR_NONE;
	}
}

static enum line_editor_event sequence_byte(struct line_editor *editor, uint8_t byte)
{
	if (editor->state == LINE_EDITOR_ESCAPE) {
		editor->parameter = 0;
		editor->state = byte == '[' || byte == 'O' ? LINE_EDITOR_SEQUENCE : LINE_EDITOR_TEXT;
		return LINE_EDITOR_NONE;
	}
	if (byte >= '0' && byte <= '9') {
		editor->parameter = (uint8_t)min_u64(editor->parameter * 10u + byte - '0', UINT8_MAX);
		return LINE_EDITOR_NONE;
	}
	if (byte >= 0x20 && byte < 0x40)
		return LINE_EDITOR_NONE;
	editor->state = LINE_EDITOR_TEXT;
	return sequence_key(editor, byte);
}

static enum line_editor_event text_byte(struct line_editor *editor, uint8_t byte)
{
	char character = (char)byte;

	if (byte < ' ' || byte == KEY_DELETE)
		return control_key(editor, byte);
	/* Names are ASCII, so that a column is a character. */
	if (byte > KEY_DELETE || !line_editor_insert(editor, &character, 1))
		return LINE_EDITOR_REFUSED;
	return LINE_EDITOR_CHANGED;
}

enum line_editor_event line_editor_input(struct line_editor *editor, uint8_t byte)
{
	bool after_return = editor->after_return;

	editor->after_return = byte == '\r';
	if (after_return && byte == '\n')
		return LINE_EDITOR_NONE;
	/* A control character ends a sequence that was cut off. */
	if (byte == KEY_ESCAPE) {
		editor->state = LINE_EDITOR_ESCAPE;
		return LINE_EDITOR_NONE;
	}
	if (byte < ' ')
		editor->state = LINE_EDITOR_TEXT;
	return editor->state == LINE_EDITOR_TEXT ? text_byte(editor, byte) : sequence_byte(editor, byte);
}

const char *line_editor_view(const struct line_editor *editor, size_t width, size_t *size, size_t *cursor)
{
	/* Scrolls by half of the width, so that the text stands still for most keys. */
	size_t half = width / 2, start = 0;

	while (editor->cursor - start >= width)
		start += half;
	*size = min_u64(editor->length - start, width);
	*cursor = editor->cursor - start;
	return editor->text + start;
}
