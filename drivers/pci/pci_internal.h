/* What the files of drivers/pci share: reading one function, and the table of functions. */
#pragma once

#include "drivers/pci/pci.h"

/** pci_writable() - the same function, to change what may change later. */
struct pci_function *pci_writable(const struct pci_function *function);
/**
 * pci_reserve() - memory for @count more functions, so that adding them cannot fail; false: there is none, or they are
 * too many.
 */
must_check bool pci_reserve(uint32_t count);
/** pci_remove_last() - takes the last @count functions out of the table again; nobody may have kept them. */
void pci_remove_last(uint32_t count);
/** pci_append() - a zeroed function at @address at the end of the table; NULL: as for pci_reserve(). */
struct pci_function *pci_append(struct pci_address address);

static always_inline uint32_t pci_read(const struct pci_function *function, unsigned offset, unsigned size)
{
	return pci_config_read(function->address, (uint16_t)offset, size);
}

static always_inline void pci_write(const struct pci_function *function, unsigned offset, unsigned size, uint32_t value)
{
	pci_config_write(function->address, (uint16_t)offset, size, value);
}

static always_inline void pci_update(const struct pci_function *function, unsigned offset, unsigned size,
				     uint64_t clear, uint64_t set)
{
	pci_config_update(function->address, (uint16_t)offset, size, (uint32_t)clear, (uint32_t)set);
}

/** pci_express_register() - offset of a register of the PCI Express capability; 0: the function is conventional. */
static inline unsigned pci_express_register(const struct pci_function *function, unsigned offset)
{
	unsigned base = pci_find_capability(function, PCI_CAPABILITY_EXPRESS);

	return base == 0 ? 0 : base + offset;
}

/** pci_read_identity() - class, revision and subsystem, which virtual functions have as well. */
void pci_read_identity(struct pci_function *function);
/** pci_read_capabilities() - both lists, and what kind of PCI Express function it is. */
void pci_read_capabilities(struct pci_function *function);
/**
 * pci_read_bars() - address registers and ROM with their sizes; decoding is off meanwhile. A host bridge is not sized.
 */
void pci_read_bars(struct pci_function *function);
/**
 * pci_size_bars() - @count base address registers at configuration @offset, which nothing decodes now.
 * @sizable: kinds (bit 0 PCI_COMMAND_PORTS, bit 1 PCI_COMMAND_MEMORY) that may be written to; others keep size 0.
 */
void pci_size_bars(const struct pci_function *function, unsigned offset, unsigned count, uint64_t sizable,
		   struct pci_bar *bars);
/** pci_restore_bars() - writes the addresses of @function, not a virtual one; whether the registers hold them. */
bool pci_restore_bars(const struct pci_function *function);
/** pci_sriov_init() - how many virtual functions it can have; those that firmware left on go off. */
void pci_sriov_init(struct pci_function *function);
/**
 * pci_sriov_wait() - until the virtual functions of one that was reset are there again, in quarantine. STATUS_TIMEOUT:
 * they are not.
 */
must_check enum status pci_sriov_wait(const struct pci_function *function);
/** pci_quarantine() - no bus mastering and no interrupts. */
void pci_quarantine(const struct pci_function *function);
/** pci_wait() - @microseconds by the clock; the serial line and the watchdog are served meanwhile. */
void pci_wait(uint64_t microseconds);
