/* Reading a whole page table: what it maps, and the pages that it consists of. */
#pragma once

#include "arch/x86/mm/page_table.h"
#include "lib/types.h"

/**
 * page_table_next() - the first mapping at or above *@input, which becomes its begin (or stays inside of it).
 * Return: true and *@leaf; false: there is none any more.
 * To see all: start at 0 and go on at *@input + leaf.page_size.
 */
must_check bool page_table_next(const struct page_table *table, uint64_t *input, struct page_table_leaf *leaf);

/** page_table_for_each_table() - calls @visit for every page that @table consists of, the root first. It must not change. */
void page_table_for_each_table(const struct page_table *table, void (*visit)(hpa_t page, void *context), void *context);
