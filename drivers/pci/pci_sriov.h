/*
 * Virtual functions. Single Root I/O Virtualization and Sharing Specification, "Initialization and Resource
 * Allocation".
 */
#pragma once

#include "drivers/pci/pci.h"

/**
 * pci_enable_vfs() - makes @count virtual functions of a physical one, once: they stay until the machine restarts. They
 * appear in pci_get() at the end, in quarantine, with addresses from the space that firmware gave the physical function
 * for them. Boot processor, no VM being created or destroyed; takes some 100 ms.
 * @count: 1..function->vf_total. @why: out: on failure words for people; not NULL.
 * Return: STATUS_OK; STATUS_UNSUPPORTED (not a physical function; no address space; routing ids behind the bridge's
 *         last bus, or that are taken); STATUS_OUT_OF_RANGE (@count); STATUS_EXISTS (enabled already); STATUS_BUSY (a
 *         VM owns it); STATUS_NO_MEMORY (PCI_MAX_FUNCTIONS); STATUS_TIMEOUT (they do not appear; they are off again).
 */
must_check enum status pci_enable_vfs(const struct pci_function *function, uint16_t count, const char **why);
/**
 * pci_vf_in_use() - the first virtual function of @function that a VM owns; NULL if there is none, or @function has
 * none.
 */
const struct pci_function *pci_vf_in_use(const struct pci_function *function);
