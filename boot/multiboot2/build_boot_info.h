/* From what GRUB left in memory to the hypervisor's hand-over structure. */
#pragma once

#include "boot/boot_info.h"

/**
 * multiboot2_build_boot_info() - called by entry.asm in 64-bit mode, memory below 4 GiB identity-mapped, interrupts off.
 * @information: physical address of the Multiboot2 information, below 4 GiB.
 * @image_base, @image_size: [bytes] physical place of the hypervisor, bss included.
 * Return: the structure, in the hypervisor's own bss (never NULL); it may not pass boot_info_check().
 */
struct boot_info *multiboot2_build_boot_info(uint64_t information, uint64_t image_base, uint64_t image_size);
