#include "drivers/iommu/iommu.h"

#include "arch/x86/log.h"
#include "arch/x86/spinlock.h"
#include "drivers/iommu/iommu_backend.h"
#include "drivers/iommu/iommu_fault.h"
#include "lib/fmt.h"

static struct spinlock lock; /* protects domains, the units' tables, queues and fault records */
static struct iommu_backend *backend; /* NULL until translation is on; constant after the boot */
static const char *missing = "it has not been looked for yet";
static const char *interrupts_missing = "it has not been looked for yet";

void iommu_lock(void)
{
	spinlock_lock(&lock);
}

void iommu_unlock(void)
{
	spinlock_unlock(&lock);
}

struct iommu_backend *iommu_backend(void)
{
	return backend;
}

bool iommu_is_available(const char **why)
{
	*why = backend == NULL ? missing : "";
	return backend != NULL;
}

bool iommu_isolates_interrupts(const char **why)
{
	*why = interrupts_missing != NULL ? interrupts_missing : "";
	return backend != NULL && interrupts_missing == NULL;
}

bool iommu_covers(const struct pci_function *function, const char **why)
{
	return iommu_is_available(why) && backend->covers(function, why);
}

bool iommu_posts_interrupts(const struct pci_function *function)
{
	const char *why;

	return iommu_isolates_interrupts(&why) && backend->posts_interrupts(function);
}

bool iommu_reserved_memory(const struct pci_function *function, uint32_t nth, hpa_t *base, uint64_t *length)
{
	return backend != NULL && backend->reserved_memory(function, nth, base, length);
}

/* ---- boot ---- */

/* A range may reach into another one of the same function. */
static enum status map_firmware(struct iommu_domain *domain, hpa_t base, uint64_t length, uint32_t attributes)
{
	enum status status = page_table_map(&domain->table, base.value, base, length, attributes);

	if (status != STATUS_EXISTS)
		return status;
	for (uint64_t offset = 0; offset < length; offset += PAGE_SIZE) {
		hpa_t page = hpa(base.value + offset);

		status = page_table_map(&domain->table, page.value, page, PAGE_SIZE, attributes);
		if (status != STATUS_OK && status != STATUS_EXISTS)
			return status;
	}
	return STATUS_OK;
}

static enum status fill_firmware(struct iommu_domain *domain, struct iommu_backend *from,
				 const struct pci_function *function)
{
	uint32_t attributes = PAGE_READ | PAGE_WRITE | from->leaf_attributes;
	enum status status = STATUS_OK;
	uint64_t length;
	hpa_t base;

	for (uint32_t i = 0; status == STATUS_OK && from->reserved_memory(function, i, &base, &length); i++)
		status = map_firmware(domain, base, length, attributes);
	return status == STATUS_OK ? from->attach(domain, function) : status;
}

static enum status attach_firmware(struct iommu_backend *from, const struct pci_function *function)
{
	struct iommu_domain *domain;
	char name[IOMMU_NAME_SIZE];
	enum status status;

	fmt_print(name, sizeof(name), "firmware " PCI_ADDRESS_FORMAT, PCI_ADDRESS_ARGUMENTS(function->address));
	status = iommu_create_domain_locked(name, from, &domain);
	if (status != STATUS_OK)
		return status;
	status = fill_firmware(domain, from, function);
	if (status != STATUS_OK) {
		iommu_domain_destroy(domain);
		return status;
	}
	domain->firmware = true;
	domain->functions[domain->function_count++].function = function;
	return STATUS_OK;
}

/* Before translation is on. A failure costs the firmware its memory, nobody else anything. */
static void attach_all_firmware(struct iommu_backend *from)
{
	uint64_t length;
	hpa_t base;

	for (uint32_t i = 0; i < pci_count(); i++) {
		const struct pci_function *function = pci_get(i);
		const char *why;
		enum status status;

		if (!from->covers(function, &why) || !from->reserved_memory(function, 0, &base, &length))
			continue;
		status = attach_firmware(from, function);
		if (status != STATUS_OK)
			log_warning("IOMMU: the memory that firmware keeps for " PCI_ADDRESS_FORMAT
				    " cannot be mapped: %s",
				    PCI_ADDRESS_ARGUMENTS(function->address), status_name(status));
	}
}

/* Nothing stops these but that bus mastering is off. */
static uint32_t count_uncovered(void)
{
	const char *why;
	uint32_t count = 0;

	for (uint32_t i = 0; i < pci_count(); i++)
		count += !backend->covers(pci_get(i), &why);
	return count;
}

enum status iommu_init(const struct boot_info *info)
{
	struct iommu_backend *found = &vtd_backend;
	enum status status = found->probe(found, info, &missing);

	interrupts_missing = "DMA is not translated";
	if (status != STATUS_OK)
		return status;
	attach_all_firmware(found);
	status = found->enable(&missing, &interrupts_missing);
	if (status != STATUS_OK)
		return status;
	backend = found;
	if (count_uncovered() > 0)
		log_warning("IOMMU: no unit translates for %u functions: they cannot be passed through",
			    count_uncovered());
	return STATUS_OK;
}

/* ---- for people and audits ---- */

static void describe_domain(const struct iommu_domain *domain, iommu_print print)
{
	print("  %-3u %-31s %6llu KiB of tables%s\n", domain->id, domain->name,
	      (unsigned long long)(domain->table.table_pages * PAGE_SIZE / KIB),
	      domain->lost ? ", lost: a unit did not answer" : "");
	for (uint32_t i = 0; i < domain->function_count; i++) {
		const struct iommu_attachment *attachment = &domain->functions[i];

		print("      " PCI_ADDRESS_FORMAT "%s\n", PCI_ADDRESS_ARGUMENTS(attachment->function->address),
		      attachment->ats ? ", keeps translations itself" : "");
	}
}

void iommu_describe(iommu_print print)
{
	const char *why;

	if (!iommu_is_available(&why)) {
		print("no IOMMU is used: %s\n", why);
		return;
	}
	backend->describe(print);
	if (!iommu_isolates_interrupts(&why))
		print("interrupts are not remapped: %s\n", why);
	print("domains:\n");
	for (uint16_t id = 1; id <= IOMMU_MAX_DOMAINS; id++)
		if (iommu_find_domain(id) != NULL)
			describe_domain(iommu_find_domain(id), print);
	print("  everything else is in quarantine: no memory, no interrupts\n");
	if (count_uncovered() > 0)
		print("  but for %u functions that no unit translates for: they may not be bus masters\n",
		      count_uncovered());
	iommu_fault_describe(print);
}

void iommu_audit(const struct iommu_visitor *visitor, void *context)
{
	if (backend == NULL)
		return;
	spinlock_lock(&lock);
	for (uint16_t id = 1; visitor->domain != NULL && id <= IOMMU_MAX_DOMAINS; id++)
		if (iommu_find_domain(id) != NULL)
			visitor->domain(context, iommu_find_domain(id));
	backend->audit(visitor, context);
	spinlock_unlock(&lock);
}
