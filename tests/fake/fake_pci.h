/*
 * A machine's PCI functions for host builds: configuration space of 4 KiB each, by ports 0xcf8/0xcfc and by ECAM windows, with
 * registers that keep only the bits that they would. A hook of a function may do what its hardware would. Tests bring
 * acpi_get() and host_paging_map_device() themselves (tests/unit/pci_fixture.h).
 */
#pragma once

#include "arch/x86/acpi/acpi_mcfg.h"
#include "drivers/pci/pci_config.h"

#define FAKE_PCI_MAX_FUNCTIONS 600u
#define FAKE_PCI_CONFIG_SIZE 4096u
#define FAKE_PCI_ECAM_BASE 0x40000000ull /* of segment 0 */

struct fake_pci {
	struct pci_address address;
	uint8_t bytes[FAKE_PCI_CONFIG_SIZE];
	uint8_t writable[FAKE_PCI_CONFIG_SIZE]; /* bits that a write changes */
	bool conventional;  /* 256 bytes; the rest reads as all ones */
	bool absent;        /* reads as all ones, as during a reset */
	/* After the write has been made. */
	void (*written)(struct fake_pci *function, unsigned offset, unsigned size);
	/* Before the bytes are read. */
	void (*reading)(struct fake_pci *function, unsigned offset, unsigned size);
	void *context;
};

extern bool fake_pci_ports_answer;
extern unsigned fake_pci_write_count;

/** fake_pci_reset() - no functions; ports answer. After fake_cpu_reset(). */
void fake_pci_reset(void);
/**
 * fake_pci_add_ecam() - shows @buses of a segment from @first_bus on at @base, which the test's host_paging_map_device() must let
 * through. Bus 0 lies at @base.
 */
void fake_pci_add_ecam(struct acpi_mcfg *mcfg, uint64_t base, uint16_t segment, uint8_t first_bus, uint8_t last_bus);
/** fake_pci_add() - a function with what all have; @class: class code and subclass. It lives until the next reset. */
struct fake_pci *fake_pci_add(struct pci_address address, uint16_t vendor, uint16_t device, uint16_t class);
struct fake_pci *fake_pci_find(struct pci_address address);
/** fake_pci_add_bridge() - the same with header layout 1. */
struct fake_pci *fake_pci_add_bridge(struct pci_address address, uint8_t secondary, uint8_t subordinate);
/** fake_pci_set() / fake_pci_get() - a register, whatever can be written. */
void fake_pci_set(struct fake_pci *function, unsigned offset, unsigned size, uint32_t value);
uint32_t fake_pci_get(const struct fake_pci *function, unsigned offset, unsigned size);
/** fake_pci_allow() - bits of a register that can be written. */
void fake_pci_allow(struct fake_pci *function, unsigned offset, unsigned size, uint32_t bits);
/** fake_pci_add_bar() - a register of @size bytes at @offset; @flags: its low bits. 64 bits if they say so. */
void fake_pci_add_bar(struct fake_pci *function, unsigned offset, uint64_t address, uint64_t size, uint32_t flags);
/** fake_pci_add_capability() - at the head of the list; fake_pci_add_extended(): at its end, at 0x100 or behind the last one. */
void fake_pci_add_capability(struct fake_pci *function, unsigned offset, uint8_t id);
void fake_pci_add_extended(struct fake_pci *function, unsigned offset, uint16_t id);
/** fake_pci_make_express() - with a PCI Express capability at 0x40, version 2; @type: enum pci_express_type. */
void fake_pci_make_express(struct fake_pci *function, unsigned type);
/** fake_pci_add_acs() - at extended @offset; @capabilities can be switched on. */
void fake_pci_add_acs(struct fake_pci *function, unsigned offset, uint16_t capabilities);
