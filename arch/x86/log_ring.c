#include "arch/x86/log_ring.h"

#include "lib/string.h"

/* Each byte with a weight of its own, so that bytes that changed places are found; a byte can be taken out again. */
static uint64_t weigh(uint64_t position, char byte)
{
	return (uint64_t)(unsigned char)byte * (position % LOG_RING_SIZE * 2 + 1);
}

static uint64_t weigh_counters(const struct log_ring *ring)
{
	return ring->written * 0x9e3779b97f4a7c15u + ring->overwritten * 0xc2b2ae3d27d4eb4fu + ring->start_tsc;
}

static uint64_t oldest(const struct log_ring *ring)
{
	return ring->written > LOG_RING_SIZE ? ring->written - LOG_RING_SIZE : 0;
}

void log_ring_begin(struct log_ring *ring, uint64_t start_tsc)
{
	ring->sum -= weigh_counters(ring);
	ring->start_tsc = start_tsc;
	ring->sum += weigh_counters(ring);
}

void log_ring_put(struct log_ring *ring, const char *text, size_t size)
{
	uint64_t sum = ring->sum - weigh_counters(ring);

	for (size_t i = 0; i < size; i++, ring->written++) {
		char *place = &ring->text[ring->written % LOG_RING_SIZE];

		ring->overwritten += ring->written >= LOG_RING_SIZE && *place == '\n';
		sum += weigh(ring->written, text[i]) - weigh(ring->written, *place);
		*place = text[i];
	}
	ring->sum = sum + weigh_counters(ring);
}

bool log_ring_is_sound(const struct log_ring *ring)
{
	uint64_t sum = weigh_counters(ring);

	for (size_t i = 0; i < LOG_RING_SIZE; i++)
		sum += weigh(i, ring->text[i]);
	return sum == ring->sum;
}

/* The ring's first whole line: what overtook itself has lost the beginning of its oldest one. */
static void go_to_first_line(const struct log_ring *ring, struct log_reader *reader)
{
	uint64_t position = oldest(ring), lines = ring->overwritten;

	while (position != 0 && position < ring->written && ring->text[position++ % LOG_RING_SIZE] != '\n')
		continue;
	if (position != oldest(ring))
		lines++;
	reader->lost += lines > reader->lines ? lines - reader->lines : 0;
	reader->lines = lines;
	reader->position = position;
}

size_t log_ring_read(const struct log_ring *ring, struct log_reader *reader, char *buffer, size_t size)
{
	uint64_t start;

	if (reader->position < oldest(ring) || reader->position > ring->written)
		go_to_first_line(ring, reader);
	start = reader->position % LOG_RING_SIZE;
	size = min_u64(min_u64(ring->written - reader->position, LOG_RING_SIZE - start), size);
	memcpy(buffer, &ring->text[start], size);
	for (size_t i = 0; i < size; i++)
		reader->lines += buffer[i] == '\n';
	reader->position += size;
	return size;
}
