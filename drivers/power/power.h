/* Turning the machine off and restarting it. ACPI Specification, "Sleeping States", "Reset Register". */
#pragma once

#include "lib/status.h"
#include "lib/types.h"

/**
 * power_off() - stops the other CPUs, then soft-off (S5). Flush the consoles first. Interrupts off.
 * Return: only on failure: STATUS_UNSUPPORTED (the tables do not say how; nothing has changed); STATUS_TIMEOUT (the machine
 *         stays on, the other CPUs stay stopped).
 */
enum status power_off(void);

/**
 * power_reboot() - stops the other CPUs and writes the caches back, then restarts by the reset register of the FADT, port
 * 0xcf9, the keyboard controller, then a triple fault. Also the way out of a panic. Interrupts off.
 * Return: only on failure: STATUS_TIMEOUT; the other CPUs stay stopped.
 */
enum status power_reboot(void);
