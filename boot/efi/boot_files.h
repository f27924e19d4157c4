/* The configuration and the files that it names. */
#pragma once

#include "boot/efi/efi_loader.h"

/**
 * boot_files_load() - reads trivet.conf and every file that it names, and notes them in @loader->info.
 * What cannot be read is told on the screen and in the messages of @loader->info, and is no error: the hypervisor
 * starts without it.
 */
void boot_files_load(struct efi_loader *loader);
