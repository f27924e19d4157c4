#include "drivers/iommu/iommu.h"

#include "arch/x86/log.h"
#include "arch/x86/spinlock.h"
#include "drivers/iommu/iommu_backend.h"
#include "drivers/iommu/iommu_fault.h"
#include "drivers/pci/pci_groups.h"
#include "drivers/pci/pci_owner.h"
#include "lib/checked.h"
#include "lib/fmt.h"
#include "lib/string.h"

#define MAX_DOMAINS 64u
#define FAULTS_PER_POLL 256u
#define MIN_VECTOR 0x10u

static struct spinlock lock; /* protects everything below, the units' tables, queues and fault records */
static struct iommu_domain domains[MAX_DOMAINS]; /* domain i has id i + 1 */
static struct iommu_backend *backend;            /* NULL until translation is on */
static const char *missing = "it has not been looked for yet";
static const char *interrupts_missing = "it has not been looked for yet";
static void (*cut_off_hook)(const struct pci_function *function);

void iommu_lock(void)
{
	spinlock_lock(&lock);
}

void iommu_unlock(void)
{
	spinlock_unlock(&lock);
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

/* ---- finding domains and attachments, under the lock ---- */

const struct iommu_domain *iommu_find_domain(uint16_t id)
{
	return id >= 1 && id <= MAX_DOMAINS && domains[id - 1].used ? &domains[id - 1] : NULL;
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
	for (unsigned i = 0; i < MAX_DOMAINS; i++)
		if (domains[i].used && domains[i].firmware == firmware && find_in_domain(&domains[i], function) != NULL)
			return &domains[i];
	return NULL;
}

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

/* ---- domains ---- */

static enum status create_domain_locked(const char *name, struct iommu_backend *from, struct iommu_domain **created)
{
	for (unsigned i = 0; i < MAX_DOMAINS && i + 1 < from->domain_count; i++) {
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

	if (backend == NULL)
		return STATUS_UNSUPPORTED;
	spinlock_lock(&lock);
	status = create_domain_locked(name, backend, domain);
	spinlock_unlock(&lock);
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

	return firmware != NULL ? backend->attach(firmware, function) : backend->block(function);
}

static enum status detach_locked(struct iommu_domain *domain, struct iommu_attachment *attachment)
{
	const struct pci_function *function = attachment->function;
	enum status status = STATUS_OK;

	if (attachment->ats)
		status = backend->set_ats(domain, attachment, false);
	remove_attachment(domain, attachment);
	forget_faults(function);
	if (status == STATUS_OK)
		status = quarantine_locked(function);
	else
		(void)backend->block(function);
	if (status != STATUS_OK)
		domain->lost = true;
	return status;
}

void iommu_domain_destroy(struct iommu_domain *domain)
{
	spinlock_lock(&lock);
	while (domain->function_count > 0)
		(void)detach_locked(domain, &domain->functions[0]);
	if (domain->lost) {
		/* Its id and tables stay taken: a unit may still use them. */
		log_error("IOMMU: the tables of %s are not given back: a unit did not answer", domain->name);
	} else {
		page_table_destroy(&domain->table);
		domain->used = false;
	}
	spinlock_unlock(&lock);
}

static enum status map_locked(struct iommu_domain *domain, uint64_t input, hpa_t output, uint64_t length, uint32_t attributes)
{
	attributes = (attributes & (PAGE_READ | PAGE_WRITE)) | backend->leaf_attributes;
	return page_table_map(&domain->table, input, output, length, attributes);
}

enum status iommu_domain_map(struct iommu_domain *domain, uint64_t input, hpa_t output, uint64_t length, uint32_t attributes)
{
	enum status status;

	if (!range_within(input, length, iommu_domain_limit(domain)))
		return STATUS_OUT_OF_RANGE;
	spinlock_lock(&lock);
	status = map_locked(domain, input, output, length, attributes);
	if (status == STATUS_OK)
		status = backend->invalidate(domain, input, length, true);
	spinlock_unlock(&lock);
	return status;
}

enum status iommu_domain_unmap(struct iommu_domain *domain, uint64_t input, uint64_t length)
{
	enum status status;

	spinlock_lock(&lock);
	/* Tables that become empty stay, since units may have cached where their parts lie. */
	status = page_table_unmap_leaves(&domain->table, input, length);
	if (status == STATUS_OK) {
		status = backend->invalidate(domain, input, length, false);
		domain->lost |= status != STATUS_OK;
	}
	spinlock_unlock(&lock);
	return status;
}

uint64_t iommu_domain_limit(const struct iommu_domain *domain)
{
	(void)domain;
	return backend->limit;
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
	status = backend->attach(domain, function);
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
	spinlock_lock(&lock);
	if (find_domain_of(function, false) == NULL) {
		forget_faults(function);
		status = attach_locked(domain, function);
		if (status == STATUS_TIMEOUT || status == STATUS_IO) {
			(void)quarantine_locked(function);
			domain->lost = true;
		}
	}
	spinlock_unlock(&lock);
	return status;
}

enum status iommu_detach(const struct pci_function *function)
{
	struct iommu_domain *domain;
	enum status status = STATUS_OK;

	if (backend == NULL)
		return STATUS_OK;
	spinlock_lock(&lock);
	domain = find_domain_of(function, false);
	if (domain != NULL)
		status = detach_locked(domain, find_in_domain(domain, function));
	spinlock_unlock(&lock);
	return status;
}

const struct iommu_domain *iommu_domain_of(const struct pci_function *function)
{
	const struct iommu_domain *domain;

	spinlock_lock(&lock);
	domain = find_domain_of(function, false);
	spinlock_unlock(&lock);
	return domain;
}

enum status iommu_set_ats(const struct pci_function *function, bool on)
{
	struct iommu_domain *domain;
	enum status status = STATUS_NOT_FOUND;

	spinlock_lock(&lock);
	domain = find_domain_of(function, false);
	if (domain != NULL)
		status = backend->set_ats(domain, find_in_domain(domain, function), on);
	spinlock_unlock(&lock);
	return status;
}

/* ---- interrupts ---- */

enum status iommu_interrupt_allocate(const struct pci_function *function, struct iommu_interrupt *interrupt)
{
	const char *why;
	enum status status;

	*interrupt = (struct iommu_interrupt){0};
	if (!iommu_isolates_interrupts(&why))
		return STATUS_UNSUPPORTED;
	if (!iommu_covers(function, &why))
		return STATUS_NOT_FOUND;
	spinlock_lock(&lock);
	status = backend->interrupt_allocate(function, interrupt);
	interrupt->allocated = status == STATUS_OK;
	spinlock_unlock(&lock);
	return status;
}

static enum status write_interrupt(const struct iommu_interrupt *interrupt, uint8_t vector, uint32_t apic_id, bool posted,
				   hpa_t descriptor)
{
	enum status status;

	if (!interrupt->allocated)
		return STATUS_INVALID;
	spinlock_lock(&lock);
	status = backend->interrupt_write(interrupt, vector, apic_id, posted, descriptor);
	spinlock_unlock(&lock);
	return status;
}

enum status iommu_interrupt_route(struct iommu_interrupt *interrupt, uint8_t vector, uint32_t apic_id)
{
	return vector < MIN_VECTOR ? STATUS_OUT_OF_RANGE : write_interrupt(interrupt, vector, apic_id, false, hpa(0));
}

enum status iommu_interrupt_post(struct iommu_interrupt *interrupt, uint8_t vector, hpa_t descriptor)
{
	if (vector < MIN_VECTOR || !is_aligned(descriptor.value, 64))
		return STATUS_OUT_OF_RANGE;
	return write_interrupt(interrupt, vector, 0, true, descriptor);
}

enum status iommu_interrupt_block(struct iommu_interrupt *interrupt)
{
	return write_interrupt(interrupt, 0, 0, false, hpa(0));
}

void iommu_interrupt_free(struct iommu_interrupt *interrupt)
{
	/* An entry that a unit may still use is not given to anybody else. */
	if (iommu_interrupt_block(interrupt) == STATUS_OK) {
		spinlock_lock(&lock);
		backend->interrupt_free(interrupt);
		spinlock_unlock(&lock);
	}
	interrupt->allocated = false;
}

/* ---- faults ---- */

void iommu_set_cut_off_hook(void (*hook)(const struct pci_function *function))
{
	cut_off_hook = hook;
}

bool iommu_is_cut_off(const struct pci_function *function)
{
	uint16_t ids[PCI_MAX_REQUESTER_IDS];
	uint32_t count = pci_requester_ids(function, ids);
	bool cut_off = false;

	spinlock_lock(&lock);
	for (uint32_t i = 0; i < count; i++)
		cut_off |= iommu_fault_is_cut_off(function->address.segment, ids[i]);
	spinlock_unlock(&lock);
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

	spinlock_lock(&lock);
	found = backend->read_fault(&fault);
	if (!found) {
		spinlock_unlock(&lock);
		return false;
	}
	function = find_function(fault.segment, fault.requester);
	domain = function != NULL ? find_domain_of(function, false) : NULL;
	(void)string_copy(where, sizeof(where), domain != NULL ? domain->name : "quarantine");
	cut_off = iommu_fault_count(&fault, &say);
	if (cut_off)
		backend->silence(fault.unit, fault.requester);
	spinlock_unlock(&lock);
	if (say)
		iommu_fault_tell(&fault, where);
	if (cut_off)
		tell_cut_off(&fault, function, where);
	return true;
}

void iommu_poll_faults(void)
{
	for (unsigned i = 0; backend != NULL && i < FAULTS_PER_POLL && take_fault(); i++)
		;
}

/* ---- boot ---- */

static enum status attach_firmware(struct iommu_backend *from, const struct pci_function *function)
{
	const struct pci_address *address = &function->address;
	struct iommu_domain *domain;
	char name[IOMMU_NAME_SIZE];
	uint64_t length;
	hpa_t base;
	enum status status;

	fmt_print(name, sizeof(name), "firmware %04x:%02x:%02x.%u", address->segment, address->bus, address->device, address->function);
	status = create_domain_locked(name, from, &domain);
	if (status != STATUS_OK)
		return status;
	domain->firmware = true;
	for (uint32_t i = 0; status == STATUS_OK && from->reserved_memory(function, i, &base, &length); i++)
		status = page_table_map(&domain->table, base.value, base, length, PAGE_READ | PAGE_WRITE | from->leaf_attributes);
	if (status == STATUS_OK)
		status = from->attach(domain, function);
	if (status == STATUS_OK)
		domain->functions[domain->function_count++].function = function;
	return status;
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
			log_warning("IOMMU: the memory that firmware keeps for %04x:%02x:%02x.%u cannot be mapped: %s",
				    function->address.segment, function->address.bus, function->address.device,
				    function->address.function, status_name(status));
	}
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
	if (status == STATUS_OK)
		backend = found;
	return status;
}

/* ---- for people and audits ---- */

static void describe_domain(const struct iommu_domain *domain, iommu_print print)
{
	print("  %-3u %-31s %6llu KiB of tables%s\n", domain->id, domain->name,
	      (unsigned long long)(domain->table.table_pages * PAGE_SIZE / KIB), domain->lost ? ", lost: a unit did not answer" : "");
	for (uint32_t i = 0; i < domain->function_count; i++) {
		const struct pci_address *address = &domain->functions[i].function->address;

		print("      %04x:%02x:%02x.%u%s\n", address->segment, address->bus, address->device, address->function,
		      domain->functions[i].ats ? ", keeps translations itself" : "");
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
	for (unsigned i = 0; i < MAX_DOMAINS; i++)
		if (domains[i].used)
			describe_domain(&domains[i], print);
	print("  everything else is in quarantine: no memory, no interrupts\n");
	iommu_fault_describe(print);
}

void iommu_audit(const struct iommu_visitor *visitor, void *context)
{
	if (backend == NULL)
		return;
	spinlock_lock(&lock);
	for (unsigned i = 0; visitor->domain != NULL && i < MAX_DOMAINS; i++)
		if (domains[i].used)
			visitor->domain(context, &domains[i]);
	backend->audit(visitor, context);
	spinlock_unlock(&lock);
}
