/* Where boot_entry.asm hands the boot processor over to C. */
#pragma once

#include "lib/types.h"

/**
 * hypervisor_main() - boots and never returns. On boot_stack, early page tables (the physmap reaches 4 GiB), interrupts
 * off.
 * @boot_info: below 4 GiB. @image_base: where the image lies.
 */
noreturn_function void hypervisor_main(hpa_t boot_info, uint64_t image_base);
