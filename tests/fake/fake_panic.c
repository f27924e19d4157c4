#include "fake_panic.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

jmp_buf fake_panic_jump;
bool fake_panic_expected;
char fake_panic_message[256];

void panic(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(fake_panic_message, sizeof(fake_panic_message), format, arguments);
	va_end(arguments);
	if (fake_panic_expected) {
		fake_panic_expected = false;
		longjmp(fake_panic_jump, 1);
	}
	fprintf(stderr, "panic: %s\n", fake_panic_message);
	abort();
}
