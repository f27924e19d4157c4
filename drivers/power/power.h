/* Turning the machine off and restarting it. ACPI Specification, "Sleeping States", "Reset Register". */
#pragma once

#include "lib/status.h"
#include "lib/types.h"

/**
 * power_off() - soft-off (S5). Flush the consoles first; other CPUs should be parked. Interrupts off.
 * Return: only on failure: STATUS_UNSUPPORTED (the tables do not say how); STATUS_TIMEOUT (the machine stays on).
 */
enum status power_off(void);

/**
 * power_reboot() - restarts by the reset register of the FADT, port 0xcf9, the keyboard controller, then a triple fault.
 * Return: only on failure: STATUS_TIMEOUT.
 */
enum status power_reboot(void);
