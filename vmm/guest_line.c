#include "vmm/guest_line.h"

#include "arch/x86/log.h"
#include "lib/fmt.h"
#include "lib/string.h"

enum sequence { SEQUENCE_NONE, SEQUENCE_ESCAPE, SEQUENCE_CONTROL, SEQUENCE_STRING };

struct guest_line {
	uint32_t id; /* 0: free */
	enum sequence sequence;
	uint8_t continuation; /* bytes that the UTF-8 character begun still wants */
	size_t size;
	char text[GUEST_LINE_SIZE];
};

static struct guest_line lines[CONFIG_MAX_VMS];

/* VMs' ids are never 0, so that find(0) gives a free one. */
static struct guest_line *find(uint32_t id)
{
	for (unsigned i = 0; i < array_count(lines); i++) {
		if (lines[i].id == id)
			return &lines[i];
	}
	return NULL;
}

static struct guest_line *find_or_make(uint32_t id)
{
	struct guest_line *line = find(id);

	if (line != NULL)
		return line;
	line = find(0);
	if (line != NULL)
		*line = (struct guest_line){.id = id};
	return line;
}

static void show(struct guest_line *line, const char *name)
{
	char text[GUEST_LINE_SIZE + CONFIG_NAME_SIZE + 8];
	size_t size = fmt_print(text, sizeof(text), "(%s) %.*s\n", name, (int)line->size, line->text);

	log_write_raw(text, min_u64(size, sizeof(text) - 1));
	line->size = 0;
}

/*
 * The state behind @byte of a terminal sequence. ECMA-48: ESC and one character; CSI with parameters up to a final byte;
 * strings (OSC and its like) up to BEL or the ESC of their terminator.
 */
static enum sequence sequence_next(enum sequence sequence, uint8_t byte)
{
	switch (sequence) {
	case SEQUENCE_ESCAPE:
		if (byte == '[')
			return SEQUENCE_CONTROL;
		if (byte == ']' || byte == 'P' || byte == 'X' || byte == '^' || byte == '_')
			return SEQUENCE_STRING;
		return byte >= 0x20 && byte < 0x30 ? SEQUENCE_ESCAPE : SEQUENCE_NONE;
	case SEQUENCE_CONTROL:
		return byte >= 0x40 ? SEQUENCE_NONE : SEQUENCE_CONTROL;
	default:
		return byte == '\a' ? SEQUENCE_NONE : SEQUENCE_STRING;
	}
}

/* Bytes from 0x80 on pass only as parts of UTF-8 characters: alone, 0x80 to 0x9f are controls for an 8-bit terminal. */
static bool utf8_allows(struct guest_line *line, uint8_t byte)
{
	if (byte < 0x80 || byte >= 0xc2) {
		line->continuation = byte < 0xc2 || byte >= 0xf5 ? 0 : byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3;
		return byte < 0xf5;
	}
	if (byte >= 0xc0 || line->continuation == 0)
		return false;
	line->continuation--;
	return true;
}

static void add_byte(struct guest_line *line, const char *name, uint8_t byte)
{
	/* A line end closes what a cut-off sequence would swallow for ever. */
	if (byte == '\n') {
		line->sequence = SEQUENCE_NONE;
		show(line, name);
		return;
	}
	if (byte == 0x1b) {
		line->sequence = SEQUENCE_ESCAPE;
		return;
	}
	if (line->sequence != SEQUENCE_NONE) {
		line->sequence = sequence_next(line->sequence, byte);
		return;
	}
	if ((byte < ' ' && byte != '\t') || byte == 0x7f || !utf8_allows(line, byte))
		return;
	/* The same controls as U+0080 to U+009F in UTF-8. */
	if (byte >= 0x80 && byte < 0xa0 && line->size != 0 && (uint8_t)line->text[line->size - 1] == 0xc2) {
		line->size--;
		return;
	}
	if (line->size == GUEST_LINE_SIZE)
		show(line, name);
	line->text[line->size++] = (char)byte;
}

void guest_line_add(uint32_t id, const char *name, const uint8_t *bytes, size_t size)
{
	struct guest_line *line = find_or_make(id);

	for (size_t i = 0; line != NULL && i < size; i++)
		add_byte(line, name, bytes[i]);
}

void guest_line_end(uint32_t id, const char *name)
{
	struct guest_line *line = find(id);

	if (line != NULL && line->size != 0)
		show(line, name);
}

size_t guest_line_take(uint32_t id, char text[GUEST_LINE_SIZE])
{
	struct guest_line *line = find(id);
	size_t size = line != NULL ? line->size : 0;

	if (size == 0)
		return 0;
	memcpy(text, line->text, size);
	line->size = 0;
	return size;
}

void guest_line_forget(uint32_t id)
{
	struct guest_line *line = find(id);

	if (line != NULL)
		line->id = 0;
}
