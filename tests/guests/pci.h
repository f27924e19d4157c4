/*
 * Configuration space of the guest's PCI bus, function 0 of each slot, by mechanism 1.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "runtime/cpu.h"

#define PCI_ADDRESS_PORT 0xcf8u
#define PCI_DATA_PORT 0xcfcu
#define PCI_SLOTS 32u

#define PCI_ID 0x00u
#define PCI_COMMAND 0x04u
#define PCI_BAR0 0x10u
#define PCI_CAPABILITIES 0x34u
#define PCI_INTERRUPT 0x3cu
#define PCI_COMMAND_MEMORY 2u
#define PCI_COMMAND_MASTER 4u
#define PCI_COMMAND_NO_INTX 0x400u
#define PCI_CAPABILITY_MSI 5u
#define PCI_MAX_CAPABILITIES 48u

/* From now on the data port is the register at @offset. */
static inline void pci_select(unsigned slot, unsigned offset)
{
	out32(PCI_ADDRESS_PORT, 0x80000000u | slot << 11 | offset);
}

static inline uint32_t pci_read(unsigned slot, unsigned offset)
{
	pci_select(slot, offset);
	return in32(PCI_DATA_PORT);
}

static inline void pci_write(unsigned slot, unsigned offset, uint32_t value)
{
	pci_select(slot, offset);
	out32(PCI_DATA_PORT, value);
}

/* The slot of the device with vendor and device id @id; PCI_SLOTS: there is none. */
static inline unsigned pci_find(uint32_t id)
{
	unsigned slot = 0;

	while (slot < PCI_SLOTS && pci_read(slot, PCI_ID) != id)
		slot++;
	return slot;
}

/* Its offset; 0: there is none. */
static inline unsigned pci_find_capability(unsigned slot, unsigned id)
{
	unsigned offset = pci_read(slot, PCI_CAPABILITIES) & 0xfc;

	for (unsigned i = 0; i < PCI_MAX_CAPABILITIES && offset != 0; i++) {
		uint32_t header = pci_read(slot, offset);

		if ((header & 0xff) == id)
			return offset;
		offset = header >> 8 & 0xfc;
	}
	return 0;
}

/* One message of @vector to the first processor; false: the device has no MSI. */
static inline bool pci_enable_msi(unsigned slot, uint8_t vector)
{
	unsigned msi = pci_find_capability(slot, PCI_CAPABILITY_MSI);
	bool wide;

	if (msi == 0)
		return false;
	wide = pci_read(slot, msi) & 0x800000;
	pci_write(slot, msi + 4, 0xfee00000);
	if (wide)
		pci_write(slot, msi + 8, 0);
	pci_write(slot, msi + (wide ? 12 : 8), vector);
	pci_write(slot, msi, pci_read(slot, msi) | 1u << 16);
	return true;
}
