#include "boot/multiboot2/build_boot_info.h"

#include "boot/boot_info_build.h"
#include "boot/multiboot2/information.h"

/* GRUB's information takes some KiB; the bound keeps a bad size from making us walk through all memory. */
#define LARGEST_INFORMATION MIB

static struct boot_info boot_info;

struct boot_info *multiboot2_build_boot_info(uint64_t information, uint64_t image_base, uint64_t image_size)
{
	boot_info.image_base = image_base;
	boot_info.image_size = image_size;
	multiboot2_fill_boot_info(&boot_info, (const void *)(uintptr_t)information,
				  min_u64(LARGEST_INFORMATION, 4 * GIB - information), information);
	if (boot_info_find_file(&boot_info, BOOT_CONFIGURATION_PATH) == NULL)
		boot_info_add_message(&boot_info, BOOT_CONFIGURATION_PATH, "not found");
	boot_info_note_missing_files(&boot_info);
	boot_info.entry_tsc = __builtin_ia32_rdtsc();
	return &boot_info;
}
