/*
 * Which functions the structures of the DMAR table mean. A scope names a bus and a path of bridges from there; what is
 * behind the last one is meant too. VT-d Specification, "BIOS Considerations", "Device Scope Structure".
 */
#pragma once

#include "arch/x86/acpi/acpi_dmar.h"
#include "drivers/pci/pci.h"
#include "lib/types.h"

/**
 * vtd_scope_resolve() - walks the path of @scope.
 * Return: true and *@address, of a function that may not exist; false: a bridge on the way is none or does not exist.
 */
must_check bool vtd_scope_resolve(uint16_t segment, const struct acpi_scope *scope, struct pci_address *address);

/**
 * vtd_scopes_cover() - @function is in @scopes of @segment: itself, or behind a bridge that is. Virtual functions are
 * where the function is that they belong to.
 */
bool vtd_scopes_cover(uint16_t segment, const struct acpi_scope_list *scopes, const struct pci_function *function);

/** vtd_scopes_find_io_apic() - the source of the interrupts of I/O APIC @id, if @scopes name it. */
must_check bool vtd_scopes_find_io_apic(uint16_t segment, const struct acpi_scope_list *scopes, uint32_t id,
					uint16_t *requester);

/** vtd_scopes_unresolved() - how many scopes lead nowhere. */
uint32_t vtd_scopes_unresolved(uint16_t segment, const struct acpi_scope_list *scopes);
