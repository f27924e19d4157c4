/*
 * One counter of the 8254, as arithmetic on PIT ticks: it knows neither ports nor interrupts. Intel 8254 data sheet, "Mode
 * Definitions" and "Read Operations".
 */
#pragma once

#include "lib/types.h"

enum pit_access { PIT_ACCESS_LATCH, PIT_ACCESS_LOW, PIT_ACCESS_HIGH, PIT_ACCESS_BOTH };
enum pit_mode {
	PIT_MODE_TERMINAL_COUNT, PIT_MODE_ONE_SHOT, PIT_MODE_RATE, PIT_MODE_SQUARE, PIT_MODE_SOFTWARE_STROBE,
	PIT_MODE_HARDWARE_STROBE,
};

struct pit_counter {
	uint64_t start;      /* PIT tick at which counting (re)started */
	uint64_t held;       /* ticks counted when the gate stopped it */
	uint32_t period;     /* count written, 1..65536 */
	uint8_t control;     /* access, mode and BCD bits as written, for the status byte */
	enum pit_access access;
	enum pit_mode mode;
	bool bcd, gate;
	bool loaded;         /* a full count was written since the control word */
	bool running;        /* loaded, and where the mode needs it triggered; else the output rests */
	bool high_byte_next_write, high_byte_next_read;
	uint8_t low_byte;    /* written, waits for the high byte */
	uint8_t latched_bytes; /* of latched_count still to read */
	bool status_latched;
	uint8_t latched_status;
	uint16_t latched_count;
};

/** pit_counter_reset() - not programmed yet; reads and status as after a PC's firmware, mode 3. */
void pit_counter_reset(struct pit_counter *counter, bool gate);
/** pit_counter_control() - a control word for this counter that is no latch command: stops it until a count comes. */
void pit_counter_control(struct pit_counter *counter, uint8_t word);
/** pit_counter_write() / pit_counter_read() - a byte of the count at tick @now. */
void pit_counter_write(struct pit_counter *counter, uint64_t now, uint8_t value);
uint8_t pit_counter_read(struct pit_counter *counter, uint64_t now);
void pit_counter_latch_count(struct pit_counter *counter, uint64_t now);
void pit_counter_latch_status(struct pit_counter *counter, uint64_t now);
void pit_counter_set_gate(struct pit_counter *counter, bool gate, uint64_t now);
/** pit_counter_output() - level of OUT. pit_counter_value(): the count as it would be read. */
bool pit_counter_output(const struct pit_counter *counter, uint64_t now);
uint16_t pit_counter_value(const struct pit_counter *counter, uint64_t now);
/** pit_counter_next_edge() - the tick of OUT's next rise after @now; UINT64_MAX if there is none. */
uint64_t pit_counter_next_edge(const struct pit_counter *counter, uint64_t now);
