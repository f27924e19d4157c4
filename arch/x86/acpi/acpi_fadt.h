/* Fixed power-management hardware. ACPI Specification, "Fixed ACPI Description Table (FADT)". */
#pragma once

#include "lib/status.h"
#include "lib/types.h"

enum acpi_space { ACPI_SPACE_MEMORY = 0, ACPI_SPACE_PORT = 1, ACPI_SPACE_PCI = 2 };

/* A register: "Generic Address Structure (GAS)". */
struct acpi_register {
	uint64_t address;   /* 0: there is none. ACPI_SPACE_PCI: device [47:32], function [31:16], offset [15:0] on bus 0 */
	uint8_t space;      /* enum acpi_space, or any other number that firmware gave */
	uint8_t bit_width, bit_offset;
	uint8_t access_size; /* 0: not told; 1..4: 1, 2, 4, 8 bytes */
};

#define ACPI_FADT_TIMER_32_BIT 0x100u   /* TMR_VAL_EXT */
#define ACPI_FADT_RESET_REGISTER 0x400u /* RESET_REG_SUP */
#define ACPI_FADT_HARDWARE_REDUCED 0x100000u

struct acpi_fadt {
	bool present;
	uint8_t revision;
	uint32_t flags;          /* ACPI_FADT_* */
	uint16_t boot_flags;     /* "IA-PC Boot Architecture Flags" */
	uint16_t sci_interrupt;
	uint16_t smi_command;    /* port; 0: the machine is always in ACPI mode */
	uint8_t acpi_enable, acpi_disable; /* values for smi_command */
	uint8_t century;         /* CMOS index of the century, 0: none */
	uint8_t reset_value;
	hpa_t dsdt;
	struct acpi_register pm1a_event, pm1b_event, pm1a_control, pm1b_control, pm_timer;
	struct acpi_register reset;         /* valid with ACPI_FADT_RESET_REGISTER */
	struct acpi_register sleep_control, sleep_status; /* of hardware-reduced machines */
};

/** acpi_fadt_parse() - as acpi_madt_parse(); takes what the table's length holds, extended addresses before the old ones. */
enum status acpi_fadt_parse(const void *table, size_t length, struct acpi_fadt *fadt);
