#include "arch/x86/acpi/acpi_dmar.h"

#include "arch/x86/acpi/acpi_table.h"
#include "lib/bits.h"
#include "lib/string.h"

enum {
	DMAR_WIDTH = 36,
	DMAR_FLAGS = 37,
	DMAR_STRUCTURES = 48,
	STRUCTURE_HEADER_SIZE = 4,
	SCOPE_HEADER_SIZE = 6,
};

/* One scope; false if it is broken or too deep to keep. */
static bool parse_scope(struct acpi_bytes bytes, struct acpi_scope *scope)
{
	size_t path_length = (bytes.length - SCOPE_HEADER_SIZE) / 2;

	if (path_length == 0 || path_length > ACPI_MAX_SCOPE_PATH)
		return false;
	scope->type = (uint8_t)acpi_read(bytes, 0, 1);
	scope->enumeration_id = (uint8_t)acpi_read(bytes, 4, 1);
	scope->start_bus = (uint8_t)acpi_read(bytes, 5, 1);
	scope->path_length = (uint8_t)path_length;
	for (size_t i = 0; i < path_length; i++) {
		scope->path[i].device = (uint8_t)acpi_read(bytes, SCOPE_HEADER_SIZE + 2 * i, 1);
		scope->path[i].function = (uint8_t)acpi_read(bytes, SCOPE_HEADER_SIZE + 2 * i + 1, 1);
		if (scope->path[i].device > 31 || scope->path[i].function > 7)
			return false;
	}
	return true;
}

/* The device scopes from @offset to the end of @structure. */
static void parse_scopes(struct acpi_bytes structure, size_t offset, struct acpi_scope_list *list)
{
	while (offset < structure.length) {
		size_t length = acpi_read(structure, offset + 1, 1);

		if (length < SCOPE_HEADER_SIZE || length > structure.length - offset) {
			list->lost++;
			return;
		}
		if (list->count < ACPI_MAX_SCOPES &&
		    parse_scope(acpi_bytes_part(structure, offset, length), &list->scopes[list->count]))
			list->count++;
		else
			list->lost++;
		offset += length;
	}
}

/* The parsers of structures: false when there is no room or a field cannot be. */
static bool parse_drhd(struct acpi_bytes structure, struct acpi_dmar *dmar)
{
	struct acpi_drhd *drhd = &dmar->drhds[dmar->drhd_count];
	uint64_t base = acpi_read(structure, 8, 8);

	if (dmar->drhd_count == ACPI_MAX_DRHDS || base == 0 || !is_aligned(base, PAGE_SIZE))
		return false;
	dmar->drhd_count++;
	drhd->include_all = (acpi_read(structure, 4, 1) & BIT(0)) != 0;
	drhd->length = PAGE_SIZE << bits_get(acpi_read(structure, 5, 1), 3, 0);
	drhd->segment = (uint16_t)acpi_read(structure, 6, 2);
	drhd->registers = hpa(base);
	parse_scopes(structure, 16, &drhd->scopes);
	return true;
}

static bool parse_rmrr(struct acpi_bytes structure, struct acpi_dmar *dmar)
{
	struct acpi_rmrr *rmrr = &dmar->rmrrs[dmar->rmrr_count];
	uint64_t base = acpi_read(structure, 8, 8), limit = acpi_read(structure, 16, 8);

	if (dmar->rmrr_count == ACPI_MAX_RMRRS || limit < base)
		return false;
	dmar->rmrr_count++;
	rmrr->segment = (uint16_t)acpi_read(structure, 6, 2);
	rmrr->base = hpa(base);
	rmrr->limit = hpa(limit);
	parse_scopes(structure, 24, &rmrr->scopes);
	return true;
}

static bool parse_atsr(struct acpi_bytes structure, struct acpi_dmar *dmar)
{
	struct acpi_atsr *atsr = &dmar->atsrs[dmar->atsr_count];

	if (dmar->atsr_count == ACPI_MAX_ATSRS)
		return false;
	dmar->atsr_count++;
	atsr->all_ports = (acpi_read(structure, 4, 1) & BIT(0)) != 0;
	atsr->segment = (uint16_t)acpi_read(structure, 6, 2);
	parse_scopes(structure, 8, &atsr->scopes);
	return true;
}

static bool parse_rhsa(struct acpi_bytes structure, struct acpi_dmar *dmar)
{
	if (dmar->rhsa_count == ACPI_MAX_RHSAS)
		return false;
	dmar->rhsas[dmar->rhsa_count++] = (struct acpi_rhsa){
		.registers = hpa(acpi_read(structure, 8, 8)),
		.proximity_domain = (uint32_t)acpi_read(structure, 16, 4),
	};
	return true;
}

static bool parse_andd(struct acpi_bytes structure, struct acpi_dmar *dmar)
{
	struct acpi_andd *andd = &dmar->andds[dmar->andd_count];
	struct acpi_bytes name = acpi_bytes_part(structure, 8, ACPI_MAX_DEVICE_NAME - 1);

	if (dmar->andd_count == ACPI_MAX_ANDDS)
		return false;
	dmar->andd_count++;
	andd->device_number = (uint8_t)acpi_read(structure, 7, 1);
	for (size_t i = 0; i < name.length && name.start[i] != 0; i++)
		andd->name[i] = name.start[i] > ' ' && name.start[i] < 127 ? (char)name.start[i] : '?';
	return true;
}

static const struct {
	uint16_t type, length; /* at least */
	bool (*parse)(struct acpi_bytes structure, struct acpi_dmar *dmar);
} structure_types[] = {
	{0, 16, parse_drhd},
	{1, 24, parse_rmrr},
	{2, 8, parse_atsr},
	{3, 20, parse_rhsa},
	{4, 9, parse_andd},
};

static void parse_structure(struct acpi_bytes structure, struct acpi_dmar *dmar)
{
	uint64_t type = acpi_read(structure, 0, 2);

	for (size_t i = 0; i < array_count(structure_types); i++) {
		if (structure_types[i].type != type)
			continue;
		if (structure.length < structure_types[i].length || !structure_types[i].parse(structure, dmar))
			dmar->structures_lost++;
		return;
	}
	dmar->structures_unknown++;
}

enum status acpi_dmar_parse(const void *table, size_t length, struct acpi_dmar *dmar)
{
	struct acpi_bytes bytes = acpi_bytes(table, length);
	size_t offset = DMAR_STRUCTURES;
	uint64_t flags;

	memset(dmar, 0, sizeof(*dmar));
	if (bytes.length < DMAR_STRUCTURES)
		return STATUS_TRUNCATED;
	dmar->present = true;
	dmar->address_width = (uint8_t)min_u64(acpi_read(bytes, DMAR_WIDTH, 1) + 1, 64);
	flags = acpi_read(bytes, DMAR_FLAGS, 1);
	dmar->interrupt_remapping = (flags & BIT(0)) != 0;
	dmar->x2apic_opt_out = (flags & BIT(1)) != 0;
	dmar->dma_opt_in = (flags & BIT(2)) != 0;

	while (offset < bytes.length) {
		size_t structure_length = acpi_read(bytes, offset + 2, 2);

		if (structure_length < STRUCTURE_HEADER_SIZE || structure_length > bytes.length - offset)
			return STATUS_TRUNCATED;
		parse_structure(acpi_bytes_part(bytes, offset, structure_length), dmar);
		offset += structure_length;
	}
	return STATUS_OK;
}
