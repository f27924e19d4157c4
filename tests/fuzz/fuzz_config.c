/* trivet.conf: the parser and the search for the files that it names, on any bytes. */
#include <stdint.h>
#include <stdlib.h>

#include "lib/ini.h"
#include "lib/string.h"
#include "vmm/config_checks.h"
#include "vmm/config_values.h"
#include "vmm/vm.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
	size_t size;
	unsigned faults;
};

static void check_report(void *context, unsigned line, unsigned column, const char *message)
{
	struct seen *seen = context;

	seen->faults++;
	if (line == 0 || column == 0 || line > seen->size + 1 || column > seen->size + 1 || message[0] == '\0')
		abort();
}

static void check_windows(const struct config_sched *settings)
{
	uint32_t end = 0;

	if (settings->window_count == 0 || settings->window_count > CONFIG_MAX_WINDOWS || settings->frame < 1000 ||
	    settings->frame > 10000000)
		abort();
	for (uint32_t i = 0; i < settings->window_count; i++) {
		if (settings->windows[i].start < end || settings->windows[i].length == 0)
			abort();
		end = settings->windows[i].start + settings->windows[i].length;
	}
	if (end > settings->frame)
		abort();
}

/* What the policies rely on, settings of the others included. */
static void check_sched(const struct config_sched *settings)
{
	if (settings->policy >= CONFIG_SCHED_COUNT ||
	    (settings->weight != 0) != (settings->policy == CONFIG_SCHED_CREDIT) || settings->weight > 65535 ||
	    (settings->cap != 0 && settings->policy != CONFIG_SCHED_CREDIT) ||
	    (settings->period != 0) != (settings->policy == CONFIG_SCHED_RT) || settings->budget > settings->period ||
	    settings->period > 10000000 || (settings->budget >= 100) != (settings->policy == CONFIG_SCHED_RT))
		abort();
	if (settings->policy == CONFIG_SCHED_CYCLIC)
		check_windows(settings);
	else if (settings->frame != 0 || settings->window_count != 0)
		abort();
}

/* The same text as an argument of the shell's command. */
static void check_settings(const char *text, size_t size)
{
	struct config_value value = { .text = { text, size } };
	struct config_sched settings;

	if (config_parse_sched_settings(&value, &settings))
		check_sched(&settings);
	else if (value.fault_offset > size || !value.expected)
		abort();
}

/* What the rest of the hypervisor relies on. */
static void check_vm(const struct config_host *host, const struct vm_config *vm)
{
	if (string_length_bounded(vm->name, CONFIG_NAME_SIZE) == CONFIG_NAME_SIZE ||
	    string_length_bounded(vm->kernel, CONFIG_PATH_SIZE) == CONFIG_PATH_SIZE ||
	    string_length_bounded(vm->ramdisk, CONFIG_PATH_SIZE) == CONFIG_PATH_SIZE ||
	    string_length_bounded(vm->cmdline, CONFIG_CMDLINE_SIZE) == CONFIG_CMDLINE_SIZE)
		abort();
	if (vm->valid && (vm->name[0] == '\0' || vm->kernel[0] == '\0' || vm->memory < PAGE_SIZE_2M || vm->memory % PAGE_SIZE_2M != 0 ||
			  vm->vcpus == 0 || vm->vcpus > VM_MAX_VCPUS || vm->on_poweroff > CONFIG_ON_STOP_PRESERVE ||
			  vm->on_reboot > CONFIG_ON_STOP_PRESERVE || vm->on_crash > CONFIG_ON_STOP_PRESERVE ||
			  config_check_vm(host, vm)))
		abort();
	check_sched(&vm->sched);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct config config;
	const char *text = (const char *)data;
	struct seen seen = { size, 0 };
	struct ini_reader reader;
	struct ini_line line;
	struct ini_text path;

	if (config_parse(text, size, &config, check_report, &seen) != seen.faults || config.vm_count > CONFIG_MAX_VMS)
		abort();
	for (uint32_t i = 0; i < config.vm_count; i++)
		check_vm(&config.host, &config.vms[i]);
	check_sched(&config.host.sched);
	if (string_length_bounded(config.host.autoexec, CONFIG_AUTOEXEC_SIZE) == CONFIG_AUTOEXEC_SIZE)
		abort();
	check_settings(text, size);
	ini_open(&reader, text, size);
	while (ini_next_file(&reader, &line, &path))
		if (path.length == 0 || path.start < text || path.start + path.length > text + size)
			abort();
	return 0;
}
