/* The machine's DMA-remapping units, from the DMAR table, and which function belongs to which. */
#pragma once

#include "boot/boot_info.h"
#include "drivers/iommu/vtd_unit.h"
#include "drivers/pci/pci.h"
#include "lib/status.h"
#include "lib/types.h"

/**
 * vtd_units_probe() - finds and reads all units; a table that contradicts itself, or was not read to its end, is not
 * trusted, since a unit that is not known would let its devices through. Boot.
 * Return: STATUS_OK; STATUS_NOT_FOUND, STATUS_BAD_FORMAT, STATUS_UNSUPPORTED: *@why says what was found (text that
 *         stays).
 */
must_check enum status vtd_units_probe(const struct boot_info *info, const char **why);

uint32_t vtd_unit_count(void);
struct vtd_unit *vtd_unit_get(uint32_t index);
/** vtd_unit_of() - the unit that @function's requests pass; NULL: none. */
struct vtd_unit *vtd_unit_of(const struct pci_function *function);
/** vtd_unit_of_io_apic() - the unit and the source of I/O APIC @id's interrupts; NULL: the table does not tell. */
struct vtd_unit *vtd_unit_of_io_apic(uint32_t id, uint16_t *requester);
/**
 * vtd_reserved_memory() - see iommu_reserved_memory(). Ranges that overlap RAM which the hypervisor uses are left out.
 */
must_check bool vtd_reserved_memory(const struct pci_function *function, uint32_t nth, hpa_t *base, uint64_t *length);
/**
 * vtd_allows_ats() - an ATSR structure covers @function's root port, or it has none, being in the root complex itself.
 */
bool vtd_allows_ats(const struct pci_function *function);
/** vtd_units_fail() - *@why = "unit at ADDRESS: REASON"; text that stays. */
void vtd_units_fail(const struct acpi_drhd *drhd, const char *reason, const char **why);
