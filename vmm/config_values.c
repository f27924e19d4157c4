#include "vmm/config_values.h"

#include "arch/x86/log.h"
#include "lib/bits.h"
#include "lib/checked.h"
#include "lib/string.h"

#define FORMAT_VERSION 1u
/* vCPUs of a VM in this version. */
#define VCPUS_MAX 1u
#define VCPUS_EXPECTED "1"
/* RAM above this would not fit the guest-physical address space that every machine has. */
#define MEMORY_MAX (1024 * GIB)
#define BAUD_BASE 115200u

struct config_word {
	const char *name;
	uint32_t value;
};

static bool refuse(struct config_value *value, size_t offset, const char *problem, const char *expected)
{
	value->fault_offset = offset;
	value->problem = problem;
	value->expected = expected;
	return false;
}

static bool find_word(struct ini_text text, const struct config_word *words, size_t count, uint32_t *found)
{
	for (size_t i = 0; i < count; i++) {
		if (!ini_text_equals(text, words[i].name))
			continue;
		*found = words[i].value;
		return true;
	}
	return false;
}

/* A decimal number at *@position, which moves behind it; false if there is none or it does not fit. */
static bool take_number(struct ini_text text, size_t *position, uint64_t *number)
{
	size_t start = *position;

	*number = 0;
	while (*position < text.length && text.start[*position] >= '0' && text.start[*position] <= '9') {
		if (!checked_multiply(*number, 10, number) ||
		    !checked_add(*number, (uint64_t)(text.start[*position] - '0'), number))
			return false;
		(*position)++;
	}
	return *position > start;
}

static bool take_character(struct ini_text text, size_t *position, char character)
{
	if (*position >= text.length || text.start[*position] != character)
		return false;
	(*position)++;
	return true;
}

/* The whole text is one number. */
static bool parse_number(struct ini_text text, uint64_t *number)
{
	size_t position = 0;

	return take_number(text, &position, number) && position == text.length;
}

static bool parse_bool(struct config_value *value, bool *target)
{
	static const struct config_word words[] = {
		{ "yes", 1 }, { "on", 1 }, { "true", 1 }, { "no", 0 }, { "off", 0 }, { "false", 0 },
	};
	uint32_t number;

	if (!find_word(value->text, words, array_count(words), &number))
		return refuse(value, 0, NULL, "yes or no");
	*target = number;
	return true;
}

static bool copy_text(struct config_value *value, char *target, size_t size, const char *expected)
{
	if (value->text.length >= size)
		return refuse(value, size - 1, "the value is too long", expected);
	memcpy(target, value->text.start, value->text.length);
	target[value->text.length] = '\0';
	return true;
}

/* Paths stay on the boot medium, below the folder of the configuration. */
static bool parse_path(struct config_value *value, char target[CONFIG_PATH_SIZE])
{
	static const char expected[] = "a path relative to the configuration, such as guests/vmlinuz, at most 127 bytes long";
	struct ini_text text = value->text;
	size_t component = 0;

	if (text.length == 0)
		return refuse(value, 0, "the value is empty", expected);
	for (size_t i = 0; i <= text.length; i++) {
		if (i < text.length && text.start[i] == '\\')
			return refuse(value, i, "a '\\' in the path", "'/' between folders");
		if (i < text.length && text.start[i] != '/')
			continue;
		if (i == component || ini_text_equals((struct ini_text){ text.start + component, i - component }, ".."))
			return refuse(value, component, "an absolute path, an empty part or '..'", expected);
		component = i + 1;
	}
	return copy_text(value, target, CONFIG_PATH_SIZE, expected);
}

bool config_parse_version(struct config_value *value, void *target)
{
	struct config_host *host = target;
	uint64_t number;

	if (!parse_number(value->text, &number) || number != FORMAT_VERSION)
		return refuse(value, 0, NULL, "1, the version of the format that this build reads");
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
	if (!find_word((struct ini_text){ value->text.start + start, position - start }, ports, array_count(ports), &port))
		return refuse(value, start, "no such serial port", expected);
	if (take_character(value->text, &position, ',')) {
		start = position;
		if (!take_number(value->text, &position, &baud) || position != value->text.length ||
		    baud == 0 || baud > BAUD_BASE || BAUD_BASE % baud != 0)
			return refuse(value, start, "no such speed", expected);
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
	return refuse(value, 0, NULL, "serial:com1,115200 or fb");
}

bool config_parse_cpus(struct config_value *value, void *target)
{
	static const char expected[] = "all, or a list such as 0-3,5 of numbers below 64";
	struct config_host *host = target;
	struct ini_text text = value->text;
	uint64_t cpus = 0, first, last;
	size_t position = 0;

	if (ini_text_equals(text, "all")) {
		host->cpus = ~(uint64_t)0;
		return true;
	}
	do {
		size_t start = position;

		if (!take_number(text, &position, &first))
			return refuse(value, start, "no number where one belongs", expected);
		last = first;
		if (take_character(text, &position, '-') && !take_number(text, &position, &last))
			return refuse(value, start, "no number where one belongs", expected);
		if (first > last || last >= CONFIG_MAX_CPUS)
			return refuse(value, start, "a range that ends before it begins, or a number too large", expected);
		cpus |= BITS(last, first);
	} while (take_character(text, &position, ','));
	if (position != text.length)
		return refuse(value, position, NULL, expected);
	host->cpus = cpus;
	return true;
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

	if (!find_word(value->text, words, array_count(words), &number))
		return refuse(value, 0, NULL, "shell, poweroff or reboot");
	host->when_all_stopped = (enum config_when_all_stopped)number;
	return true;
}

bool config_parse_log(struct config_value *value, void *target)
{
	static const struct config_word words[] = {
		{ "error", LOG_ERROR }, { "warning", LOG_WARNING }, { "info", LOG_INFO }, { "debug", LOG_DEBUG },
	};
	struct config_host *host = target;

	if (!find_word(value->text, words, array_count(words), &host->log_level))
		return refuse(value, 0, NULL, "error, warning, info or debug");
	return true;
}

bool config_parse_memory(struct config_value *value, void *target)
{
	static const struct config_word units[] = {
		{ "K", 10 }, { "k", 10 }, { "M", 20 }, { "m", 20 }, { "G", 30 }, { "g", 30 },
	};
	static const char expected[] = "a size such as 256M or 1G, a multiple of 2M, at most 1024G";
	struct vm_config *vm = target;
	struct ini_text unit = value->text;
	uint64_t number;
	size_t position = 0;
	uint32_t shift;

	if (!take_number(value->text, &position, &number))
		return refuse(value, 0, NULL, expected);
	unit.start += position;
	unit.length -= position;
	if (!find_word(unit, units, array_count(units), &shift))
		return refuse(value, position, "no unit of K, M or G behind the number", expected);
	if (!checked_multiply(number, BIT(shift), &number) || number == 0 || number > MEMORY_MAX ||
	    !is_aligned(number, PAGE_SIZE_2M))
		return refuse(value, 0, NULL, expected);
	vm->memory = number;
	return true;
}

bool config_parse_vcpus(struct config_value *value, void *target)
{
	struct vm_config *vm = target;
	uint64_t number;

	if (!parse_number(value->text, &number) || number == 0 || number > VCPUS_MAX)
		return refuse(value, 0, NULL, VCPUS_EXPECTED);
	vm->vcpus = (uint32_t)number;
	return true;
}

bool config_parse_boot(struct config_value *value, void *target)
{
	static const char *const later[] = { "pvh", "elf", "firmware", "flat" };
	static const struct config_word words[] = {
		{ "linux", CONFIG_BOOT_LINUX },
		{ "multiboot", CONFIG_BOOT_MULTIBOOT },
	};
	static const char expected[] = "linux or multiboot";
	struct vm_config *vm = target;
	uint32_t number;

	for (size_t i = 0; i < array_count(later); i++)
		if (ini_text_equals(value->text, later[i]))
			return refuse(value, 0, "this boot protocol is not supported by this version", expected);
	if (!find_word(value->text, words, array_count(words), &number))
		return refuse(value, 0, NULL, expected);
	vm->boot = (enum config_boot)number;
	return true;
}

bool config_parse_kernel(struct config_value *value, void *target)
{
	return parse_path(value, ((struct vm_config *)target)->kernel);
}

bool config_parse_ramdisk(struct config_value *value, void *target)
{
	return parse_path(value, ((struct vm_config *)target)->ramdisk);
}

bool config_parse_cmdline(struct config_value *value, void *target)
{
	return copy_text(value, ((struct vm_config *)target)->cmdline, CONFIG_CMDLINE_SIZE, "at most 2047 bytes");
}

bool config_parse_testdev(struct config_value *value, void *target)
{
	return parse_bool(value, &((struct vm_config *)target)->testdev);
}

bool config_parse_autostart(struct config_value *value, void *target)
{
	return parse_bool(value, &((struct vm_config *)target)->autostart);
}

static bool is_name_character(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-';
}

bool config_parse_vm_name(struct config_value *value, char name[CONFIG_NAME_SIZE])
{
	static const char expected[] = "[vm NAME] with a name of letters, digits, '_', '.' and '-', at most 31 long";

	if (value->text.length == 0)
		return refuse(value, 0, "the VM has no name", expected);
	for (size_t i = 0; i < value->text.length; i++)
		if (!is_name_character(value->text.start[i]))
			return refuse(value, i, "a character that names may not have", expected);
	return copy_text(value, name, CONFIG_NAME_SIZE, expected);
}
