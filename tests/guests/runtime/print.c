#include "runtime/guest.h"

#include <stdarg.h>

#include "runtime/cpu.h"

#define LINE_STATUS (COM1 + 5)
#define TRANSMITTER_EMPTY 0x20u
#define PATIENCE 1000000u /* a UART that never gets ready costs output, not the run */

void guest_print_init(void)
{
	out8(COM1 + 1, 0x00);
	out8(COM1 + 3, 0x80); /* the divisor: 115200 baud */
	out8(COM1, 0x01);
	out8(COM1 + 1, 0x00);
	out8(COM1 + 3, 0x03); /* 8N1 */
	out8(COM1 + 2, 0x07);
	out8(COM1 + 4, 0x03); /* not looped back to itself */
}

static void put(char character)
{
	for (unsigned i = 0; i < PATIENCE && !(in8(LINE_STATUS) & TRANSMITTER_EMPTY); i++)
		;
	out8(COM1, (uint8_t)character);
}

static void put_number(uint64_t number, unsigned base, unsigned width, char fill)
{
	char digits[24];
	unsigned count = 0;

	do {
		digits[count++] = "0123456789abcdef"[number % base];
		number /= base;
	} while (number);
	while (width > count) {
		put(fill);
		width--;
	}
	while (count)
		put(digits[--count]);
}

static void put_text(const char *text)
{
	while (*text)
		put(*text++);
}

/* One conversion after '%'; returns what follows it. */
static const char *convert(const char *format, va_list *arguments)
{
	char fill = *format == '0' ? '0' : ' ';
	unsigned width = 0, longs = 0;

	for (; *format >= '0' && *format <= '9'; format++)
		width = width * 10 + (unsigned)(*format - '0');
	for (; *format == 'l'; format++)
		longs++;
	if (*format == 's')
		put_text(va_arg(*arguments, const char *));
	else if (*format == 'c')
		put((char)va_arg(*arguments, int));
	else if (*format == 'd' && !longs) {
		int value = va_arg(*arguments, int);
		if (value < 0)
			put('-');
		put_number(value < 0 ? 0 - (uint64_t)value : (uint64_t)value, 10, width, fill);
	} else if (*format == 'u' || *format == 'x')
		put_number(longs ? va_arg(*arguments, uint64_t) : va_arg(*arguments, unsigned), *format == 'u' ? 10 : 16, width, fill);
	return format + 1;
}

static void print(const char *format, va_list *arguments)
{
	while (*format) {
		if (*format == '%') {
			format = convert(format + 1, arguments);
			continue;
		}
		if (*format == '\n')
			put('\r');
		put(*format++);
	}
}

void guest_print(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	print(format, &arguments);
	va_end(arguments);
}

#define FAILURES_SHOWN 12u

static unsigned failures;

void guest_fail(const char *format, ...)
{
	va_list arguments;

	if (++failures > FAILURES_SHOWN)
		return;
	put_text("FAIL ");
	va_start(arguments, format);
	print(format, &arguments);
	va_end(arguments);
	put_text("\r\n");
}

void guest_finish(void)
{
	if (failures)
		guest_print("FAIL %s: %u checks\n", guest_name, failures);
	else
		guest_print("PASS %s\n", guest_name);
	guest_exit(failures ? 1 : 0);
}

void guest_exit(uint32_t code)
{
	out32(EXIT_PORT, code);
	guest_print("no test device: exit code %u\n", code);
	guest_halt();
}

void guest_halt(void)
{
	for (;;)
		__asm__ volatile("cli; hlt");
}
