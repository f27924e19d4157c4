/* What the firmware knows about the machine: ACPI's root pointer and the screen. */
#pragma once

#include "boot/efi/efi_loader.h"

/** platform_describe() - fills acpi_rsdp (ACPI 2.0 before 1.0) and framebuffer of @loader->info, 0 where there is none. */
void platform_describe(struct efi_loader *loader);
