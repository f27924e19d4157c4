/*
 * The hypervisor's log: lines `[    1.234567] info: text`, kept in a ring in memory (shell command `dmesg`) and sent to
 * every sink. Callable from any context; a line is written whole.
 */
#pragma once

#include "arch/x86/log_ring.h"
#include "lib/types.h"

enum log_level {
	LOG_ERROR,   /* something asked for will not happen: a VM not started, a device lost */
	LOG_WARNING, /* it works, but worse than a user would expect */
	LOG_INFO,    /* what a user wants to read at every boot */
	LOG_DEBUG,   /* for whoever debugs the hypervisor; off unless asked for */
	LOG_LEVEL_COUNT,
};

void log_write(enum log_level level, const char *format, ...) printf_like(2, 3);

#define log_error(...) log_write(LOG_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_WARNING, __VA_ARGS__)
#define log_info(...) log_write(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_DEBUG, __VA_ARGS__)

/** log_set_level() - lines above @level are neither kept nor shown. log_level_name(): "error", "warning", "info", "debug". */
void log_set_level(enum log_level level);
enum log_level log_get_level(void);
const char *log_level_name(enum log_level level);
must_check bool log_level_parse(const char *name, enum log_level *level);

/* A rate limit for lines that a guest can cause: one struct per VM or device. At most `burst` lines per second; what was
 * left out is counted and told with the next line that passes. */
struct log_limit {
	uint64_t window_start; /* [TSC ticks] */
	uint32_t passed;       /* lines in this window */
	uint32_t suppressed;
};
#define LOG_LIMIT_PER_SECOND 10u
/** log_limit_pass() - whether a line may be written now; logs "N lines suppressed" by itself when a window ends. */
must_check bool log_limit_pass(struct log_limit *limit);

/* A sink shows text: serial line, framebuffer. Registered once at boot, never removed. */
struct log_sink {
	const char *name;
	/* Writes @size bytes, any context, interrupts off; lines end in '\n'. With @synchronous, returns only when the bytes
	 * are out and takes no lock (panic). */
	void (*write)(const char *text, size_t size, bool synchronous);
	struct log_sink *next;
};

/** log_add_sink() - from now on @sink gets every line; what is in the ring is shown to it first. */
void log_add_sink(struct log_sink *sink);
/** log_write_raw() - text without prefix to all sinks, not into the ring: shell output and guests' lines. */
void log_write_raw(const char *text, size_t size);
/** log_panic_mode() - from now on sinks write synchronously and no lock is waited for. */
void log_panic_mode(void);

/** log_read() - as log_ring_read(), of the log. */
size_t log_read(struct log_reader *reader, char *buffer, size_t size);

/** log_keep_in() - the log goes on in @ring, which is lent for ever; what it holds of an earlier time is forgotten. Boot only. */
void log_keep_in(struct log_ring *ring);

/** log_start_tsc() - the host TSC at the log's time 0, which its lines' times are told from. */
uint64_t log_start_tsc(void);
