/* Any bytes as Multiboot2 information: the hand-over is either refused by boot_info_check() or sound. */
#include "boot/multiboot2/information.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_regions(const struct boot_info *info)
{
	for (uint32_t i = 0; i < info->region_count; i++) {
		const struct boot_memory_region *region = &info->regions[i];

		if (region->length == 0 || (region->base | region->length) % PAGE_SIZE != 0)
			abort();
		if (i > 0 && region->base < region[-1].base + region[-1].length)
			abort();
		if (i > 0 && region->base == region[-1].base + region[-1].length && region->type == region[-1].type)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct boot_info info;
	const char *why = NULL;
	uint8_t *copy;

	if (size < 8)
		return 0;
	/* GRUB aligns the information; the fuzzer does not say so of its data. */
	copy = aligned_alloc(8, align_up(size, 8));
	if (copy == NULL)
		return 0;
	memcpy(copy, data, size);
	info.image_base = 0x200000;
	info.image_size = 0x80000;
	multiboot2_fill_boot_info(&info, copy, size, 0x10000);
	free(copy);
	if (info.region_count > BOOT_INFO_MAX_REGIONS || info.file_count > BOOT_INFO_MAX_FILES)
		abort();
	if (info.magic != BOOT_INFO_MAGIC || memchr(info.messages, '\0', sizeof(info.messages)) == NULL)
		abort();
	check_regions(&info);
	for (uint32_t i = 0; i < info.file_count; i++) {
		if (memchr(info.files[i].path, '\0', BOOT_INFO_PATH_SIZE) == NULL)
			abort();
	}
	if ((boot_info_check(&info, &why) == STATUS_OK) != (why[0] == '\0'))
		abort();
	return 0;
}
