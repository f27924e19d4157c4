/*
 * Isolation groups: functions whose reads and writes can reach each other without passing an IOMMU, or look alike to
 * it. PCI Express Base Specification, "Access Control Services (ACS)"; VT-d Specification, "Identifying Origination of
 * DMA Requests".
 */
#pragma once

#include "drivers/pci/pci.h"

#define PCI_MAX_REQUESTER_IDS 2u

/** pci_groups_init() - switches ACS on wherever there is some and numbers the groups; pci_scan() calls it. */
void pci_groups_init(void);
/**
 * pci_group_members() - calls @visit for each function that cannot be isolated from @function, itself and bridges
 * included. A group is fit for one VM when all its members but bridges are given to that VM.
 */
void pci_group_members(const struct pci_function *function,
		       void (*visit)(const struct pci_function *member, void *context), void *context);

/** pci_requester_id() - bus, device and function as one number: the source of its requests. */
uint16_t pci_requester_id(const struct pci_function *function);
/**
 * pci_requester_ids() - all sources that requests of @function may show (bridges to conventional PCI replace it by
 * their own): its own first. Interrupts (MSI) of a function behind such a bridge come with the last one.
 * Return: how many, 1..PCI_MAX_REQUESTER_IDS.
 */
uint32_t pci_requester_ids(const struct pci_function *function, uint16_t ids[PCI_MAX_REQUESTER_IDS]);
