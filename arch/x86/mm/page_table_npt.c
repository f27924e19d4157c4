#include "arch/x86/mm/page_table_npt.h"

#include "lib/bits.h"

/* "Nested Table Walk": the CPU checks all accesses of a guest as a user's. */
#define ENTRY_USER BIT(2)

static uint64_t make_leaf(hpa_t page, unsigned level, uint32_t attributes)
{
	return page_table_host_format.make_leaf(page, level, attributes) | ENTRY_USER;
}

static uint64_t make_table(hpa_t table)
{
	return page_table_host_format.make_table(table) | ENTRY_USER;
}

static bool is_present(uint64_t entry)
{
	return page_table_host_format.is_present(entry);
}

static bool is_leaf(uint64_t entry, unsigned level)
{
	return page_table_host_format.is_leaf(entry, level);
}

static hpa_t entry_address(uint64_t entry, unsigned level)
{
	return page_table_host_format.entry_address(entry, level);
}

static uint32_t entry_attributes(uint64_t entry)
{
	return page_table_host_format.entry_attributes(entry);
}

#define NPT_FORMAT(has_1g) \
	{ \
		.name = "NPT", .levels = 4, .page_2m = true, .page_1g = (has_1g), .make_leaf = make_leaf, .make_table = make_table, \
		.is_present = is_present, .is_leaf = is_leaf, .entry_address = entry_address, .entry_attributes = entry_attributes, \
	}

static const struct page_table_format formats[2] = {NPT_FORMAT(false), NPT_FORMAT(true)};

const struct page_table_format *page_table_npt_format(bool page_1g)
{
	return &formats[page_1g];
}
