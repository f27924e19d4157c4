#include "boot/efi/exit_boot_services.h"

#include "boot/boot_info_build.h"
#include "boot/efi/screen.h"
#include "lib/checked.h"

/* Event handlers may change the map between reading it and leaving; each time it has to be read again. */
#define ATTEMPTS 16u
/* Room for what allocations may add to the map, ours of the buffer among them. */
#define SPARE_DESCRIPTORS 64u

struct memory_map {
	uint8_t *bytes;
	UINTN size, capacity, key, descriptor_size;
	UINT32 descriptor_version;
};

/* UEFI specification, "EFI_BOOT_SERVICES.GetMemoryMap()": usage after ExitBootServices(). */
static uint32_t region_type(const EFI_MEMORY_DESCRIPTOR *descriptor)
{
	static const uint8_t types[EfiMaxMemoryType] = {
		[EfiLoaderCode] = BOOT_MEMORY_USABLE, /* this program; what we loaded is claimed by address */
		[EfiLoaderData] = BOOT_MEMORY_USABLE,
		[EfiBootServicesCode] = BOOT_MEMORY_USABLE,
		[EfiBootServicesData] = BOOT_MEMORY_USABLE,
		[EfiConventionalMemory] = BOOT_MEMORY_USABLE,
		[EfiUnusableMemory] = BOOT_MEMORY_BAD,
		[EfiACPIReclaimMemory] = BOOT_MEMORY_ACPI_RECLAIM,
		[EfiACPIMemoryNVS] = BOOT_MEMORY_ACPI_NVS,
		[EfiMemoryMappedIO] = BOOT_MEMORY_MMIO,
		[EfiMemoryMappedIOPortSpace] = BOOT_MEMORY_MMIO,
	};
	uint32_t type = BOOT_MEMORY_RESERVED;

	if (descriptor->Type < EfiMaxMemoryType && types[descriptor->Type] != 0)
		type = types[descriptor->Type];
	/* Memory that runtime services use, or that cannot be cached, is no RAM for us. */
	if (type == BOOT_MEMORY_USABLE &&
	    ((descriptor->Attribute & EFI_MEMORY_RUNTIME) != 0 || (descriptor->Attribute & EFI_MEMORY_WB) == 0))
		type = BOOT_MEMORY_RESERVED;
	return type;
}

static enum status add_regions(struct boot_info *info, const struct memory_map *map)
{
	enum status status = STATUS_OK;

	info->region_count = 0;
	for (UINTN offset = 0; offset + map->descriptor_size <= map->size; offset += map->descriptor_size) {
		const EFI_MEMORY_DESCRIPTOR *descriptor = (const void *)(map->bytes + offset);
		uint64_t length;

		if (!checked_multiply(descriptor->NumberOfPages, PAGE_SIZE, &length))
			continue;
		status = boot_info_add_region(info, descriptor->PhysicalStart, length, region_type(descriptor));
		/* One beyond all physical addresses is not memory, whatever the firmware thinks. */
		if (status != STATUS_OK && status != STATUS_OUT_OF_RANGE)
			return status;
	}
	status = boot_info_claim(info, info->image_base, info->image_size);
	if (status == STATUS_OK)
		status = boot_info_claim(info, (uint64_t)(uintptr_t)info, sizeof(*info));
	if (status == STATUS_OK)
		status = boot_info_claim_files(info);
	return status;
}

static EFI_STATUS read_map(EFI_BOOT_SERVICES *services, struct memory_map *map)
{
	map->size = map->capacity;
	return services->GetMemoryMap(&map->size, (EFI_MEMORY_DESCRIPTOR *)(void *)map->bytes, &map->key,
				      &map->descriptor_size, &map->descriptor_version);
}

static EFI_STATUS allocate_map(EFI_BOOT_SERVICES *services, struct memory_map *map)
{
	EFI_STATUS status = read_map(services, map);

	if (status != EFI_BUFFER_TOO_SMALL)
		return status == EFI_SUCCESS ? EFI_DEVICE_ERROR : status;
	if (map->descriptor_size < sizeof(EFI_MEMORY_DESCRIPTOR))
		return EFI_INCOMPATIBLE_VERSION;
	map->capacity = map->size + SPARE_DESCRIPTORS * map->descriptor_size;
	return services->AllocatePool(EfiLoaderData, map->capacity, (void **)&map->bytes);
}

const char *exit_boot_services(struct efi_loader *loader)
{
	struct memory_map map = {0};
	EFI_STATUS status = allocate_map(loader->services, &map);

	if (status != EFI_SUCCESS)
		return efi_status_name(status);
	/* After a first refusal only GetMemoryMap() and ExitBootServices() may be called, so nothing else is here. */
	for (unsigned attempt = 0; attempt < ATTEMPTS; attempt++) {
		status = read_map(loader->services, &map);
		if (status != EFI_SUCCESS)
			return efi_status_name(status);
		if (add_regions(loader->info, &map) != STATUS_OK)
			return "more than 512 memory regions";
		status = loader->services->ExitBootServices(loader->image, map.key);
		if (status == EFI_SUCCESS)
			return NULL;
		if (status != EFI_INVALID_PARAMETER)
			return efi_status_name(status);
	}
	return "the memory map never came to rest";
}
