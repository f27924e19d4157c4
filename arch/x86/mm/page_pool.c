#include "arch/x86/mm/page_pool.h"

#include "arch/x86/long_work.h"
#include "arch/x86/mm/page_block.h"
#include "arch/x86/panic.h"
#include "arch/x86/physmap.h"
#include "arch/x86/spinlock.h"
#include "lib/checked.h"

#define LOW_MEMORY_END (1 * MIB)
#define LOW_PAGE_FIRST PAGE_SIZE /* page 0 keeps the real-mode vectors; a start-up IPI's vector 0 is no good sign either */
#define LOW_PAGE_END 0xa0000u
#define MAX_RANGES 520u /* a boot memory map's regions, some cut in two */
#define DIRECTORY_ENTRIES (PAGE_SIZE / sizeof(struct page_block *))
#define DIRECTORIES (PHYSMAP_SIZE / (DIRECTORY_ENTRIES * PAGE_SIZE_1G))
#define BLOCK_PAGES ((unsigned)((sizeof(struct page_block) + PAGE_SIZE - 1) / PAGE_SIZE))

struct range {
	uint64_t start, end;
};

/* Protected by pool.lock, too. */
static struct page_block_lists lists = {
	.partial = {&lists.partial, &lists.partial},
	.frames = {&lists.frames, &lists.frames},
	.blocks = {&lists.blocks, &lists.blocks},
};

static struct {
	struct spinlock lock; /* protects all below */
	struct page_block **directories[DIRECTORIES]; /* of 512 GiB each; blocks exist only where there is RAM */
	struct range ranges[MAX_RANGES]; /* what the pool was given */
	unsigned range_count;
	hpa_t low_page; /* 0: none */
	uint64_t total, free;
	uint64_t owned[PAGE_OWNER_COUNT];
} pool;

static void zero(uint64_t address, uint64_t length)
{
	long_work_zero(physmap_pointer(hpa(address)), length);
}

static unsigned frame_number(uint64_t address) { return (unsigned)(address / PAGE_SIZE_2M % BLOCK_FRAMES); }
static unsigned page_number(uint64_t address) { return (unsigned)(address / PAGE_SIZE % FRAME_PAGES); }

static struct page_block *find_block(uint64_t address)
{
	struct page_block **directory;

	if (address >= PHYSMAP_SIZE)
		return NULL;
	directory = pool.directories[address / (DIRECTORY_ENTRIES * PAGE_SIZE_1G)];
	return directory == NULL ? NULL : directory[address / PAGE_SIZE_1G % DIRECTORY_ENTRIES];
}

/* Zeroed memory for the pool's own structures: from the pool, or while it is empty from the beginning of @range. */
static void *take_own_pages_locked(struct range *range, unsigned count)
{
	uint64_t address;

	if (page_block_take_pages(&lists, count, &address)) {
		pool.free -= count * PAGE_SIZE;
	} else {
		if (range->end - range->start < count * PAGE_SIZE)
			return NULL;
		address = range->start;
		range->start += count * PAGE_SIZE;
		pool.total += count * PAGE_SIZE;
	}
	pool.owned[PAGE_OWNER_HYPERVISOR] += count * PAGE_SIZE;
	zero(address, count * PAGE_SIZE);
	return physmap_pointer(hpa(address));
}

/* The block of @range->start, made if there is none; may take pages from @range. NULL if they do not suffice. */
static struct page_block *provide_block_locked(struct range *range)
{
	uint64_t base = align_down(range->start, PAGE_SIZE_1G);
	uint64_t slot = base / PAGE_SIZE_1G % DIRECTORY_ENTRIES;
	struct page_block ***directory = &pool.directories[base / (DIRECTORY_ENTRIES * PAGE_SIZE_1G)];

	if (*directory == NULL)
		*directory = take_own_pages_locked(range, 1);
	if (*directory == NULL)
		return NULL;
	if ((*directory)[slot] == NULL) {
		struct page_block *block = take_own_pages_locked(range, BLOCK_PAGES);

		if (block == NULL)
			return NULL;
		page_block_init(block, base);
		(*directory)[slot] = block;
	}
	return (*directory)[slot];
}

/* Gives [@start, @end), which lies within @block, to its lists in pieces as large as alignment allows. */
static void release_range_locked(struct page_block *block, uint64_t start, uint64_t end)
{
	pool.total += end - start;
	pool.free += end - start;
	if (end - start == PAGE_SIZE_1G) {
		page_block_free_whole(block, &lists);
		return;
	}
	while (start < end) {
		if (is_aligned(start, PAGE_SIZE_2M) && end - start >= PAGE_SIZE_2M) {
			page_block_free_frame(block, &lists, frame_number(start));
			start += PAGE_SIZE_2M;
		} else {
			page_block_free_page(block, &lists, frame_number(start), page_number(start));
			start += PAGE_SIZE;
		}
	}
}

static void keep_low_page(uint64_t start, uint64_t end)
{
	end = min_u64(end, LOW_PAGE_END);
	if (start < end && end - PAGE_SIZE >= max_u64(start, LOW_PAGE_FIRST))
		pool.low_page = hpa(end - PAGE_SIZE);
}

static bool remember_range_locked(struct range range)
{
	for (unsigned i = 0; i < pool.range_count; i++)
		assert_always(range.end <= pool.ranges[i].start || range.start >= pool.ranges[i].end);
	if (pool.range_count == MAX_RANGES)
		return false;
	pool.ranges[pool.range_count++] = range;
	return true;
}

void page_pool_add(hpa_t base, uint64_t length)
{
	uint64_t end;

	if (!checked_add(base.value, length, &end))
		end = UINT64_MAX;
	struct range range = {min_u64(base.value, PHYSMAP_SIZE), align_down(min_u64(end, PHYSMAP_SIZE), PAGE_SIZE)};

	range.start = align_up(range.start, PAGE_SIZE);
	spinlock_lock(&pool.lock);
	keep_low_page(range.start, range.end);
	range.start = max_u64(range.start, LOW_MEMORY_END);
	if (range.start < range.end && !remember_range_locked(range))
		range.start = range.end;
	while (range.start < range.end) {
		uint64_t block_end = min_u64(range.end, align_down(range.start, PAGE_SIZE_1G) + PAGE_SIZE_1G);
		struct range part = {range.start, block_end};
		struct page_block *block = provide_block_locked(&part);

		if (block != NULL)
			release_range_locked(block, part.start, part.end);
		range.start = block_end;
	}
	spinlock_unlock(&pool.lock);
}

enum status page_pool_reserve_low_page(hpa_t *page)
{
	if (pool.low_page.value == 0)
		return STATUS_NOT_FOUND;
	*page = pool.low_page;
	pool.low_page = hpa(0);
	zero(page->value, PAGE_SIZE);
	return STATUS_OK;
}

static bool take_locked(enum page_order order, uint64_t *address)
{
	switch (order) {
	case PAGE_ORDER_4K: return page_block_take_pages(&lists, 1, address);
	case PAGE_ORDER_2M: return page_block_take_frame(&lists, address);
	case PAGE_ORDER_1G: return page_block_take_whole(&lists, address);
	default: return false;
	}
}

enum status page_pool_allocate(enum page_order order, enum page_owner owner, hpa_t *page)
{
	uint64_t address, size = page_order_size(order);
	bool found;

	spinlock_lock(&pool.lock);
	found = take_locked(order, &address);
	if (found) {
		pool.free -= size;
		pool.owned[owner] += size;
	}
	spinlock_unlock(&pool.lock);
	if (!found)
		return STATUS_NO_MEMORY;
	zero(address, size);
	*page = hpa(address);
	return STATUS_OK;
}

static bool is_pool_memory_locked(uint64_t address)
{
	for (unsigned i = 0; i < pool.range_count; i++)
		if (address >= pool.ranges[i].start && address < pool.ranges[i].end)
			return true;
	return false;
}

static void free_locked(uint64_t address, enum page_order order, enum page_owner owner)
{
	struct page_block *block = find_block(address);
	unsigned frame = frame_number(address);

	assert_always(block != NULL && is_aligned(address, page_order_size(order)));
	assert_always(pool.owned[owner] >= page_order_size(order));
	switch (order) {
	case PAGE_ORDER_4K:
		assert_always(block->frames[frame].state == FRAME_PAGED && is_pool_memory_locked(address));
		assert_always(!page_block_page_is_free(block, frame, page_number(address)));
		page_block_free_page(block, &lists, frame, page_number(address));
		break;
	case PAGE_ORDER_2M:
		assert_always(block->frames[frame].state == FRAME_ALLOCATED);
		page_block_free_frame(block, &lists, frame);
		break;
	default:
		assert_always(block->state == BLOCK_ALLOCATED);
		page_block_free_whole(block, &lists);
		break;
	}
	pool.owned[owner] -= page_order_size(order);
	pool.free += page_order_size(order);
}

void page_pool_free(hpa_t page, enum page_order order, enum page_owner owner)
{
	assert_always(order < PAGE_ORDER_COUNT);
	if (owner == PAGE_OWNER_GUEST)
		zero(page.value, page_order_size(order));
	page_pool_free_clean(page, order, owner);
}

void page_pool_free_clean(hpa_t page, enum page_order order, enum page_owner owner)
{
	assert_always(order < PAGE_ORDER_COUNT && owner < PAGE_OWNER_COUNT);
	spinlock_lock(&pool.lock);
	free_locked(page.value, order, owner);
	spinlock_unlock(&pool.lock);
}

void *page_pool_allocate_pointer(void)
{
	return page_pool_allocate_contiguous(1);
}

void page_pool_free_pointer(void *page)
{
	page_pool_free_contiguous(page, 1);
}

void *page_pool_allocate_contiguous(unsigned count)
{
	uint64_t address;
	bool found;

	assert_always(count >= 1 && count <= FRAME_PAGES);
	spinlock_lock(&pool.lock);
	found = page_block_take_pages(&lists, count, &address);
	if (found) {
		pool.free -= count * PAGE_SIZE;
		pool.owned[PAGE_OWNER_HYPERVISOR] += count * PAGE_SIZE;
	}
	spinlock_unlock(&pool.lock);
	if (!found)
		return NULL;
	zero(address, count * PAGE_SIZE);
	return physmap_pointer(hpa(address));
}

void page_pool_free_contiguous(void *pages, unsigned count)
{
	uint64_t address = physmap_address(pages).value;

	spinlock_lock(&pool.lock);
	for (unsigned i = 0; i < count; i++)
		free_locked(address + i * PAGE_SIZE, PAGE_ORDER_4K, PAGE_OWNER_HYPERVISOR);
	spinlock_unlock(&pool.lock);
}

/* *@extent: how far, from @address on, the answer is the same without looking [bytes]. */
static bool is_free_locked(const struct page_block *block, uint64_t address, uint64_t *extent)
{
	unsigned frame = frame_number(address);

	*extent = PAGE_SIZE_1G - address % PAGE_SIZE_1G;
	if (block->state != BLOCK_SPLIT)
		return block->state == BLOCK_FREE;
	*extent = PAGE_SIZE_2M - address % PAGE_SIZE_2M;
	if (block->frames[frame].state != FRAME_PAGED)
		return block->frames[frame].state == FRAME_FREE;
	*extent = PAGE_SIZE;
	return page_block_page_is_free(block, frame, page_number(address));
}

enum page_pool_state page_pool_query(hpa_t page, uint64_t *extent)
{
	enum page_pool_state state = PAGE_POOL_FOREIGN;

	*extent = PAGE_SIZE;
	spinlock_lock(&pool.lock);
	const struct page_block *block = find_block(page.value);
	if (block != NULL && is_pool_memory_locked(page.value))
		state = is_free_locked(block, page.value, extent) ? PAGE_POOL_FREE : PAGE_POOL_ALLOCATED;
	spinlock_unlock(&pool.lock);
	return state;
}

uint64_t page_pool_total_bytes(void)
{
	return __atomic_load_n(&pool.total, __ATOMIC_RELAXED);
}

uint64_t page_pool_free_bytes(void)
{
	return __atomic_load_n(&pool.free, __ATOMIC_RELAXED);
}

uint64_t page_pool_owned_bytes(enum page_owner owner)
{
	return __atomic_load_n(&pool.owned[owner], __ATOMIC_RELAXED);
}
