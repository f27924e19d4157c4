#include "drivers/iommu/vtd_scope.h"

bool vtd_scope_resolve(uint16_t segment, const struct acpi_scope *scope, struct pci_address *address)
{
	*address = (struct pci_address){.segment = segment, .bus = scope->start_bus};
	for (unsigned i = 0; i < scope->path_length; i++) {
		if (i > 0) {
			const struct pci_function *bridge = pci_find(*address);

			if (bridge == NULL || !pci_is_bridge(bridge))
				return false;
			address->bus = bridge->secondary_bus;
		}
		address->device = scope->path[i].device;
		address->function = scope->path[i].function;
	}
	return scope->path_length > 0;
}

static bool scope_covers(uint16_t segment, const struct acpi_scope *scope, const struct pci_function *function)
{
	const struct pci_function *found;
	struct pci_address address;

	if (scope->type != ACPI_SCOPE_ENDPOINT && scope->type != ACPI_SCOPE_BRIDGE)
		return false;
	if (!vtd_scope_resolve(segment, scope, &address))
		return false;
	found = pci_find(address);
	if (found == NULL)
		return false;
	return found == function || (scope->type == ACPI_SCOPE_BRIDGE && pci_is_behind(function, found));
}

bool vtd_scopes_cover(uint16_t segment, const struct acpi_scope_list *scopes, const struct pci_function *function)
{
	if (function->physical != NULL)
		function = function->physical;
	if (function->address.segment != segment)
		return false;
	for (uint32_t i = 0; i < scopes->count; i++)
		if (scope_covers(segment, &scopes->scopes[i], function))
			return true;
	return false;
}

bool vtd_scopes_find_io_apic(uint16_t segment, const struct acpi_scope_list *scopes, uint32_t id, uint16_t *requester)
{
	for (uint32_t i = 0; i < scopes->count; i++) {
		const struct acpi_scope *scope = &scopes->scopes[i];
		struct pci_address address;

		if (scope->type != ACPI_SCOPE_IO_APIC || scope->enumeration_id != id ||
		    !vtd_scope_resolve(segment, scope, &address))
			continue;
		*requester = (uint16_t)(address.bus << 8 | address.device << 3 | address.function);
		return true;
	}
	return false;
}

static bool leads_nowhere(uint16_t segment, const struct acpi_scope *scope)
{
	struct pci_address address;

	if (!vtd_scope_resolve(segment, scope, &address))
		return true;
	/* I/O APICs, HPETs and named devices need not be PCI functions. */
	return (scope->type == ACPI_SCOPE_ENDPOINT || scope->type == ACPI_SCOPE_BRIDGE) && pci_find(address) == NULL;
}

uint32_t vtd_scopes_unresolved(uint16_t segment, const struct acpi_scope_list *scopes)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < scopes->count; i++)
		count += leads_nowhere(segment, &scopes->scopes[i]);
	return count;
}
