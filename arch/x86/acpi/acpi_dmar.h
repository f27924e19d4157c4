/* I/O virtualization hardware. VT-d Specification, "BIOS Considerations". */
#pragma once

#include "lib/status.h"
#include "lib/types.h"

#define ACPI_MAX_DRHDS 16u
#define ACPI_MAX_RMRRS 32u
#define ACPI_MAX_ATSRS 8u
#define ACPI_MAX_RHSAS 16u
#define ACPI_MAX_ANDDS 16u
#define ACPI_MAX_SCOPES 32u      /* per structure */
#define ACPI_MAX_SCOPE_PATH 8u
#define ACPI_MAX_DEVICE_NAME 48u

enum acpi_scope_type {
	ACPI_SCOPE_ENDPOINT = 1,
	ACPI_SCOPE_BRIDGE = 2,
	ACPI_SCOPE_IO_APIC = 3,
	ACPI_SCOPE_HPET = 4,
	ACPI_SCOPE_NAMED = 5,
};

/* A function, found by walking from @start_bus down the bridges of @path. */
struct acpi_scope {
	uint8_t type;           /* enum acpi_scope_type */
	uint8_t enumeration_id; /* I/O APIC id, HPET number or ANDD device number */
	uint8_t start_bus;
	uint8_t path_length;    /* 1..ACPI_MAX_SCOPE_PATH */
	struct { uint8_t device, function; } path[ACPI_MAX_SCOPE_PATH];
};

struct acpi_scope_list {
	uint32_t count, lost; /* lost: did not fit, or broken */
	struct acpi_scope scopes[ACPI_MAX_SCOPES];
};

struct acpi_drhd {
	bool include_all;
	uint16_t segment;
	hpa_t registers;
	uint64_t length;
	struct acpi_scope_list scopes;
};
/* Memory [base, limit] that firmware keeps using by DMA for these functions. */
struct acpi_rmrr { uint16_t segment; hpa_t base, limit; struct acpi_scope_list scopes; };
struct acpi_atsr { bool all_ports; uint16_t segment; struct acpi_scope_list scopes; };
struct acpi_rhsa { hpa_t registers; uint32_t proximity_domain; };
struct acpi_andd { uint8_t device_number; char name[ACPI_MAX_DEVICE_NAME]; };

struct acpi_dmar {
	bool present;
	uint8_t address_width;       /* [bits] that DMA may use */
	bool interrupt_remapping, x2apic_opt_out, dma_opt_in;
	uint32_t drhd_count, rmrr_count, atsr_count, rhsa_count, andd_count;
	uint32_t structures_lost;    /* did not fit, or broken */
	uint32_t structures_unknown; /* of types that this parser does not know */
	struct acpi_drhd drhds[ACPI_MAX_DRHDS];
	struct acpi_rmrr rmrrs[ACPI_MAX_RMRRS];
	struct acpi_atsr atsrs[ACPI_MAX_ATSRS];
	struct acpi_rhsa rhsas[ACPI_MAX_RHSAS];
	struct acpi_andd andds[ACPI_MAX_ANDDS];
};

/** acpi_dmar_parse() - as acpi_madt_parse(). */
enum status acpi_dmar_parse(const void *table, size_t length, struct acpi_dmar *dmar);
