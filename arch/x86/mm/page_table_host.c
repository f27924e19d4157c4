/*
 * The hypervisor's own paging structures. SDM Vol. 3A "4-Level Paging and 5-Level Paging". Accessed and dirty are set
 * from the start, so that the processor never writes an entry. Cache types go through the PAT that host_paging_activate()
 * loads: entry 0 write-back, entry 1 write-combining, entry 3 uncached.
 */
#include "arch/x86/mm/page_table.h"
#include "lib/bits.h"

#define ENTRY_PRESENT BIT(0)
#define ENTRY_WRITE BIT(1)
#define ENTRY_PWT BIT(3)
#define ENTRY_PCD BIT(4)
#define ENTRY_ACCESSED BIT(5)
#define ENTRY_DIRTY BIT(6)
#define ENTRY_LARGE BIT(7) /* at level 1 this bit belongs to the PAT index, which stays below 4 */
#define ENTRY_GLOBAL BIT(8)
#define ENTRY_NO_EXECUTE BIT(63)
#define ENTRY_ADDRESS BITS(51, 12)
#define ENTRY_LARGE_PAT BIT(12)

static uint64_t make_leaf(hpa_t page, unsigned level, uint32_t attributes)
{
	uint64_t entry = page.value | ENTRY_PRESENT | ENTRY_ACCESSED | ENTRY_DIRTY;

	if (level > 1)
		entry |= ENTRY_LARGE;
	if (attributes & PAGE_WRITE)
		entry |= ENTRY_WRITE;
	if (!(attributes & PAGE_EXECUTE))
		entry |= ENTRY_NO_EXECUTE;
	if (attributes & PAGE_UNCACHED)
		entry |= ENTRY_PCD | ENTRY_PWT;
	if (attributes & PAGE_WRITE_COMBINING)
		entry |= ENTRY_PWT;
	if (attributes & PAGE_GLOBAL)
		entry |= ENTRY_GLOBAL;
	return entry;
}

static uint64_t make_table(hpa_t table)
{
	return table.value | ENTRY_PRESENT | ENTRY_WRITE | ENTRY_ACCESSED;
}

static bool is_present(uint64_t entry)
{
	return (entry & ENTRY_PRESENT) != 0;
}

static bool is_leaf(uint64_t entry, unsigned level)
{
	return level == 1 || (level <= 3 && (entry & ENTRY_LARGE) != 0);
}

static hpa_t entry_address(uint64_t entry, unsigned level)
{
	bool large = level > 1 && is_leaf(entry, level);

	return hpa(entry & (large ? ENTRY_ADDRESS & ~ENTRY_LARGE_PAT : ENTRY_ADDRESS));
}

static uint32_t entry_attributes(uint64_t entry)
{
	uint32_t attributes = PAGE_READ;

	if (entry & ENTRY_WRITE)
		attributes |= PAGE_WRITE;
	if (!(entry & ENTRY_NO_EXECUTE))
		attributes |= PAGE_EXECUTE;
	if (entry & ENTRY_PCD)
		attributes |= PAGE_UNCACHED;
	else if (entry & ENTRY_PWT)
		attributes |= PAGE_WRITE_COMBINING;
	if (entry & ENTRY_GLOBAL)
		attributes |= PAGE_GLOBAL;
	return attributes;
}

const struct page_table_format page_table_host_format = {
	.name = "host",
	.levels = 4,
	.page_2m = true,
	.page_1g = true,
	.make_leaf = make_leaf,
	.make_table = make_table,
	.is_present = is_present,
	.is_leaf = is_leaf,
	.entry_address = entry_address,
	.entry_attributes = entry_attributes,
};
