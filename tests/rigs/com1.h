/* The first serial port, polled: all that the rigs' test programs need. */
#pragma once

#include <stdint.h>

#define COM1 0x3f8
#define COM1_LINE_STATUS (COM1 + 5)
#define COM1_DATA_READY 0x01
#define COM1_TRANSMIT_EMPTY 0x20

static inline void com1_out(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint8_t com1_in(uint16_t port)
{
	uint8_t value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline void com1_put(const char *text)
{
	for (; *text != '\0'; text++) {
		while ((com1_in(COM1_LINE_STATUS) & COM1_TRANSMIT_EMPTY) == 0)
			;
		com1_out(COM1, (uint8_t)*text);
	}
}

static inline uint8_t com1_get(void)
{
	while ((com1_in(COM1_LINE_STATUS) & COM1_DATA_READY) == 0)
		;
	return com1_in(COM1);
}

