/* A set of 4 KiB pages of the host, as a tree of bitmaps in pages of the pool: 1 page for each 128 MiB in which there are any. */
#pragma once

#include "lib/status.h"
#include "lib/types.h"

struct page_set {
	uint64_t *root; /* of two levels of pointers; NULL: empty */
};

/**
 * page_set_add() - adds the pages of [@page, @page + @bytes), both multiples of 4 KiB, that are not in @set yet.
 * @first_known: out: the first page that was in it; only with STATUS_EXISTS.
 * Return: STATUS_OK; STATUS_EXISTS (some were in it); STATUS_NO_MEMORY; STATUS_OUT_OF_RANGE (beyond what the set can hold,
 *         32 TiB). With the last two, some may have been added.
 */
must_check enum status page_set_add(struct page_set *set, hpa_t page, uint64_t bytes, hpa_t *first_known);

/** page_set_clear() - empties @set and gives its pages back. */
void page_set_clear(struct page_set *set);
