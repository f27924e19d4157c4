/*
 * Functions that keep translations of addresses themselves. What such a function calls translated is taken at its word,
 * so ports block that unless it is on behind them. PCI Express Base Specification, "Address Translation Services
 * (ATS)", "ACS Translation Blocking".
 */
#pragma once

#include "drivers/pci/pci.h"

/** pci_ats_is_possible() - @function can, and nothing but PCI Express is between it and the root complex. */
bool pci_ats_is_possible(const struct pci_function *function);
/**
 * pci_ats_queue_depth() - how many invalidations it takes at once: 1..32. Virtual functions share their physical one's.
 */
unsigned pci_ats_queue_depth(const struct pci_function *function);
/**
 * pci_ats_set() - on, with translations of 4 KiB and what its ports let through; or off. For what has the capability;
 * turning it off is harmless for others. Any CPU, interrupts off, not for two functions at once.
 */
void pci_ats_set(const struct pci_function *function, bool on);
/** pci_ats_update_port() - whether @port lets through what claims to be translated: only while ATS is on behind it. */
void pci_ats_update_port(const struct pci_function *port);
