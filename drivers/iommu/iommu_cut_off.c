/* From the units' fault records to the log, and the end of a storm. */
#include "arch/x86/log.h"
#include "drivers/iommu/iommu_backend.h"
#include "drivers/iommu/iommu_fault.h"
#include "drivers/pci/pci_groups.h"
#include "drivers/pci/pci_owner.h"
#include "lib/string.h"

#define FAULTS_PER_POLL 256u

static void (*cut_off_hook)(const struct pci_function *function);

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

static const struct pci_function *find_function(uint16_t segment, uint16_t requester)
{
	for (uint32_t i = 0; i < pci_count(); i++)
		if (has_requester(pci_get(i), segment, requester))
			return pci_get(i);
	return NULL;
}

void iommu_set_cut_off_hook(void (*hook)(const struct pci_function *function))
{
	cut_off_hook = hook;
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

/* The unit blocks it silently from now on, whether bus mastering can be turned off or not. */
static void tell_cut_off(const struct iommu_fault *fault, const struct pci_function *function, const char *where)
{
	log_error("IOMMU %u: %s: device %04x:%02x:%02x.%u faults in a storm: it is cut off from memory", fault->unit, where,
		  fault->segment, fault->requester >> 8, fault->requester >> 3 & 31, fault->requester & 7);
	if (function == NULL)
		return;
	pci_cut_off(function);
	if (cut_off_hook != NULL)
		cut_off_hook(function);
}

static bool take_fault(void)
{
	const struct pci_function *function;
	const struct iommu_domain *domain;
	struct iommu_fault fault;
	char where[IOMMU_NAME_SIZE];
	bool say, cut_off, found;

	iommu_lock();
	found = iommu_backend()->read_fault(&fault);
	if (!found) {
		iommu_unlock();
		return false;
	}
	function = find_function(fault.segment, fault.requester);
	domain = function != NULL ? iommu_find_domain_of(function) : NULL;
	(void)string_copy(where, sizeof(where), domain != NULL ? domain->name : "quarantine");
	cut_off = iommu_fault_count(&fault, &say);
	if (cut_off)
		iommu_backend()->silence(fault.unit, fault.requester);
	iommu_unlock();
	if (say)
		iommu_fault_tell(&fault, where);
	if (cut_off)
		tell_cut_off(&fault, function, where);
	return true;
}

void iommu_poll_faults(void)
{
	for (unsigned i = 0; iommu_backend() != NULL && i < FAULTS_PER_POLL && take_fault(); i++)
		;
}
