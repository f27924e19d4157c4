/*
 * Extended page tables. SDM Vol. 3C "EPT Translation Mechanism", "EPT and Memory Typing". The memory type of a leaf is
 * combined with the guest's own PAT (ignore-PAT stays clear). Mode-based execute control and accessed/dirty flags are
 * not used.
 */
#include "arch/x86/mm/page_table.h"
#include "lib/bits.h"

#define ENTRY_READ BIT(0)
#define ENTRY_WRITE BIT(1)
#define ENTRY_EXECUTE BIT(2)
#define ENTRY_ANY_ACCESS (ENTRY_READ | ENTRY_WRITE | ENTRY_EXECUTE)
#define ENTRY_TYPE_SHIFT 3
#define ENTRY_LARGE BIT(7)
#define ENTRY_ADDRESS BITS(51, 12)

enum { TYPE_UNCACHED = 0, TYPE_WRITE_COMBINING = 1, TYPE_WRITE_BACK = 6 };

static uint64_t make_leaf(hpa_t page, unsigned level, uint32_t attributes)
{
	uint64_t type = TYPE_WRITE_BACK, entry;

	if (attributes & PAGE_UNCACHED)
		type = TYPE_UNCACHED;
	else if (attributes & PAGE_WRITE_COMBINING)
		type = TYPE_WRITE_COMBINING;
	entry = page.value | type << ENTRY_TYPE_SHIFT;

	if (level > 1)
		entry |= ENTRY_LARGE;
	if (attributes & PAGE_READ)
		entry |= ENTRY_READ;
	if (attributes & PAGE_WRITE)
		entry |= ENTRY_WRITE;
	if (attributes & PAGE_EXECUTE)
		entry |= ENTRY_EXECUTE;
	return entry;
}

static uint64_t make_table(hpa_t table)
{
	return table.value | ENTRY_ANY_ACCESS;
}

static bool is_present(uint64_t entry)
{
	return (entry & ENTRY_ANY_ACCESS) != 0;
}

static bool is_leaf(uint64_t entry, unsigned level)
{
	return level == 1 || (level <= 3 && (entry & ENTRY_LARGE) != 0);
}

static hpa_t entry_address(uint64_t entry, unsigned level)
{
	(void)level;
	return hpa(entry & ENTRY_ADDRESS);
}

static uint32_t entry_attributes(uint64_t entry)
{
	uint64_t type = bits_get(entry, 5, ENTRY_TYPE_SHIFT);
	uint32_t attributes = 0;

	if (entry & ENTRY_READ)
		attributes |= PAGE_READ;
	if (entry & ENTRY_WRITE)
		attributes |= PAGE_WRITE;
	if (entry & ENTRY_EXECUTE)
		attributes |= PAGE_EXECUTE;
	if (type == TYPE_UNCACHED)
		attributes |= PAGE_UNCACHED;
	else if (type == TYPE_WRITE_COMBINING)
		attributes |= PAGE_WRITE_COMBINING;
	return attributes;
}

#define EPT_FORMAT(has_2m, has_1g) \
	{ \
		.name = "EPT", .levels = 4, .page_2m = (has_2m), .page_1g = (has_1g), .make_leaf = make_leaf, .make_table = make_table, \
		.is_present = is_present, .is_leaf = is_leaf, .entry_address = entry_address, .entry_attributes = entry_attributes, \
	}

static const struct page_table_format formats[2][2] = {
	{EPT_FORMAT(false, false), EPT_FORMAT(false, true)},
	{EPT_FORMAT(true, false), EPT_FORMAT(true, true)},
};

const struct page_table_format *page_table_ept_format(bool page_2m, bool page_1g)
{
	return &formats[page_2m][page_1g];
}
