/* Access to registers that ACPI describes by space and address. Internal to drivers/power. */
#pragma once

#include "arch/x86/acpi/acpi_fadt.h"
#include "lib/status.h"
#include "lib/types.h"

/**
 * power_register_read() / power_register_write() - one access of @size 1 or 2 bytes, @offset bytes behind the register.
 * Memory is mapped first; PCI configuration space (8 bits, writing only) goes through ports 0xcf8/0xcfc.
 * Writes that only help may be ignored when they fail.
 * Return: STATUS_OK; STATUS_NOT_FOUND (there is no such register); STATUS_INVALID (address); STATUS_UNSUPPORTED (space);
 *         STATUS_NO_MEMORY (it cannot be mapped).
 */
must_check enum status power_register_read(const struct acpi_register *where, unsigned offset, unsigned size, uint16_t *value);
enum status power_register_write(const struct acpi_register *where, unsigned offset, unsigned size, uint16_t value);
