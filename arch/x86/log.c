#include "arch/x86/log.h"

#include <stdarg.h>

#include "arch/x86/clock.h"
#include "arch/x86/spinlock.h"
#include "lib/fmt.h"
#include "lib/string.h"

#define RING_SIZE 65536u /* a power of two */
#define LINE_SIZE 512u
#define MICROSECONDS_PER_SECOND 1000000u

static const char cut_mark[] = "...\n";

static const char *const level_names[LOG_LEVEL_COUNT] = {
	[LOG_ERROR] = "error",
	[LOG_WARNING] = "warning",
	[LOG_INFO] = "info",
	[LOG_DEBUG] = "debug",
};

static enum log_level level_shown = LOG_INFO;
static bool panicking;

static struct {
	struct spinlock lock; /* protects all below; held while sinks write, so that a line is whole everywhere */
	uint64_t written;     /* bytes ever put into the ring; they are at this modulo its size */
	uint64_t start_tsc;   /* of the first line: the log's time 0 */
	struct log_sink *sinks;
	char ring[RING_SIZE];
} journal;

static void lock(void)
{
	if (!panicking)
		spinlock_lock(&journal.lock);
}

static void unlock(void)
{
	if (!panicking)
		spinlock_unlock(&journal.lock);
}

static uint64_t oldest(void)
{
	return journal.written > RING_SIZE ? journal.written - RING_SIZE : 0;
}

static void ring_put(const char *text, size_t size)
{
	for (size_t i = 0; i < size; i++)
		journal.ring[(journal.written + i) % RING_SIZE] = text[i];
	journal.written += size;
}

/* What is in one piece in the ring from @position on: at most @limit bytes. */
static size_t ring_piece(uint64_t position, size_t limit)
{
	return min_u64(min_u64(journal.written - position, RING_SIZE - position % RING_SIZE), limit);
}

/* The ring's first whole line: what overtook itself has lost the beginning of its oldest one. */
static uint64_t first_line(void)
{
	uint64_t position = oldest();

	if (position == 0)
		return 0;
	while (position < journal.written && journal.ring[position % RING_SIZE] != '\n')
		position++;
	return position < journal.written ? position + 1 : position;
}

static void sinks_write(const char *text, size_t size)
{
	for (struct log_sink *sink = journal.sinks; sink != NULL; sink = sink->next)
		sink->write(text, size, panicking);
}

/* Prefix and text, one '\n' at the end and no other control character; returns the length. */
static size_t format_line(char line[LINE_SIZE], uint64_t now, enum log_level level, const char *format, va_list arguments)
{
	uint64_t microseconds = clock_nanoseconds_from_ticks(now - journal.start_tsc) / 1000;
	size_t length = fmt_print(line, LINE_SIZE, "[%5llu.%06llu] %s: ", (unsigned long long)(microseconds / MICROSECONDS_PER_SECOND),
				  (unsigned long long)(microseconds % MICROSECONDS_PER_SECOND), log_level_name(level));

	length += fmt_vprint(line + length, LINE_SIZE - length, format, arguments);
	if (length < LINE_SIZE - 1) {
		while (length > 0 && line[length - 1] == '\n')
			length--;
		line[length++] = '\n';
	} else {
		length = LINE_SIZE - 1;
		memcpy(line + length - strlen(cut_mark), cut_mark, sizeof(cut_mark));
	}
	for (size_t i = 0; i + 1 < length; i++)
		if (((unsigned char)line[i] < ' ' && line[i] != '\t') || line[i] == 0x7f)
			line[i] = '?';
	return length;
}

void log_write(enum log_level level, const char *format, ...)
{
	char line[LINE_SIZE];
	va_list arguments;
	size_t length;

	if (level > level_shown)
		return;
	lock();
	if (journal.written == 0)
		journal.start_tsc = clock_now();
	va_start(arguments, format);
	length = format_line(line, clock_now(), level, format, arguments);
	va_end(arguments);
	ring_put(line, length);
	sinks_write(line, length);
	unlock();
}

void log_write_raw(const char *text, size_t size)
{
	lock();
	sinks_write(text, size);
	unlock();
}

void log_panic_mode(void)
{
	panicking = true;
}

void log_set_level(enum log_level level)
{
	level_shown = level;
}

enum log_level log_get_level(void)
{
	return level_shown;
}

const char *log_level_name(enum log_level level)
{
	return level < LOG_LEVEL_COUNT ? level_names[level] : "unknown";
}

bool log_level_parse(const char *name, enum log_level *level)
{
	for (unsigned i = 0; i < LOG_LEVEL_COUNT; i++) {
		if (strcmp(name, level_names[i]) == 0) {
			*level = (enum log_level)i;
			return true;
		}
	}
	return false;
}

bool log_limit_pass(struct log_limit *limit)
{
	uint64_t now = clock_now();

	if (now - limit->window_start >= clock_tsc_frequency) {
		uint32_t suppressed = limit->suppressed;

		*limit = (struct log_limit){.window_start = now};
		if (suppressed != 0)
			log_warning("%u lines suppressed", suppressed);
	}
	if (limit->passed == LOG_LIMIT_PER_SECOND) {
		limit->suppressed++;
		return false;
	}
	limit->passed++;
	return true;
}

void log_add_sink(struct log_sink *sink)
{
	size_t piece;

	lock();
	for (uint64_t position = first_line(); position < journal.written; position += piece) {
		piece = ring_piece(position, RING_SIZE);
		sink->write(&journal.ring[position % RING_SIZE], piece, panicking);
	}
	sink->next = journal.sinks;
	journal.sinks = sink;
	unlock();
}

size_t log_read(uint64_t *position, char *buffer, size_t size)
{
	size_t piece;

	lock();
	if (*position < oldest() || *position > journal.written)
		*position = first_line();
	piece = ring_piece(*position, size);
	memcpy(buffer, &journal.ring[*position % RING_SIZE], piece);
	unlock();
	*position += piece;
	return piece;
}
