/*
 * Second-stage tables of VT-d. VT-d Specification, "Second-Stage Paging Entries". Bits 3..6, 8..10 and 52..61 of an
 * entry stay clear: units of legacy mode ignore or reserve them.
 */
#include "arch/x86/insn.h"
#include "arch/x86/mm/page_table.h"
#include "lib/bits.h"

#define ENTRY_READ BIT(0)
#define ENTRY_WRITE BIT(1)
#define ENTRY_ANY_ACCESS (ENTRY_READ | ENTRY_WRITE)
#define ENTRY_LARGE BIT(7)
#define ENTRY_SNOOP BIT(11)
#define ENTRY_ADDRESS BITS(51, 12)

#define LINE_SIZE 64u /* of every processor with VT-d */

static uint64_t make_leaf(hpa_t page, unsigned level, uint32_t attributes)
{
	uint64_t entry = page.value;

	if (level > 1)
		entry |= ENTRY_LARGE;
	if (attributes & PAGE_READ)
		entry |= ENTRY_READ;
	if (attributes & PAGE_WRITE)
		entry |= ENTRY_WRITE;
	if (attributes & PAGE_SNOOP)
		entry |= ENTRY_SNOOP;
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
	return (entry & ENTRY_READ ? PAGE_READ : 0) | (entry & ENTRY_WRITE ? PAGE_WRITE : 0) |
	       (entry & ENTRY_SNOOP ? PAGE_SNOOP : 0);
}

void page_table_vtd_flush(const void *start, uint64_t length)
{
	uint64_t end = (uint64_t)(uintptr_t)start + length;

	for (uint64_t line = align_down((uint64_t)(uintptr_t)start, LINE_SIZE); line < end; line += LINE_SIZE)
		insn_clflush((const void *)(uintptr_t)line);
	insn_mfence();
}

struct page_table_format page_table_vtd_format(unsigned levels, bool page_2m, bool page_1g, bool coherent)
{
	return (struct page_table_format){
		.name = "VT-d", .levels = levels, .page_2m = page_2m, .page_1g = page_1g, .make_leaf = make_leaf,
		.make_table = make_table, .is_present = is_present, .is_leaf = is_leaf, .entry_address = entry_address,
		.entry_attributes = entry_attributes, .flush = coherent ? NULL : page_table_vtd_flush,
	};
}
