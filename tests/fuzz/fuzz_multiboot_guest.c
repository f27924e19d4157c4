/* A Multiboot kernel of any bytes, loaded into a small VM. The first byte chooses the VM's memory and whether there is a module. */
#include <stdint.h>

#include "tests/unit/fake_guest.h"
#include "vmm/guest/multiboot_boot.h"

#define MEMORY_MAX (4 * MIB)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t module_bytes[6000];
	struct guest_file module = { "module", module_bytes, 0 };
	struct guest_file kernel = { "kernel", data + 1, size - 1 };
	enum status status;

	if (size == 0)
		return 0;
	if (!fake_guest.ram)
		fake_guest_create(MEMORY_MAX);
	fake_guest_renew(data[0] & 1 ? MEMORY_MAX : MEMORY_MAX / 2);
	module.size = data[0] & 8 ? sizeof(module_bytes) : 0;
	string_copy(fake_guest.config.cmdline, CONFIG_CMDLINE_SIZE, "test=1");
	status = multiboot_boot_load(&fake_guest.vm, &kernel, &module);
	/* Either it is ready to run, or somebody was told why not: once. */
	if (fake_guest.log_lines != (status == STATUS_OK ? 0 : 1))
		abort();
	if (status == STATUS_OK && fake_guest.registers[VIRT_RIP] > UINT32_MAX)
		abort();
	return 0;
}
