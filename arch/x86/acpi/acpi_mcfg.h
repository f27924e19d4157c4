/* Where PCI Express configuration space is mapped. PCI Firmware Specification, "MCFG Table Description". */
#pragma once

#include "lib/status.h"
#include "lib/types.h"

#define ACPI_MAX_ECAMS 8u

struct acpi_ecam {
	hpa_t base;       /* of bus 0 of the segment, even if first_bus is not 0 */
	uint16_t segment;
	uint8_t first_bus, last_bus; /* both included */
};

struct acpi_mcfg {
	bool present;
	uint32_t ecam_count, ecams_lost; /* lost: did not fit, or bounds that cannot be */
	struct acpi_ecam ecams[ACPI_MAX_ECAMS];
};

/** acpi_mcfg_parse() - as acpi_madt_parse(). */
enum status acpi_mcfg_parse(const void *table, size_t length, struct acpi_mcfg *mcfg);
