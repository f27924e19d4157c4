#include "drivers/iommu/vtd_host_interrupts.h"

#include "arch/x86/acpi/acpi.h"
#include "arch/x86/irq/ioapic.h"
#include "arch/x86/irq/lapic.h"
#include "arch/x86/log.h"
#include "drivers/iommu/iommu_backend.h"
#include "drivers/iommu/vtd_interrupt.h"
#include "drivers/iommu/vtd_units.h"
#include "lib/fmt.h"

#define REASON_SIZE 160u

static char failure[REASON_SIZE];

static const char *what_lacks(void)
{
	const struct acpi_info *acpi = acpi_get();
	const char *why;
	uint16_t requester;

	if (!acpi->dmar.interrupt_remapping)
		return "the firmware's DMAR table says that this machine does not remap interrupts";
	for (uint32_t i = 0; i < vtd_unit_count(); i++) {
		const struct vtd_unit *unit = vtd_unit_get(i);

		if (unit->capabilities.interrupt_remapping && unit->queue != NULL)
			continue;
		vtd_units_fail(unit->description, "it cannot remap interrupts", &why);
		return why;
	}
	for (uint32_t i = 0; i < acpi->madt.io_apic_count; i++) {
		if (vtd_unit_of_io_apic(acpi->madt.io_apics[i].id, &requester) != NULL)
			continue;
		fmt_print(failure, sizeof(failure), "the firmware's DMAR table does not tell the source of I/O APIC %u",
			  acpi->madt.io_apics[i].id);
		return failure;
	}
	return NULL;
}

/* For ioapic.c: gives an input its entry, a new one if @*index is IOAPIC_NO_ENTRY. */
static enum status remap_input(uint32_t io_apic, uint8_t vector, uint32_t apic_id, bool level, uint16_t *index)
{
	struct vtd_interrupt interrupt = {.vector = vector, .apic_id = apic_id, .level = level};
	struct vtd_unit *unit = vtd_unit_of_io_apic(io_apic, &interrupt.requester);
	enum status status = STATUS_OK;

	if (unit == NULL)
		return STATUS_NOT_FOUND;
	iommu_lock();
	if (*index == IOAPIC_NO_ENTRY)
		status = vtd_interrupt_allocate(unit, index);
	if (status == STATUS_OK)
		status = vtd_interrupt_write(unit, *index, &interrupt);
	iommu_unlock();
	return status;
}

/* What firmware left on, or what is on in some units only, would block the host's own interrupts. */
static void disable_all(void)
{
	for (uint32_t i = 0; i < vtd_unit_count(); i++)
		if (vtd_interrupt_disable(vtd_unit_get(i)) != STATUS_OK)
			log_error("IOMMU %u: does not stop remapping interrupts: the host's own may be lost", i);
}

static enum status enable_all(void)
{
	enum status status = STATUS_OK;

	for (uint32_t i = 0; status == STATUS_OK && i < vtd_unit_count(); i++)
		status = vtd_interrupt_enable(vtd_unit_get(i));
	if (status != STATUS_OK)
		disable_all();
	return status;
}

const char *vtd_host_interrupts_remap(void)
{
	const char *why = what_lacks();
	enum status status = STATUS_OK;

	if (why != NULL)
		disable_all();
	for (uint32_t i = 0; why == NULL && status == STATUS_OK && i < vtd_unit_count(); i++)
		status = vtd_interrupt_start(vtd_unit_get(i), lapic_is_x2apic());
	if (why == NULL && status == STATUS_OK)
		status = ioapic_remap_all(remap_input, enable_all);
	if (status != STATUS_OK) {
		fmt_print(failure, sizeof(failure), "interrupt remapping does not start: %s", status_name(status));
		why = failure;
	}
	return why;
}
