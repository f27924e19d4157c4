#include "vmm/dev/pit_counter.h"

#define STATUS_OUTPUT 0x80u
#define STATUS_NULL_COUNT 0x40u
#define CONTROL_BITS 0x3fu /* of the control word, without the counter's number */
#define CONTROL_AFTER_RESET 0x36u /* both bytes, mode 3 */

void pit_counter_reset(struct pit_counter *counter, bool gate)
{
	*counter = (struct pit_counter){.period = 65536, .gate = gate};
	pit_counter_control(counter, CONTROL_AFTER_RESET);
}

void pit_counter_control(struct pit_counter *counter, uint8_t word)
{
	unsigned mode = word >> 1 & 7;

	counter->control = word & CONTROL_BITS;
	counter->access = (enum pit_access)(word >> 4 & 3);
	counter->mode = (enum pit_mode)(mode > PIT_MODE_HARDWARE_STROBE ? mode - 4 : mode); /* 6 and 7 mean 2 and 3 */
	counter->bcd = word & 1;
	counter->loaded = counter->running = false;
	counter->high_byte_next_write = counter->high_byte_next_read = false;
	counter->latched_bytes = 0;
	counter->status_latched = false;
}

static bool mode_is_periodic(enum pit_mode mode)
{
	return mode == PIT_MODE_RATE || mode == PIT_MODE_SQUARE;
}

/* Modes that a rising gate starts, rather than the count's arrival. */
static bool mode_is_triggered(enum pit_mode mode)
{
	return mode == PIT_MODE_ONE_SHOT || mode == PIT_MODE_HARDWARE_STROBE;
}

static uint64_t counter_elapsed(const struct pit_counter *counter, uint64_t now)
{
	if (!counter->gate && !mode_is_triggered(counter->mode))
		return counter->held;
	return now - counter->start;
}

static uint32_t counter_position(const struct pit_counter *counter, uint64_t elapsed)
{
	/* The short division is several times faster, and enough for an hour. */
	if (likely(elapsed >> 32 == 0))
		return (uint32_t)elapsed % counter->period;
	return (uint32_t)(elapsed % counter->period);
}

bool pit_counter_output(const struct pit_counter *counter, uint64_t now)
{
	uint64_t elapsed;

	if (!counter->running)
		return counter->mode != PIT_MODE_TERMINAL_COUNT;
	if (!counter->gate && mode_is_periodic(counter->mode))
		return true;
	elapsed = counter_elapsed(counter, now);
	switch (counter->mode) {
	case PIT_MODE_RATE: return counter_position(counter, elapsed) != counter->period - 1;
	case PIT_MODE_SQUARE: return counter_position(counter, elapsed) < (counter->period + 1) / 2;
	case PIT_MODE_SOFTWARE_STROBE:
	case PIT_MODE_HARDWARE_STROBE: return elapsed != counter->period;
	default: return elapsed >= counter->period;
	}
}

static uint16_t bcd_from_binary(uint32_t value)
{
	return (uint16_t)(value % 10 | value / 10 % 10 << 4 | value / 100 % 10 << 8 | value / 1000 % 10 << 12);
}

/* Digits above 9 count as they would on the chip, whose decades simply start higher. */
static uint32_t binary_from_bcd(uint32_t value)
{
	return (value & 0xf) + (value >> 4 & 0xf) * 10 + (value >> 8 & 0xf) * 100 + (value >> 12 & 0xf) * 1000;
}

uint16_t pit_counter_value(const struct pit_counter *counter, uint64_t now)
{
	uint64_t elapsed = counter->running ? counter_elapsed(counter, now) : 0;
	uint32_t count;

	if (counter->mode == PIT_MODE_RATE)
		count = counter->period - counter_position(counter, elapsed);
	else if (counter->mode == PIT_MODE_SQUARE) /* counts by two, twice through each period */
		count = counter->period - counter_position(counter, elapsed * 2);
	else /* runs on through zero */
		count = counter->period - (uint32_t)elapsed;
	if (likely(!counter->bcd))
		return (uint16_t)count;
	if (!mode_is_periodic(counter->mode))
		count = (uint32_t)((counter->period + 10000 - elapsed % 10000) % 10000);
	return bcd_from_binary(count);
}

uint64_t pit_counter_next_edge(const struct pit_counter *counter, uint64_t now)
{
	uint64_t elapsed, edge;

	if (!counter->running || !counter->gate)
		return UINT64_MAX;
	elapsed = now - counter->start;
	if (mode_is_periodic(counter->mode))
		return now + counter->period - counter_position(counter, elapsed);
	edge = counter->start + counter->period;
	/* A strobe is low for one tick and rises behind it. */
	if (counter->mode == PIT_MODE_SOFTWARE_STROBE || counter->mode == PIT_MODE_HARDWARE_STROBE)
		edge++;
	return edge > now ? edge : UINT64_MAX;
}

static void counter_load(struct pit_counter *counter, uint64_t now, uint16_t value)
{
	counter->period = counter->bcd ? binary_from_bcd(value) : value;
	if (counter->period == 0)
		counter->period = counter->bcd ? 10000 : 65536;
	counter->loaded = true;
	/* In the triggered modes the gate starts the count; on the way it goes on with the old one. */
	if (!mode_is_triggered(counter->mode)) {
		counter->running = true;
		counter->start = now;
		counter->held = 0;
	}
}

void pit_counter_write(struct pit_counter *counter, uint64_t now, uint8_t value)
{
	switch (counter->access) {
	case PIT_ACCESS_LOW:
		counter_load(counter, now, value);
		return;
	case PIT_ACCESS_HIGH:
		counter_load(counter, now, (uint16_t)(value << 8));
		return;
	default:
		break;
	}
	if (counter->high_byte_next_write) {
		counter->high_byte_next_write = false;
		counter_load(counter, now, (uint16_t)(value << 8 | counter->low_byte));
		return;
	}
	counter->high_byte_next_write = true;
	counter->low_byte = value;
	/* In this mode the first byte stops the counter and takes the output down. */
	if (counter->mode == PIT_MODE_TERMINAL_COUNT)
		counter->running = false;
}

static uint8_t counter_read_latched(struct pit_counter *counter)
{
	uint8_t value = (uint8_t)counter->latched_count;

	counter->latched_count >>= 8;
	counter->latched_bytes--;
	return value;
}

uint8_t pit_counter_read(struct pit_counter *counter, uint64_t now)
{
	uint16_t count;

	if (counter->status_latched) {
		counter->status_latched = false;
		return counter->latched_status;
	}
	if (counter->latched_bytes != 0)
		return counter_read_latched(counter);
	count = pit_counter_value(counter, now);
	if (counter->access == PIT_ACCESS_LOW)
		return (uint8_t)count;
	if (counter->access == PIT_ACCESS_HIGH)
		return (uint8_t)(count >> 8);
	counter->high_byte_next_read = !counter->high_byte_next_read;
	return (uint8_t)(counter->high_byte_next_read ? count : count >> 8);
}

/* A count that is latched already stays until it was read. */
void pit_counter_latch_count(struct pit_counter *counter, uint64_t now)
{
	uint16_t count;

	if (counter->latched_bytes != 0)
		return;
	count = pit_counter_value(counter, now);
	counter->latched_count = counter->access == PIT_ACCESS_HIGH ? count >> 8 : count;
	counter->latched_bytes = counter->access == PIT_ACCESS_BOTH ? 2 : 1;
}

void pit_counter_latch_status(struct pit_counter *counter, uint64_t now)
{
	if (counter->status_latched)
		return;
	counter->status_latched = true;
	counter->latched_status = (uint8_t)(counter->control | (pit_counter_output(counter, now) ? STATUS_OUTPUT : 0) |
					    (counter->loaded ? 0 : STATUS_NULL_COUNT));
}

void pit_counter_set_gate(struct pit_counter *counter, bool gate, uint64_t now)
{
	if (gate == counter->gate)
		return;
	if (!gate) {
		counter->held = now - counter->start;
	} else if (counter->mode == PIT_MODE_TERMINAL_COUNT || counter->mode == PIT_MODE_SOFTWARE_STROBE) {
		counter->start = now - counter->held;
	} else {
		counter->start = now;
		counter->running = counter->loaded;
	}
	counter->gate = gate;
}
