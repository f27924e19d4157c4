#include "drivers/iommu/vtd_describe.h"

#include "arch/x86/acpi/acpi.h"
#include "arch/x86/physmap.h"
#include "drivers/iommu/vtd_context.h"
#include "drivers/iommu/vtd_interrupt.h"
#include "drivers/iommu/vtd_queue.h"
#include "drivers/iommu/vtd_units.h"

/* Of the memory that is nearest to it; firmware tells it on machines with several nodes. */
static void describe_node(const struct vtd_unit *unit, iommu_print print)
{
	const struct acpi_dmar *dmar = &acpi_get()->dmar;

	for (uint32_t i = 0; i < dmar->rhsa_count; i++)
		if (dmar->rhsas[i].registers.value == unit->description->registers.value)
			print("  proximity domain %u\n", dmar->rhsas[i].proximity_domain);
}

static void describe_unit(const struct vtd_unit *unit, iommu_print print)
{
	const struct acpi_drhd *drhd = unit->description;

	print("unit %u at %#llx, segment %04x, %s%u device scopes: translation %s, remapping %s%s, invalidation by %s\n",
	      unit->index, (unsigned long long)drhd->registers.value, drhd->segment,
	      drhd->include_all ? "all others and " : "", drhd->scopes.count, unit->translating ? "on" : "off",
	      unit->remapping ? "on" : "off", unit->extended_interrupts ? " (extended)" : "",
	      unit->queue != NULL ? "queue" : "registers");
	print("  capabilities %#llx %#llx: %u address bits, %u domains, %u fault records\n",
	      (unsigned long long)unit->capabilities.raw, (unsigned long long)unit->capabilities.raw_extended,
	      unit->capabilities.width, unit->capabilities.domain_count, unit->capabilities.fault_records);
	describe_node(unit, print);
	for (unsigned i = 0; i < VTD_CAPABILITY_ROWS; i++) {
		struct vtd_capability_row row = vtd_capabilities_row(&unit->capabilities, i);

		if (!row.present && row.cost != NULL)
			print("  no %s: %s\n", row.name, row.cost);
	}
	print("  %llu faults, %llu overflows, %u timeouts, %u queue errors\n", (unsigned long long)unit->faults,
	      (unsigned long long)unit->overflows, unit->timeouts, unit->queue_errors);
}

void vtd_describe(iommu_print print)
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
			visitor->interrupt_entry(context, unit->index, (uint16_t)i, entry.requester, entry.vector,
						 entry.apic_id, entry.descriptor);
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

void vtd_audit(const struct iommu_visitor *visitor, void *context)
{
	for (uint32_t i = 0; i < vtd_unit_count(); i++) {
		audit_contexts(vtd_unit_get(i), visitor, context);
		audit_interrupts(vtd_unit_get(i), visitor, context);
		audit_pages(vtd_unit_get(i), visitor, context);
	}
}
