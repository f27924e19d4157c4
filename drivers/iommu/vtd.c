/* VT-d as a struct iommu_backend: all units of the machine together. */
#include "arch/x86/irq/lapic.h"
#include "arch/x86/log.h"
#include "drivers/iommu/iommu_backend.h"
#include "drivers/iommu/vtd_ats.h"
#include "drivers/iommu/vtd_boot.h"
#include "drivers/iommu/vtd_context.h"
#include "drivers/iommu/vtd_describe.h"
#include "drivers/iommu/vtd_fault.h"
#include "drivers/iommu/vtd_interrupt.h"
#include "drivers/iommu/vtd_queue.h"
#include "drivers/iommu/vtd_units.h"
#include "drivers/pci/pci_groups.h"

#define REMAPPABLE_ADDRESS 0xfee00010u /* bit 4: the remappable format */
#define ADDRESS_INDEX_SHIFT 5

/* ---- functions and domains ---- */

static bool covers(const struct pci_function *function, const char **why)
{
	*why = vtd_unit_of(function) != NULL ? "" : "no VT-d unit translates for it";
	return vtd_unit_of(function) != NULL;
}

_Static_assert(VTD_MAX_UNITS <= IOMMU_MAX_UNITS, "a bit for each of them");

static uint16_t unit_of(const struct pci_function *function)
{
	return vtd_unit_of(function)->index;
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

static enum status block(const struct pci_function *function, bool silent)
{
	struct vtd_unit *unit = vtd_unit_of(function);
	uint16_t ids[PCI_MAX_REQUESTER_IDS];
	uint32_t count = pci_requester_ids(function, ids);

	if (unit == NULL)
		return STATUS_OK;
	for (uint32_t i = 0; i < count; i++)
		vtd_context_block(unit, ids[i], silent);
	return vtd_invalidate_all(unit);
}

static void silence(uint16_t index, uint16_t requester)
{
	struct vtd_unit *unit = vtd_unit_get(index);

	/* Without memory for the entry its faults go on being recorded, and are not told. */
	if (vtd_context_prepare(unit, requester) != STATUS_OK)
		return;
	vtd_context_block(unit, requester, true);
	if (vtd_invalidate_all(unit) != STATUS_OK)
		log_error("IOMMU %u: does not take notice of a device that is cut off", unit->index);
}

static enum status invalidate(const struct iommu_domain *domain, uint64_t input, uint64_t length, bool added)
{
	enum status status = STATUS_OK;

	for (uint32_t i = 0; i < vtd_unit_count(); i++) {
		struct vtd_unit *unit = vtd_unit_get(i);
		enum status one;

		if ((domain->units & BIT(i)) == 0)
			continue;
		if (added && !unit->capabilities.caching_mode)
			one = vtd_flush_write_buffer(unit);
		else
			one = vtd_invalidate_range(unit, domain->id, input, length);
		status = status == STATUS_OK ? one : status;
	}
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
	interrupt->address = REMAPPABLE_ADDRESS | (uint64_t)interrupt->index << ADDRESS_INDEX_SHIFT;
	interrupt->data = 0;
	return STATUS_OK;
}

static enum status interrupt_write(const struct iommu_interrupt *interrupt, uint8_t vector, uint32_t apic_id,
				   bool posted, hpa_t descriptor)
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

	/* A unit names CPUs in descriptors as in its other entries, and who fills descriptors does so as the CPUs do. */
	return unit != NULL && unit->capabilities.posted_interrupts && unit->extended_interrupts == lapic_is_x2apic();
}

/* ---- faults ---- */

static bool read_fault(struct iommu_fault *fault)
{
	for (uint32_t i = 0; i < vtd_unit_count(); i++)
		if (vtd_fault_read(vtd_unit_get(i), fault))
			return true;
	return false;
}

static void drop_faults(void)
{
	for (uint32_t i = 0; i < vtd_unit_count(); i++)
		vtd_fault_drop(vtd_unit_get(i));
}

struct iommu_backend vtd_backend = {
	.name = "VT-d",
	.probe = vtd_probe,
	.enable = vtd_enable,
	.covers = covers,
	.unit_of = unit_of,
	.reserved_memory = vtd_reserved_memory,
	.attach = attach,
	.block = block,
	.silence = silence,
	.invalidate = invalidate,
	.enable_ats = vtd_ats_enable,
	.invalidate_device = vtd_ats_invalidate,
	.interrupt_allocate = interrupt_allocate,
	.interrupt_write = interrupt_write,
	.interrupt_free = interrupt_free,
	.posts_interrupts = posts_interrupts,
	.read_fault = read_fault,
	.drop_faults = drop_faults,
	.describe = vtd_describe,
	.audit = vtd_audit,
};
