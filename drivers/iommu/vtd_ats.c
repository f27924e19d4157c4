#include "drivers/iommu/vtd_ats.h"

#include "drivers/iommu/vtd_context.h"
#include "drivers/iommu/vtd_queue.h"
#include "drivers/iommu/vtd_units.h"
#include "drivers/pci/pci_ats.h"
#include "drivers/pci/pci_groups.h"

enum status vtd_ats_invalidate(const struct pci_function *function, uint64_t input, uint64_t length)
{
	const struct pci_function *physical = function->physical != NULL ? function->physical : function;
	const struct vtd_device device = {
		.requester = pci_requester_id(function),
		.physical = pci_requester_id(physical),
		.depth = pci_ats_queue_depth(function),
	};

	return vtd_invalidate_device(vtd_unit_of(function), &device, input, length);
}

static const char *what_lacks(const struct pci_function *function)
{
	const struct vtd_unit *unit = vtd_unit_of(function);

	if (!pci_ats_is_possible(function))
		return "it has no address translation service, or a bridge that has none is above it";
	if (!unit->capabilities.device_tlb || unit->queue == NULL)
		return "its VT-d unit serves no translations to devices";
	return vtd_allows_ats(function) ? NULL : "the firmware's DMAR table does not allow it at its port (ATSR)";
}

/* The function asks only while the unit answers. */
static enum status switch_on(const struct iommu_domain *domain, const struct pci_function *function)
{
	struct vtd_unit *unit = vtd_unit_of(function);
	enum status status;

	vtd_context_set(unit, pci_requester_id(function), &domain->table, domain->id, true);
	status = vtd_invalidate_all(unit);
	if (status != STATUS_OK)
		return status;
	pci_ats_set(function, true);
	/* It should have nothing; whether it answers is seen before anything depends on it. */
	return vtd_ats_invalidate(function, 0, IOMMU_ALL_ADDRESSES);
}

enum status vtd_ats_enable(const struct iommu_domain *domain, const struct pci_function *function, const char **why)
{
	enum status status;

	*why = what_lacks(function);
	if (*why != NULL)
		return STATUS_UNSUPPORTED;
	*why = "an invalidation of what it keeps does not end";
	status = switch_on(domain, function);
	if (status == STATUS_OK)
		return STATUS_OK;
	pci_ats_set(function, false);
	vtd_context_set(vtd_unit_of(function), pci_requester_id(function), &domain->table, domain->id, false);
	return vtd_invalidate_all(vtd_unit_of(function)) == STATUS_OK ? status : STATUS_TIMEOUT;
}
