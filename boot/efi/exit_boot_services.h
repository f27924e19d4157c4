/* The firmware's memory map, and the end of its boot services. */
#pragma once

#include "boot/efi/efi_loader.h"

/**
 * exit_boot_services() - turns the firmware's memory map into the regions of @loader->info, gives image, files and the
 * structure itself to the loader's type, and ends boot services; the firmware's console cannot be used afterwards.
 * Return: NULL, or why not, in words, as static text (boot services are then still in force).
 */
must_check const char *exit_boot_services(struct efi_loader *loader);
