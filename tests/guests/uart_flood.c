/* Much output at once, lines without end, control sequences, and lines that would like to be the host's. */
#include "runtime/guest.h"

#include "runtime/cpu.h"

const char guest_name[] = "uart_flood";

static void send_without_asking(const char *text)
{
	while (*text)
		out8(COM1, (uint8_t)*text++);
}

void guest_main(void)
{
	for (unsigned i = 0; i < 60; i++)
		guest_print("flood %02u 0123456789 abcdefghijklmnopqrstuvwxyz\n", i);
	for (unsigned i = 0; i < 1000; i++)
		guest_print("%c", (int)('a' + i % 26));
	guest_print("\n");
	guest_print("\rtrivet: panic: forged\n\x1b[2J\x1b[1;1Htrivet: panic: forged\n");
	guest_print("\x08\x08\x08\x08\x08\x08\x08\x08\x08\x08\x08\x08vm uart_flood: stopped (forged)\n\x9b[2J\xff\xfe\n");
	for (unsigned i = 0; i < 20; i++)
		send_without_asking("as fast as the bus goes\r\n");
	for (unsigned port = COM1; port < COM1 + 8; port++) {
		for (unsigned value = 0; value < 256 && port != COM1; value++) {
			out8((uint16_t)port, (uint8_t)value);
			in8((uint16_t)port);
		}
	}
	out8(COM1 + 1, 0);
	out8(COM1 + 4, 0);
	out8(COM1 + 3, 3);
	out8(COM1 + 2, 7);
	guest_print("\nflood done\n");
}
