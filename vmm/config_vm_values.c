/* Values of the keys of a [vm NAME]. */
#include "lib/bits.h"
#include "lib/checked.h"
#include "lib/string.h"
#include "vmm/config_values.h"
#include "vmm/vm.h"

/* RAM above this would not fit the guest-physical address space that every machine has. */
#define MEMORY_MAX (1024 * GIB)

_Static_assert(VM_MAX_VCPUS == 8, "messages name the number");

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

	if (!config_take_number(value->text, &position, &number))
		return config_refuse(value, 0, NULL, expected);
	unit.start += position;
	unit.length -= position;
	if (!config_find_word(value, unit, units, array_count(units), expected, &shift)) {
		value->problem = "no unit of K, M or G behind the number";
		return false;
	}
	if (!checked_multiply(number, BIT(shift), &number) || number == 0 || number > MEMORY_MAX ||
	    !is_aligned(number, PAGE_SIZE_2M))
		return config_refuse(value, 0, NULL, expected);
	vm->memory = number;
	return true;
}

bool config_parse_vcpus(struct config_value *value, void *target)
{
	struct vm_config *vm = target;
	uint64_t number;

	if (!config_read_number(value->text, &number) || number == 0 || number > VM_MAX_VCPUS)
		return config_refuse(value, 0, NULL, "a number from 1 to 8");
	vm->vcpus = (uint32_t)number;
	return true;
}

bool config_parse_vm_cpus(struct config_value *value, void *target)
{
	return config_read_cpus(value, &((struct vm_config *)target)->cpus);
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
			return config_refuse(value, 0, "this boot protocol is not supported by this version", expected);
	if (!config_find_word(value, value->text, words, array_count(words), expected, &number))
		return false;
	vm->boot = (enum config_boot)number;
	return true;
}

/* Paths stay on the boot medium, below the folder of the configuration. */
static bool parse_path(struct config_value *value, char target[CONFIG_PATH_SIZE])
{
	static const char expected[] = "a path relative to the configuration, such as guests/vmlinuz, at most 127 bytes long";
	struct ini_text text = value->text;
	size_t component = 0;

	if (text.length == 0)
		return config_refuse(value, 0, "the value is empty", expected);
	for (size_t i = 0; i <= text.length; i++) {
		if (i < text.length && text.start[i] == '\\')
			return config_refuse(value, i, "a '\\' in the path", "'/' between folders");
		if (i < text.length && text.start[i] != '/')
			continue;
		if (i == component || ini_text_equals((struct ini_text){ text.start + component, i - component }, ".."))
			return config_refuse(value, component, "an absolute path, an empty part or '..'", expected);
		component = i + 1;
	}
	return config_copy_text(value, target, CONFIG_PATH_SIZE, expected);
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
	return config_copy_text(value, ((struct vm_config *)target)->cmdline, CONFIG_CMDLINE_SIZE, "at most 2047 bytes");
}

static bool parse_bool(struct config_value *value, bool *target)
{
	static const struct config_word words[] = {
		{ "yes", 1 }, { "on", 1 }, { "true", 1 }, { "no", 0 }, { "off", 0 }, { "false", 0 },
	};
	uint32_t number;

	if (!config_find_word(value, value->text, words, array_count(words), "yes or no", &number))
		return false;
	*target = number;
	return true;
}

bool config_parse_testdev(struct config_value *value, void *target)
{
	return parse_bool(value, &((struct vm_config *)target)->testdev);
}

bool config_parse_autostart(struct config_value *value, void *target)
{
	return parse_bool(value, &((struct vm_config *)target)->autostart);
}

static bool parse_on_stop(struct config_value *value, enum config_on_stop *target)
{
	static const struct config_word words[] = {
		{ "restart", CONFIG_ON_STOP_RESTART }, { "destroy", CONFIG_ON_STOP_DESTROY }, { "preserve", CONFIG_ON_STOP_PRESERVE },
	};
	uint32_t number;

	if (!config_find_word(value, value->text, words, array_count(words), "restart, destroy or preserve", &number))
		return false;
	*target = (enum config_on_stop)number;
	return true;
}

bool config_parse_on_poweroff(struct config_value *value, void *target)
{
	return parse_on_stop(value, &((struct vm_config *)target)->on_poweroff);
}

bool config_parse_on_reboot(struct config_value *value, void *target)
{
	return parse_on_stop(value, &((struct vm_config *)target)->on_reboot);
}

bool config_parse_on_crash(struct config_value *value, void *target)
{
	return parse_on_stop(value, &((struct vm_config *)target)->on_crash);
}

static bool is_name_character(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-';
}

bool config_parse_vm_name(struct config_value *value, char name[CONFIG_NAME_SIZE])
{
	static const char expected[] = "[vm NAME] with a name of letters, digits, '_', '.' and '-', at most 31 long";

	if (value->text.length == 0)
		return config_refuse(value, 0, "the VM has no name", expected);
	for (size_t i = 0; i < value->text.length; i++)
		if (!is_name_character(value->text.start[i]))
			return config_refuse(value, i, "a character that names may not have", expected);
	return config_copy_text(value, name, CONFIG_NAME_SIZE, expected);
}
