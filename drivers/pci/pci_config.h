/*
 * Host PCI configuration space: through the memory window that MCFG tells (PCI Express, 4 KiB per function), else ports
 * 0xcf8/0xcfc (segment 0, 256 bytes). PCI Local Bus Specification, "Configuration Mechanism #1"; PCI Express Base
 * Specification, "PCI Express Enhanced Configuration Access Mechanism (ECAM)".
 */
#pragma once

#include "lib/compiler.h"
#include "lib/types.h"

#define PCI_DEVICES_PER_BUS 32u
#define PCI_FUNCTIONS_PER_DEVICE 8u

struct pci_address {
	uint16_t segment;
	uint8_t bus;
	uint8_t device;   /* 0..31 */
	uint8_t function; /* 0..7 */
};

/* For log lines: "%04x:%02x:%02x.%u". */
#define PCI_ADDRESS_FORMAT "%04x:%02x:%02x.%u"
#define PCI_ADDRESS_ARGUMENTS(address) (address).segment, (address).bus, (address).device, (address).function

/**
 * pci_address_parse() - "SSSS:BB:DD.F", all digits and hexadecimal, as PCI_ADDRESS_FORMAT prints it; false: it is none.
 */
must_check bool pci_address_parse(const char *text, struct pci_address *address);

/**
 * pci_config_read() / pci_config_write() - one access of @size 1, 2 or 4 bytes at @offset, a multiple of @size, below
 * 4096. A register that cannot be reached (segment unknown, beyond 256 without ECAM, bad arguments) reads as all ones
 * of @size; a write to it is lost. Takes a lock; any CPU, interrupts off.
 */
uint32_t pci_config_read(struct pci_address address, uint16_t offset, unsigned size);
void pci_config_write(struct pci_address address, uint16_t offset, unsigned size, uint32_t value);
/**
 * pci_config_update() - the register's bits @clear off, then @set on, in one step against other CPUs. Otherwise as
 * above.
 */
void pci_config_update(struct pci_address address, uint16_t offset, unsigned size, uint32_t clear, uint32_t set);
/**
 * pci_config_init() - takes the ECAM windows of MCFG and finds out whether the ports answer; pci_scan() calls it. A
 * window of segment 0 in which function 0:00.0 is not the one that the ports show is not used.
 */
void pci_config_init(void);
/** pci_config_size() - bytes of configuration space that can be reached of functions on that bus: 0, 256 or 4096. */
uint16_t pci_config_size(uint16_t segment, uint8_t bus);
