/* VT-d as a struct iommu_backend: all units of the machine together. */
#include "arch/x86/acpi/acpi.h"
#include "arch/x86/irq/interrupt.h"
#include "arch/x86/irq/ioapic.h"
#include "arch/x86/irq/lapic.h"
#include "arch/x86/log.h"
#include "arch/x86/pcpu.h"
#include "arch/x86/physmap.h"
#include "drivers/iommu/iommu_backend.h"
#include "drivers/iommu/vtd_context.h"
#include "drivers/iommu/vtd_fault.h"
#include "drivers/iommu/vtd_host_interrupts.h"
#include "drivers/iommu/vtd_interrupt.h"
#include "drivers/iommu/vtd_queue.h"
#include "drivers/iommu/vtd_units.h"
#include "drivers/pci/pci_groups.h"

#define SUPPORTED_REMAPPED_ADDRESS 0xfee00010u /* bit 4: the remappable format */
#define ADDRESS_INDEX_SHIFT 5

/* ---- what all units can ---- */

/* 4 levels serve every guest; 5 only where there are no 4, 3 (512 GiB) if there is nothing else. */
static const uint8_t level_preference[] = {4, 5, 3};

static unsigned common_levels(void)
{
	uint32_t mask = ~0u;

	for (uint32_t i = 0; i < vtd_unit_count(); i++)
		mask &= vtd_unit_get(i)->capabilities.level_mask;
	for (size_t i = 0; i < array_count(level_preference); i++)
		if (mask & BIT(level_preference[i]))
			return level_preference[i];
	return 0;
}

static enum status choose_format(struct iommu_backend *backend, const char **why)
{
	bool page_2m = true, page_1g = true, coherent = true, snoop = true;
	unsigned levels = common_levels(), width = PAGE_SHIFT + 9 * levels;

	if (levels == 0) {
		*why = "the VT-d units have no depth of tables in common";
		return STATUS_UNSUPPORTED;
	}
	backend->domain_count = UINT32_MAX;
	for (uint32_t i = 0; i < vtd_unit_count(); i++) {
		const struct vtd_capabilities *capabilities = &vtd_unit_get(i)->capabilities;

		page_2m &= capabilities->page_2m;
		page_1g &= capabilities->page_1g;
		coherent &= capabilities->coherent;
		snoop &= capabilities->snoop_control;
		width = (unsigned)min_u64(width, capabilities->width);
		backend->domain_count = (uint32_t)min_u64(backend->domain_count, capabilities->domain_count);
	}
	backend->format = page_table_vtd_format(levels, page_2m, page_1g, coherent);
	backend->leaf_attributes = snoop ? PAGE_SNOOP : 0;
	backend->limit = BIT(width);
	return STATUS_OK;
}

static enum status probe(struct iommu_backend *backend, const struct boot_info *info, const char **why)
{
	enum status status = vtd_units_probe(info, why);

	if (status == STATUS_OK)
		status = choose_format(backend, why);
	for (uint32_t i = 0; status == STATUS_OK && i < vtd_unit_count(); i++) {
		status = vtd_context_start(vtd_unit_get(i));
		if (status != STATUS_OK)
			*why = "no memory for VT-d's tables";
	}
	return status;
}

/* ---- switching on ---- */

/* If firmware left translation on, it goes on with the new tables: nothing is let through in between. */
static enum status set_root_table(struct vtd_unit *unit)
{
	enum status status = vtd_flush_write_buffer(unit);

	if (status != STATUS_OK)
		return status;
	vtd_write64(unit, VTD_ROOT_TABLE, physmap_address(unit->root_table).value);
	return vtd_command(unit, VTD_SET_ROOT_TABLE, true);
}

/* Firmware may have protected memory from DMA until somebody translates. */
static enum status release_protected_memory(struct vtd_unit *unit)
{
	if (!unit->capabilities.protected_low && !unit->capabilities.protected_high)
		return STATUS_OK;
	vtd_write32(unit, VTD_PROTECTED_MEMORY, vtd_read32(unit, VTD_PROTECTED_MEMORY) & ~(uint32_t)VTD_PROTECTED_ENABLE);
	return vtd_wait32(unit, VTD_PROTECTED_MEMORY, VTD_PROTECTED_STATUS, 0);
}

static enum status switch_on(struct vtd_unit *unit, const char **step)
{
	static const struct { enum status (*run)(struct vtd_unit *unit); const char *name; } steps[] = {
		{vtd_queue_start, "its invalidation queue does not start"},
		{set_root_table, "it does not take its root table"},
		{vtd_invalidate_all, "it does not invalidate"},
	};
	enum status status = STATUS_OK;

	for (size_t i = 0; status == STATUS_OK && i < array_count(steps); i++) {
		*step = steps[i].name;
		status = steps[i].run(unit);
	}
	if (status != STATUS_OK)
		return status;
	vtd_fault_start(unit, INTERRUPT_VECTOR_IOMMU, pcpu_current()->apic_id);
	*step = "it does not switch translation on";
	status = vtd_command(unit, VTD_TRANSLATION, true);
	unit->translating = status == STATUS_OK;
	if (status != STATUS_OK)
		return status;
	*step = "it does not release the memory that firmware protected";
	return release_protected_memory(unit);
}

static void handle_fault_event(uint8_t vector)
{
	(void)vector;
	iommu_poll_faults();
}

static enum status enable(const char **why, const char **interrupts_why)
{
	interrupt_register(INTERRUPT_VECTOR_IOMMU, handle_fault_event);
	for (uint32_t i = 0; i < vtd_unit_count(); i++) {
		struct vtd_unit *unit = vtd_unit_get(i);
		const char *step;
		enum status status = switch_on(unit, &step);

		if (status == STATUS_OK)
			continue;
		vtd_units_fail(unit->description, step, why);
		return status;
	}
	*interrupts_why = vtd_host_interrupts_remap();
	return STATUS_OK;
}

/* ---- functions and domains ---- */

static bool covers(const struct pci_function *function, const char **why)
{
	*why = vtd_unit_of(function) != NULL ? "" : "no VT-d unit translates for it";
	return vtd_unit_of(function) != NULL;
}

/* Rare, so that everything is dropped: what a unit may have kept of entries that were not present is gone as well. */
static enum status attach(const struct iommu_domain *domain, const struct pci_function *function)
{
	struct vtd_unit *unit = vtd_unit_of(function);
	uint16_t ids[PCI_MAX_REQUESTER_IDS];
	uint32_t count = pci_requester_ids(function, ids);
	enum status status = STATUS_OK;

	for (uint32_t i = 0; status == STATUS_OK && i < count; i++)
		status = vtd_context_prepare(unit, ids[i]);
	if (status != STATUS_OK)
		return status;
	for (uint32_t i = 0; i < count; i++)
		vtd_context_set(unit, ids[i], &domain->table, domain->id, false);
	return unit->translating || unit->queue != NULL ? vtd_invalidate_all(unit) : STATUS_OK;
}

static enum status block(const struct pci_function *function)
{
	struct vtd_unit *unit = vtd_unit_of(function);
	uint16_t ids[PCI_MAX_REQUESTER_IDS];
	uint32_t count = pci_requester_ids(function, ids);

	if (unit == NULL)
		return STATUS_OK;
	for (uint32_t i = 0; i < count; i++)
		vtd_context_block(unit, ids[i], false);
	return vtd_invalidate_all(unit);
}

static void silence(uint16_t index, uint16_t requester)
{
	struct vtd_unit *unit = vtd_unit_get(index);

	/* Without memory for the entry its faults go on being recorded, and are not told. */
	if (vtd_context_prepare(unit, requester) != STATUS_OK)
		return;
	vtd_context_block(unit, requester, true);
	(void)!vtd_invalidate_all(unit);
}

static bool unit_serves(const struct vtd_unit *unit, const struct iommu_domain *domain)
{
	for (uint32_t i = 0; i < domain->function_count; i++)
		if (vtd_unit_of(domain->functions[i].function) == unit)
			return true;
	return false;
}

static uint8_t ats_depth(const struct pci_function *function)
{
	uint16_t capability = pci_find_extended_capability(function, PCI_EXTENDED_ATS);

	return (uint8_t)bits_get(pci_config_read(function->address, (uint16_t)(capability + PCI_ATS_CAPABILITIES), 2), 4, 0);
}

static enum status invalidate_devices(const struct iommu_domain *domain)
{
	enum status status = STATUS_OK;

	for (uint32_t i = 0; i < domain->function_count; i++) {
		const struct pci_function *function = domain->functions[i].function;
		enum status one;

		if (!domain->functions[i].ats)
			continue;
		one = vtd_invalidate_device(vtd_unit_of(function), pci_requester_id(function), ats_depth(function));
		status = status == STATUS_OK ? one : status;
	}
	return status;
}

/* The unit first: it would answer a device from what it has cached. */
static enum status invalidate(const struct iommu_domain *domain, uint64_t input, uint64_t length, bool added)
{
	enum status status = STATUS_OK;

	for (uint32_t i = 0; i < vtd_unit_count(); i++) {
		struct vtd_unit *unit = vtd_unit_get(i);
		enum status one;

		if (!unit_serves(unit, domain))
			continue;
		if (added && !unit->capabilities.caching_mode)
			one = vtd_flush_write_buffer(unit);
		else
			one = vtd_invalidate_range(unit, domain->id, input, length);
		status = status == STATUS_OK ? one : status;
	}
	if (!added && status == STATUS_OK)
		status = invalidate_devices(domain);
	return status;
}

static void write_ats(const struct pci_function *function, bool on)
{
	uint16_t capability = pci_find_extended_capability(function, PCI_EXTENDED_ATS);
	uint16_t control = (uint16_t)(capability + PCI_ATS_CONTROL);

	pci_config_update(function->address, control, 2, on ? 0 : (uint32_t)PCI_ATS_ENABLE, on ? (uint32_t)PCI_ATS_ENABLE : 0);
}

/* The device asks only while the unit answers. */
static enum status set_ats(const struct iommu_domain *domain, struct iommu_attachment *attachment, bool on)
{
	const struct pci_function *function = attachment->function;
	struct vtd_unit *unit = vtd_unit_of(function);
	uint16_t requester = pci_requester_id(function);
	enum status status = STATUS_OK;

	if (attachment->ats == on)
		return STATUS_OK;
	if (on && (!unit->capabilities.device_tlb || unit->queue == NULL || !vtd_allows_ats(function) ||
		   pci_find_extended_capability(function, PCI_EXTENDED_ATS) == 0))
		return STATUS_UNSUPPORTED;
	if (!on)
		write_ats(function, false);
	vtd_context_set(unit, requester, &domain->table, domain->id, on);
	status = vtd_invalidate_all(unit);
	if (status == STATUS_OK && !on)
		status = vtd_invalidate_device(unit, requester, ats_depth(function));
	if (status == STATUS_OK && on)
		write_ats(function, true);
	attachment->ats = on && status == STATUS_OK;
	return status;
}

/* ---- interrupts ---- */

static enum status interrupt_allocate(const struct pci_function *function, struct iommu_interrupt *interrupt)
{
	struct vtd_unit *unit = vtd_unit_of(function);
	uint16_t ids[PCI_MAX_REQUESTER_IDS];
	enum status status = vtd_interrupt_allocate(unit, &interrupt->index);

	if (status != STATUS_OK)
		return status;
	interrupt->unit = unit->index;
	interrupt->requester = ids[pci_requester_ids(function, ids) - 1];
	interrupt->address = SUPPORTED_REMAPPED_ADDRESS | (uint64_t)interrupt->index << ADDRESS_INDEX_SHIFT;
	interrupt->data = 0;
	return STATUS_OK;
}

static enum status interrupt_write(const struct iommu_interrupt *interrupt, uint8_t vector, uint32_t apic_id, bool posted,
				   hpa_t descriptor)
{
	const struct vtd_interrupt entry = {.requester = interrupt->requester, .vector = vector, .apic_id = apic_id,
					    .posted = posted, .descriptor = descriptor};

	return vtd_interrupt_write(vtd_unit_get(interrupt->unit), interrupt->index, vector != 0 ? &entry : NULL);
}

static void interrupt_free(const struct iommu_interrupt *interrupt)
{
	vtd_interrupt_free(vtd_unit_get(interrupt->unit), interrupt->index);
}

static bool posts_interrupts(const struct pci_function *function)
{
	const struct vtd_unit *unit = vtd_unit_of(function);

	return unit != NULL && unit->capabilities.posted_interrupts;
}

/* ---- faults, people, audits ---- */

static bool read_fault(struct iommu_fault *fault)
{
	for (uint32_t i = 0; i < vtd_unit_count(); i++)
		if (vtd_fault_read(vtd_unit_get(i), fault))
			return true;
	return false;
}

static void describe_unit(const struct vtd_unit *unit, iommu_print print)
{
	const struct acpi_drhd *drhd = unit->description;

	print("unit %u at %#llx, segment %04x, %s%u functions: translation %s, remapping %s%s, invalidation by %s\n", unit->index,
	      (unsigned long long)drhd->registers.value, drhd->segment, drhd->include_all ? "all others and " : "",
	      drhd->scopes.count, unit->translating ? "on" : "off", unit->remapping ? "on" : "off",
	      unit->extended_interrupts ? " (extended)" : "", unit->queue != NULL ? "queue" : "registers");
	print("  capabilities %#llx %#llx: %u address bits, %u domains, %u fault records\n",
	      (unsigned long long)unit->capabilities.raw, (unsigned long long)unit->capabilities.raw_extended,
	      unit->capabilities.width, unit->capabilities.domain_count, unit->capabilities.fault_records);
	for (unsigned i = 0; i < VTD_CAPABILITY_ROWS; i++) {
		struct vtd_capability_row row = vtd_capabilities_row(&unit->capabilities, i);

		if (!row.present && row.cost != NULL)
			print("  no %s: %s\n", row.name, row.cost);
	}
	print("  %llu faults, %llu overflows, %u timeouts, %u queue errors\n", (unsigned long long)unit->faults,
	      (unsigned long long)unit->overflows, unit->timeouts, unit->queue_errors);
}

static void describe(iommu_print print)
{
	print("VT-d: %u units, tables of %u levels, up to %llu GiB\n", vtd_unit_count(), vtd_backend.format.levels,
	      (unsigned long long)(vtd_backend.limit / GIB));
	for (uint32_t i = 0; i < vtd_unit_count(); i++)
		describe_unit(vtd_unit_get(i), print);
}

#define REQUESTERS 0x10000u

static void audit_contexts(const struct vtd_unit *unit, const struct iommu_visitor *visitor, void *context)
{
	for (uint32_t requester = 0; visitor->context_entry != NULL && requester < REQUESTERS; requester++) {
		uint16_t domain;
		hpa_t table;

		if (vtd_context_get(unit, (uint16_t)requester, &table, &domain))
			visitor->context_entry(context, unit->description->segment, (uint16_t)requester, table,
					       iommu_find_domain(domain));
	}
}

static void audit_interrupts(const struct vtd_unit *unit, const struct iommu_visitor *visitor, void *context)
{
	struct vtd_interrupt entry;

	if (visitor->interrupt_entry == NULL || unit->interrupt_table == NULL)
		return;
	for (uint32_t i = 0; i < VTD_INTERRUPT_ENTRIES; i++)
		if (vtd_interrupt_read(unit, (uint16_t)i, &entry))
			visitor->interrupt_entry(context, unit->index, (uint16_t)i, entry.requester, entry.vector, entry.apic_id,
						 entry.posted);
}

static void audit_pages(const struct vtd_unit *unit, const struct iommu_visitor *visitor, void *context)
{
	if (visitor->page == NULL)
		return;
	vtd_context_pages(unit, visitor->page, context);
	for (unsigned i = 0; unit->queue != NULL && i < VTD_QUEUE_PAGES; i++)
		visitor->page(context, hpa(physmap_address(unit->queue).value + i * PAGE_SIZE));
	for (unsigned i = 0; unit->interrupt_table != NULL && i < VTD_INTERRUPT_PAGES; i++)
		visitor->page(context, hpa(physmap_address(unit->interrupt_table).value + i * PAGE_SIZE));
}

static void audit(const struct iommu_visitor *visitor, void *context)
{
	for (uint32_t i = 0; i < vtd_unit_count(); i++) {
		audit_contexts(vtd_unit_get(i), visitor, context);
		audit_interrupts(vtd_unit_get(i), visitor, context);
		audit_pages(vtd_unit_get(i), visitor, context);
	}
}

struct iommu_backend vtd_backend = {
	.name = "VT-d",
	.probe = probe,
	.enable = enable,
	.covers = covers,
	.reserved_memory = vtd_reserved_memory,
	.attach = attach,
	.block = block,
	.silence = silence,
	.invalidate = invalidate,
	.set_ats = set_ats,
	.interrupt_allocate = interrupt_allocate,
	.interrupt_write = interrupt_write,
	.interrupt_free = interrupt_free,
	.posts_interrupts = posts_interrupts,
	.read_fault = read_fault,
	.describe = describe,
	.audit = audit,
};
