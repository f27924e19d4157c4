/* Domains and what is attached to them. */
#include "arch/x86/log.h"
#include "drivers/iommu/iommu_backend.h"
#include "drivers/iommu/iommu_fault.h"
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

	return firmware != NULL ? iommu_backend()->attach(firmware, function) : iommu_backend()->block(function);
}

static enum status detach_locked(struct iommu_domain *domain, struct iommu_attachment *attachment)
{
	const struct pci_function *function = attachment->function;
	enum status status = STATUS_OK;

	if (attachment->ats)
		status = iommu_backend()->set_ats(domain, attachment, false);
	remove_attachment(domain, attachment);
	forget_faults(function);
	if (status == STATUS_OK)
		status = quarantine_locked(function);
	else
		(void)iommu_backend()->block(function);
	if (status != STATUS_OK)
		domain->lost = true;
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

static enum status map_locked(struct iommu_domain *domain, uint64_t input, hpa_t output, uint64_t length, uint32_t attributes)
{
	attributes = (attributes & (PAGE_READ | PAGE_WRITE)) | iommu_backend()->leaf_attributes;
	return page_table_map(&domain->table, input, output, length, attributes);
}

enum status iommu_domain_map(struct iommu_domain *domain, uint64_t input, hpa_t output, uint64_t length, uint32_t attributes)
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

enum status iommu_domain_unmap(struct iommu_domain *domain, uint64_t input, uint64_t length)
{
	enum status status;

	iommu_lock();
	/* Tables that become empty stay, since units may have cached where their parts lie. */
	status = page_table_unmap_leaves(&domain->table, input, length);
	if (status == STATUS_OK) {
		status = iommu_backend()->invalidate(domain, input, length, false);
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
	domain->functions[domain->function_count++] = (struct iommu_attachment){.function = function};
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

enum status iommu_set_ats(const struct pci_function *function, bool on)
{
	struct iommu_domain *domain;
	enum status status = STATUS_NOT_FOUND;

	iommu_lock();
	domain = find_domain_of(function, false);
	if (domain != NULL)
		status = iommu_backend()->set_ats(domain, find_in_domain(domain, function), on);
	iommu_unlock();
	return status;
}

