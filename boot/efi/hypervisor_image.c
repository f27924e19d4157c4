#include "boot/efi/hypervisor_image.h"

#include "boot/efi/screen.h"
#include "boot/efi/volume.h"
#include "lib/elf.h"
#include "lib/string.h"

/* Far more than the hypervisor will ever need; keeps a damaged file from asking for all memory. */
#define LARGEST_IMAGE (256 * MIB)

/*
 * Allocates 2 MiB more than needed and gives back what lies before and behind the aligned part. The type is that of
 * code, which even firmware that forbids execution of loader data lets us run.
 */
static EFI_STATUS allocate_image(struct efi_loader *loader, uint64_t size, uint64_t *base)
{
	UINTN pages = EFI_SIZE_TO_PAGES(size), slack = EFI_SIZE_TO_PAGES(PAGE_SIZE_2M), before;
	EFI_PHYSICAL_ADDRESS address = HIGHEST_LOADER_ADDRESS;
	EFI_STATUS status;

	status = loader->services->AllocatePages(AllocateMaxAddress, EfiLoaderCode, pages + slack, &address);
	if (status != EFI_SUCCESS)
		return EFI_OUT_OF_RESOURCES;
	*base = align_up(address, PAGE_SIZE_2M);
	before = EFI_SIZE_TO_PAGES(*base - address);
	if (before > 0)
		(void)loader->services->FreePages(address, before);
	if (slack > before)
		(void)loader->services->FreePages(*base + pages * PAGE_SIZE, slack - before);
	return EFI_SUCCESS;
}

static const char *check_image(const struct elf_image *image, uint64_t *entry)
{
	if (!image->is_64_bit)
		return "ELF is of 32 bits (64 expected)";
	if (!is_aligned(image->physical_base, PAGE_SIZE_2M))
		return "ELF's lowest physical address is no multiple of 2 MiB";
	if (image->physical_end - image->physical_base > LARGEST_IMAGE)
		return "ELF takes more than 256 MiB";
	if (elf_entry_physical(image, entry) != STATUS_OK)
		return "ELF's entry point lies in none of its segments";
	return NULL;
}

static void lay_out(const struct efi_file *file, const struct elf_image *image, uint64_t base, uint64_t size)
{
	memset((void *)(uintptr_t)base, 0, align_up(size, PAGE_SIZE));
	for (unsigned i = 0; i < image->segment_count; i++) {
		const struct elf_segment *segment = &image->segments[i];

		memcpy((void *)(uintptr_t)(base + segment->physical_address - image->physical_base),
		       (const void *)(uintptr_t)(file->base + segment->file_offset), segment->file_size);
	}
}

static const char *place_image(struct efi_loader *loader, const struct efi_file *file, uint64_t *entry)
{
	struct elf_image image;
	const char *why;
	uint64_t size;

	if (elf_parse((const void *)(uintptr_t)file->base, file->size, &image, &why) != STATUS_OK)
		return why;
	why = check_image(&image, entry);
	if (why != NULL)
		return why;
	size = image.physical_end - image.physical_base;
	if (allocate_image(loader, size, &loader->info->image_base) != EFI_SUCCESS)
		return efi_status_name(EFI_OUT_OF_RESOURCES);
	loader->info->image_size = size;
	*entry += loader->info->image_base - image.physical_base;
	lay_out(file, &image, loader->info->image_base, size);
	return NULL;
}

const char *hypervisor_image_load(struct efi_loader *loader, uint64_t *entry)
{
	struct efi_file file;
	const char *why;
	EFI_STATUS status = volume_read_file(loader, "trivet.elf", &file);

	if (status != EFI_SUCCESS)
		return efi_status_name(status);
	why = place_image(loader, &file, entry);
	if (why == NULL)
		screen_print("trivet.elf: %llu KiB", (unsigned long long)((file.size + KIB - 1) / KIB));
	volume_free_file(loader, &file);
	return why;
}
