/*
 * The information that a Multiboot2 loader hands over, turned into a struct boot_info. Pure: no hardware, no pointers out
 * of the information are followed.
 *
 * Manual: Multiboot2 Specification version 2.0, "Boot information format".
 */
#pragma once

#include "boot/boot_info.h"

/**
 * multiboot2_fill_boot_info() - takes memory map, modules, RSDP and framebuffer.
 * @info:        out; image_base and image_size are set already and kept.
 * @information: where the information can be read, 8-byte aligned; may hold any bytes.
 * @limit:       [bytes] that may be read at @information, whatever it says of its own size; at least 8.
 * @address:     physical address of the information.
 *
 * Modules are files under the path that their command line is. Memory that image, information and modules lie in
 * becomes LOADER. What is missing or malformed is left out and told in the messages; a map that cannot be used leaves
 * no region at all, which boot_info_check() refuses.
 */
void multiboot2_fill_boot_info(struct boot_info *info, const void *information, uint64_t limit, uint64_t address);
