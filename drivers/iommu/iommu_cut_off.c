/* From the units' fault records to the log, and the end of a storm. */
#include "arch/x86/log.h"
#include "drivers/iommu/iommu_backend.h"
#include "drivers/iommu/iommu_fault.h"
#include "drivers/pci/pci_groups.h"
#include "drivers/pci/pci_owner.h"
#include "lib/string.h"

#define FAULTS_PER_POLL 256u

static bool has_requester(const struct pci_function *function, uint16_t segment, uint16_t requester)
{
	uint16_t ids[PCI_MAX_REQUESTER_IDS];
	uint32_t count = pci_requester_ids(function, ids);

	if (function->address.segment != segment)
		return false;
	for (uint32_t i = 0; i < count; i++)
		if (ids[i] == requester)
			return true;
	return false;
}

bool iommu_domain_has_source(const struct iommu_domain *domain, uint16_t segment, uint16_t requester)
{
	for (uint32_t i = 0; i < domain->function_count; i++)
		if (has_requester(domain->functions[i].function, segment, requester))
			return true;
	return false;
}

/* Behind a bridge to conventional PCI several share a source, the bridge among them: a VM's, if there is one. */
static const struct pci_function *find_function(uint16_t segment, uint16_t requester)
{
	const struct pci_function *found = NULL;

	for (uint32_t i = 0; i < pci_count(); i++) {
		const struct pci_function *function = pci_get(i);

		if (!has_requester(function, segment, requester))
			continue;
		if (iommu_find_domain_of(function) != NULL)
			return function;
		found = found == NULL || pci_is_bridge(found) ? function : found;
	}
	return found;
}

bool iommu_is_cut_off(const struct pci_function *function)
{
	uint16_t ids[PCI_MAX_REQUESTER_IDS];
	uint32_t count = pci_requester_ids(function, ids);
	bool cut_off = false;

	iommu_lock();
	for (uint32_t i = 0; i < count; i++)
		cut_off |= iommu_fault_is_cut_off(function->address.segment, ids[i]);
	iommu_unlock();
	return cut_off;
}

/* All that share the source: which of them it was cannot be told. Bridges go on carrying what others send. */
static void end_bus_mastering(uint16_t segment, uint16_t requester)
{
	for (uint32_t i = 0; i < pci_count(); i++)
		if (!pci_is_bridge(pci_get(i)) && has_requester(pci_get(i), segment, requester))
			pci_cut_off(pci_get(i));
}

void iommu_cut_off_locked(const struct pci_function *function, const char *where, const char *why)
{
	uint16_t ids[PCI_MAX_REQUESTER_IDS];
	uint32_t count = pci_requester_ids(function, ids);

	for (uint32_t i = 0; i < count; i++)
		iommu_fault_cut_off(function->address.segment, ids[i]);
	pci_cut_off(function);
	log_error("IOMMU: %s: device " PCI_ADDRESS_FORMAT " %s: it is cut off from memory", where,
		  PCI_ADDRESS_ARGUMENTS(function->address), why);
}

static void tell_storm(const struct iommu_fault *fault, const char *where)
{
	log_error("IOMMU %u: %s: device %04x:%02x:%02x.%u faults in a storm: it is cut off from memory", fault->unit,
		  where, fault->segment, fault->requester >> 8, fault->requester >> 3 & 31, fault->requester & 7);
}

/* One fault on its way from a unit to the log. */
struct taken {
	struct iommu_fault fault;
	char where[IOMMU_NAME_SIZE];
	bool say, storm;
};

static bool take_fault_locked(struct taken *taken)
{
	const struct iommu_fault *fault = &taken->fault;
	const struct pci_function *function;
	const struct iommu_domain *domain;

	if (!iommu_backend()->read_fault(&taken->fault))
		return false;
	function = find_function(fault->segment, fault->requester);
	domain = function != NULL ? iommu_find_domain_of(function) : NULL;
	(void)string_copy(taken->where, sizeof(taken->where), domain != NULL ? domain->name : "quarantine");
	taken->storm = iommu_fault_count(fault, &taken->say);
	/* The unit blocks it silently from now on, whether bus mastering can be turned off or not. */
	if (taken->storm)
		iommu_backend()->silence(fault->unit, fault->requester);
	return true;
}

static bool take_fault(void)
{
	struct taken taken;
	bool found;

	iommu_lock();
	found = take_fault_locked(&taken);
	iommu_unlock();
	if (!found)
		return false;
	if (taken.say)
		iommu_fault_tell(&taken.fault, taken.where);
	if (!taken.storm)
		return true;
	end_bus_mastering(taken.fault.segment, taken.fault.requester);
	tell_storm(&taken.fault, taken.where);
	return true;
}

/* What is left of a flood is dropped, since units tell of faults only when there were none before. */
static void drop_faults(void)
{
	iommu_lock();
	iommu_backend()->drop_faults();
	iommu_unlock();
}

void iommu_poll_faults(void)
{
	if (iommu_backend() == NULL)
		return;
	for (unsigned i = 0; i < FAULTS_PER_POLL; i++)
		if (!take_fault())
			return;
	drop_faults();
}
