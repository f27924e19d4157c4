/*
 * QEMU's edu device (docs/specs/edu.rst of QEMU), a DMA engine made for tests, as a function on the guest's PCI bus.
 * Included by one .c file of a program.
 */
#pragma once

#include "pci.h"
#include "runtime/guest.h"

#define EDU_ID 0x11e81234u
#define EDU_SIZE 0x100000u
#define EDU_IDENTIFICATION 0x00u
#define EDU_LIVENESS 0x04u /* reads as the inverse of what was written */
#define EDU_RAISE 0x60u
#define EDU_ACKNOWLEDGE 0x64u
#define EDU_INTERRUPT 0x24u
#define EDU_DMA_SOURCE 0x80u
#define EDU_DMA_DESTINATION 0x88u
#define EDU_DMA_COUNT 0x90u
#define EDU_DMA_COMMAND 0x98u
#define EDU_DMA_START 1u
#define EDU_DMA_TO_MEMORY 2u
#define EDU_DMA_INTERRUPT 4u /* at the end */
#define EDU_BUFFER 0x40000u /* of 4 KiB, as the DMA engine addresses it */

static uint64_t edu_base;
static unsigned edu_slot;

static inline uint32_t edu_read(unsigned offset) { return mmio_read(edu_base + offset); }
static inline void edu_write(unsigned offset, uint32_t value) { mmio_write(edu_base + offset, value); }

/* Finds it and shows its registers at @base; false: it is not there. */
static inline bool edu_open(uint64_t base)
{
	edu_slot = pci_find(EDU_ID);
	if (edu_slot == PCI_SLOTS)
		return false;
	edu_base = base;
	pci_write(edu_slot, PCI_BAR0, (uint32_t)base);
	pci_write(edu_slot, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_NO_INTX);
	return true;
}

/* One transfer, waited for; a bounded number of looks. False: it does not end. */
static inline bool edu_transfer(uint64_t memory, unsigned offset, uint32_t length, bool to_memory)
{
	uint64_t source = to_memory ? EDU_BUFFER + offset : memory, destination = to_memory ? memory : EDU_BUFFER + offset;

	*(volatile uint64_t *)(edu_base + EDU_DMA_SOURCE) = source;
	*(volatile uint64_t *)(edu_base + EDU_DMA_DESTINATION) = destination;
	*(volatile uint64_t *)(edu_base + EDU_DMA_COUNT) = length;
	*(volatile uint64_t *)(edu_base + EDU_DMA_COMMAND) = EDU_DMA_START | (to_memory ? EDU_DMA_TO_MEMORY : 0);
	for (unsigned i = 0; i < 100000000; i++) {
		if (!(*(volatile uint64_t *)(edu_base + EDU_DMA_COMMAND) & EDU_DMA_START))
			return true;
	}
	return false;
}
