/* Where a guest may have the registers of its PCI functions. */
#pragma once

#include "lib/types.h"
#include "vmm/guest_memory.h"

/**
 * pci_window_high() - the window above all RAM, for 64-bit base address registers; the one below 4 GiB is
 * PLATFORM_PCI_WINDOW_BASE to PLATFORM_PCI_WINDOW_END.
 * @memory: with all its slots. Return: false: physical addresses, as the guest sees them, end too soon for one.
 */
must_check bool pci_window_high(const struct guest_memory *memory, uint64_t *base, uint64_t *end);
/** pci_window_holds() - [@base, @base + @size), @size > 0, lies in one of the windows. */
must_check bool pci_window_holds(const struct guest_memory *memory, uint64_t base, uint64_t size);
