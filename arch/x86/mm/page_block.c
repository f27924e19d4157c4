#include "arch/x86/mm/page_block.h"

#include "lib/bits.h"

#define WORD_BITS 64u
#define WORDS (FRAME_PAGES / WORD_BITS)

static struct page_block *block_of_frame(struct page_frame *frame)
{
	return container_of(frame - frame->index, struct page_block, frames);
}

static uint64_t frame_address(struct page_frame *frame)
{
	return block_of_frame(frame)->base + frame->index * PAGE_SIZE_2M;
}

void page_block_init(struct page_block *block, uint64_t base)
{
	block->base = base;
	block->state = BLOCK_SPLIT;
	list_init(&block->link);
	for (unsigned i = 0; i < BLOCK_FRAMES; i++) {
		block->frames[i].index = (uint16_t)i;
		list_init(&block->frames[i].link);
	}
}

void page_block_free_whole(struct page_block *block, struct page_block_lists *lists)
{
	block->state = BLOCK_FREE;
	block->free_frames = 0;
	for (unsigned i = 0; i < BLOCK_FRAMES; i++) {
		block->frames[i].state = FRAME_IN_BLOCK;
		list_remove(&block->frames[i].link);
	}
	list_append(&lists->blocks, &block->link);
}

void page_block_free_frame(struct page_block *block, struct page_block_lists *lists, unsigned frame)
{
	block->frames[frame].state = FRAME_FREE;
	block->frames[frame].free_pages = 0;
	list_append(&lists->frames, &block->frames[frame].link);
	if (++block->free_frames == BLOCK_FRAMES)
		page_block_free_whole(block, lists);
}

void page_block_free_page(struct page_block *block, struct page_block_lists *lists, unsigned frame, unsigned page)
{
	struct page_frame *entry = &block->frames[frame];

	block->free_bitmaps[frame][page / WORD_BITS] |= BIT(page % WORD_BITS);
	if (entry->free_pages++ == 0)
		list_append(&lists->partial, &entry->link);
	if (entry->free_pages < FRAME_PAGES)
		return;
	list_remove(&entry->link);
	page_block_free_frame(block, lists, frame);
}

bool page_block_page_is_free(const struct page_block *block, unsigned frame, unsigned page)
{
	return (block->free_bitmaps[frame][page / WORD_BITS] & BIT(page % WORD_BITS)) != 0;
}

bool page_block_take_whole(struct page_block_lists *lists, uint64_t *address)
{
	struct page_block *block;

	if (list_is_empty(&lists->blocks))
		return false;
	block = list_entry(lists->blocks.next, struct page_block, link);
	list_remove(&block->link);
	block->state = BLOCK_ALLOCATED;
	*address = block->base;
	return true;
}

static void split_block(struct page_block *block, struct page_block_lists *lists)
{
	block->state = BLOCK_SPLIT;
	block->free_frames = BLOCK_FRAMES;
	for (unsigned i = 0; i < BLOCK_FRAMES; i++) {
		block->frames[i].state = FRAME_FREE;
		list_append(&lists->frames, &block->frames[i].link);
	}
}

/* A free frame, out of the list and of its block's count; NULL if there is none. */
static struct page_frame *take_free_frame(struct page_block_lists *lists)
{
	struct page_frame *frame;
	struct page_block *block;

	if (list_is_empty(&lists->frames)) {
		if (list_is_empty(&lists->blocks))
			return NULL;
		block = list_entry(lists->blocks.next, struct page_block, link);
		list_remove(&block->link);
		split_block(block, lists);
	}
	frame = list_entry(lists->frames.next, struct page_frame, link);
	list_remove(&frame->link);
	block_of_frame(frame)->free_frames--;
	return frame;
}

bool page_block_take_frame(struct page_block_lists *lists, uint64_t *address)
{
	struct page_frame *frame = take_free_frame(lists);

	if (frame == NULL)
		return false;
	frame->state = FRAME_ALLOCATED;
	*address = frame_address(frame);
	return true;
}

/* The first of @count free pages in a row, or FRAME_PAGES. */
static unsigned find_run(const uint64_t *bitmap, unsigned count)
{
	unsigned run = 0;

	for (unsigned page = 0; page < FRAME_PAGES; page++) {
		if (run == 0 && page % WORD_BITS == 0 && bitmap[page / WORD_BITS] == 0) {
			page += WORD_BITS - 1;
			continue;
		}
		run = (bitmap[page / WORD_BITS] & BIT(page % WORD_BITS)) != 0 ? run + 1 : 0;
		if (run == count)
			return page + 1 - count;
	}
	return FRAME_PAGES;
}

static unsigned find_first(const uint64_t *bitmap)
{
	for (unsigned word = 0; word < WORDS; word++)
		if (bitmap[word] != 0)
			return word * WORD_BITS + bits_lowest(bitmap[word]);
	return FRAME_PAGES;
}

static struct page_frame *find_partial(struct page_block_lists *lists, unsigned count, unsigned *first)
{
	list_for_each(link, &lists->partial) {
		struct page_frame *frame = list_entry(link, struct page_frame, link);
		const uint64_t *bitmap = block_of_frame(frame)->free_bitmaps[frame->index];

		*first = count == 1 ? find_first(bitmap) : find_run(bitmap, count);
		if (*first < FRAME_PAGES)
			return frame;
	}
	return NULL;
}

bool page_block_take_pages(struct page_block_lists *lists, unsigned count, uint64_t *address)
{
	unsigned first;
	struct page_frame *frame = find_partial(lists, count, &first);
	uint64_t *bitmap;

	if (frame == NULL) {
		frame = take_free_frame(lists);
		if (frame == NULL)
			return false;
		first = 0;
		frame->state = FRAME_PAGED;
		frame->free_pages = FRAME_PAGES;
		list_append(&lists->partial, &frame->link);
		bitmap = block_of_frame(frame)->free_bitmaps[frame->index];
		for (unsigned word = 0; word < WORDS; word++)
			bitmap[word] = ~(uint64_t)0;
	}
	bitmap = block_of_frame(frame)->free_bitmaps[frame->index];
	for (unsigned page = first; page < first + count; page++)
		bitmap[page / WORD_BITS] &= ~BIT(page % WORD_BITS);
	frame->free_pages = (uint16_t)(frame->free_pages - count);
	if (frame->free_pages == 0)
		list_remove(&frame->link);
	*address = frame_address(frame) + first * PAGE_SIZE;
	return true;
}
