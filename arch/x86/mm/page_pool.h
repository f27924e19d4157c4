/*
 * All free RAM of the machine, as pages of 4 KiB, 2 MiB and 1 GiB. One pool, own lock. Pages are handed out zeroed and
 * scrubbed again when they come back, so that nothing of one owner is ever seen by another.
 */
#pragma once

#include "lib/status.h"
#include "lib/types.h"

enum page_order {
	PAGE_ORDER_4K,
	PAGE_ORDER_2M,
	PAGE_ORDER_1G,
	PAGE_ORDER_COUNT,
};

static always_inline uint64_t page_order_size(enum page_order order) { return PAGE_SIZE << (9 * (unsigned)order); }

/* Who holds a page; counted, so that `info` and `report` can say where memory went. */
enum page_owner {
	PAGE_OWNER_HYPERVISOR, /* structures of the hypervisor itself */
	PAGE_OWNER_TABLE,      /* paging structures: host, EPT, IOMMU */
	PAGE_OWNER_GUEST,      /* guests' RAM */
	PAGE_OWNER_COUNT,
};

/**
 * page_pool_add() - gives RAM to the pool; boot only.
 * @base, @length: [bytes], any alignment (cut to whole pages), not yet in the pool, mapped in the physmap.
 */
void page_pool_add(hpa_t base, uint64_t length);

/**
 * page_pool_reserve_low_page() - the one 4 KiB page below 640 KiB that is kept for the processors' start-up code, zeroed.
 * Memory below 1 MiB is used for nothing else. Boot only.
 * Return: STATUS_OK; STATUS_NOT_FOUND (no usable memory there, or already taken).
 */
must_check enum status page_pool_reserve_low_page(hpa_t *page);

/**
 * page_pool_allocate() - one page of @order, zeroed, aligned to its size.
 * Context: any CPU, interrupts off; takes the pool's lock, zeroes outside it.
 * Return: STATUS_OK; STATUS_NO_MEMORY (nothing changed).
 */
must_check enum status page_pool_allocate(enum page_order order, enum page_owner owner, hpa_t *page);

/** page_pool_free() - gives a page back with the order and owner it was allocated with; scrubs guests' pages. */
void page_pool_free(hpa_t page, enum page_order order, enum page_owner owner);

/** page_pool_free_clean() - the same for a page that its owner has zeroed. */
void page_pool_free_clean(hpa_t page, enum page_order order, enum page_owner owner);

/** page_pool_allocate_pointer() - a zeroed 4 KiB page of the hypervisor as a pointer; NULL when none is left. */
must_check void *page_pool_allocate_pointer(void);
void page_pool_free_pointer(void *page);
/* The same for @count contiguous pages (count <= 512). */
must_check void *page_pool_allocate_contiguous(unsigned count);
void page_pool_free_contiguous(void *pages, unsigned count);

enum page_pool_state { PAGE_POOL_FOREIGN, PAGE_POOL_FREE, PAGE_POOL_ALLOCATED };
/**
 * page_pool_query() - whether the 4 KiB page at @page is the pool's, and taken. For checks; any CPU.
 * @extent: out: so many bytes from @page on are in the same state; there may be more.
 */
enum page_pool_state page_pool_query(hpa_t page, uint64_t *extent);

uint64_t page_pool_total_bytes(void);
uint64_t page_pool_free_bytes(void);
uint64_t page_pool_owned_bytes(enum page_owner owner);
