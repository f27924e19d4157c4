#include "vmm/config_schema.h"

const struct config_key config_keys[] = {
	{ CONFIG_SECTION_HOST, "version", config_parse_version, NULL, false },
	{ CONFIG_SECTION_HOST, "console", config_parse_console, NULL, true },
	{ CONFIG_SECTION_HOST, "cpus", config_parse_host_cpus, NULL, false },
	{ CONFIG_SECTION_HOST, "when_all_stopped", config_parse_when_all_stopped, NULL, false },
	{ CONFIG_SECTION_HOST, "log", config_parse_log, NULL, false },
	{ CONFIG_SECTION_HOST, "sched", config_parse_host_sched, NULL, false },
	{ CONFIG_SECTION_HOST, "autoexec", config_parse_autoexec, NULL, false },
	{ CONFIG_SECTION_HOST, "panic_reboot", config_parse_panic_reboot, NULL, false },
	{ CONFIG_SECTION_VM, "memory", config_parse_memory, "memory = 256M", false },
	{ CONFIG_SECTION_VM, "vcpus", config_parse_vcpus, NULL, false },
	{ CONFIG_SECTION_VM, "boot", config_parse_boot, NULL, false },
	{ CONFIG_SECTION_VM, "kernel", config_parse_kernel, "kernel = guests/vmlinuz", false },
	{ CONFIG_SECTION_VM, "ramdisk", config_parse_ramdisk, NULL, false },
	{ CONFIG_SECTION_VM, "cmdline", config_parse_cmdline, NULL, false },
	{ CONFIG_SECTION_VM, "testdev", config_parse_testdev, NULL, false },
	{ CONFIG_SECTION_VM, "autostart", config_parse_autostart, NULL, false },
	{ CONFIG_SECTION_VM, "cpus", config_parse_vm_cpus, NULL, false },
	{ CONFIG_SECTION_VM, "sched", config_parse_vm_sched, NULL, false },
	{ CONFIG_SECTION_VM, "firmware", NULL, NULL, false },
	{ CONFIG_SECTION_VM, "disk", NULL, NULL, true },
	{ CONFIG_SECTION_VM, "net", NULL, NULL, true },
	{ CONFIG_SECTION_VM, "pci", config_parse_pci, NULL, true },
	{ CONFIG_SECTION_VM, "on_reboot", config_parse_on_reboot, NULL, false },
	{ CONFIG_SECTION_VM, "on_poweroff", config_parse_on_poweroff, NULL, false },
	{ CONFIG_SECTION_VM, "on_crash", config_parse_on_crash, NULL, false },
};
const unsigned config_key_count = array_count(config_keys);

static const char *const section_words[CONFIG_SECTION_COUNT] = {
	[CONFIG_SECTION_HOST] = "host",
	[CONFIG_SECTION_VM] = "vm",
};

enum config_section config_section_find(struct ini_text word)
{
	for (unsigned section = CONFIG_SECTION_HOST; section < CONFIG_SECTION_COUNT; section++)
		if (ini_text_equals(word, section_words[section]))
			return (enum config_section)section;
	return CONFIG_SECTION_NONE;
}

const char *config_section_suggest(struct ini_text word)
{
	struct config_suggestion best = { 0 };

	for (unsigned section = CONFIG_SECTION_HOST; section < CONFIG_SECTION_COUNT; section++)
		config_consider_word(word, section_words[section], &best);
	return best.name;
}

const char *config_key_suggest(enum config_section section, struct ini_text word)
{
	struct config_suggestion best = { 0 };

	for (unsigned i = 0; i < config_key_count; i++)
		if (config_keys[i].section == section)
			config_consider_word(word, config_keys[i].name, &best);
	return best.name;
}

const struct config_key *config_key_find(enum config_section section, struct ini_text name)
{
	for (unsigned i = 0; i < config_key_count; i++)
		if (config_keys[i].section == section && ini_text_equals(name, config_keys[i].name))
			return &config_keys[i];
	return NULL;
}

_Static_assert(array_count(config_keys) <= CONFIG_MAX_KEYS, "CONFIG_MAX_KEYS bounds a bit per key");
