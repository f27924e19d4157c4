#include "arch/x86/acpi/acpi_mcfg.h"

#include "arch/x86/acpi/acpi_table.h"
#include "lib/string.h"

enum {
	MCFG_ENTRIES = 44,
	MCFG_ENTRY_SIZE = 16,
};

#define ECAM_BYTES_PER_BUS MIB
#define PHYSICAL_ADDRESS_LIMIT ((uint64_t)1 << 52)

static bool is_plausible(const struct acpi_ecam *ecam)
{
	uint64_t base = ecam->base.value;

	return base != 0 && is_aligned(base, ECAM_BYTES_PER_BUS) && base < PHYSICAL_ADDRESS_LIMIT - 256 * ECAM_BYTES_PER_BUS &&
	       ecam->first_bus <= ecam->last_bus;
}

enum status acpi_mcfg_parse(const void *table, size_t length, struct acpi_mcfg *mcfg)
{
	struct acpi_bytes bytes = acpi_bytes(table, length);

	memset(mcfg, 0, sizeof(*mcfg));
	if (bytes.length < MCFG_ENTRIES)
		return STATUS_TRUNCATED;
	mcfg->present = true;

	for (size_t offset = MCFG_ENTRIES; offset < bytes.length; offset += MCFG_ENTRY_SIZE) {
		struct acpi_bytes entry = acpi_bytes_part(bytes, offset, MCFG_ENTRY_SIZE);
		struct acpi_ecam ecam = {
			.base = hpa(acpi_read(entry, 0, 8)),
			.segment = (uint16_t)acpi_read(entry, 8, 2),
			.first_bus = (uint8_t)acpi_read(entry, 10, 1),
			.last_bus = (uint8_t)acpi_read(entry, 11, 1),
		};

		if (entry.length < MCFG_ENTRY_SIZE)
			return STATUS_TRUNCATED;
		if (mcfg->ecam_count < ACPI_MAX_ECAMS && is_plausible(&ecam))
			mcfg->ecams[mcfg->ecam_count++] = ecam;
		else
			mcfg->ecams_lost++;
	}
	return STATUS_OK;
}
