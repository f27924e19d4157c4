/* A VM's RAM: layout around the holes, page sizes, bounded access, and giving everything back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86/physmap.h"
#include "vmm/guest_memory.h"

static struct guest_memory memory;

static int setup_pool(void **state)
{
	(void)state;
	page_pool_add(hpa(2 * MIB), 62 * MIB);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	guest_memory_destroy(&memory);
	assert_int_equal(page_pool_owned_bytes(PAGE_OWNER_GUEST), 0);
	assert_int_equal(page_pool_owned_bytes(PAGE_OWNER_TABLE), 0);
	return 0;
}

static void create(uint64_t size)
{
	assert_int_equal(guest_memory_create(&memory, size, page_table_ept_format(true, true)), STATUS_OK);
}

static uint64_t page_size_at(uint64_t address)
{
	struct page_table_leaf leaf;

	if (page_table_lookup(&memory.nested, address, &leaf) != STATUS_OK)
		return 0;
	assert_int_equal(leaf.attributes, PAGE_RWX);
	return leaf.page_size;
}

static void test_layout(void **state)
{
	(void)state;
	create(32 * MIB);
	assert_int_equal(memory.size, 32 * MIB);
	assert_int_equal(memory.slot_count, 2);
	assert_int_equal(memory.slots[0].base.value, 0);
	assert_int_equal(memory.slots[0].length, 0xa0000);
	assert_int_equal(memory.slots[1].base.value, 0xc0000);
	assert_int_equal(memory.slots[1].length, 32 * MIB - 0xc0000);
	assert_int_equal(page_pool_owned_bytes(PAGE_OWNER_GUEST), 32 * MIB - 0x20000);
	assert_int_equal(page_size_at(0), PAGE_SIZE);
	assert_int_equal(page_size_at(0x9ffff), PAGE_SIZE);
	assert_int_equal(page_size_at(0xa0000), 0);
	assert_int_equal(page_size_at(0xbffff), 0);
	assert_int_equal(page_size_at(0xc0000), PAGE_SIZE);
	assert_int_equal(page_size_at(2 * MIB), PAGE_SIZE_2M);
	assert_int_equal(page_size_at(32 * MIB - 1), PAGE_SIZE_2M);
	assert_int_equal(page_size_at(32 * MIB), 0);
}

static void test_pointer(void **state)
{
	uint8_t *pointer;

	(void)state;
	create(4 * MIB);
	pointer = guest_memory_pointer(&memory, gpa(3 * MIB + 0xff8), 8);
	assert_non_null(pointer);
	*pointer = 0x5a;
	assert_ptr_equal(guest_memory_pointer(&memory, gpa(3 * MIB), 1), pointer - 0xff8);
	assert_null(guest_memory_pointer(&memory, gpa(3 * MIB + 0xff9), 8));
	assert_non_null(guest_memory_pointer(&memory, gpa(3 * MIB), PAGE_SIZE));
	assert_null(guest_memory_pointer(&memory, gpa(3 * MIB), PAGE_SIZE + 1));
	assert_null(guest_memory_pointer(&memory, gpa(3 * MIB), 0));
	assert_null(guest_memory_pointer(&memory, gpa(3 * MIB), UINT64_MAX));
	assert_non_null(guest_memory_pointer(&memory, gpa(0x9fff8), 8));
	assert_null(guest_memory_pointer(&memory, gpa(0xa0000), 1));
	assert_null(guest_memory_pointer(&memory, gpa(0xbffff), 1));
	assert_non_null(guest_memory_pointer(&memory, gpa(0xc0000), 1));
	assert_non_null(guest_memory_pointer(&memory, gpa(4 * MIB - 1), 1));
	assert_null(guest_memory_pointer(&memory, gpa(4 * MIB), 1));
	assert_null(guest_memory_pointer(&memory, gpa(UINT64_MAX), 1));
}

static void test_read_write_fill_over_borders(void **state)
{
	static uint8_t out[3 * MIB], in[3 * MIB];

	(void)state;
	create(6 * MIB);
	for (unsigned i = 0; i < sizeof(out); i++)
		out[i] = (uint8_t)(i * 11 + i / 4096);
	assert_int_equal(guest_memory_write(&memory, gpa(MIB + 123), out, sizeof(out)), STATUS_OK);
	assert_int_equal(guest_memory_read(&memory, gpa(MIB + 123), in, sizeof(in)), STATUS_OK);
	assert_memory_equal(in, out, sizeof(in));
	assert_int_equal(guest_memory_fill(&memory, gpa(2 * MIB - 3), 0xcc, 6), STATUS_OK);
	assert_int_equal(guest_memory_read(&memory, gpa(2 * MIB - 4), in, 8), STATUS_OK);
	assert_int_equal(in[0], out[MIB - 4 - 123]);
	assert_int_equal(in[1], 0xcc);
	assert_int_equal(in[6], 0xcc);
	assert_int_equal(in[7], out[MIB + 3 - 123]);
}

static void test_accesses_are_bounded(void **state)
{
	uint8_t bytes[16] = {0};

	(void)state;
	create(2 * MIB);
	assert_int_equal(guest_memory_read(&memory, gpa(2 * MIB - 16), bytes, 16), STATUS_OK);
	assert_int_equal(guest_memory_read(&memory, gpa(2 * MIB - 15), bytes, 16), STATUS_OUT_OF_RANGE);
	assert_int_equal(guest_memory_write(&memory, gpa(0x9fff8), bytes, 16), STATUS_OUT_OF_RANGE);
	assert_int_equal(guest_memory_fill(&memory, gpa(0xbfff8), 1, 16), STATUS_OUT_OF_RANGE);
	assert_int_equal(guest_memory_fill(&memory, gpa(0), 1, UINT64_MAX), STATUS_OUT_OF_RANGE);
	assert_int_equal(guest_memory_read(&memory, gpa(UINT64_MAX - 7), bytes, 16), STATUS_OUT_OF_RANGE);
	assert_int_equal(guest_memory_read(&memory, gpa(5 * GIB), bytes, 0), STATUS_OK);
}

static void test_is_ram(void **state)
{
	(void)state;
	create(4 * MIB);
	assert_true(guest_memory_is_ram(&memory, gpa(0), 0xa0000));
	assert_false(guest_memory_is_ram(&memory, gpa(0), 0xa0001));
	assert_false(guest_memory_is_ram(&memory, gpa(0xb0000), 1));
	assert_true(guest_memory_is_ram(&memory, gpa(0xc0000), 4 * MIB - 0xc0000));
	assert_false(guest_memory_is_ram(&memory, gpa(0xc0000), 4 * MIB));
	assert_false(guest_memory_is_ram(&memory, gpa(MIB), UINT64_MAX));
	assert_false(guest_memory_is_ram(&memory, gpa(UINT64_MAX), 2));
}

static void test_new_memory_is_zero(void **state)
{
	uint64_t words[2];

	(void)state;
	for (unsigned round = 0; round < 2; round++) {
		create(8 * MIB);
		for (uint64_t address = MIB; address < 8 * MIB; address += PAGE_SIZE) {
			assert_int_equal(guest_memory_read(&memory, gpa(address), words, sizeof(words)), STATUS_OK);
			assert_int_equal(words[0] | words[1], 0);
		}
		assert_int_equal(guest_memory_fill(&memory, gpa(MIB), 0xff, 7 * MIB), STATUS_OK);
		guest_memory_destroy(&memory);
	}
}

static bool all_zero(uint64_t start, uint64_t end)
{
	static const uint8_t zeros[PAGE_SIZE];

	for (uint64_t address = start; address < end; address += PAGE_SIZE) {
		const void *page = guest_memory_page(&memory, gpa(address));

		if (page != NULL && memcmp(page, zeros, PAGE_SIZE) != 0)
			return false;
	}
	return true;
}

/* Piece by piece, over the hole and from page to page; then it can be used again. */
static void test_scrub(void **state)
{
	unsigned pieces = 0;

	(void)state;
	create(8 * MIB);
	assert_int_equal(guest_memory_fill(&memory, gpa(0), 0xff, GUEST_VGA_HOLE_START), STATUS_OK);
	assert_int_equal(guest_memory_fill(&memory, gpa(GUEST_VGA_HOLE_END), 0xff, 8 * MIB - GUEST_VGA_HOLE_END), STATUS_OK);
	for (;;) {
		uint64_t before = memory.scrubbed;
		bool more = guest_memory_scrub(&memory, MIB);

		pieces++;
		assert_int_equal(memory.scrubbed - before, more ? MIB : 8 * MIB - 0x20000 - before);
		if (!more)
			break;
		assert_false(all_zero(7 * MIB, 8 * MIB));
	}
	assert_int_equal(pieces, 8);
	assert_true(all_zero(0, 8 * MIB));
	assert_false(guest_memory_scrub(&memory, MIB));
	guest_memory_reuse(&memory);
	assert_int_equal(guest_memory_fill(&memory, gpa(MIB), 0xff, 8), STATUS_OK);
	assert_true(guest_memory_scrub(&memory, 7 * MIB));
	assert_true(all_zero(0, 2 * MIB));
}

/* Given back half scrubbed, nothing is left in the pages all the same. */
static void test_scrubbed_in_part(void **state)
{
	(void)state;
	create(4 * MIB);
	assert_int_equal(guest_memory_fill(&memory, gpa(MIB), 0xff, 3 * MIB), STATUS_OK);
	const uint8_t *last = guest_memory_page(&memory, gpa(4 * MIB - PAGE_SIZE));
	assert_true(guest_memory_scrub(&memory, 2 * MIB));
	assert_int_equal(last[PAGE_SIZE - 1], 0xff);
	guest_memory_destroy(&memory);
	assert_int_equal(last[PAGE_SIZE - 1], 0);
}

static uint64_t taken_by_tables(void)
{
	return page_pool_owned_bytes(PAGE_OWNER_TABLE) + page_pool_owned_bytes(PAGE_OWNER_HYPERVISOR);
}

static void test_overhead_is_enough(void **state)
{
	static const uint64_t sizes[] = {2 * MIB, 6 * MIB, 48 * MIB};

	(void)state;
	for (unsigned i = 0; i < array_count(sizes); i++) {
		for (unsigned large = 0; large < 2; large++) {
			const struct page_table_format *format = page_table_ept_format(large != 0, large != 0);
			uint64_t before = taken_by_tables();

			assert_int_equal(guest_memory_create(&memory, sizes[i], format), STATUS_OK);
			uint64_t taken = taken_by_tables() - before;
			assert_in_range(guest_memory_overhead(sizes[i], format), taken, taken + 6 * PAGE_SIZE);
			guest_memory_destroy(&memory);
		}
	}
}

static void test_too_much_leaves_nothing_behind(void **state)
{
	uint64_t free_bytes = page_pool_free_bytes();

	(void)state;
	assert_int_equal(guest_memory_create(&memory, 128 * MIB, page_table_ept_format(true, true)), STATUS_NO_MEMORY);
	assert_int_equal(page_pool_free_bytes(), free_bytes);
	assert_int_equal(guest_memory_create(&memory, (uint64_t)1 << 45, page_table_ept_format(true, true)), STATUS_NO_MEMORY);
	assert_int_equal(guest_memory_create(&memory, UINT64_MAX - 2 * MIB + 1, page_table_ept_format(true, true)), STATUS_NO_MEMORY);
	assert_int_equal(guest_memory_create(&memory, 0, page_table_ept_format(true, true)), STATUS_INVALID);
	assert_int_equal(guest_memory_create(&memory, 3 * MIB, page_table_ept_format(true, true)), STATUS_INVALID);
	assert_int_equal(page_pool_free_bytes(), free_bytes);
}

/* When 2 MiB pages run out, the rest is made of small ones. */
static void test_small_pages_fill_in(void **state)
{
	static hpa_t frames[64], pages[2048];
	unsigned frame_count = 0, page_count = 0;
	uint64_t sizes[2] = {0, 0};

	(void)state;
	while (page_pool_allocate(PAGE_ORDER_2M, PAGE_OWNER_HYPERVISOR, &frames[frame_count]) == STATUS_OK)
		frame_count++;
	for (unsigned i = 0; i < 3; i++)
		page_pool_free(frames[--frame_count], PAGE_ORDER_2M, PAGE_OWNER_HYPERVISOR);
	while (page_pool_free_bytes() > PAGE_SIZE_2M)
		assert_int_equal(page_pool_allocate(PAGE_ORDER_4K, PAGE_OWNER_HYPERVISOR, &pages[page_count++]), STATUS_OK);
	for (unsigned i = 0; i < page_count; i++) /* some stay, so that no frame becomes whole again */
		if (i % 100 != 0)
			page_pool_free(pages[i], PAGE_ORDER_4K, PAGE_OWNER_HYPERVISOR);
	create(6 * MIB);
	for (uint64_t address = 0; address < 6 * MIB; address += PAGE_SIZE)
		if (page_size_at(address) != 0)
			sizes[page_size_at(address) == PAGE_SIZE_2M]++;
	assert_int_equal(sizes[0], 480 + 512);
	assert_int_equal(sizes[1], 512);
	assert_int_equal(guest_memory_fill(&memory, gpa(MIB), 0x11, 5 * MIB), STATUS_OK);
	guest_memory_destroy(&memory);
	for (unsigned i = 0; i < page_count; i += 100)
		page_pool_free(pages[i], PAGE_ORDER_4K, PAGE_OWNER_HYPERVISOR);
	while (frame_count-- > 0)
		page_pool_free(frames[frame_count], PAGE_ORDER_2M, PAGE_OWNER_HYPERVISOR);
}

static void test_format_without_large_pages(void **state)
{
	(void)state;
	assert_int_equal(guest_memory_create(&memory, 4 * MIB, page_table_ept_format(false, false)), STATUS_OK);
	assert_int_equal(page_size_at(2 * MIB), PAGE_SIZE);
	assert_int_equal(guest_memory_fill(&memory, gpa(MIB), 0x11, 3 * MIB), STATUS_OK);
}

/* RAM above 3 GiB continues at 4 GiB, in 1 GiB pages where they fit. Last: it grows the pool. */
static void test_large_vm(void **state)
{
	uint64_t free_bytes;
	uint8_t byte = 9;

	(void)state;
	page_pool_add(hpa(8 * GIB), 5 * GIB);
	free_bytes = page_pool_free_bytes();
	create(4 * GIB + 2 * MIB);
	assert_int_equal(memory.slot_count, 3);
	assert_int_equal(memory.slots[1].length, GUEST_LOW_RAM_END - 0xc0000);
	assert_int_equal(memory.slots[2].base.value, 4 * GIB);
	assert_int_equal(memory.slots[2].length, GIB + 2 * MIB);
	assert_int_equal(page_size_at(GIB - 1), PAGE_SIZE_2M);
	assert_int_equal(page_size_at(GIB), PAGE_SIZE_1G);
	assert_int_equal(page_size_at(3 * GIB - 1), PAGE_SIZE_1G);
	assert_int_equal(page_size_at(3 * GIB), 0);
	assert_int_equal(page_size_at(4 * GIB), PAGE_SIZE_1G);
	assert_int_equal(page_size_at(5 * GIB), PAGE_SIZE_2M);
	assert_int_equal(page_size_at(5 * GIB + 2 * MIB), 0);
	assert_int_equal(guest_memory_write(&memory, gpa(5 * GIB + 2 * MIB - 1), &byte, 1), STATUS_OK);
	assert_int_equal(guest_memory_write(&memory, gpa(5 * GIB + 2 * MIB), &byte, 1), STATUS_OUT_OF_RANGE);
	assert_int_equal(guest_memory_read(&memory, gpa(3 * GIB), &byte, 1), STATUS_OUT_OF_RANGE);
	guest_memory_destroy(&memory);
	assert_int_equal(page_pool_free_bytes(), free_bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_layout, teardown),
		cmocka_unit_test_teardown(test_pointer, teardown),
		cmocka_unit_test_teardown(test_read_write_fill_over_borders, teardown),
		cmocka_unit_test_teardown(test_accesses_are_bounded, teardown),
		cmocka_unit_test_teardown(test_is_ram, teardown),
		cmocka_unit_test_teardown(test_new_memory_is_zero, teardown),
		cmocka_unit_test_teardown(test_scrub, teardown),
		cmocka_unit_test_teardown(test_scrubbed_in_part, teardown),
		cmocka_unit_test_teardown(test_overhead_is_enough, teardown),
		cmocka_unit_test_teardown(test_too_much_leaves_nothing_behind, teardown),
		cmocka_unit_test_teardown(test_small_pages_fill_in, teardown),
		cmocka_unit_test_teardown(test_format_without_large_pages, teardown),
		cmocka_unit_test_teardown(test_large_vm, teardown),
	};

	return cmocka_run_group_tests(tests, setup_pool, NULL);
}
