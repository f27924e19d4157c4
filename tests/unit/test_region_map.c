#include "boot/region_map.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define CAPACITY 64u
#define PAGES(n) ((uint64_t)(n) * PAGE_SIZE)

static struct boot_memory_region regions[CAPACITY];
static struct region_map map;

static int open_map(void **state)
{
	(void)state;
	region_map_open(&map, regions, CAPACITY);
	return 0;
}

/* @first and @count in pages. */
static void add(uint64_t first, uint64_t count, uint32_t type)
{
	assert_int_equal(region_map_add(&map, PAGES(first), PAGES(count), type), STATUS_OK);
}

static void expect_region(uint32_t index, uint64_t first, uint64_t count, uint32_t type)
{
	assert_true(index < map.count);
	assert_int_equal(regions[index].base, PAGES(first));
	assert_int_equal(regions[index].length, PAGES(count));
	assert_int_equal(regions[index].type, type);
}

static void test_sorts_and_merges(void **state)
{
	(void)state;
	add(20, 5, BOOT_MEMORY_USABLE);
	add(0, 10, BOOT_MEMORY_USABLE);
	add(30, 5, BOOT_MEMORY_RESERVED);
	add(10, 10, BOOT_MEMORY_USABLE);
	add(25, 5, BOOT_MEMORY_RESERVED);
	assert_int_equal(map.count, 2);
	expect_region(0, 0, 25, BOOT_MEMORY_USABLE);
	expect_region(1, 25, 10, BOOT_MEMORY_RESERVED);
}

static void test_loader_takes_from_usable(void **state)
{
	(void)state;
	add(0, 100, BOOT_MEMORY_USABLE);
	add(10, 5, BOOT_MEMORY_LOADER);
	assert_int_equal(map.count, 3);
	expect_region(0, 0, 10, BOOT_MEMORY_USABLE);
	expect_region(1, 10, 5, BOOT_MEMORY_LOADER);
	expect_region(2, 15, 85, BOOT_MEMORY_USABLE);
	add(0, 10, BOOT_MEMORY_LOADER);
	add(95, 10, BOOT_MEMORY_LOADER);
	assert_int_equal(map.count, 3);
	expect_region(0, 0, 15, BOOT_MEMORY_LOADER);
	expect_region(1, 15, 80, BOOT_MEMORY_USABLE);
	expect_region(2, 95, 10, BOOT_MEMORY_LOADER);
}

static void test_less_allowed_wins(void **state)
{
	(void)state;
	add(10, 10, BOOT_MEMORY_RESERVED);
	add(0, 30, BOOT_MEMORY_USABLE);
	add(15, 10, BOOT_MEMORY_LOADER);
	add(18, 1, BOOT_MEMORY_BAD);
	assert_int_equal(map.count, 6);
	expect_region(0, 0, 10, BOOT_MEMORY_USABLE);
	expect_region(1, 10, 8, BOOT_MEMORY_RESERVED);
	expect_region(2, 18, 1, BOOT_MEMORY_BAD);
	expect_region(3, 19, 1, BOOT_MEMORY_RESERVED);
	expect_region(4, 20, 5, BOOT_MEMORY_LOADER);
	expect_region(5, 25, 5, BOOT_MEMORY_USABLE);
}

static void test_rounding(void **state)
{
	(void)state;
	assert_int_equal(region_map_add(&map, 1, PAGES(3) - 2, BOOT_MEMORY_USABLE), STATUS_OK);
	expect_region(0, 1, 1, BOOT_MEMORY_USABLE);
	assert_int_equal(region_map_add(&map, PAGES(10) + 4095, 2, BOOT_MEMORY_RESERVED), STATUS_OK);
	expect_region(1, 10, 2, BOOT_MEMORY_RESERVED);
	assert_int_equal(region_map_add(&map, PAGES(20) + 1, PAGE_SIZE, BOOT_MEMORY_USABLE), STATUS_OK);
	assert_int_equal(region_map_add(&map, PAGES(30) + 1, 0, BOOT_MEMORY_RESERVED), STATUS_OK);
	assert_int_equal(map.count, 2);
}

static void test_limits(void **state)
{
	const uint64_t limit = 1ull << 52;

	(void)state;
	assert_int_equal(region_map_add(&map, limit - PAGE_SIZE, PAGE_SIZE, BOOT_MEMORY_USABLE), STATUS_OK);
	assert_int_equal(map.count, 1);
	assert_int_equal(region_map_add(&map, limit - PAGE_SIZE, PAGE_SIZE + 1, BOOT_MEMORY_BAD), STATUS_OUT_OF_RANGE);
	assert_int_equal(region_map_add(&map, UINT64_MAX, UINT64_MAX, BOOT_MEMORY_BAD), STATUS_OUT_OF_RANGE);
	assert_int_equal(region_map_add(&map, 0, UINT64_MAX, BOOT_MEMORY_BAD), STATUS_OUT_OF_RANGE);
	assert_int_equal(map.count, 1);
	assert_int_equal(region_map_add(&map, 0, limit, BOOT_MEMORY_BAD), STATUS_OK);
	assert_int_equal(map.count, 1);
	assert_int_equal(regions[0].length, limit);
}

static void test_unknown_type_is_reserved(void **state)
{
	(void)state;
	add(0, 1, 0);
	add(1, 1, 8);
	add(2, 1, UINT32_MAX);
	assert_int_equal(map.count, 1);
	expect_region(0, 0, 3, BOOT_MEMORY_RESERVED);
}

static void test_full(void **state)
{
	(void)state;
	region_map_open(&map, regions, 3);
	add(0, 1, BOOT_MEMORY_USABLE);
	add(2, 10, BOOT_MEMORY_USABLE);
	add(20, 1, BOOT_MEMORY_USABLE);
	assert_int_equal(region_map_add(&map, PAGES(30), PAGES(1), BOOT_MEMORY_USABLE), STATUS_NO_MEMORY);
	assert_int_equal(region_map_add(&map, PAGES(4), PAGES(1), BOOT_MEMORY_BAD), STATUS_NO_MEMORY);
	assert_true(map.count <= 3);
}

/* Random statements, compared page by page with the plain rule: the highest type wins. */
static void test_random(void **state)
{
	uint8_t pages[256];
	uint32_t at;

	(void)state;
	srand(1);
	for (unsigned round = 0; round < 300; round++) {
		memset(pages, 0, sizeof(pages));
		region_map_open(&map, regions, CAPACITY);
		for (unsigned n = 0; n < 12; n++) {
			unsigned first = (unsigned)rand() % 200, count = (unsigned)rand() % 56;
			unsigned type = 1 + (unsigned)rand() % 7;

			add(first, count, type);
			for (unsigned page = first; page < first + count; page++)
				pages[page] = (uint8_t)(pages[page] > type ? pages[page] : type);
		}
		at = 0;
		for (uint32_t i = 0; i < map.count; i++) {
			uint64_t base = regions[i].base / PAGE_SIZE, end = base + regions[i].length / PAGE_SIZE;

			for (; at < base; at++)
				assert_int_equal(pages[at], 0);
			assert_int_equal(at, base);
			assert_true(end > base && end <= 256);
			for (; at < end; at++)
				assert_int_equal(pages[at], regions[i].type);
			if (i > 0 && regions[i - 1].type == regions[i].type)
				assert_true(regions[i - 1].base + regions[i - 1].length < regions[i].base);
		}
		for (; at < 256; at++)
			assert_int_equal(pages[at], 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_sorts_and_merges, open_map),
		cmocka_unit_test_setup(test_loader_takes_from_usable, open_map),
		cmocka_unit_test_setup(test_less_allowed_wins, open_map),
		cmocka_unit_test_setup(test_rounding, open_map),
		cmocka_unit_test_setup(test_limits, open_map),
		cmocka_unit_test_setup(test_unknown_type_is_reserved, open_map),
		cmocka_unit_test_setup(test_full, open_map),
		cmocka_unit_test_setup(test_random, open_map),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
