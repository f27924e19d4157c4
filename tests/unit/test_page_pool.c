/* The page pool: order, alignment, splitting and merging, scrubbing, and what it refuses. Tests share one pool. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "arch/x86/mm/page_pool.h"
#include "arch/x86/physmap.h"
#include "fake_panic.h"

#define POOL_START (2 * MIB)
#define POOL_END (24 * MIB)

static uint64_t whole_free; /* when nothing but the pool's own structures is taken */

static hpa_t allocate(enum page_order order, enum page_owner owner)
{
	hpa_t page = hpa(0);

	assert_int_equal(page_pool_allocate(order, owner, &page), STATUS_OK);
	assert_true(is_aligned(page.value, page_order_size(order)));
	return page;
}

static bool is_zero(const void *memory, uint64_t size)
{
	const uint8_t *bytes = memory;

	return bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0;
}

/* The tests run in this order. */

static void test_empty_pool(void **state)
{
	hpa_t page;

	(void)state;
	assert_int_equal(page_pool_allocate(PAGE_ORDER_4K, PAGE_OWNER_TABLE, &page), STATUS_NO_MEMORY);
	assert_int_equal(page_pool_allocate(PAGE_ORDER_2M, PAGE_OWNER_TABLE, &page), STATUS_NO_MEMORY);
	assert_int_equal(page_pool_allocate(PAGE_ORDER_1G, PAGE_OWNER_TABLE, &page), STATUS_NO_MEMORY);
	assert_null(page_pool_allocate_pointer());
	assert_int_equal(page_pool_reserve_low_page(&page), STATUS_NOT_FOUND);
	assert_int_equal(page_pool_total_bytes(), 0);
}

static void test_low_memory_is_kept_for_one_page(void **state)
{
	hpa_t page = hpa(0);

	(void)state;
	page_pool_add(hpa(0), 0x1000);
	assert_int_equal(page_pool_reserve_low_page(&page), STATUS_NOT_FOUND);
	memset(physmap_pointer(hpa(0x9e000)), 0xaa, 0x1000);
	page_pool_add(hpa(0x1000), 0x9e7ff);
	page_pool_add(hpa(0xc0000), 0x10000);
	assert_int_equal(page_pool_total_bytes(), 0);
	assert_int_equal(page_pool_reserve_low_page(&page), STATUS_OK);
	assert_int_equal(page.value, 0x9e000);
	assert_true(is_zero(physmap_pointer(page), PAGE_SIZE));
	assert_int_equal(page_pool_reserve_low_page(&page), STATUS_NOT_FOUND);
}

static void test_add_cuts_to_whole_pages(void **state)
{
	(void)state;
	page_pool_add(hpa(POOL_START + 5), POOL_END - POOL_START - 6);
	assert_int_equal(page_pool_total_bytes(), POOL_END - POOL_START - 2 * PAGE_SIZE);
	whole_free = page_pool_free_bytes();
	assert_true(whole_free < page_pool_total_bytes());
	assert_true(page_pool_total_bytes() - whole_free <= 64 * KIB);
	assert_int_equal(page_pool_owned_bytes(PAGE_OWNER_HYPERVISOR), page_pool_total_bytes() - whole_free);
	page_pool_add(hpa(POOL_END + 1), PAGE_SIZE);
	page_pool_add(hpa(UINT64_MAX - 10), 100);
	page_pool_add(hpa(POOL_END), 0);
	assert_int_equal(page_pool_free_bytes(), whole_free);
}

static void test_pages_are_zeroed_and_distinct(void **state)
{
	hpa_t pages[600];

	(void)state;
	for (unsigned i = 0; i < array_count(pages); i++) {
		pages[i] = allocate(PAGE_ORDER_4K, PAGE_OWNER_TABLE);
		assert_true(pages[i].value >= POOL_START && pages[i].value < POOL_END);
		assert_true(is_zero(physmap_pointer(pages[i]), PAGE_SIZE));
		memset(physmap_pointer(pages[i]), 0xee, PAGE_SIZE);
	}
	assert_int_equal(page_pool_owned_bytes(PAGE_OWNER_TABLE), array_count(pages) * PAGE_SIZE);
	assert_int_equal(page_pool_free_bytes(), whole_free - array_count(pages) * PAGE_SIZE);
	for (unsigned i = 0; i < array_count(pages); i++)
		page_pool_free(pages[i], PAGE_ORDER_4K, PAGE_OWNER_TABLE);
	assert_int_equal(page_pool_owned_bytes(PAGE_OWNER_TABLE), 0);
	assert_int_equal(page_pool_free_bytes(), whole_free);
}

static void test_guest_pages_are_scrubbed_when_given_back(void **state)
{
	hpa_t small = allocate(PAGE_ORDER_4K, PAGE_OWNER_GUEST), large = allocate(PAGE_ORDER_2M, PAGE_OWNER_GUEST);

	(void)state;
	memset(physmap_pointer(small), 0x55, PAGE_SIZE);
	memset(physmap_pointer(large), 0x55, PAGE_SIZE_2M);
	page_pool_free(small, PAGE_ORDER_4K, PAGE_OWNER_GUEST);
	page_pool_free(large, PAGE_ORDER_2M, PAGE_OWNER_GUEST);
	assert_true(is_zero(physmap_pointer(small), PAGE_SIZE));
	assert_true(is_zero(physmap_pointer(large), PAGE_SIZE_2M));
}

static void test_clean_pages_are_given_back_as_they_are(void **state)
{
	hpa_t page = allocate(PAGE_ORDER_4K, PAGE_OWNER_GUEST);
	uint64_t free_bytes = page_pool_free_bytes();

	(void)state;
	memset(physmap_pointer(page), 0x55, 8);
	page_pool_free_clean(page, PAGE_ORDER_4K, PAGE_OWNER_GUEST);
	assert_int_equal(page_pool_free_bytes(), free_bytes + PAGE_SIZE);
	assert_int_equal(*(const uint8_t *)physmap_pointer(page), 0x55);
}

static void test_query(void **state)
{
	hpa_t small = allocate(PAGE_ORDER_4K, PAGE_OWNER_GUEST), large = allocate(PAGE_ORDER_2M, PAGE_OWNER_TABLE);
	uint64_t extent;

	(void)state;
	assert_int_equal(page_pool_query(small, &extent), PAGE_POOL_ALLOCATED);
	assert_int_equal(page_pool_query(large, &extent), PAGE_POOL_ALLOCATED);
	assert_int_equal(page_pool_query(hpa(large.value + 17 * PAGE_SIZE), &extent), PAGE_POOL_ALLOCATED);
	assert_int_equal(extent, PAGE_SIZE_2M - 17 * PAGE_SIZE);
	page_pool_free(small, PAGE_ORDER_4K, PAGE_OWNER_GUEST);
	page_pool_free(large, PAGE_ORDER_2M, PAGE_OWNER_TABLE);
	assert_int_equal(page_pool_query(small, &extent), PAGE_POOL_FREE);
	assert_int_equal(page_pool_query(hpa(large.value + 17 * PAGE_SIZE), &extent), PAGE_POOL_FREE);
	assert_int_equal(page_pool_query(hpa(POOL_END), &extent), PAGE_POOL_FOREIGN);
	assert_int_equal(page_pool_query(hpa(0x9e000), &extent), PAGE_POOL_FOREIGN);
	assert_int_equal(page_pool_query(hpa(PHYSMAP_SIZE), &extent), PAGE_POOL_FOREIGN);
	assert_int_equal(page_pool_query(hpa(3 * GIB), &extent), PAGE_POOL_FOREIGN);
}

/* All 2 MiB frames but the two with foreign or own pages can be had as such, again and again: 4 KiB pages merge. */
static void test_split_pages_merge_again(void **state)
{
	hpa_t frames[12], pages[6000];
	unsigned frame_count = 0, page_count = 0;

	(void)state;
	for (unsigned round = 0; round < 2; round++) {
		for (frame_count = 0; frame_count < array_count(frames); frame_count++)
			if (page_pool_allocate(PAGE_ORDER_2M, PAGE_OWNER_GUEST, &frames[frame_count]) != STATUS_OK)
				break;
		assert_int_equal(frame_count, 9);
		for (unsigned i = 0; i < frame_count; i++)
			page_pool_free(frames[i], PAGE_ORDER_2M, PAGE_OWNER_GUEST);

		for (page_count = 0; page_count < array_count(pages); page_count++)
			if (page_pool_allocate(PAGE_ORDER_4K, PAGE_OWNER_TABLE, &pages[page_count]) != STATUS_OK)
				break;
		assert_int_equal(page_count * PAGE_SIZE, whole_free);
		assert_int_equal(page_pool_free_bytes(), 0);
		/* Every other one first, so that no frame is whole before the end. */
		for (unsigned i = 0; i < page_count; i += 2)
			page_pool_free(pages[i], PAGE_ORDER_4K, PAGE_OWNER_TABLE);
		for (unsigned i = 1; i < page_count; i += 2)
			page_pool_free(pages[i], PAGE_ORDER_4K, PAGE_OWNER_TABLE);
		assert_int_equal(page_pool_free_bytes(), whole_free);
	}
}

static void test_contiguous(void **state)
{
	uint8_t *hole[4], *run, *whole;

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		hole[i] = page_pool_allocate_contiguous(3);
		assert_non_null(hole[i]);
	}
	page_pool_free_contiguous(hole[1], 3);
	run = page_pool_allocate_contiguous(5);
	assert_non_null(run);
	assert_true(is_zero(run, 5 * PAGE_SIZE));
	memset(run, 0x77, 5 * PAGE_SIZE);
	for (unsigned i = 0; i < 4; i++)
		assert_true(run + 5 * PAGE_SIZE <= hole[i] || run >= hole[i] + 3 * PAGE_SIZE);
	whole = page_pool_allocate_contiguous(512);
	assert_non_null(whole);
	assert_true(is_zero(whole, PAGE_SIZE_2M));
	page_pool_free_contiguous(whole, 512);
	page_pool_free_contiguous(run, 5);
	for (unsigned i = 0; i < 4; i++)
		if (i != 1)
			page_pool_free_contiguous(hole[i], 3);
	assert_int_equal(page_pool_free_bytes(), whole_free);
	run = page_pool_allocate_pointer();
	page_pool_free_pointer(run);
	assert_int_equal(page_pool_free_bytes(), whole_free);
}

static void test_whole_gibibytes(void **state)
{
	uint64_t before = page_pool_free_bytes();
	hpa_t giant, frames[512], page;

	(void)state;
	page_pool_add(hpa(5 * GIB - 4 * MIB), GIB + 8 * MIB);
	assert_true(page_pool_free_bytes() >= before + GIB + 8 * MIB - 256 * KIB);
	before = page_pool_free_bytes();
	giant = allocate(PAGE_ORDER_1G, PAGE_OWNER_GUEST);
	assert_int_equal(giant.value, 5 * GIB);
	assert_int_equal(page_pool_allocate(PAGE_ORDER_1G, PAGE_OWNER_GUEST, &page), STATUS_NO_MEMORY);
	page_pool_free(giant, PAGE_ORDER_1G, PAGE_OWNER_GUEST);

	/* Broken into frames when those elsewhere are used up, and whole again once all are back. */
	for (unsigned i = 0; i < array_count(frames); i++)
		frames[i] = allocate(PAGE_ORDER_2M, PAGE_OWNER_HYPERVISOR);
	assert_int_equal(page_pool_allocate(PAGE_ORDER_1G, PAGE_OWNER_GUEST, &page), STATUS_NO_MEMORY);
	for (unsigned i = 0; i < array_count(frames); i++)
		page_pool_free(frames[i], PAGE_ORDER_2M, PAGE_OWNER_HYPERVISOR);
	assert_int_equal(page_pool_free_bytes(), before);
	giant = allocate(PAGE_ORDER_1G, PAGE_OWNER_HYPERVISOR);
	page_pool_free(giant, PAGE_ORDER_1G, PAGE_OWNER_HYPERVISOR);
}

/* A panic leaves the pool's lock taken, so each happens in a process of its own. */
static bool panics(void (*action)(void))
{
	int status;
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0)
		_exit(FAKE_PANICS(action()) ? 0 : 1);
	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static hpa_t held_page, held_frame;

static void free_rightly(void) { page_pool_free(held_page, PAGE_ORDER_4K, PAGE_OWNER_TABLE); }
static void free_twice(void) { free_rightly(); free_rightly(); }
static void free_as_frame(void) { page_pool_free(held_page, PAGE_ORDER_2M, PAGE_OWNER_TABLE); }
static void free_frame_twice(void)
{
	page_pool_free(held_frame, PAGE_ORDER_2M, PAGE_OWNER_TABLE);
	page_pool_free(held_frame, PAGE_ORDER_2M, PAGE_OWNER_TABLE);
}
static void free_frame_as_page(void) { page_pool_free(held_frame, PAGE_ORDER_4K, PAGE_OWNER_TABLE); }
static void free_frame_as_whole(void) { page_pool_free(hpa(0), PAGE_ORDER_1G, PAGE_OWNER_TABLE); }
static void free_inside_frame(void) { page_pool_free(hpa(held_frame.value + PAGE_SIZE), PAGE_ORDER_2M, PAGE_OWNER_TABLE); }
static void free_misaligned(void) { page_pool_free(hpa(held_page.value + 8), PAGE_ORDER_4K, PAGE_OWNER_TABLE); }
static void free_foreign_neighbour(void) { page_pool_free(hpa(POOL_START), PAGE_ORDER_4K, PAGE_OWNER_TABLE); }
static void free_foreign(void) { page_pool_free(hpa(40 * GIB), PAGE_ORDER_4K, PAGE_OWNER_TABLE); }
static void free_beyond_everything(void) { page_pool_free(hpa(PHYSMAP_SIZE), PAGE_ORDER_4K, PAGE_OWNER_TABLE); }
static void free_of_other_owner(void) { page_pool_free(held_page, PAGE_ORDER_4K, PAGE_OWNER_GUEST); }
static void add_twice(void) { page_pool_add(hpa(POOL_START + MIB), MIB); }
static void take_too_many(void) { assert_null(page_pool_allocate_contiguous(513)); }

static void test_wrong_use_panics(void **state)
{
	(void)state;
	held_page = allocate(PAGE_ORDER_4K, PAGE_OWNER_TABLE);
	held_frame = allocate(PAGE_ORDER_2M, PAGE_OWNER_TABLE);
	assert_false(panics(free_rightly));
	assert_true(panics(free_twice));
	assert_true(panics(free_as_frame));
	assert_true(panics(free_frame_twice));
	assert_true(panics(free_frame_as_page));
	assert_true(panics(free_frame_as_whole));
	assert_true(panics(free_inside_frame));
	assert_true(panics(free_misaligned));
	assert_true(panics(free_foreign_neighbour));
	assert_true(panics(free_foreign));
	assert_true(panics(free_beyond_everything));
	assert_true(panics(free_of_other_owner));
	assert_true(panics(add_twice));
	assert_true(panics(take_too_many));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty_pool),
		cmocka_unit_test(test_low_memory_is_kept_for_one_page),
		cmocka_unit_test(test_add_cuts_to_whole_pages),
		cmocka_unit_test(test_pages_are_zeroed_and_distinct),
		cmocka_unit_test(test_guest_pages_are_scrubbed_when_given_back),
		cmocka_unit_test(test_clean_pages_are_given_back_as_they_are),
		cmocka_unit_test(test_query),
		cmocka_unit_test(test_split_pages_merge_again),
		cmocka_unit_test(test_contiguous),
		cmocka_unit_test(test_whole_gibibytes),
		cmocka_unit_test(test_wrong_use_panics),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
