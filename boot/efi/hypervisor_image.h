/* The hypervisor's own file. */
#pragma once

#include "boot/efi/efi_loader.h"

/**
 * hypervisor_image_load() - reads trivet/trivet.elf and lays it out in one 2 MiB aligned block below 4 GiB.
 * Fills image_base and image_size of @loader->info.
 * @entry: out: where to jump.
 * Return: NULL, or why not, in words, as static text.
 */
must_check const char *hypervisor_image_load(struct efi_loader *loader, uint64_t *entry);
