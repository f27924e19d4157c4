#include "vmm/page_set.h"

#include "arch/x86/mm/page_pool.h"
#include "lib/bits.h"

#define ENTRIES (PAGE_SIZE / sizeof(uint64_t))
#define WORD_PAGES 64u
#define LEAF_BYTES (ENTRIES * WORD_PAGES * PAGE_SIZE)
#define TABLE_BYTES (ENTRIES * LEAF_BYTES)
#define SET_BYTES (ENTRIES * TABLE_BYTES)

/* The page below @entry, made if there is none. */
static uint64_t *provide(uint64_t *entry)
{
	if (*entry == 0)
		*entry = (uint64_t)(uintptr_t)page_pool_allocate_pointer();
	return (uint64_t *)(uintptr_t)*entry;
}

/* The word of the bitmap that has the bit of @address; NULL: no memory. */
static uint64_t *find_word(struct page_set *set, uint64_t address)
{
	uint64_t *level;

	if (set->root == NULL)
		set->root = page_pool_allocate_pointer();
	level = set->root != NULL ? provide(&set->root[address / TABLE_BYTES]) : NULL;
	if (level != NULL)
		level = provide(&level[address / LEAF_BYTES % ENTRIES]);
	return level != NULL ? &level[address / PAGE_SIZE / WORD_PAGES % ENTRIES] : NULL;
}

enum status page_set_add(struct page_set *set, hpa_t page, uint64_t bytes, hpa_t *first_known)
{
	enum status status = STATUS_OK;
	uint64_t address = page.value, end = page.value + bytes;

	if (end < address || end > SET_BYTES)
		return STATUS_OUT_OF_RANGE;
	while (address < end) {
		unsigned bit = (unsigned)(address / PAGE_SIZE % WORD_PAGES);
		uint64_t count = min_u64(WORD_PAGES - bit, (end - address) / PAGE_SIZE);
		uint64_t mask = (count == WORD_PAGES ? ~0ull : BIT(count) - 1) << bit;
		uint64_t *word = find_word(set, address);

		if (word == NULL)
			return STATUS_NO_MEMORY;
		if ((*word & mask) != 0 && status == STATUS_OK) {
			*first_known = hpa(address + (bits_lowest(*word & mask) - bit) * PAGE_SIZE);
			status = STATUS_EXISTS;
		}
		*word |= mask;
		address += count * PAGE_SIZE;
	}
	return status;
}

static void free_level(uint64_t *level, unsigned depth)
{
	for (unsigned i = 0; depth > 0 && i < ENTRIES; i++)
		if (level[i] != 0)
			free_level((uint64_t *)(uintptr_t)level[i], depth - 1);
	page_pool_free_pointer(level);
}

void page_set_clear(struct page_set *set)
{
	if (set->root != NULL)
		free_level(set->root, 2);
	set->root = NULL;
}
