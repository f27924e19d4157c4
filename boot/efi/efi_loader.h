/* What the parts of the EFI loader share. Boot services are in force until exit_boot_services() has succeeded. */
#pragma once

#include <efi.h>

#include "boot/boot_info.h"

/* Where the hypervisor may be loaded from and to: everything below 4 GiB, as boot/boot_info.h demands. */
#define HIGHEST_LOADER_ADDRESS 0xffffffffull
#define TRIVET_FOLDER "trivet/"

struct efi_loader {
	EFI_HANDLE image;
	EFI_SYSTEM_TABLE *system;
	EFI_BOOT_SERVICES *services;
	EFI_FILE_HANDLE volume; /* root of the volume that the loader came from */
	struct boot_info *info;
};
