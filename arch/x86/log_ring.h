/*
 * The log's memory: the last lines, in a ring with a running sum, so that what an earlier boot left in RAM can be told from
 * what something else wrote there. No lock: the log's own protects the ring in use, and an earlier boot's is only read.
 */
#pragma once

#include "lib/types.h"

#define LOG_RING_SIZE 65536u /* a power of two */

/* All zeroes is an empty ring. */
struct log_ring {
	uint64_t written;      /* bytes ever put in; byte n is at text[n % LOG_RING_SIZE] */
	uint64_t overwritten;  /* lines whose end has left the ring */
	uint64_t start_tsc;    /* of the first line: the log's time 0 */
	uint64_t sum;          /* of @text and the three above */
	char text[LOG_RING_SIZE];
};

/* Where someone reads. All zeroes: before the oldest line. */
struct log_reader {
	uint64_t position; /* of the next byte */
	uint64_t lines;    /* lines in front of @position */
	uint64_t lost;     /* lines in front of @position that were overwritten before this reader came to them */
};

/** log_ring_put() - appends text that ends in '\n'. */
void log_ring_put(struct log_ring *ring, const char *text, size_t size);
/** log_ring_begin() - the log's time 0. */
void log_ring_begin(struct log_ring *ring, uint64_t start_tsc);

/**
 * log_ring_read() - copies text out of the ring, oldest first, from a line's beginning on.
 * Return: bytes copied into @buffer, 0 at the end. @reader->lost has grown if lines between the last call and this one, or
 * before the first, are missing.
 */
size_t log_ring_read(const struct log_ring *ring, struct log_reader *reader, char *buffer, size_t size);

/** log_ring_is_sound() - the sum is right. A reset amid a line leaves it wrong. */
bool log_ring_is_sound(const struct log_ring *ring);
