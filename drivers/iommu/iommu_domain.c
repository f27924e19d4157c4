/* Domains and what is attached to them. */
#include "arch/x86/log.h"
#include "drivers/iommu/iommu_backend.h"
#include "drivers/iommu/iommu_fault.h"
#include "drivers/pci/pci_ats.h"
#include "drivers/pci/pci_groups.h"
#include "lib/checked.h"
#include "lib/string.h"

static struct iommu_domain domains[IOMMU_MAX_DOMAINS]; /* domain i has id i + 1 */

const struct iommu_domain *iommu_find_domain(uint16_t id)
{
	return id >= 1 && id <= IOMMU_MAX_DOMAINS && domains[id - 1].used ? &domains[id - 1] : NULL;
}

static struct iommu_attachment *find_in_domain(struct iommu_domain *domain, const struct pci_function *function)
{
	for (uint32_t i = 0; i < domain->function_count; i++)
		if (domain->functions[i].function == function)
			return &domain->functions[i];
	return NULL;
}

static struct iommu_domain *find_domain_of(const struct pci_function *function, bool firmware)
{
	for (unsigned i = 0; i < IOMMU_MAX_DOMAINS; i++)
		if (domains[i].used && domains[i].firmware == firmware && find_in_domain(&domains[i], function) != NULL)
			return &domains[i];
	return NULL;
}

const struct iommu_domain *iommu_find_domain_of(const struct pci_function *function)
{
	return find_domain_of(function, false);
}

enum status iommu_create_domain_locked(const char *name, const struct iommu_backend *from,
				       struct iommu_domain **created)
{
	for (unsigned i = 0; i < IOMMU_MAX_DOMAINS && i + 1 < from->domain_count; i++) {
		struct iommu_domain *domain = &domains[i];
		enum status status;

		if (domain->used)
			continue;
		*domain = (struct iommu_domain){.id = (uint16_t)(i + 1)};
		(void)string_copy(domain->name, sizeof(domain->name), name);
		status = page_table_create(&domain->table, &from->format);
		domain->used = status == STATUS_OK;
		*created = domain;
		return status;
	}
	return STATUS_NO_MEMORY;
}

enum status iommu_domain_create(const char *name, struct iommu_domain **domain)
{
	enum status status;

	if (iommu_backend() == NULL)
		return STATUS_UNSUPPORTED;
	iommu_lock();
	status = iommu_create_domain_locked(name, iommu_backend(), domain);
	iommu_unlock();
	return status;
}

static void remove_attachment(struct iommu_domain *domain, struct iommu_attachment *attachment)
{
	*attachment = domain->functions[--domain->function_count];
	domain->units = 0;
	for (uint32_t i = 0; i < domain->function_count; i++)
		domain->units |= (uint32_t)BIT(domain->functions[i].unit);
}

static void add_attachment(struct iommu_domain *domain, const struct pci_function *function)
{
	uint16_t unit = iommu_backend()->unit_of(function);

	domain->functions[domain->function_count++] = (struct iommu_attachment){.function = function, .unit = unit};
	domain->units |= (uint32_t)BIT(unit);
}

static void forget_faults(const struct pci_function *function)
{
	uint16_t ids[PCI_MAX_REQUESTER_IDS];
	uint32_t count = pci_requester_ids(function, ids);

	for (uint32_t i = 0; i < count; i++)
		iommu_fault_forget(function->address.segment, ids[i]);
}

/* Where @function is when no VM has it. */
static enum status quarantine_locked(const struct pci_function *function)
{
	const struct iommu_domain *firmware = find_domain_of(function, true);

	return firmware != NULL ? iommu_backend()->attach(firmware, function) : iommu_backend()->block(function, false);
}

/* What it keeps is worth nothing, since the unit does not let it through; but it may not meet the next domain. */
static void disable_ats(const struct pci_function *function)
{
	if (iommu_backend()->invalidate_device(function, 0, IOMMU_ALL_ADDRESSES) != STATUS_OK)
		log_warning("IOMMU: " PCI_ADDRESS_FORMAT ": does not say that it forgot its translations",
			    PCI_ADDRESS_ARGUMENTS(function->address));
	pci_ats_set(function, false);
}

static enum status detach_locked(struct iommu_domain *domain, struct iommu_attachment *attachment)
{
	const struct pci_function *function = attachment->function;
	bool ats = attachment->ats;
	enum status status;

	remove_attachment(domain, attachment);
	forget_faults(function);
	status = quarantine_locked(function);
	if (ats)
		disable_ats(function);
	domain->lost |= status != STATUS_OK;
	return status;
}

void iommu_domain_destroy(struct iommu_domain *domain)
{
	iommu_lock();
	while (domain->function_count > 0)
		(void)detach_locked(domain, &domain->functions[0]);
	if (domain->lost) {
		/* Its id and tables stay taken: a unit may still use them. */
		log_error("IOMMU: the tables of %s are not given back: a unit did not answer", domain->name);
	} else {
		page_table_destroy(&domain->table);
		domain->used = false;
	}
	iommu_unlock();
}

static enum status map_locked(struct iommu_domain *domain, uint64_t input, hpa_t output, uint64_t length,
			      uint32_t attributes)
{
	attributes = (attributes & (PAGE_READ | PAGE_WRITE)) | iommu_backend()->leaf_attributes;
	return page_table_map(&domain->table, input, output, length, attributes);
}

enum status iommu_domain_map(struct iommu_domain *domain, uint64_t input, hpa_t output, uint64_t length,
			     uint32_t attributes)
{
	enum status status;

	if (!range_within(input, length, iommu_domain_limit(domain)))
		return STATUS_OUT_OF_RANGE;
	iommu_lock();
	status = map_locked(domain, input, output, length, attributes);
	if (status == STATUS_OK)
		status = iommu_backend()->invalidate(domain, input, length, true);
	iommu_unlock();
	return status;
}

/* Whatever it keeps, it reaches nothing by it when the unit lets nothing of it through. */
static enum status cut_off(struct iommu_domain *domain, struct iommu_attachment *attachment)
{
	enum status status = iommu_backend()->block(attachment->function, true);

	attachment->ats = false;
	pci_ats_set(attachment->function, false);
	iommu_cut_off_locked(attachment->function, domain->name, "does not drop translations that it keeps");
	return status;
}

/* After the units, which would answer a device from what they have cached. */
static enum status invalidate_devices(struct iommu_domain *domain, uint64_t input, uint64_t length)
{
	enum status status = STATUS_OK;

	for (uint32_t i = 0; i < domain->function_count; i++) {
		struct iommu_attachment *attachment = &domain->functions[i];
		enum status one;

		if (!attachment->ats)
			continue;
		one = iommu_backend()->invalidate_device(attachment->function, input, length);
		if (one != STATUS_OK)
			one = cut_off(domain, attachment);
		status = status == STATUS_OK ? one : status;
	}
	return status;
}

enum status iommu_domain_unmap(struct iommu_domain *domain, uint64_t input, uint64_t length)
{
	enum status status;

	iommu_lock();
	/* Tables that become empty stay, since units may have cached where their parts lie. */
	status = page_table_unmap_leaves(&domain->table, input, length);
	if (status == STATUS_OK) {
		status = iommu_backend()->invalidate(domain, input, length, false);
		if (status == STATUS_OK)
			status = invalidate_devices(domain, input, length);
		domain->lost |= status != STATUS_OK;
	}
	iommu_unlock();
	return status;
}

uint64_t iommu_domain_limit(const struct iommu_domain *domain)
{
	(void)domain;
	return iommu_backend()->limit;
}

const struct page_table *iommu_domain_table(const struct iommu_domain *domain)
{
	return &domain->table;
}

const char *iommu_domain_name(const struct iommu_domain *domain)
{
	return domain->name;
}

static enum status attach_locked(struct iommu_domain *domain, const struct pci_function *function)
{
	enum status status;

	if (domain->function_count == IOMMU_MAX_FUNCTIONS)
		return STATUS_NO_MEMORY;
	status = iommu_backend()->attach(domain, function);
	if (status != STATUS_OK)
		return status;
	add_attachment(domain, function);
	return STATUS_OK;
}

enum status iommu_attach(struct iommu_domain *domain, const struct pci_function *function)
{
	enum status status = STATUS_EXISTS;
	const char *why;

	if (!iommu_covers(function, &why))
		return STATUS_NOT_FOUND;
	iommu_lock();
	if (find_domain_of(function, false) == NULL) {
		forget_faults(function);
		status = attach_locked(domain, function);
		if (status == STATUS_TIMEOUT || status == STATUS_IO) {
			(void)quarantine_locked(function);
			domain->lost = true;
		}
	}
	iommu_unlock();
	return status;
}

enum status iommu_detach(const struct pci_function *function)
{
	struct iommu_domain *domain;
	enum status status = STATUS_OK;

	if (iommu_backend() == NULL)
		return STATUS_OK;
	iommu_lock();
	domain = find_domain_of(function, false);
	if (domain != NULL)
		status = detach_locked(domain, find_in_domain(domain, function));
	iommu_unlock();
	return status;
}

const struct iommu_domain *iommu_domain_of(const struct pci_function *function)
{
	const struct iommu_domain *domain;

	iommu_lock();
	domain = find_domain_of(function, false);
	iommu_unlock();
	return domain;
}

enum status iommu_enable_ats(const struct pci_function *function, const char **why)
{
	struct iommu_attachment *attachment;
	struct iommu_domain *domain;
	enum status status = STATUS_NOT_FOUND;

	*why = "it is in no domain";
	iommu_lock();
	domain = find_domain_of(function, false);
	if (domain != NULL) {
		attachment = find_in_domain(domain, function);
		status = iommu_backend()->enable_ats(domain, function, why);
		attachment->ats = status == STATUS_OK;
	}
	iommu_unlock();
	return status;
}
