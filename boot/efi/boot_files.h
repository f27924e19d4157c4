/* The configurations on the boot medium and the files that they name. */
#pragma once

#include "boot/efi/efi_loader.h"

/**
 * boot_files_load() - reads trivet.conf, the other configurations beside it (boot_path_is_configuration()) and every file that one
 * of them names, each once, and notes them in @loader->info.
 * What cannot be read is told on the screen and in the messages of @loader->info, and is no error: the hypervisor
 * starts without it.
 */
void boot_files_load(struct efi_loader *loader);
