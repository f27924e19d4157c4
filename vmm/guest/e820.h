/*
 * The guest's memory map in the PC's terms. ACPI "System Address Map Interfaces".
 */
#pragma once

#include "lib/types.h"
#include "vmm/guest_memory.h"

#define E820_RAM 1u
#define E820_RESERVED 2u
#define E820_ACPI_RECLAIM 3u
#define E820_ACPI_NVS 4u

#define E820_MAX_ENTRIES 16u
#define E820_EBDA_START 0x9fc00u /* the extended BIOS data area ends conventional memory */

struct e820_entry {
	uint64_t base, length; /* [bytes] */
	uint32_t type;
} packed_struct;

/**
 * e820_build() - describes @memory, sorted, without overlaps and without empty entries.
 * Return: number of entries, at most E820_MAX_ENTRIES.
 */
unsigned e820_build(const struct guest_memory *memory, struct e820_entry entries[E820_MAX_ENTRIES]);
