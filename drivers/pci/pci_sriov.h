/*
 * Virtual functions. Single Root I/O Virtualization and Sharing Specification, "Initialization and Resource
 * Allocation".
 */
#pragma once

#include "drivers/pci/pci.h"

/**
 * pci_enable_vfs() - makes @count virtual functions of a physical one, which stay until pci_disable_vfs(). They
 * appear in pci_get() at the end, in quarantine, with addresses from the space that firmware gave the physical function
 * for them. Boot processor, no VM being created or destroyed; takes some 100 ms.
 * @count: 1..function->vf_total. @why: out: on failure words for people; not NULL.
 * Return: STATUS_OK; STATUS_UNSUPPORTED (not a physical function; no address space; routing ids behind the bridge's
 *         last bus, or that are taken); STATUS_OUT_OF_RANGE (@count); STATUS_EXISTS (enabled already); STATUS_BUSY (a
 *         VM owns it); STATUS_NO_MEMORY (PCI_MAX_FUNCTIONS); STATUS_TIMEOUT (they do not appear; they are off again).
 */
must_check enum status pci_enable_vfs(const struct pci_function *function, uint16_t count, const char **why);
/**
 * pci_disable_vfs() - takes them away again; pointers to them are worth nothing afterwards. Boot processor, no VM being
 * created or destroyed; takes a second. @why: out: on failure words for people; not NULL.
 * Return: STATUS_OK; STATUS_NOT_FOUND (there are none); STATUS_BUSY (a VM has one or @function, or those of another
 *         function were enabled later).
 */
must_check enum status pci_disable_vfs(const struct pci_function *function, const char **why);
/**
 * pci_vf_in_use() - the first virtual function of @function that a VM owns; NULL if there is none, or @function has
 * none.
 */
const struct pci_function *pci_vf_in_use(const struct pci_function *function);
