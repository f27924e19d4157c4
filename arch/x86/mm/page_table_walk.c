#include "arch/x86/mm/page_table_walk.h"

#include "arch/x86/physmap.h"

#define ENTRIES 512u

static uint64_t level_size(unsigned level)
{
	return PAGE_SIZE << 9 * (level - 1);
}

bool page_table_next(const struct page_table *table, uint64_t *input, struct page_table_leaf *leaf)
{
	uint64_t end = level_size(table->format->levels + 1);

	while (*input < end) {
		if (page_table_lookup(table, *input, leaf) == STATUS_OK)
			return true;
		*input = align_down(*input, level_size(leaf->level)) + level_size(leaf->level);
	}
	return false;
}

struct visitor {
	const struct page_table_format *format;
	void (*visit)(hpa_t page, void *context);
	void *context;
};

static void visit_tables(const struct visitor *visitor, hpa_t table, unsigned level)
{
	const uint64_t *entries = physmap_pointer(table);

	visitor->visit(table, visitor->context);
	for (unsigned i = 0; level > 1 && i < ENTRIES; i++)
		if (visitor->format->is_present(entries[i]) && !visitor->format->is_leaf(entries[i], level))
			visit_tables(visitor, visitor->format->entry_address(entries[i], level), level - 1);
}

void page_table_for_each_table(const struct page_table *table, void (*visit)(hpa_t page, void *context), void *context)
{
	const struct visitor visitor = {table->format, visit, context};

	if (table->root.value != 0)
		visit_tables(&visitor, table->root, table->format->levels);
}
