/*
 * Bookkeeping of one naturally aligned GiB of physical memory for the page pool: which of its 4 KiB pages and 2 MiB
 * frames are free. It lives apart from the pages, which are never touched, so that whoever still writes to a page after
 * freeing it cannot harm the pool. Callers hold the pool's lock.
 */
#pragma once

#include "lib/list.h"
#include "lib/types.h"

#define BLOCK_FRAMES 512u
#define FRAME_PAGES 512u

enum frame_state {
	FRAME_PAGED,     /* handed out as 4 KiB pages; some of them may not belong to the pool */
	FRAME_FREE,      /* all of it, as one */
	FRAME_ALLOCATED, /* as one 2 MiB page */
	FRAME_IN_BLOCK,  /* part of a free or allocated 1 GiB page */
};

enum block_state { BLOCK_SPLIT, BLOCK_FREE, BLOCK_ALLOCATED };

struct page_frame {
	struct list link; /* in page_block_lists.partial or .frames */
	uint16_t free_pages; /* FRAME_PAGED: bits set in its bitmap */
	uint16_t index;
	uint8_t state; /* enum frame_state */
};

struct page_block {
	struct list link; /* in page_block_lists.blocks */
	uint64_t base;    /* [bytes] */
	enum block_state state;
	uint32_t free_frames; /* BLOCK_SPLIT: frames in FRAME_FREE */
	struct page_frame frames[BLOCK_FRAMES];
	uint64_t free_bitmaps[BLOCK_FRAMES][FRAME_PAGES / 64]; /* FRAME_PAGED: set means free */
};

struct page_block_lists {
	struct list partial; /* frames in FRAME_PAGED with a free page */
	struct list frames;  /* frames in FRAME_FREE */
	struct list blocks;  /* blocks in BLOCK_FREE */
};

/** page_block_init() - a block at @base without any page; @block is zeroed memory. */
void page_block_init(struct page_block *block, uint64_t base);

/* Giving back; neighbours that are all free are merged. The caller has checked that what is given was allocated. */
void page_block_free_page(struct page_block *block, struct page_block_lists *lists, unsigned frame, unsigned page);
void page_block_free_frame(struct page_block *block, struct page_block_lists *lists, unsigned frame);
void page_block_free_whole(struct page_block *block, struct page_block_lists *lists);

bool page_block_page_is_free(const struct page_block *block, unsigned frame, unsigned page);

/* Taking, splitting what is larger; false (nothing changed) if there is none. *@address: [bytes]. */
must_check bool page_block_take_pages(struct page_block_lists *lists, unsigned count, uint64_t *address); /* 1..512, contiguous */
must_check bool page_block_take_frame(struct page_block_lists *lists, uint64_t *address);
must_check bool page_block_take_whole(struct page_block_lists *lists, uint64_t *address);
