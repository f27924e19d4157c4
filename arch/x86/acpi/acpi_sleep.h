/* The one thing that is read out of AML: the package _S5_. ACPI Specification, "\_Sx (System States)". */
#pragma once

#include "lib/status.h"
#include "lib/types.h"

struct acpi_sleep_type {
	bool present;
	uint8_t type_a, type_b; /* SLP_TYP for PM1a and PM1b control, 0..7 */
};

/**
 * acpi_sleep_find_s5() - looks for Name(_S5_, Package(...)) in a DSDT or SSDT.
 * @table, @length: a whole table, any bytes; only [0, @length) is read.
 * Return: STATUS_OK and *@s5; STATUS_NOT_FOUND (*@s5 says present == false).
 */
must_check enum status acpi_sleep_find_s5(const void *table, size_t length, struct acpi_sleep_type *s5);
