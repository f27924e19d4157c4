#include "vmm/guest/guest_boot.h"

#include "arch/x86/log.h"
#include "arch/x86/physmap.h"
#include "lib/fmt.h"
#include "vmm/guest/acpi_tables.h"
#include "vmm/guest/linux_boot.h"
#include "vmm/guest/multiboot_boot.h"
#include "vmm/msr_policy.h"
#include "vmm/vm.h"

#define MESSAGE_SIZE 192u

enum status guest_boot_refuse(const struct vm *vm, const char *role, const struct guest_file *file, enum status status,
			      const char *format, ...)
{
	char message[MESSAGE_SIZE];
	va_list arguments;

	va_start(arguments, format);
	fmt_vprint(message, sizeof(message), format, arguments);
	va_end(arguments);
	log_error("vm %s: %s %s: %s", vm->config->name, role, file->path, message);
	return status;
}

static enum status find_file(const struct vm *vm, const struct boot_info *info, const char *role, const char *path, struct guest_file *file)
{
	const struct boot_file *found = boot_info_find_file(info, path);

	*file = (struct guest_file){ .path = path };
	if (!found)
		return guest_boot_refuse(vm, role, file, STATUS_NOT_FOUND, "not found on the boot medium");
	if (found->size == 0)
		return guest_boot_refuse(vm, role, file, STATUS_TRUNCATED, "is empty");
	file->data = physmap_pointer(hpa(found->base));
	file->size = found->size;
	return STATUS_OK;
}

enum status guest_boot_load(struct vm *vm, const struct boot_info *info)
{
	const struct vm_config *config = vm->config;
	struct guest_file kernel, ramdisk = { .path = "" };
	gpa_t rsdp;
	enum status status = find_file(vm, info, "kernel", config->kernel, &kernel);

	if (status == STATUS_OK && config->ramdisk[0] != '\0')
		status = find_file(vm, info, "ramdisk", config->ramdisk, &ramdisk);
	if (status != STATUS_OK)
		return status;
	status = acpi_tables_write(&vm->memory, vm->vcpu_count, &rsdp);
	if (status != STATUS_OK) {
		log_error("vm %s: its ACPI tables cannot be written: %s", config->name, status_name(status));
		return status;
	}
	for (uint32_t i = 0; i < vm->vcpu_count; i++)
		msr_policy_reset(vm->vcpus[i]);
	if (config->boot == CONFIG_BOOT_MULTIBOOT)
		return multiboot_boot_load(vm, &kernel, &ramdisk);
	return linux_boot_load(vm, &kernel, &ramdisk, rsdp);
}
