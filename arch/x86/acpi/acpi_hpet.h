/* The high-precision event timer. IA-PC HPET Specification, "The ACPI 2.0 HPET Description Table". */
#pragma once

#include "lib/status.h"
#include "lib/types.h"

struct acpi_hpet {
	bool present;
	hpa_t address; /* of its 1 KiB of registers */
	uint8_t number;
};

/** acpi_hpet_parse() - as acpi_madt_parse(); STATUS_UNSUPPORTED when the registers are not in memory. */
enum status acpi_hpet_parse(const void *table, size_t length, struct acpi_hpet *hpet);
