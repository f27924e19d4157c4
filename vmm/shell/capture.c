#include "vmm/shell/capture.h"

#include <stdarg.h>

#include "arch/x86/log.h"
#include "lib/fmt.h"
#include "vmm/shell/shell.h"

#define PIECE_SIZE 512u /* given to the console at a time */

static char text[CAPTURE_SIZE];
static size_t used;
static bool cut;

void capture_start(void)
{
	used = 0;
	cut = false;
}

void capture_print(const char *format, ...)
{
	va_list arguments;
	size_t size;

	va_start(arguments, format);
	size = fmt_vprint(text + used, sizeof(text) - used, format, arguments);
	va_end(arguments);
	if (size >= sizeof(text) - used) {
		size = sizeof(text) - used - 1;
		cut = true;
	}
	used += size;
}

void capture_show(void)
{
	for (size_t shown = 0; shown < used; shown += PIECE_SIZE)
		log_write_raw(text + shown, min_u64(used - shown, PIECE_SIZE));
	if (cut)
		shell_print("\n(cut off)\n");
}
