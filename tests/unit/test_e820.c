/* vmm/guest/e820.c and guest_layout.c: the memory map, and the search for room. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/fake_guest.h"
#include "vmm/guest/e820.h"
#include "vmm/guest/guest_layout.h"

static struct e820_entry map[E820_MAX_ENTRIES];

static void expect_entry(unsigned index, uint64_t start, uint64_t end, uint32_t type)
{
	assert_true(map[index].base == start);
	assert_true(map[index].base + map[index].length == end);
	assert_int_equal(map[index].type, type);
}

static void test_map_of_a_small_vm(void **state)
{
	(void)state;
	fake_guest_create(64 * MIB);
	assert_int_equal(e820_build(&fake_guest.vm.memory, map), 4);
	expect_entry(0, 0, 0x9fc00, E820_RAM);
	expect_entry(1, 0x9fc00, 0xa0000, E820_RESERVED);
	expect_entry(2, 0xe0000, 0x100000, E820_RESERVED);
	expect_entry(3, 0x100000, 64 * MIB, E820_RAM);
	fake_guest_destroy();
}

static void test_map_above_4_gib(void **state)
{
	struct guest_memory memory = { .slot_count = 3, .slots = {
		{ gpa(0), 0xa0000 }, { gpa(0xc0000), GUEST_LOW_RAM_END - 0xc0000 }, { gpa(4 * GIB), 2 * GIB } } };

	(void)state;
	assert_int_equal(e820_build(&memory, map), 5);
	expect_entry(3, 0x100000, GUEST_LOW_RAM_END, E820_RAM);
	expect_entry(4, 4 * GIB, 6 * GIB, E820_RAM);
}

/* Memory that is one block: the map must still spare the areas below 1 MiB. */
static void test_map_of_one_slot(void **state)
{
	struct guest_memory memory = { .slot_count = 1, .slots = { { gpa(0), 16 * MIB } } };

	(void)state;
	assert_int_equal(e820_build(&memory, map), 5);
	expect_entry(0, 0, 0x9fc00, E820_RAM);
	expect_entry(1, 0x9fc00, 0xa0000, E820_RESERVED);
	expect_entry(2, 0xa0000, 0xe0000, E820_RAM);
	expect_entry(3, 0xe0000, 0x100000, E820_RESERVED);
	memory.slots[0].length = 0x1000;
	assert_int_equal(e820_build(&memory, map), 1);
	memory.slot_count = 0;
	assert_int_equal(e820_build(&memory, map), 0);
}

static void test_layout_takes_free_ram_only(void **state)
{
	struct guest_layout layout;

	(void)state;
	fake_guest_create(16 * MIB);
	guest_layout_init(&layout, &fake_guest.vm.memory);
	assert_int_equal(guest_layout_take(&layout, 0x100000, 0x1000), STATUS_OK);
	assert_int_equal(guest_layout_take(&layout, 0x100fff, 1), STATUS_EXISTS);
	assert_int_equal(guest_layout_take(&layout, 0xfffff, 1), STATUS_EXISTS);
	assert_int_equal(guest_layout_take(&layout, 0x9fc00, 1), STATUS_EXISTS);
	assert_int_equal(guest_layout_take(&layout, 0xa0000, 1), STATUS_OUT_OF_RANGE);
	assert_int_equal(guest_layout_take(&layout, 16 * MIB - 1, 2), STATUS_OUT_OF_RANGE);
	assert_int_equal(guest_layout_take(&layout, UINT64_MAX - 1, 100), STATUS_OUT_OF_RANGE);
	assert_int_equal(guest_layout_take(&layout, UINT64_MAX, 0), STATUS_OK);
	fake_guest_destroy();
}

static void test_layout_places(void **state)
{
	struct guest_layout layout;
	uint64_t base;

	(void)state;
	fake_guest_create(16 * MIB);
	guest_layout_init(&layout, &fake_guest.vm.memory);
	assert_int_equal(guest_layout_place_low(&layout, 0x1000, 0x1000, 0, GUEST_LOW_RAM_END, &base), STATUS_OK);
	assert_int_equal(base, 0);
	assert_int_equal(guest_layout_place_low(&layout, 0x98000, 0x1000, 0, GUEST_LOW_RAM_END, &base), STATUS_OK);
	assert_int_equal(base, 0x1000);
	/* No room below the EBDA: the next is between the video memory and the BIOS area, then above that. */
	assert_int_equal(guest_layout_place_low(&layout, 0x20000, 0x1000, 0, GUEST_LOW_RAM_END, &base), STATUS_OK);
	assert_int_equal(base, 0xc0000);
	assert_int_equal(guest_layout_place_low(&layout, 0x20000, 0x200000, 0, GUEST_LOW_RAM_END, &base), STATUS_OK);
	assert_int_equal(base, 0x200000);
	assert_int_equal(guest_layout_place_high(&layout, 0x1001, 0x1000, MIB, GUEST_LOW_RAM_END, &base), STATUS_OK);
	assert_int_equal(base, 16 * MIB - 0x2000);
	assert_int_equal(guest_layout_place_high(&layout, 0x1000, 0x1000, MIB, 0x220800, &base), STATUS_OK);
	assert_int_equal(base, 0x1ff000);
	assert_int_equal(guest_layout_place_high(&layout, 14 * MIB, 0x1000, MIB, GUEST_LOW_RAM_END, &base), STATUS_NO_MEMORY);
	assert_int_equal(guest_layout_place_low(&layout, 17 * MIB, 0x1000, 0, GUEST_LOW_RAM_END, &base), STATUS_NO_MEMORY);
	assert_int_equal(guest_layout_place_low(&layout, 1, GIB, 1, GUEST_LOW_RAM_END, &base), STATUS_NO_MEMORY);
	assert_int_equal(guest_layout_place_high(&layout, UINT64_MAX, 1, 0, UINT64_MAX, &base), STATUS_NO_MEMORY);
	assert_int_equal(guest_layout_low_ram_end(&fake_guest.vm.memory), 16 * MIB);
	fake_guest_destroy();
}

static void test_layout_is_bounded(void **state)
{
	struct guest_layout layout;
	uint64_t base;
	unsigned placed = 0;

	(void)state;
	fake_guest_create(16 * MIB);
	guest_layout_init(&layout, &fake_guest.vm.memory);
	while (guest_layout_place_low(&layout, 0x800, 0x1000, MIB, GUEST_LOW_RAM_END, &base) == STATUS_OK)
		placed++;
	assert_int_equal(placed, GUEST_LAYOUT_MAX_RANGES - 2);
	assert_int_equal(guest_layout_take(&layout, 8 * MIB, 1), STATUS_NO_MEMORY);
	fake_guest_destroy();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_map_of_a_small_vm), cmocka_unit_test(test_map_above_4_gib), cmocka_unit_test(test_map_of_one_slot),
		cmocka_unit_test(test_layout_takes_free_ram_only), cmocka_unit_test(test_layout_places), cmocka_unit_test(test_layout_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
