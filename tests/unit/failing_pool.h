/*
 * Stands in for arch/x86/mm/page_pool.c: 128 MiB of the fake physical memory that count what is taken, check what is given
 * back, and fail at an allocation that the test chooses. Included by one .c file of a program.
 */
#pragma once

#include <stdlib.h>
#include <string.h>

#include "arch/x86/mm/page_pool.h"
#include "tests/fake/fake_physmap.h"

#define POOL_BASE (16 * MIB)
#define POOL_PAGES 32768u

static uint8_t pool_state[POOL_PAGES];  /* 0: free; else 1 + owner of the allocation that the page belongs to */
static uint16_t pool_length[POOL_PAGES]; /* of the allocation that starts here [pages] */
static unsigned pool_hint, pool_used, pool_allocations;
static unsigned pool_fail_at = UINT32_MAX; /* allocations that still succeed; then one fails */

static inline void pool_reset(void)
{
	memset(pool_state, 0, sizeof(pool_state));
	memset(pool_length, 0, sizeof(pool_length));
	pool_hint = pool_used = pool_allocations = 0;
	pool_fail_at = UINT32_MAX;
}

static inline bool pool_is_free(unsigned first, unsigned count)
{
	if (first + count > POOL_PAGES)
		return false;
	for (unsigned i = 0; i < count; i++) {
		if (pool_state[first + i])
			return false;
	}
	return true;
}

static inline bool pool_take(unsigned count, enum page_owner owner, hpa_t *page)
{
	unsigned first = (unsigned)align_up(pool_hint, count == 512 ? 512 : 1);

	if (pool_fail_at-- == 0)
		return false;
	for (unsigned tries = 0; tries < POOL_PAGES && !pool_is_free(first, count); tries++)
		first = first + count >= POOL_PAGES ? 0 : first + (count == 512 ? 512 : 1);
	if (!pool_is_free(first, count))
		return false;
	memset(pool_state + first, 1 + (int)owner, count);
	pool_length[first] = (uint16_t)count;
	pool_hint = first + count;
	pool_used += count;
	pool_allocations++;
	*page = hpa(POOL_BASE + first * PAGE_SIZE);
	memset(physmap_pointer(*page), 0, count * PAGE_SIZE);
	return true;
}

static inline void pool_give_back(hpa_t page, unsigned count, enum page_owner owner)
{
	unsigned first = (unsigned)((page.value - POOL_BASE) / PAGE_SIZE);

	/* Once only, as it was taken. */
	if (first >= POOL_PAGES || pool_length[first] != count || pool_state[first] != 1 + (int)owner)
		abort();
	memset(pool_state + first, 0, count);
	pool_length[first] = 0;
	pool_used -= count;
	memset(physmap_pointer(page), 0xdd, count * PAGE_SIZE);
	if (first < pool_hint)
		pool_hint = first;
}

enum status page_pool_allocate(enum page_order order, enum page_owner owner, hpa_t *page)
{
	/* The test machine has no 1 GiB page. */
	if (order > PAGE_ORDER_2M || !pool_take(order == PAGE_ORDER_2M ? 512 : 1, owner, page))
		return STATUS_NO_MEMORY;
	return STATUS_OK;
}

void page_pool_free(hpa_t page, enum page_order order, enum page_owner owner)
{
	pool_give_back(page, order == PAGE_ORDER_2M ? 512 : 1, owner);
}

void page_pool_free_clean(hpa_t page, enum page_order order, enum page_owner owner)
{
	const uint8_t *bytes = physmap_pointer(page);

	for (uint64_t i = 0; i < page_order_size(order); i++) {
		if (bytes[i] != 0)
			abort();
	}
	page_pool_free(page, order, owner);
}

void *page_pool_allocate_contiguous(unsigned count)
{
	hpa_t page;

	return pool_take(count, PAGE_OWNER_HYPERVISOR, &page) ? physmap_pointer(page) : NULL;
}

void page_pool_free_contiguous(void *pages, unsigned count)
{
	pool_give_back(physmap_address(pages), count, PAGE_OWNER_HYPERVISOR);
}

void *page_pool_allocate_pointer(void) { return page_pool_allocate_contiguous(1); }
void page_pool_free_pointer(void *page) { page_pool_free_contiguous(page, 1); }
uint64_t page_pool_total_bytes(void) { return POOL_PAGES * PAGE_SIZE; }
uint64_t page_pool_free_bytes(void) { return (POOL_PAGES - pool_used) * PAGE_SIZE; }

/* Of the machine's start, which no test of this pool looks at. */
void page_pool_add(hpa_t base, uint64_t length) { (void)base; (void)length; }
enum status page_pool_reserve_low_page(hpa_t *page) { (void)page; return STATUS_NOT_FOUND; }

uint64_t page_pool_owned_bytes(enum page_owner owner)
{
	uint64_t pages = 0;

	for (unsigned i = 0; i < POOL_PAGES; i++)
		pages += pool_state[i] == 1 + (int)owner;
	return pages * PAGE_SIZE;
}
