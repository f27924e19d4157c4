#include "arch/x86/log.h"

#include <stdarg.h>

#include "arch/x86/clock.h"
#include "arch/x86/spinlock.h"
#include "lib/fmt.h"
#include "lib/string.h"

#define LINE_SIZE 512u
#define SHOWN_PIECE 256u
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

static struct log_ring first_ring;

static struct {
	struct spinlock lock; /* protects all below; held while sinks write, so that a line is whole everywhere */
	struct log_ring *ring;
	struct log_sink *sinks;
} journal = {.ring = &first_ring};

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

static void sinks_write(const char *text, size_t size)
{
	for (struct log_sink *sink = journal.sinks; sink != NULL; sink = sink->next)
		sink->write(text, size, panicking);
}

/* Prefix and text, one '\n' at the end and no other control character; returns the length. */
static size_t format_line(char line[LINE_SIZE], uint64_t now, enum log_level level, const char *format, va_list arguments)
{
	uint64_t microseconds = clock_nanoseconds_from_ticks(now - journal.ring->start_tsc) / 1000;
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
	if (journal.ring->written == 0)
		log_ring_begin(journal.ring, clock_now());
	va_start(arguments, format);
	length = format_line(line, clock_now(), level, format, arguments);
	va_end(arguments);
	log_ring_put(journal.ring, line, length);
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

/* With the lock held, since nothing may come between the old lines and the new ones. */
static void show_so_far(const struct log_sink *sink)
{
	struct log_reader reader = {0};
	char piece[SHOWN_PIECE];
	size_t size;

	while ((size = log_ring_read(journal.ring, &reader, piece, sizeof(piece))) != 0)
		sink->write(piece, size, panicking);
}

void log_add_sink(struct log_sink *sink)
{
	lock();
	show_so_far(sink);
	sink->next = journal.sinks;
	journal.sinks = sink;
	unlock();
}

size_t log_read(struct log_reader *reader, char *buffer, size_t size)
{
	lock();
	size = log_ring_read(journal.ring, reader, buffer, size);
	unlock();
	return size;
}

void log_keep_in(struct log_ring *ring)
{
	lock();
	*ring = *journal.ring;
	journal.ring = ring;
	unlock();
}

uint64_t log_start_tsc(void)
{
	return journal.ring->start_tsc;
}
