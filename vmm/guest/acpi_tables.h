/*
 * The ACPI tables of a guest: RSDP, XSDT, FADT, FACS, MADT and the DSDT that iasl made of dsdt.asl. They lie in the BIOS area
 * that the memory map reserves.
 *
 * Manual: ACPI "Root System Description Pointer", "Fixed ACPI Description Table", "Multiple APIC Description Table".
 */
#pragma once

#include "lib/status.h"
#include "lib/types.h"
#include "vmm/guest_memory.h"

/**
 * acpi_tables_write() - writes the tables for @vcpu_count processors (1..VM_MAX_VCPUS), APIC ids 0 onwards.
 * @rsdp: out: address of the RSDP, where a search of the BIOS area finds it too.
 * Return: STATUS_OK; STATUS_INVALID (@vcpu_count); STATUS_OUT_OF_RANGE (no RAM in the BIOS area); STATUS_NO_MEMORY (it is full).
 */
must_check enum status acpi_tables_write(const struct guest_memory *memory, uint32_t vcpu_count, gpa_t *rsdp);
