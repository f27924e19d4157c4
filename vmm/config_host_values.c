/* Values of the keys of [host]. */
#include "arch/x86/log.h"
#include "lib/string.h"
#include "vmm/config_values.h"

#define FORMAT_VERSION 1u
#define BAUD_BASE 115200u
#define PANIC_REBOOT_MAX 86400u

bool config_parse_version(struct config_value *value, void *target)
{
	struct config_host *host = target;
	uint64_t number;

	if (!config_read_number(value->text, &number) || number != FORMAT_VERSION)
		return config_refuse(value, 0, NULL, "1, the version of the format that this build reads");
	host->version = FORMAT_VERSION;
	return true;
}

/* serial:com1,115200; the speed may be left out. */
static bool parse_serial(struct config_value *value, size_t position, struct config_host *host)
{
	static const struct config_word ports[] = { { "com1", 0x3f8 }, { "com2", 0x2f8 }, { "com3", 0x3e8 }, { "com4", 0x2e8 } };
	static const char expected[] = "serial:com1,115200 (com1 to com4; a speed that divides 115200)";
	size_t start = position;
	uint32_t port;
	uint64_t baud = BAUD_BASE;

	while (position < value->text.length && value->text.start[position] != ',')
		position++;
	if (!config_find_word(value, (struct ini_text){ value->text.start + start, position - start }, ports, array_count(ports),
			      expected, &port)) {
		value->problem = "no such serial port";
		return false;
	}
	if (config_take_character(value->text, &position, ',')) {
		start = position;
		if (!config_take_number(value->text, &position, &baud) || position != value->text.length ||
		    baud == 0 || baud > BAUD_BASE || BAUD_BASE % baud != 0)
			return config_refuse(value, start, "no such speed", expected);
	}
	host->console_serial = true;
	host->console_serial_port = (uint16_t)port;
	host->console_baud = (uint32_t)baud;
	return true;
}

bool config_parse_console(struct config_value *value, void *target)
{
	static const char prefix[] = "serial:";
	struct config_host *host = target;

	if (ini_text_equals(value->text, "fb")) {
		host->console_framebuffer = true;
		return true;
	}
	if (value->text.length > strlen(prefix) && memcmp(value->text.start, prefix, strlen(prefix)) == 0)
		return parse_serial(value, strlen(prefix), host);
	return config_refuse(value, 0, NULL, "serial:com1,115200 or fb");
}

bool config_parse_host_cpus(struct config_value *value, void *target)
{
	return config_read_cpus(value, &((struct config_host *)target)->cpus);
}

bool config_parse_when_all_stopped(struct config_value *value, void *target)
{
	static const struct config_word words[] = {
		{ "shell", CONFIG_WHEN_STOPPED_SHELL },
		{ "poweroff", CONFIG_WHEN_STOPPED_POWEROFF },
		{ "reboot", CONFIG_WHEN_STOPPED_REBOOT },
	};
	struct config_host *host = target;
	uint32_t number;

	if (!config_find_word(value, value->text, words, array_count(words), "shell, poweroff or reboot", &number))
		return false;
	host->when_all_stopped = (enum config_when_all_stopped)number;
	return true;
}

bool config_parse_autoexec(struct config_value *value, void *target)
{
	return config_copy_text(value, ((struct config_host *)target)->autoexec, CONFIG_AUTOEXEC_SIZE, "at most 511 bytes");
}

bool config_parse_panic_reboot(struct config_value *value, void *target)
{
	struct config_host *host = target;
	uint64_t seconds = 0;

	if (!ini_text_equals(value->text, "no") &&
	    (!config_read_number(value->text, &seconds) || seconds == 0 || seconds > PANIC_REBOOT_MAX))
		return config_refuse(value, 0, NULL, "no, or seconds from 1 to 86400");
	host->panic_reboot = (uint32_t)seconds;
	return true;
}

bool config_parse_log(struct config_value *value, void *target)
{
	static const struct config_word words[] = {
		{ "error", LOG_ERROR }, { "warning", LOG_WARNING }, { "info", LOG_INFO }, { "debug", LOG_DEBUG },
	};
	struct config_host *host = target;

	return config_find_word(value, value->text, words, array_count(words), "error, warning, info or debug", &host->log_level);
}
