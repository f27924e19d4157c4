/*
 * Brings one function back to its state after power-on, without touching others. PCI Express Base Specification,
 * "Function-Level Reset"; PCI Bus Power Management Interface Specification; PCI Local Bus ECN "Advanced Capabilities
 * for Conventional PCI".
 */
#pragma once

#include "drivers/pci/pci.h"

enum pci_reset_way {
	PCI_RESET_NONE,
	PCI_RESET_FLR,
	PCI_RESET_ADVANCED_FLR,
	PCI_RESET_POWER,
	PCI_RESET_BUS,
	PCI_RESET_WAY_COUNT
};

/**
 * pci_reset_way() - the best way there is: function-level reset, that of conventional PCI, power state D3hot and back,
 * reset of the secondary bus (only when nothing else is behind the bridge). Reads only; any CPU.
 */
enum pci_reset_way pci_reset_way(const struct pci_function *function);
/** pci_reset_way_name() - "FLR", "AF FLR", "power state", "secondary bus reset", "no reset"; never NULL. */
const char *pci_reset_way_name(enum pci_reset_way way);

/**
 * pci_reset_function() - resets it and restores its configuration space: base address registers, command without bus
 * mastering, PCI Express controls, ACS, SR-IOV; MSI and MSI-X are off afterwards. It resets the virtual functions of a
 * physical one as well. Takes some 100 ms, in which long_work_step() is called; at most a few seconds. Interrupts off;
 * not for two functions at once.
 * @how: out: pci_reset_way_name() of the way taken; not NULL.
 * Return: STATUS_OK; STATUS_NOT_FOUND (no way: nothing was done); STATUS_BUSY (one of its virtual functions is a VM's);
 *         STATUS_DENIED (the hypervisor's); STATUS_TIMEOUT (it did not come back) or STATUS_IO (it came back
 *         different): it is dead from now on, cannot be claimed, and is no bus master.
 */
must_check enum status pci_reset_function(const struct pci_function *function, const char **how);
