/* The way to all tables. ACPI Specification, "Root System Description Pointer (RSDP)", "(XSDT)", "(RSDT)". */
#pragma once

#include "lib/status.h"
#include "lib/types.h"

#define ACPI_RSDP_SIZE_1 20u /* of revision 0 */
#define ACPI_RSDP_SIZE_2 36u

struct acpi_rsdp {
	uint8_t revision;
	hpa_t xsdt; /* 0: none */
	hpa_t rsdt; /* 0: none */
};

/**
 * acpi_rsdp_parse() - checks and reads the pointer at @rsdp, of which @length bytes may be read.
 * Return: STATUS_OK; STATUS_BAD_FORMAT (signature); STATUS_BAD_CHECKSUM; STATUS_TRUNCATED.
 */
must_check enum status acpi_rsdp_parse(const void *rsdp, size_t length, struct acpi_rsdp *result);

/** acpi_rsdp_search() - offset of the first valid pointer in @area, on a 16-byte boundary: STATUS_OK or STATUS_NOT_FOUND. */
must_check enum status acpi_rsdp_search(const void *area, size_t length, size_t *offset);

/** acpi_root_count() - how many table addresses a whole RSDT (@entry_size 4) or XSDT (8) holds. */
uint32_t acpi_root_count(size_t length, unsigned entry_size);
/** acpi_root_entry() - address @index < acpi_root_count(); 0 for an empty entry. */
hpa_t acpi_root_entry(const void *root, size_t length, unsigned entry_size, uint32_t index);
