/*
 * What an earlier boot left in RAM, as something else may have changed it: the header's check, the log and the exit recorders
 * as `dmesg --last-boot` shows them. No read leaves the area, each ends, and only text comes out.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arch/x86/clock.h"
#include "vmm/exit_recorder.h"
#include "vmm/last_boot.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct last_boot_half half;

static void check_text(const char *text, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if ((text[i] < ' ' || text[i] > '~') && text[i] != '\n' && text[i] != '\t')
			abort();
}

static void print(const char *format, ...)
{
	char line[256];
	va_list arguments;

	va_start(arguments, format);
	int length = vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	if (length < 0 || (size_t)length >= sizeof(line))
		abort();
	check_text(line, (size_t)length);
}

/* Up to @limit bytes of the input to @target, and on to the rest. */
static void take(const uint8_t **data, size_t *size, void *target, size_t limit)
{
	size_t taken = *size < limit ? *size : limit;

	memcpy(target, *data, taken);
	*data += taken;
	*size -= taken;
}

static void read_log(void)
{
	struct log_reader reader = {0};
	char text[777];
	size_t total = 0, size;

	while ((size = last_boot_read_log(&half, &reader, text, sizeof(text))) != 0) {
		check_text(text, size);
		total += size;
	}
	if (total > LOG_RING_SIZE)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	clock_set_frequency(2000000000);
	memset(&half, 0, sizeof(half));
	take(&data, &size, &half.header, 64);
	take(&data, &size, &half.log, 32);
	take(&data, &size, &half.recorders[0], 1024);
	take(&data, &size, half.log.text, LOG_RING_SIZE);
	(void)last_boot_check(&half);
	(void)log_ring_is_sound(&half.log);
	read_log();
	exit_recorder_print_records(&half.recorders[0], 20, half.log.start_tsc, print);
	return 0;
}
