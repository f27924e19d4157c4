/* The page-table walker, with the host's format, EPT, NPT and VT-d: sizes of leaves, all-or-nothing, splitting, freeing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86/mm/page_table.h"
#include "arch/x86/mm/page_table_npt.h"
#include "arch/x86/physmap.h"
#include "fake_cpu.h"

#define INPUT_END ((uint64_t)1 << 48)

static struct page_table table;

static void make(const struct page_table_format *format)
{
	assert_int_equal(page_table_create(&table, format), STATUS_OK);
	assert_int_equal(table.table_pages, 1);
}

static int setup_pool(void **state)
{
	(void)state;
	page_pool_add(hpa(2 * MIB), 4 * MIB);
	return 0;
}

static int teardown_table(void **state)
{
	(void)state;
	if (table.root.value != 0)
		page_table_destroy(&table);
	assert_int_equal(page_pool_owned_bytes(PAGE_OWNER_TABLE), 0);
	return 0;
}

static void assert_maps(uint64_t input, uint64_t output, uint64_t page_size, uint32_t attributes)
{
	struct page_table_leaf leaf;

	assert_int_equal(page_table_lookup(&table, input, &leaf), STATUS_OK);
	assert_int_equal(leaf.output.value, output);
	assert_int_equal(leaf.page_size, page_size);
	assert_int_equal(leaf.attributes, attributes);
	assert_int_equal(page_order_size((enum page_order)(leaf.level - 1)), page_size);
}

static void assert_hole(uint64_t input, unsigned level)
{
	struct page_table_leaf leaf;

	assert_int_equal(page_table_lookup(&table, input, &leaf), STATUS_NOT_FOUND);
	assert_int_equal(leaf.level, level);
	assert_int_equal(leaf.entry, 0);
}

static uint64_t map(uint64_t input, uint64_t output, uint64_t length)
{
	return page_table_map(&table, input, hpa(output), length, PAGE_RWX);
}

static void test_largest_pages_that_alignment_allows(void **state)
{
	(void)state;
	make(page_table_ept_format(true, true));
	/* 4 KiB up to 2 MiB, 2 MiB up to 1 GiB, 1 GiB, and down again. */
	assert_int_equal(map(GIB - 2 * MIB - PAGE_SIZE, 8 * GIB - 2 * MIB - PAGE_SIZE, GIB + 4 * MIB + 2 * PAGE_SIZE), STATUS_OK);
	assert_hole(GIB - 2 * MIB - PAGE_SIZE - 1, 1);
	assert_maps(GIB - 2 * MIB - 1, 8 * GIB - 2 * MIB - 1, PAGE_SIZE, PAGE_RWX);
	assert_maps(GIB - 2 * MIB + 5, 8 * GIB - 2 * MIB + 5, PAGE_SIZE_2M, PAGE_RWX);
	assert_maps(GIB + 0x123456, 8 * GIB + 0x123456, PAGE_SIZE_1G, PAGE_RWX);
	assert_maps(2 * GIB + MIB, 9 * GIB + MIB, PAGE_SIZE_2M, PAGE_RWX);
	assert_maps(2 * GIB + 2 * MIB, 9 * GIB + 2 * MIB, PAGE_SIZE, PAGE_RWX);
	assert_hole(2 * GIB + 2 * MIB + PAGE_SIZE, 1);
	assert_hole(3 * GIB, 3);
	assert_hole(INPUT_END - 1, 4);
	assert_int_equal(table.table_pages, 6); /* root, level 3, and levels 2 and 1 of each edge */
}

static void test_output_out_of_step_takes_small_pages(void **state)
{
	(void)state;
	make(page_table_ept_format(true, true));
	assert_int_equal(map(GIB, 2 * MIB, PAGE_SIZE_1G), STATUS_OK);
	assert_maps(GIB, 2 * MIB, PAGE_SIZE_2M, PAGE_RWX);
	assert_int_equal(map(3 * GIB, PAGE_SIZE, PAGE_SIZE_2M), STATUS_OK);
	assert_maps(3 * GIB, PAGE_SIZE, PAGE_SIZE, PAGE_RWX);
}

static void test_formats_without_large_pages(void **state)
{
	(void)state;
	make(page_table_ept_format(true, false));
	assert_int_equal(map(GIB, GIB, GIB), STATUS_OK);
	assert_maps(GIB + 3, GIB + 3, PAGE_SIZE_2M, PAGE_RWX);
	page_table_destroy(&table);
	make(page_table_ept_format(false, false));
	assert_int_equal(map(GIB, GIB, PAGE_SIZE_2M), STATUS_OK);
	assert_maps(GIB + 3, GIB + 3, PAGE_SIZE, PAGE_RWX);
	page_table_destroy(&table);
	/* A 1 GiB page could not be split then. */
	make(page_table_ept_format(false, true));
	assert_int_equal(map(GIB, GIB, GIB), STATUS_OK);
	assert_maps(GIB + 3, GIB + 3, PAGE_SIZE, PAGE_RWX);
}

static void test_refuses_bad_ranges(void **state)
{
	(void)state;
	make(page_table_ept_format(true, true));
	assert_int_equal(map(0, 0, 0), STATUS_INVALID);
	assert_int_equal(map(1, 0, PAGE_SIZE), STATUS_INVALID);
	assert_int_equal(map(0, 8, PAGE_SIZE), STATUS_INVALID);
	assert_int_equal(map(0, 0, PAGE_SIZE + 1), STATUS_INVALID);
	assert_int_equal(map(INPUT_END, 0, PAGE_SIZE), STATUS_INVALID);
	assert_int_equal(map(INPUT_END - PAGE_SIZE, 0, 2 * PAGE_SIZE), STATUS_INVALID);
	assert_int_equal(map(PAGE_SIZE, 0, 0 - PAGE_SIZE), STATUS_INVALID);
	assert_int_equal(map(0, 0 - PAGE_SIZE, 2 * PAGE_SIZE), STATUS_INVALID);
	assert_int_equal(page_table_map(&table, 0, hpa(0), PAGE_SIZE, PAGE_WRITE), STATUS_INVALID);
	assert_int_equal(page_table_map(&table, 0, hpa(0), PAGE_SIZE, 0), STATUS_INVALID);
	assert_int_equal(page_table_map(&table, 0, hpa(0), PAGE_SIZE, PAGE_READ | PAGE_UNCACHED | PAGE_WRITE_COMBINING), STATUS_INVALID);
	assert_int_equal(page_table_unmap(&table, 0, 0), STATUS_INVALID);
	assert_int_equal(page_table_unmap(&table, 5, PAGE_SIZE), STATUS_INVALID);
	assert_int_equal(page_table_unmap(&table, INPUT_END - PAGE_SIZE, 2 * PAGE_SIZE), STATUS_INVALID);
	assert_hole(INPUT_END, 4);
	assert_hole(UINT64_MAX, 4);
	assert_int_equal(table.table_pages, 1);
	assert_int_equal(map(INPUT_END - PAGE_SIZE, 0, PAGE_SIZE), STATUS_OK);
	assert_maps(INPUT_END - 1, PAGE_SIZE - 1, PAGE_SIZE, PAGE_RWX);
}

static void test_overlap_changes_nothing(void **state)
{
	uint64_t pages;

	(void)state;
	make(page_table_ept_format(true, true));
	assert_int_equal(map(4 * MIB, 0, PAGE_SIZE), STATUS_OK);
	assert_int_equal(map(2 * GIB, 0, PAGE_SIZE_1G), STATUS_OK);
	pages = table.table_pages;
	assert_int_equal(map(2 * MIB, 16 * MIB, 4 * MIB), STATUS_EXISTS);
	assert_hole(2 * MIB, 2);
	assert_int_equal(map(4 * MIB, 0, PAGE_SIZE), STATUS_EXISTS);
	assert_int_equal(map(2 * GIB + 5 * MIB, 0, PAGE_SIZE), STATUS_EXISTS);
	assert_int_equal(map(2 * GIB - PAGE_SIZE, 0, 2 * PAGE_SIZE), STATUS_EXISTS);
	assert_hole(2 * GIB - PAGE_SIZE, 3);
	assert_int_equal(table.table_pages, pages);
	/* Beside what is there it works, with small pages where a table stands already. */
	assert_int_equal(map(4 * MIB + PAGE_SIZE, 16 * MIB + PAGE_SIZE, PAGE_SIZE_2M - PAGE_SIZE), STATUS_OK);
	assert_maps(6 * MIB - 1, 18 * MIB - 1, PAGE_SIZE, PAGE_RWX);
}

static void test_unmap_splits_and_frees(void **state)
{
	(void)state;
	make(page_table_ept_format(true, true));
	assert_int_equal(map(0, GIB, 2 * GIB), STATUS_OK);
	assert_int_equal(table.table_pages, 2);
	assert_int_equal(page_table_unmap(&table, GIB - PAGE_SIZE, 2 * PAGE_SIZE), STATUS_OK);
	assert_int_equal(table.table_pages, 6);
	assert_maps(GIB - PAGE_SIZE - 1, 2 * GIB - PAGE_SIZE - 1, PAGE_SIZE, PAGE_RWX);
	assert_maps(5 * MIB, GIB + 5 * MIB, PAGE_SIZE_2M, PAGE_RWX);
	assert_hole(GIB - 1, 1);
	assert_hole(GIB, 1);
	assert_maps(GIB + PAGE_SIZE, 2 * GIB + PAGE_SIZE, PAGE_SIZE, PAGE_RWX);
	assert_maps(2 * GIB - 1, 3 * GIB - 1, PAGE_SIZE_2M, PAGE_RWX);
	/* Holes are passed over; the whole of it leaves the root alone. */
	assert_int_equal(page_table_unmap(&table, 0, INPUT_END), STATUS_OK);
	assert_int_equal(table.table_pages, 1);
	assert_int_equal(page_pool_owned_bytes(PAGE_OWNER_TABLE), PAGE_SIZE);
	assert_int_equal(page_table_unmap(&table, 0, INPUT_END), STATUS_OK);
}

/* Tables in use elsewhere stay where they are, and serve the next mapping. */
static void test_unmap_leaves(void **state)
{
	(void)state;
	make(page_table_ept_format(true, true));
	assert_int_equal(map(GIB, 5 * GIB, PAGE_SIZE), STATUS_OK);
	assert_int_equal(table.table_pages, 4);
	assert_int_equal(page_table_unmap_leaves(&table, GIB, PAGE_SIZE), STATUS_OK);
	assert_hole(GIB, 1);
	assert_int_equal(table.table_pages, 4);
	assert_int_equal(map(GIB, 6 * GIB, PAGE_SIZE), STATUS_OK);
	assert_maps(GIB, 6 * GIB, PAGE_SIZE, PAGE_RWX);
	assert_int_equal(table.table_pages, 4);
}

static void test_unmap_inside_one_large_page(void **state)
{
	(void)state;
	make(page_table_ept_format(true, true));
	assert_int_equal(page_table_map(&table, GIB, hpa(GIB), GIB, PAGE_READ | PAGE_EXECUTE), STATUS_OK);
	/* Both edges inside different 2 MiB parts, then both inside the same 2 MiB page. */
	assert_int_equal(page_table_unmap(&table, GIB + MIB, 4 * MIB), STATUS_OK);
	assert_int_equal(table.table_pages, 5);
	assert_maps(GIB + MIB - 1, GIB + MIB - 1, PAGE_SIZE, PAGE_READ | PAGE_EXECUTE);
	assert_hole(GIB + 3 * MIB, 2);
	assert_maps(GIB + 5 * MIB, GIB + 5 * MIB, PAGE_SIZE, PAGE_READ | PAGE_EXECUTE);
	assert_int_equal(page_table_unmap(&table, GIB + 9 * MIB, PAGE_SIZE), STATUS_OK);
	assert_int_equal(table.table_pages, 6);
	assert_hole(GIB + 9 * MIB, 1);
	assert_maps(GIB + 9 * MIB - 1, GIB + 9 * MIB - 1, PAGE_SIZE, PAGE_READ | PAGE_EXECUTE);
}

/* With the pool drained to @left pages. */
static unsigned drain(hpa_t *pages, unsigned left)
{
	unsigned count = 0;

	while (page_pool_free_bytes() > left * PAGE_SIZE)
		assert_int_equal(page_pool_allocate(PAGE_ORDER_4K, PAGE_OWNER_HYPERVISOR, &pages[count++]), STATUS_OK);
	return count;
}

static void test_without_memory_nothing_changes(void **state)
{
	static hpa_t pages[1024];
	unsigned count;
	uint64_t tables;

	(void)state;
	make(page_table_ept_format(true, true));
	assert_int_equal(map(0, GIB, GIB), STATUS_OK);
	tables = table.table_pages;
	count = drain(pages, 1);
	assert_int_equal(map(4 * GIB, 0, PAGE_SIZE), STATUS_NO_MEMORY);
	assert_int_equal(page_table_unmap(&table, 0, PAGE_SIZE), STATUS_NO_MEMORY);
	assert_int_equal(table.table_pages, tables);
	assert_int_equal(page_pool_free_bytes(), PAGE_SIZE);
	assert_maps(0, GIB, PAGE_SIZE_1G, PAGE_RWX);
	assert_int_equal(page_table_unmap(&table, 0, PAGE_SIZE_2M), STATUS_OK);
	assert_maps(2 * MIB, GIB + 2 * MIB, PAGE_SIZE_2M, PAGE_RWX);
	assert_int_equal(page_pool_free_bytes(), 0);
	while (count-- > 0)
		page_pool_free(pages[count], PAGE_ORDER_4K, PAGE_OWNER_HYPERVISOR);
	count = drain(pages, 0);
	struct page_table second;
	assert_int_equal(page_table_create(&second, page_table_ept_format(true, true)), STATUS_NO_MEMORY);
	while (count-- > 0)
		page_pool_free(pages[count], PAGE_ORDER_4K, PAGE_OWNER_HYPERVISOR);
}

static uint64_t raw(uint64_t input)
{
	struct page_table_leaf leaf;

	assert_int_equal(page_table_lookup(&table, input, &leaf), STATUS_OK);
	return leaf.entry;
}

/* SDM Vol. 3C, "EPT Translation Mechanism": the bits of a leaf. */
static void test_ept_entries(void **state)
{
	uint64_t *root;

	(void)state;
	make(page_table_ept_format(true, true));
	assert_int_equal(page_table_map(&table, 0, hpa(5 * GIB), PAGE_SIZE, PAGE_RWX), STATUS_OK);
	assert_int_equal(page_table_map(&table, 2 * MIB, hpa(5 * GIB), PAGE_SIZE_2M, PAGE_READ), STATUS_OK);
	assert_int_equal(page_table_map(&table, GIB, hpa(5 * GIB), GIB, PAGE_READ | PAGE_WRITE | PAGE_UNCACHED), STATUS_OK);
	assert_int_equal(page_table_map(&table, PAGE_SIZE, hpa(5 * GIB), PAGE_SIZE, PAGE_READ | PAGE_WRITE | PAGE_WRITE_COMBINING), STATUS_OK);
	assert_int_equal(raw(0), 5 * GIB | 7 | 6 << 3);
	assert_int_equal(raw(2 * MIB), 5 * GIB | 1 | 6 << 3 | 1 << 7);
	assert_int_equal(raw(GIB), 5 * GIB | 3 | 1 << 7);
	assert_int_equal(raw(PAGE_SIZE), 5 * GIB | 3 | 1 << 3);
	root = physmap_pointer(table.root);
	assert_int_equal(root[0] & 0xfff, 7);
	assert_maps(GIB, 5 * GIB, GIB, PAGE_READ | PAGE_WRITE | PAGE_UNCACHED);
	assert_maps(PAGE_SIZE, 5 * GIB, PAGE_SIZE, PAGE_READ | PAGE_WRITE | PAGE_WRITE_COMBINING);
}

/* SDM Vol. 3A, "4-Level Paging": the bits of a leaf; accessed and dirty are set from the start. */
static void test_host_entries(void **state)
{
	const uint64_t common = 1 | 1 << 5 | 1 << 6, no_execute = (uint64_t)1 << 63;
	const uint32_t all[] = {PAGE_READ, PAGE_READ | PAGE_WRITE, PAGE_RWX, PAGE_READ | PAGE_GLOBAL, PAGE_READ | PAGE_WRITE | PAGE_UNCACHED,
				PAGE_READ | PAGE_WRITE | PAGE_WRITE_COMBINING | PAGE_GLOBAL, PAGE_READ | PAGE_EXECUTE};

	(void)state;
	make(&page_table_host_format);
	for (unsigned i = 0; i < array_count(all); i++) {
		assert_int_equal(page_table_map(&table, i * PAGE_SIZE, hpa(5 * GIB), PAGE_SIZE, all[i]), STATUS_OK);
		assert_int_equal(page_table_map(&table, GIB + i * PAGE_SIZE_2M, hpa(5 * GIB), PAGE_SIZE_2M, all[i]), STATUS_OK);
		assert_int_equal(page_table_map(&table, (i + 2) * GIB, hpa(5 * GIB), GIB, all[i]), STATUS_OK);
		assert_maps(i * PAGE_SIZE, 5 * GIB, PAGE_SIZE, all[i]);
		assert_maps(GIB + i * PAGE_SIZE_2M + 9, 5 * GIB + 9, PAGE_SIZE_2M, all[i]);
		assert_maps((i + 2) * GIB + 9, 5 * GIB + 9, PAGE_SIZE_1G, all[i]);
	}
	assert_int_equal(raw(0), 5 * GIB | common | no_execute);
	assert_int_equal(raw(PAGE_SIZE), 5 * GIB | common | no_execute | 2);
	assert_int_equal(raw(2 * PAGE_SIZE), 5 * GIB | common | 2);
	assert_int_equal(raw(3 * PAGE_SIZE), 5 * GIB | common | no_execute | 1 << 8);
	assert_int_equal(raw(4 * PAGE_SIZE), 5 * GIB | common | no_execute | 2 | 3 << 3);
	assert_int_equal(raw(5 * PAGE_SIZE), 5 * GIB | common | no_execute | 2 | 1 << 3 | 1 << 8);
	assert_int_equal(raw(GIB + 6 * PAGE_SIZE_2M), 5 * GIB | common | 1 << 7);
}

static unsigned flushed_lines;

static void count_flush(const volatile void *address)
{
	(void)address;
	flushed_lines++;
}

/* APM Vol. 2 "Nested Table Walk": entries as the host's, but a user's at every level. */
static void test_npt_entries(void **state)
{
	const uint64_t user = 1 << 2, no_execute = (uint64_t)1 << 63, accessed_dirty = 0x60, large = 1 << 7;

	(void)state;
	make(page_table_npt_format(true));
	assert_int_equal(map(0, GIB, PAGE_SIZE), STATUS_OK);
	assert_int_equal(page_table_map(&table, PAGE_SIZE, hpa(GIB), PAGE_SIZE, PAGE_READ | PAGE_WRITE | PAGE_UNCACHED), STATUS_OK);
	assert_int_equal(page_table_map(&table, PAGE_SIZE_2M, hpa(GIB), PAGE_SIZE_2M, PAGE_READ | PAGE_EXECUTE), STATUS_OK);
	assert_int_equal(map(GIB, 2 * GIB, GIB), STATUS_OK);
	assert_int_equal(raw(0), GIB | 3 | user | accessed_dirty);
	assert_int_equal(raw(PAGE_SIZE), GIB | 3 | user | accessed_dirty | 0x18 | no_execute);
	assert_int_equal(raw(PAGE_SIZE_2M), GIB | 1 | user | accessed_dirty | large);
	assert_int_equal(raw(GIB), 2 * GIB | 3 | user | accessed_dirty | large);
	assert_maps(PAGE_SIZE, GIB, PAGE_SIZE, PAGE_READ | PAGE_WRITE | PAGE_UNCACHED);
	assert_maps(PAGE_SIZE_2M + 7, GIB + 7, PAGE_SIZE_2M, PAGE_READ | PAGE_EXECUTE);
	assert_maps(GIB + MIB, 2 * GIB + MIB, PAGE_SIZE_1G, PAGE_RWX);
	assert_hole(2 * GIB, 3);
	/* Every table on the way to a page. */
	const uint64_t *tables = physmap_pointer(table.root);
	for (unsigned level = 4; level > 1; level--) {
		assert_int_equal(tables[0] & 0xfff, 3 | user | 0x20);
		tables = physmap_pointer(table.format->entry_address(tables[0], level));
	}
	page_table_destroy(&table);
	make(page_table_npt_format(false));
	assert_int_equal(map(GIB, 2 * GIB, GIB), STATUS_OK);
	assert_maps(GIB + 5, 2 * GIB + 5, PAGE_SIZE_2M, PAGE_RWX);
}

/* VT-d Specification, "Second-Stage Paging Entries". */
static void test_vtd_entries(void **state)
{
	static struct page_table_format formats[3];

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		uint64_t end = (uint64_t)1 << (12 + 9 * (3 + i));

		formats[i] = page_table_vtd_format(3 + i, true, true, true);
		make(&formats[i]);
		assert_int_equal(page_table_map(&table, end - GIB, hpa(GIB), GIB, PAGE_READ | PAGE_WRITE), STATUS_OK);
		assert_int_equal(page_table_map(&table, PAGE_SIZE_2M, hpa(GIB), PAGE_SIZE_2M, PAGE_READ | PAGE_SNOOP), STATUS_OK);
		assert_int_equal(page_table_map(&table, 0, hpa(GIB), PAGE_SIZE, PAGE_READ | PAGE_WRITE | PAGE_SNOOP), STATUS_OK);
		assert_int_equal(page_table_map(&table, end, hpa(GIB), PAGE_SIZE, PAGE_READ), STATUS_INVALID);
		assert_maps(end - 1, 2 * GIB - 1, PAGE_SIZE_1G, PAGE_READ | PAGE_WRITE);
		assert_maps(PAGE_SIZE_2M, GIB, PAGE_SIZE_2M, PAGE_READ | PAGE_SNOOP);
		assert_maps(0, GIB, PAGE_SIZE, PAGE_READ | PAGE_WRITE | PAGE_SNOOP);
		assert_int_equal(raw(end - GIB), GIB | 3 | 1 << 7);
		assert_int_equal(raw(PAGE_SIZE_2M), GIB | 1 | 1 << 7 | 1 << 11);
		assert_int_equal(raw(0), GIB | 3 | 1 << 11);
		assert_int_equal(table.table_pages, 3 + 2 * i);
		page_table_destroy(&table);
	}
}

/* 64 lines of each new table, then one for each entry. */
static void test_vtd_flushes(void **state)
{
	static struct page_table_format format;

	(void)state;
	format = page_table_vtd_format(4, true, true, false);
	fake_clflush_hook = count_flush;
	flushed_lines = 0;
	make(&format);
	assert_int_equal(flushed_lines, 64);
	assert_int_equal(page_table_map(&table, 0, hpa(GIB), PAGE_SIZE_2M, PAGE_READ), STATUS_OK);
	assert_int_equal(flushed_lines, 3 * 64 + 3);
	flushed_lines = 0;
	assert_int_equal(page_table_unmap_leaves(&table, 0, PAGE_SIZE), STATUS_OK);
	assert_int_equal(flushed_lines, 64 + 1 + 1);
	/* Pages side by side in one table: as many lines as their entries take. */
	flushed_lines = 0;
	assert_int_equal(page_table_map(&table, PAGE_SIZE_2M, hpa(GIB), 17 * PAGE_SIZE, PAGE_READ), STATUS_OK);
	assert_int_equal(flushed_lines, 64 + 1 + 3);
	flushed_lines = 0;
	assert_int_equal(page_table_unmap_leaves(&table, PAGE_SIZE_2M, 17 * PAGE_SIZE), STATUS_OK);
	assert_int_equal(flushed_lines, 3);
	fake_clflush_hook = NULL;
}

static void test_destroy_leaves_what_was_mapped(void **state)
{
	hpa_t page;
	uint64_t free_bytes = page_pool_free_bytes();

	(void)state;
	assert_int_equal(page_pool_allocate(PAGE_ORDER_4K, PAGE_OWNER_GUEST, &page), STATUS_OK);
	make(page_table_ept_format(true, true));
	assert_int_equal(map(0, page.value, PAGE_SIZE), STATUS_OK);
	*(uint64_t *)physmap_pointer(page) = 77;
	page_table_destroy(&table);
	assert_int_equal(*(uint64_t *)physmap_pointer(page), 77);
	assert_int_equal(page_pool_owned_bytes(PAGE_OWNER_GUEST), PAGE_SIZE);
	page_pool_free(page, PAGE_ORDER_4K, PAGE_OWNER_GUEST);
	assert_int_equal(page_pool_free_bytes(), free_bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_largest_pages_that_alignment_allows, teardown_table),
		cmocka_unit_test_teardown(test_output_out_of_step_takes_small_pages, teardown_table),
		cmocka_unit_test_teardown(test_formats_without_large_pages, teardown_table),
		cmocka_unit_test_teardown(test_refuses_bad_ranges, teardown_table),
		cmocka_unit_test_teardown(test_overlap_changes_nothing, teardown_table),
		cmocka_unit_test_teardown(test_unmap_splits_and_frees, teardown_table),
		cmocka_unit_test_teardown(test_unmap_leaves, teardown_table),
		cmocka_unit_test_teardown(test_unmap_inside_one_large_page, teardown_table),
		cmocka_unit_test_teardown(test_without_memory_nothing_changes, teardown_table),
		cmocka_unit_test_teardown(test_ept_entries, teardown_table),
		cmocka_unit_test_teardown(test_host_entries, teardown_table),
		cmocka_unit_test_teardown(test_npt_entries, teardown_table),
		cmocka_unit_test_teardown(test_vtd_entries, teardown_table),
		cmocka_unit_test_teardown(test_vtd_flushes, teardown_table),
		cmocka_unit_test_teardown(test_destroy_leaves_what_was_mapped, teardown_table),
	};

	return cmocka_run_group_tests(tests, setup_pool, NULL);
}
