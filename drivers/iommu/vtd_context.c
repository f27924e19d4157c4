#include "drivers/iommu/vtd_context.h"

#include "arch/x86/mm/page_pool.h"
#include "arch/x86/physmap.h"

#define BUSES 256u
#define ENTRY_SIZE 16u

enum status vtd_context_start(struct vtd_unit *unit)
{
	unit->root_table = page_pool_allocate_pointer();
	if (unit->root_table == NULL)
		return STATUS_NO_MEMORY;
	vtd_publish(unit, unit->root_table, PAGE_SIZE);
	return STATUS_OK;
}

/* The two quadwords of @requester's entry; NULL: its bus has no table. */
static uint64_t *find_entry(const struct vtd_unit *unit, uint16_t requester)
{
	uint64_t root = unit->root_table[(requester >> 8) * 2];
	uint64_t *table;

	if ((root & VTD_PRESENT) == 0)
		return NULL;
	table = physmap_pointer(hpa(root & VTD_ENTRY_ADDRESS));
	return &table[(size_t)(requester & 0xff) * 2];
}

enum status vtd_context_prepare(struct vtd_unit *unit, uint16_t requester)
{
	uint64_t *root = &unit->root_table[(requester >> 8) * 2];
	uint64_t *table;

	if (*root & VTD_PRESENT)
		return STATUS_OK;
	table = page_pool_allocate_pointer();
	if (table == NULL)
		return STATUS_NO_MEMORY;
	vtd_publish(unit, table, PAGE_SIZE);
	__atomic_store_n(root, physmap_address(table).value | VTD_PRESENT, __ATOMIC_RELEASE);
	vtd_publish(unit, root, ENTRY_SIZE);
	return STATUS_OK;
}

/* The low half holds the present bit: taken away first, set last. */
static void write_entry(struct vtd_unit *unit, uint64_t *entry, uint64_t low, uint64_t high)
{
	__atomic_store_n(&entry[0], 0, __ATOMIC_RELEASE);
	__atomic_store_n(&entry[1], high, __ATOMIC_RELEASE);
	vtd_publish(unit, entry, ENTRY_SIZE);
	__atomic_store_n(&entry[0], low, __ATOMIC_RELEASE);
	vtd_publish(unit, entry, ENTRY_SIZE);
}

void vtd_context_set(struct vtd_unit *unit, uint16_t requester, const struct page_table *table, uint16_t domain,
		     bool ats)
{
	/* Address widths: 1, 2 and 3 stand for 3, 4 and 5 levels. */
	uint64_t high = (uint64_t)domain << VTD_CONTEXT_DOMAIN_SHIFT | (table->format->levels - 2);

	write_entry(unit, find_entry(unit, requester),
		    table->root.value | (ats ? VTD_CONTEXT_TRANSLATE_ATS : VTD_CONTEXT_TRANSLATE) | VTD_PRESENT, high);
}

void vtd_context_block(struct vtd_unit *unit, uint16_t requester, bool silent)
{
	uint64_t *entry = find_entry(unit, requester);

	if (entry != NULL)
		write_entry(unit, entry, silent ? VTD_CONTEXT_SILENT : 0, 0);
}

bool vtd_context_get(const struct vtd_unit *unit, uint16_t requester, hpa_t *table, uint16_t *domain)
{
	const uint64_t *entry = find_entry(unit, requester);

	if (entry == NULL || (entry[0] & VTD_PRESENT) == 0)
		return false;
	*table = hpa(entry[0] & VTD_ENTRY_ADDRESS);
	*domain = (uint16_t)bits_get(entry[1], 23, VTD_CONTEXT_DOMAIN_SHIFT);
	return true;
}

void vtd_context_pages(const struct vtd_unit *unit, void (*visit)(void *context, hpa_t page), void *context)
{
	visit(context, physmap_address(unit->root_table));
	for (unsigned bus = 0; bus < BUSES; bus++)
		if (unit->root_table[(size_t)bus * 2] & VTD_PRESENT)
			visit(context, hpa(unit->root_table[(size_t)bus * 2] & VTD_ENTRY_ADDRESS));
}
