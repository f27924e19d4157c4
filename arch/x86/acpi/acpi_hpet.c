#include "arch/x86/acpi/acpi_hpet.h"

#include "arch/x86/acpi/acpi_fadt.h"
#include "arch/x86/acpi/acpi_table.h"

enum {
	HPET_SPACE = 40,
	HPET_ADDRESS = 44,
	HPET_NUMBER = 52,
	HPET_SIZE = 56,
};

enum status acpi_hpet_parse(const void *table, size_t length, struct acpi_hpet *hpet)
{
	struct acpi_bytes bytes = acpi_bytes(table, length);

	*hpet = (struct acpi_hpet){0};
	if (bytes.length < HPET_SIZE)
		return STATUS_TRUNCATED;
	if (acpi_read(bytes, HPET_SPACE, 1) != ACPI_SPACE_MEMORY || acpi_read(bytes, HPET_ADDRESS, 8) == 0)
		return STATUS_UNSUPPORTED;
	hpet->present = true;
	hpet->address = hpa(acpi_read(bytes, HPET_ADDRESS, 8));
	hpet->number = (uint8_t)acpi_read(bytes, HPET_NUMBER, 1);
	return STATUS_OK;
}
