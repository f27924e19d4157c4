/* What back ends know of events in common. */
#pragma once

#include "lib/types.h"

/**
 * virt_makes_double_fault() - exception @second came while exception @first was being delivered: whether the CPU makes #DF of
 * them. SDM Vol. 3A "Interrupt 8—Double Fault Exception".
 */
bool virt_makes_double_fault(unsigned first, unsigned second);
