#include "drivers/iommu/vtd_boot.h"

#include "arch/x86/irq/interrupt.h"
#include "arch/x86/pcpu.h"
#include "arch/x86/physmap.h"
#include "drivers/iommu/vtd_context.h"
#include "drivers/iommu/vtd_fault.h"
#include "drivers/iommu/vtd_host_interrupts.h"
#include "drivers/iommu/vtd_queue.h"
#include "drivers/iommu/vtd_units.h"

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

enum status vtd_probe(struct iommu_backend *backend, const struct boot_info *info, const char **why)
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

/*
 * If firmware left translation on, it goes on with the new tables: nothing is let through in between. Only tables of
 * another mode cannot be exchanged meanwhile; for that moment it counts that no function is a bus master yet.
 */
static enum status leave_other_mode(struct vtd_unit *unit)
{
	if ((vtd_read32(unit, VTD_GLOBAL_STATUS) & VTD_TRANSLATION) == 0 ||
	    (vtd_read64(unit, VTD_ROOT_TABLE) & VTD_ROOT_TABLE_MODE) == 0)
		return STATUS_OK;
	return vtd_command(unit, VTD_TRANSLATION, false);
}

static enum status set_root_table(struct vtd_unit *unit)
{
	enum status status = leave_other_mode(unit);

	if (status == STATUS_OK)
		status = vtd_flush_write_buffer(unit);
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
	vtd_write32(unit, VTD_PROTECTED_MEMORY,
		    vtd_read32(unit, VTD_PROTECTED_MEMORY) & ~(uint32_t)VTD_PROTECTED_ENABLE);
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

enum status vtd_enable(const char **why, const char **interrupts_why)
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
