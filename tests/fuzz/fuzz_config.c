/* trivet.conf: the parser and the search for the files that it names, on any bytes. */
#include <stdint.h>
#include <stdlib.h>

#include "lib/ini.h"
#include "lib/string.h"
#include "vmm/config.h"

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

/* What the rest of the hypervisor relies on. */
static void check_vm(const struct vm_config *vm)
{
	if (string_length_bounded(vm->name, CONFIG_NAME_SIZE) == CONFIG_NAME_SIZE ||
	    string_length_bounded(vm->kernel, CONFIG_PATH_SIZE) == CONFIG_PATH_SIZE ||
	    string_length_bounded(vm->ramdisk, CONFIG_PATH_SIZE) == CONFIG_PATH_SIZE ||
	    string_length_bounded(vm->cmdline, CONFIG_CMDLINE_SIZE) == CONFIG_CMDLINE_SIZE)
		abort();
	if (vm->valid && (vm->name[0] == '\0' || vm->kernel[0] == '\0' || vm->memory < PAGE_SIZE_2M || vm->memory % PAGE_SIZE_2M != 0 || vm->vcpus != 1))
		abort();
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
		check_vm(&config.vms[i]);
	ini_open(&reader, text, size);
	while (ini_next_file(&reader, &line, &path))
		if (path.length == 0 || path.start < text || path.start + path.length > text + size)
			abort();
	return 0;
}
