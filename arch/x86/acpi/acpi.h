/*
 * What the firmware's ACPI tables say about the machine, read once at boot into one bounded structure. A table that is
 * broken is skipped, with a log line that names it. ACPI Specification, "ACPI Software Programming Model".
 */
#pragma once

#include "arch/x86/acpi/acpi_dmar.h"
#include "arch/x86/acpi/acpi_fadt.h"
#include "arch/x86/acpi/acpi_hpet.h"
#include "arch/x86/acpi/acpi_madt.h"
#include "arch/x86/acpi/acpi_mcfg.h"
#include "arch/x86/acpi/acpi_sleep.h"
#include "lib/status.h"
#include "lib/types.h"

#define ACPI_MAX_TABLES 64u

/* A table as it was found, for `report`. */
struct acpi_table {
	char signature[5]; /* NUL-terminated; bytes that cannot be printed are '?' */
	hpa_t address;
	uint32_t length;   /* [bytes]; 0: could not be mapped */
	bool valid;        /* length and checksum are right */
};

struct acpi_info {
	bool present;          /* an RSDP and a root table were found */
	hpa_t rsdp;
	uint32_t table_count, tables_lost; /* lost: more than ACPI_MAX_TABLES */
	struct acpi_table tables[ACPI_MAX_TABLES];
	struct acpi_madt madt;  /* each of these says by `present` whether its table was found and valid */
	struct acpi_fadt fadt;
	struct acpi_mcfg mcfg;
	struct acpi_hpet hpet;
	struct acpi_dmar dmar;
	struct acpi_sleep_type s5; /* what to write to the sleep registers to turn the machine off */
};

/*
 * Makes @length bytes at @address readable for good; NULL when that cannot be. Firmware may put tables in reserved
 * memory, outside what the hypervisor maps by itself.
 */
typedef const void *(*acpi_map)(hpa_t address, uint64_t length);

/**
 * acpi_init() - finds and reads all tables. Boot only, once, on one CPU; needs no lock and allocates nothing.
 * @rsdp: where the Root System Description Pointer is, or 0: search the BIOS areas (EBDA, 0xe0000..0xfffff).
 * Return: STATUS_OK; STATUS_NOT_FOUND (no RSDP); STATUS_BAD_FORMAT (no usable root table). acpi_get() then says
 *         present == false and everything in it is empty.
 */
must_check enum status acpi_init(hpa_t rsdp, acpi_map map);

/** acpi_get() - what acpi_init() found; never NULL, constant afterwards. */
const struct acpi_info *acpi_get(void);
