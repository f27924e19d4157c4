#include "boot/boot_info.h"

#include "lib/checked.h"
#include "lib/string.h"

/* The widest physical address that the architecture knows. */
#define ADDRESS_LIMIT ((uint64_t)1 << 52)
#define LOW_LIMIT (4 * GIB)

static enum status refuse(enum status status, const char **why, const char *text)
{
	*why = text;
	return status;
}

static enum status check_header(const struct boot_info *info, const char **why)
{
	if (info->magic != BOOT_INFO_MAGIC)
		return refuse(STATUS_BAD_FORMAT, why, "magic: not that of a boot_info; use Trivet's own loaders");
	if (info->version != BOOT_INFO_VERSION)
		return refuse(STATUS_BAD_FORMAT, why, "version: loader and hypervisor differ (1 expected)");
	if (info->size != sizeof(*info))
		return refuse(STATUS_BAD_FORMAT, why, "size: loader and hypervisor differ");
	if (info->loader != BOOT_LOADER_EFI && info->loader != BOOT_LOADER_MULTIBOOT2)
		return refuse(STATUS_INVALID, why, "loader: unknown (1 EFI or 2 Multiboot2 expected)");
	if (info->region_count == 0 || info->region_count > BOOT_INFO_MAX_REGIONS)
		return refuse(STATUS_OUT_OF_RANGE, why, "region_count: 1 to 512 expected");
	if (info->file_count > BOOT_INFO_MAX_FILES)
		return refuse(STATUS_OUT_OF_RANGE, why, "file_count: at most 64 expected");
	if (info->acpi_rsdp >= ADDRESS_LIMIT)
		return refuse(STATUS_OUT_OF_RANGE, why, "acpi_rsdp: lies above 2^52");
	if (string_length_bounded(info->messages, sizeof(info->messages)) == sizeof(info->messages))
		return refuse(STATUS_INVALID, why, "messages: not ended by a NUL");
	return STATUS_OK;
}

static enum status check_region(const struct boot_memory_region *region, const char **why)
{
	if (!is_aligned(region->base, PAGE_SIZE) || !is_aligned(region->length, PAGE_SIZE))
		return refuse(STATUS_INVALID, why, "regions: base or length is no multiple of 4 KiB");
	if (region->length == 0)
		return refuse(STATUS_INVALID, why, "regions: an empty one");
	if (!range_within(region->base, region->length, ADDRESS_LIMIT))
		return refuse(STATUS_OUT_OF_RANGE, why, "regions: one wraps around or ends above 2^52");
	if (region->type < BOOT_MEMORY_USABLE || region->type > BOOT_MEMORY_BAD)
		return refuse(STATUS_INVALID, why, "regions: unknown type (1 to 7 expected)");
	return STATUS_OK;
}

static enum status check_regions(const struct boot_info *info, const char **why)
{
	bool any_usable = false;

	for (uint32_t i = 0; i < info->region_count; i++) {
		const struct boot_memory_region *region = &info->regions[i];
		enum status status = check_region(region, why);

		if (status != STATUS_OK)
			return status;
		if (i > 0 && region->base < region[-1].base)
			return refuse(STATUS_INVALID, why, "regions: not sorted by base");
		if (i > 0 && region->base < region[-1].base + region[-1].length)
			return refuse(STATUS_EXISTS, why, "regions: two overlap");
		any_usable |= region->type == BOOT_MEMORY_USABLE;
	}
	if (!any_usable)
		return refuse(STATUS_INVALID, why, "regions: no usable memory");
	return STATUS_OK;
}

/* The range, which does not wrap, lies wholly in regions of type LOADER. */
static bool lies_in_loader_memory(const struct boot_info *info, uint64_t base, uint64_t size)
{
	uint64_t covered = base, end = base + size;

	for (uint32_t i = 0; i < info->region_count && covered < end; i++) {
		const struct boot_memory_region *region = &info->regions[i];

		bool holds = region->base <= covered && covered - region->base < region->length;

		if (region->type == BOOT_MEMORY_LOADER && holds)
			covered = region->base + region->length;
	}
	return covered >= end;
}

static enum status check_image(const struct boot_info *info, const char **why)
{
	if (!is_aligned(info->image_base, PAGE_SIZE_2M))
		return refuse(STATUS_INVALID, why, "image_base: not a multiple of 2 MiB");
	if (info->image_size == 0)
		return refuse(STATUS_INVALID, why, "image_size: 0");
	if (!range_within(info->image_base, info->image_size, LOW_LIMIT))
		return refuse(STATUS_OUT_OF_RANGE, why, "image: does not lie below 4 GiB");
	if (!lies_in_loader_memory(info, info->image_base, info->image_size))
		return refuse(STATUS_INVALID, why, "image: not in memory that the regions give to the loader");
	return STATUS_OK;
}

static enum status check_file(const struct boot_info *info, const struct boot_file *file, const char **why)
{
	if (string_length_bounded(file->path, sizeof(file->path)) == sizeof(file->path))
		return refuse(STATUS_INVALID, why, "files: a path is not ended by a NUL");
	if (file->path[0] == '\0')
		return refuse(STATUS_INVALID, why, "files: an empty path");
	if (!is_aligned(file->base, PAGE_SIZE))
		return refuse(STATUS_INVALID, why, "files: base is no multiple of 4 KiB");
	if (!range_within(file->base, file->size, LOW_LIMIT))
		return refuse(STATUS_OUT_OF_RANGE, why, "files: one does not lie below 4 GiB");
	if (!lies_in_loader_memory(info, file->base, file->size))
		return refuse(STATUS_INVALID, why, "files: one is not in memory that the regions give to the loader");
	if (ranges_overlap(file->base, file->size, info->image_base, info->image_size))
		return refuse(STATUS_EXISTS, why, "files: one overlaps the image");
	return STATUS_OK;
}

static enum status check_files(const struct boot_info *info, const char **why)
{
	for (uint32_t i = 0; i < info->file_count; i++) {
		const struct boot_file *file = &info->files[i];
		enum status status = check_file(info, file, why);

		if (status != STATUS_OK)
			return status;
		for (const struct boot_file *other = info->files; other < file; other++) {
			if (ranges_overlap(file->base, file->size, other->base, other->size))
				return refuse(STATUS_EXISTS, why, "files: two overlap");
			if (strcmp(file->path, other->path) == 0)
				return refuse(STATUS_EXISTS, why, "files: two have the same path");
		}
	}
	return STATUS_OK;
}

static bool is_colour_shift(uint8_t shift)
{
	return shift <= 24 && shift % 8 == 0;
}

static enum status check_pixel_format(const struct boot_framebuffer *framebuffer, const char **why)
{
	uint8_t red = framebuffer->red_shift, green = framebuffer->green_shift, blue = framebuffer->blue_shift;

	if (framebuffer->bits_per_pixel != 32)
		return refuse(STATUS_INVALID, why, "framebuffer: 32 bits per pixel expected");
	if (!is_colour_shift(red) || !is_colour_shift(green) || !is_colour_shift(blue))
		return refuse(STATUS_INVALID, why, "framebuffer: colours at bits 0, 8, 16 or 24 expected");
	if (red == green || green == blue || blue == red)
		return refuse(STATUS_INVALID, why, "framebuffer: two colours share their bits");
	return STATUS_OK;
}

static enum status check_framebuffer(const struct boot_info *info, const char **why)
{
	const struct boot_framebuffer *framebuffer = &info->framebuffer;
	uint64_t size = (uint64_t)framebuffer->pitch * framebuffer->height;
	enum status status;

	if (framebuffer->base == 0)
		return STATUS_OK;
	status = check_pixel_format(framebuffer, why);
	if (status != STATUS_OK)
		return status;
	if (framebuffer->width == 0 || framebuffer->height == 0)
		return refuse(STATUS_OUT_OF_RANGE, why, "framebuffer: width or height is 0");
	if (framebuffer->pitch / 4 < framebuffer->width)
		return refuse(STATUS_OUT_OF_RANGE, why, "framebuffer: lines are shorter than their pixels");
	if (!range_within(framebuffer->base, size, ADDRESS_LIMIT))
		return refuse(STATUS_OUT_OF_RANGE, why, "framebuffer: wraps around or ends above 2^52");
	for (uint32_t i = 0; i < info->region_count; i++) {
		const struct boot_memory_region *region = &info->regions[i];

		if (region->type > BOOT_MEMORY_LOADER)
			continue;
		if (ranges_overlap(framebuffer->base, size, region->base, region->length))
			return refuse(STATUS_EXISTS, why, "framebuffer: lies in usable memory");
	}
	return STATUS_OK;
}

enum status boot_info_check(const struct boot_info *info, const char **why)
{
	/* In this order: each may rely on what the ones before it have checked. */
	static enum status (*const checks[])(const struct boot_info *, const char **) = {
		check_header, check_regions, check_image, check_files, check_framebuffer,
	};

	*why = "";
	for (size_t i = 0; i < array_count(checks); i++) {
		enum status status = checks[i](info, why);

		if (status != STATUS_OK)
			return status;
	}
	return STATUS_OK;
}

const struct boot_file *boot_info_find_file(const struct boot_info *info, const char *path)
{
	for (uint32_t i = 0; i < info->file_count; i++) {
		if (strcmp(info->files[i].path, path) == 0)
			return &info->files[i];
	}
	return NULL;
}
