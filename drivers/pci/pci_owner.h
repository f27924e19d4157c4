/*
 * Each function has exactly one owner. Bridges, what belongs to the chip set (SMBus, interrupt and memory controllers,
 * IOMMUs) and the devices that the console uses are the hypervisor's; all others are in quarantine, without bus
 * mastering and without interrupts, until they are given to a VM.
 */
#pragma once

#include "drivers/pci/pci.h"

/** pci_owner_init() - gives every function its first owner and quarantines the rest; pci_scan() calls it. */
void pci_owner_init(void);

/**
 * pci_claim() - takes a function out of quarantine. Bus mastering stays off: see pci_set_bus_master().
 * @owner: PCI_OWNER_VM or PCI_OWNER_HYPERVISOR. @name: the VM's, copied, cut at PCI_OWNER_NAME_SIZE - 1 bytes; NULL:
 * "". Any CPU, interrupts off.
 * Return: STATUS_OK; STATUS_DENIED (it is the hypervisor's); STATUS_BUSY (it is a VM's); STATUS_IO (it is dead: a reset
 *         did not end); STATUS_INVALID (@owner).
 */
must_check enum status pci_claim(const struct pci_function *function, enum pci_owner owner, const char *name);
/**
 * pci_release() - back to quarantine: bus mastering, INTx, MSI and MSI-X off. What the hypervisor had from boot stays
 * with it.
 */
void pci_release(const struct pci_function *function);

/**
 * pci_set_bus_master() - lets the function read and write memory and send MSIs, or not. Any CPU, interrupts off.
 * Return: STATUS_OK; STATUS_DENIED (@on, and it is in quarantine, cut off or dead).
 */
must_check enum status pci_set_bus_master(const struct pci_function *function, bool on);
/**
 * pci_cut_off() - bus mastering off until pci_reset_function() or pci_release(), for a function that does harm. Any
 * CPU.
 */
void pci_cut_off(const struct pci_function *function);

/** pci_owner_name() - "hypervisor", "quarantine" or the VM's name; never NULL. */
const char *pci_owner_name(const struct pci_function *function);
