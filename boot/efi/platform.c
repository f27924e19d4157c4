#include "boot/efi/platform.h"

#include "lib/bits.h"
#include "lib/string.h"

static uint64_t find_configuration_table(const EFI_SYSTEM_TABLE *system, const EFI_GUID *guid)
{
	for (UINTN i = 0; i < system->NumberOfTableEntries; i++) {
		const EFI_CONFIGURATION_TABLE *table = &system->ConfigurationTable[i];

		if (memcmp(&table->VendorGuid, guid, sizeof(*guid)) == 0)
			return (uint64_t)(uintptr_t)table->VendorTable;
	}
	return 0;
}

static uint64_t find_rsdp(const EFI_SYSTEM_TABLE *system)
{
	static const EFI_GUID acpi_2 = ACPI_20_TABLE_GUID, acpi_1 = ACPI_TABLE_GUID;
	uint64_t rsdp = find_configuration_table(system, &acpi_2);

	return rsdp != 0 ? rsdp : find_configuration_table(system, &acpi_1);
}

/* Return: false unless @mask is eight bits in a row that begin at a byte. */
static bool shift_of_mask(uint32_t mask, uint8_t *shift)
{
	if (mask == 0)
		return false;
	*shift = (uint8_t)bits_lowest(mask);
	return *shift % 8 == 0 && mask >> *shift == 0xff;
}

static bool describe_pixel(const EFI_GRAPHICS_OUTPUT_MODE_INFORMATION *mode, struct boot_framebuffer *framebuffer)
{
	switch (mode->PixelFormat) {
	case PixelRedGreenBlueReserved8BitPerColor:
		framebuffer->red_shift = 0;
		framebuffer->green_shift = 8;
		framebuffer->blue_shift = 16;
		return true;
	case PixelBlueGreenRedReserved8BitPerColor:
		framebuffer->red_shift = 16;
		framebuffer->green_shift = 8;
		framebuffer->blue_shift = 0;
		return true;
	case PixelBitMask:
		return shift_of_mask(mode->PixelInformation.RedMask, &framebuffer->red_shift) &&
		       shift_of_mask(mode->PixelInformation.GreenMask, &framebuffer->green_shift) &&
		       shift_of_mask(mode->PixelInformation.BlueMask, &framebuffer->blue_shift);
	default: /* only the firmware can draw there */
		return false;
	}
}

static void describe_framebuffer(EFI_BOOT_SERVICES *services, struct boot_framebuffer *framebuffer)
{
	EFI_GUID guid = EFI_GRAPHICS_OUTPUT_PROTOCOL_GUID;
	struct boot_framebuffer found = {.bits_per_pixel = 32};
	const EFI_GRAPHICS_OUTPUT_MODE_INFORMATION *mode;
	EFI_GRAPHICS_OUTPUT_PROTOCOL *graphics;

	if (services->LocateProtocol(&guid, NULL, (void **)&graphics) != EFI_SUCCESS)
		return;
	if (graphics->Mode == NULL || graphics->Mode->Info == NULL)
		return;
	mode = graphics->Mode->Info;
	found.base = graphics->Mode->FrameBufferBase;
	found.width = mode->HorizontalResolution;
	found.height = mode->VerticalResolution;
	found.pitch = mode->PixelsPerScanLine * 4;
	if (describe_pixel(mode, &found))
		*framebuffer = found;
}

void platform_describe(struct efi_loader *loader)
{
	loader->info->acpi_rsdp = find_rsdp(loader->system);
	describe_framebuffer(loader->services, &loader->info->framebuffer);
}
