/*
 * EFI/BOOT/BOOTX64.EFI: reads the hypervisor, the configuration and the files that it names from the volume that this
 * program was started from, takes what the firmware knows, and hands the machine over.
 */
#include "boot/boot_info_build.h"
#include "boot/efi/boot_files.h"
#include "boot/efi/efi_loader.h"
#include "boot/efi/exit_boot_services.h"
#include "boot/efi/hypervisor_image.h"
#include "boot/efi/platform.h"
#include "boot/efi/screen.h"
#include "boot/efi/volume.h"

noreturn_function void hand_over(const struct boot_info *info, uint64_t entry);
/* Called by gnu-efi's start-up code in the System V convention. */
EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system);

static EFI_STATUS fail(const char *subject, const char *why)
{
	screen_print("%s: %s", subject, why);
	screen_print("Trivet cannot be started.");
	screen_wait_for_key();
	return EFI_LOAD_ERROR;
}

static EFI_STATUS allocate_boot_info(struct efi_loader *loader)
{
	EFI_PHYSICAL_ADDRESS address = HIGHEST_LOADER_ADDRESS;
	EFI_STATUS status;

	status = loader->services->AllocatePages(AllocateMaxAddress, EfiLoaderData,
						 EFI_SIZE_TO_PAGES(sizeof(struct boot_info)), &address);
	if (status != EFI_SUCCESS)
		return EFI_OUT_OF_RESOURCES;
	loader->info = (struct boot_info *)(uintptr_t)address;
	boot_info_open(loader->info, BOOT_LOADER_EFI);
	return EFI_SUCCESS;
}

EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system)
{
	struct efi_loader loader = {.image = image, .system = system, .services = system->BootServices};
	EFI_STATUS status;
	const char *why;
	uint64_t entry;

	screen_open(system);
	screen_print("Trivet " TRIVET_VERSION " loader");
	/* Large files on a slow stick may take longer than the five minutes that firmware grants. */
	(void)loader.services->SetWatchdogTimer(0, 0, 0, NULL);
	status = allocate_boot_info(&loader);
	if (status != EFI_SUCCESS)
		return fail("hand-over structure", efi_status_name(status));
	status = volume_open(&loader);
	if (status != EFI_SUCCESS)
		return fail("boot volume", efi_status_name(status));
	why = hypervisor_image_load(&loader, &entry);
	if (why != NULL)
		return fail(TRIVET_FOLDER "trivet.elf", why);
	boot_files_load(&loader);
	platform_describe(&loader);
	why = exit_boot_services(&loader);
	if (why != NULL)
		return fail("leaving the firmware", why);
	loader.info->entry_tsc = __builtin_ia32_rdtsc();
	hand_over(loader.info, entry);
}
