/* Processors and interrupt controllers. ACPI Specification, "Multiple APIC Description Table (MADT)". */
#pragma once

#include "arch/x86/pcpu.h"
#include "lib/status.h"
#include "lib/types.h"

#define ACPI_MAX_PROCESSORS PCPU_MAX
#define ACPI_MAX_IO_APICS 16u
#define ACPI_MAX_OVERRIDES 16u
#define ACPI_MAX_NMIS 32u

struct acpi_processor {
	uint32_t apic_id; /* x2APIC id when it is above 254 */
	uint32_t acpi_id;
	bool enabled;        /* may be started now */
	bool online_capable; /* not enabled, but firmware could enable it later (hot-plug) */
};

struct acpi_io_apic {
	uint32_t id;
	hpa_t address;
	uint32_t gsi_base; /* the global system interrupt of its pin 0 */
};

/* How an interrupt line behaves; "conforms" means by the rules of its bus (ISA: edge, active high). */
enum acpi_polarity { ACPI_POLARITY_CONFORMS = 0, ACPI_POLARITY_HIGH = 1, ACPI_POLARITY_LOW = 3 };
enum acpi_trigger { ACPI_TRIGGER_CONFORMS = 0, ACPI_TRIGGER_EDGE = 1, ACPI_TRIGGER_LEVEL = 3 };

struct acpi_override {
	uint8_t source; /* ISA IRQ */
	uint32_t gsi;   /* where it is wired to */
	enum acpi_polarity polarity;
	enum acpi_trigger trigger;
};

#define ACPI_NMI_ALL_PROCESSORS 0xffffffffu

/* An NMI source: a local interrupt pin of processors, or an I/O APIC input. */
struct acpi_nmi {
	bool local;       /* true: @pin of @acpi_id's local APIC; false: input @gsi of an I/O APIC */
	uint32_t acpi_id; /* or ACPI_NMI_ALL_PROCESSORS */
	uint8_t pin;      /* LINT number, 0 or 1 */
	uint32_t gsi;
	enum acpi_polarity polarity;
	enum acpi_trigger trigger;
};

struct acpi_madt {
	bool present;
	bool has_8259;      /* a pair of 8259 is there and must be masked */
	hpa_t local_apic;   /* registers of the local APICs */
	/* Entries that are neither enabled nor online-capable are not counted. lost: did not fit. */
	uint32_t processor_count, processors_lost;
	uint32_t io_apic_count, io_apics_lost;
	uint32_t override_count, overrides_lost;
	uint32_t nmi_count, nmis_lost;
	struct acpi_processor processors[ACPI_MAX_PROCESSORS]; /* in the table's order, each APIC id once */
	struct acpi_io_apic io_apics[ACPI_MAX_IO_APICS];
	struct acpi_override overrides[ACPI_MAX_OVERRIDES];
	struct acpi_nmi nmis[ACPI_MAX_NMIS];
};

/**
 * acpi_madt_parse() - reads a whole table (header included, checksum already checked).
 * @table, @length: any bytes; only [0, @length) is read.
 * Return: STATUS_OK; STATUS_TRUNCATED (shorter than its fixed part, or an entry runs over the end: what stood before it
 *         is kept and present is set); *@madt is always defined.
 */
enum status acpi_madt_parse(const void *table, size_t length, struct acpi_madt *madt);

/** acpi_madt_isa_gsi() - the line that ISA @irq (0..15) is wired to and how it behaves, overrides and bus rules applied. */
struct acpi_override acpi_madt_isa_gsi(const struct acpi_madt *madt, uint8_t irq);
