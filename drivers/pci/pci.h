/* The PCI functions of this machine, found once at boot. PCI Local Bus Specification, "Configuration Space". */
#pragma once

#include "drivers/pci/pci_config.h"
#include "lib/status.h"
#include "lib/types.h"

#define PCI_MAX_FUNCTIONS 512u
#define PCI_MAX_BARS 6u
#define PCI_MAX_CAPABILITIES 24u

enum pci_bar_kind { PCI_BAR_NONE, PCI_BAR_PORT, PCI_BAR_MEMORY_32, PCI_BAR_MEMORY_64 };

struct pci_bar {
	enum pci_bar_kind kind; /* the slot after a 64-bit one is PCI_BAR_NONE */
	bool prefetchable;
	uint64_t address;       /* port or host-physical address; 0: not assigned */
};

#define PCI_CAPABILITY_POWER 0x01u
#define PCI_CAPABILITY_MSI 0x05u
#define PCI_CAPABILITY_EXPRESS 0x10u
#define PCI_CAPABILITY_MSIX 0x11u

struct pci_capability { uint8_t id; uint8_t offset; };

struct pci_function {
	struct pci_address address;
	uint16_t vendor_id, device_id;
	uint16_t subsystem_vendor_id, subsystem_id; /* 0 for bridges */
	uint8_t class_code, subclass, programming_interface, revision;
	uint8_t header_type; /* layout 0, 1 or 2, without the multi-function bit */
	uint8_t secondary_bus, subordinate_bus; /* of bridges */
	uint8_t interrupt_line; /* what firmware noted, usually the IRQ of the 8259s */
	uint8_t interrupt_pin;  /* 0: none, 1..4: INTA#..INTD# */
	struct pci_bar bars[PCI_MAX_BARS]; /* sizes are not probed: that would need the device to stand still */
	uint32_t capability_count;
	struct pci_capability capabilities[PCI_MAX_CAPABILITIES]; /* in the order of the list */
};

/**
 * pci_scan() - finds all functions: looks at every bus of segment 0 and every bus that an ECAM window of another segment
 * covers, so that buses behind bridges and further root buses are found alike. Boot, one CPU, after acpi_init() and host
 * paging. Only reads.
 * Return: STATUS_OK; STATUS_NO_MEMORY (more than PCI_MAX_FUNCTIONS: the first ones are kept); STATUS_NOT_FOUND (none).
 */
must_check enum status pci_scan(void);
uint32_t pci_count(void);
/** pci_get() - function @index < pci_count(), by segment, bus, device, function; NULL beyond. */
const struct pci_function *pci_get(uint32_t index);
/** pci_find() - the function at @address; NULL if there is none. */
const struct pci_function *pci_find(struct pci_address address);
/** pci_find_class() - the @nth (from 0) function of a class; NULL beyond. */
const struct pci_function *pci_find_class(uint8_t class_code, uint8_t subclass, uint32_t nth);
/** pci_find_capability() - offset of the first capability @id, 0 if it has none. */
uint8_t pci_find_capability(const struct pci_function *function, uint8_t id);

/** pci_class_name() - words for a class ("Ethernet controller"), of its base class if the subclass is not known; never NULL. */
const char *pci_class_name(uint8_t class_code, uint8_t subclass);
/** pci_capability_name() - "MSI-X" and so on; "?" if not known. pci_vendor_name(): "Intel" and so on, "" if not known. */
const char *pci_capability_name(uint8_t id);
const char *pci_vendor_name(uint16_t vendor_id);
