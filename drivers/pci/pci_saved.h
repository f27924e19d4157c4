/* What a reset undoes in configuration space and what was right before it. */
#pragma once

#include "drivers/pci/pci.h"

#define PCI_SAVED_MAX 32u

struct pci_saved {
	uint32_t values[PCI_SAVED_MAX];
};

/** pci_save() - notes controls of @function: power, link, errors, routing, virtual functions. Not address registers. */
void pci_save(const struct pci_function *function, struct pci_saved *saved);
/** pci_restore() - writes them back. */
void pci_restore(const struct pci_function *function, const struct pci_saved *saved);
