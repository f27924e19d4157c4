#include "drivers/iommu/vtd_units.h"

#include "arch/x86/acpi/acpi.h"
#include "arch/x86/log.h"
#include "arch/x86/physmap.h"
#include "drivers/iommu/vtd_scope.h"
#include "lib/checked.h"
#include "lib/fmt.h"
#include "lib/string.h"

#define REASON_SIZE 160u
#define RESERVED_MAX_LENGTH (4 * GIB)

static struct vtd_unit units[VTD_MAX_UNITS];
static uint32_t unit_count;
static char failure[REASON_SIZE];
static bool reserved_usable[ACPI_MAX_RMRRS];

void vtd_units_fail(const struct acpi_drhd *drhd, const char *reason, const char **why)
{
	fmt_print(failure, sizeof(failure), "VT-d unit at %#llx: %s", (unsigned long long)drhd->registers.value,
		  reason);
	*why = failure;
}

/* What a unit says that the table tells twice: @reason, or NULL. */
static const char *contradiction(const struct acpi_drhd *a, const struct acpi_drhd *b)
{
	if (ranges_overlap(a->registers.value, PAGE_SIZE, b->registers.value, PAGE_SIZE))
		return "its registers are another unit's too";
	if (a->segment == b->segment && a->include_all && b->include_all)
		return "another unit of its segment claims all functions as well";
	return NULL;
}

static enum status check_table(const struct acpi_dmar *dmar, const char **why)
{
	if (!dmar->present || dmar->drhd_count == 0) {
		*why = "the firmware tells of no VT-d unit (no DMAR table: look for VT-d in its setup)";
		return STATUS_NOT_FOUND;
	}
	if (dmar->structures_lost > 0) {
		*why = "the firmware's DMAR table has broken structures or too many: units may be missing";
		return STATUS_BAD_FORMAT;
	}
	for (uint32_t i = 0; i < dmar->drhd_count; i++) {
		const char *reason =
			dmar->drhds[i].scopes.lost > 0 ? "the table's list of its devices is broken or too long" : NULL;

		for (uint32_t j = 0; reason == NULL && j < i; j++)
			reason = contradiction(&dmar->drhds[i], &dmar->drhds[j]);
		if (reason == NULL)
			continue;
		vtd_units_fail(&dmar->drhds[i], reason, why);
		return STATUS_BAD_FORMAT;
	}
	return STATUS_OK;
}

/* RAM that the hypervisor uses, or gives to VMs, cannot be firmware's. */
static bool is_used_ram(const struct boot_info *info, uint64_t base, uint64_t length)
{
	for (uint32_t i = 0; i < info->region_count; i++) {
		const struct boot_memory_region *region = &info->regions[i];

		if ((region->type == BOOT_MEMORY_USABLE || region->type == BOOT_MEMORY_LOADER) &&
		    ranges_overlap(base, length, region->base, region->length))
			return true;
	}
	return false;
}

static void check_reserved(const struct boot_info *info, const struct acpi_dmar *dmar)
{
	for (uint32_t i = 0; i < dmar->rmrr_count; i++) {
		uint64_t base = dmar->rmrrs[i].base.value, limit = dmar->rmrrs[i].limit.value;

		reserved_usable[i] = is_aligned(base, PAGE_SIZE) && is_aligned(limit + 1, PAGE_SIZE) &&
				     limit - base < RESERVED_MAX_LENGTH && limit < PHYSMAP_SIZE &&
				     !is_used_ram(info, base, limit - base + 1);
		if (!reserved_usable[i])
			log_warning("IOMMU: memory %#llx..%#llx that firmware wants for devices is not given to them",
				    (unsigned long long)base, (unsigned long long)limit);
	}
}

static void report_unresolved(const struct acpi_drhd *drhd)
{
	uint32_t count = vtd_scopes_unresolved(drhd->segment, &drhd->scopes);

	if (count > 0)
		log_info("IOMMU: unit at %#llx: %u of its devices are not there",
			 (unsigned long long)drhd->registers.value, count);
}

enum status vtd_units_probe(const struct boot_info *info, const char **why)
{
	const struct acpi_dmar *dmar = &acpi_get()->dmar;
	enum status status = check_table(dmar, why);

	unit_count = 0;
	memset(reserved_usable, 0, sizeof(reserved_usable));
	if (status != STATUS_OK)
		return status;
	check_reserved(info, dmar);
	for (uint32_t i = 0; i < dmar->drhd_count; i++) {
		struct vtd_unit *unit = &units[i];
		const char *reason;

		*unit = (struct vtd_unit){.index = (uint16_t)i};
		reason = vtd_unit_probe(unit, &dmar->drhds[i]);
		if (reason != NULL) {
			vtd_units_fail(&dmar->drhds[i], reason, why);
			return STATUS_UNSUPPORTED;
		}
		report_unresolved(&dmar->drhds[i]);
	}
	unit_count = dmar->drhd_count;
	return STATUS_OK;
}

uint32_t vtd_unit_count(void)
{
	return unit_count;
}

struct vtd_unit *vtd_unit_get(uint32_t index)
{
	return &units[index];
}

struct vtd_unit *vtd_unit_of(const struct pci_function *function)
{
	struct vtd_unit *all = NULL;

	for (uint32_t i = 0; i < unit_count; i++) {
		const struct acpi_drhd *drhd = units[i].description;

		if (vtd_scopes_cover(drhd->segment, &drhd->scopes, function))
			return &units[i];
		if (drhd->include_all && drhd->segment == function->address.segment)
			all = &units[i];
	}
	return all;
}

struct vtd_unit *vtd_unit_of_io_apic(uint32_t id, uint16_t *requester)
{
	for (uint32_t i = 0; i < unit_count; i++) {
		const struct acpi_drhd *drhd = units[i].description;

		if (vtd_scopes_find_io_apic(drhd->segment, &drhd->scopes, id, requester))
			return &units[i];
	}
	return NULL;
}

bool vtd_reserved_memory(const struct pci_function *function, uint32_t nth, hpa_t *base, uint64_t *length)
{
	const struct acpi_dmar *dmar = &acpi_get()->dmar;

	for (uint32_t i = 0; i < dmar->rmrr_count; i++) {
		const struct acpi_rmrr *rmrr = &dmar->rmrrs[i];

		if (!reserved_usable[i] || !vtd_scopes_cover(rmrr->segment, &rmrr->scopes, function) || nth-- > 0)
			continue;
		*base = rmrr->base;
		*length = rmrr->limit.value - rmrr->base.value + 1;
		return true;
	}
	return false;
}

bool vtd_allows_ats(const struct pci_function *function)
{
	const struct acpi_dmar *dmar = &acpi_get()->dmar;

	if (function->parent == NULL)
		return true;
	for (uint32_t i = 0; i < dmar->atsr_count; i++) {
		const struct acpi_atsr *atsr = &dmar->atsrs[i];

		if (atsr->segment != function->address.segment)
			continue;
		if (atsr->all_ports || vtd_scopes_cover(atsr->segment, &atsr->scopes, function))
			return true;
	}
	return false;
}
