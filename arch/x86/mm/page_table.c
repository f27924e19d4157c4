#include "arch/x86/mm/page_table.h"

#include "arch/x86/panic.h"
#include "arch/x86/physmap.h"
#include "lib/checked.h"

#define ENTRIES 512u

static unsigned level_shift(unsigned level) { return PAGE_SHIFT + 9 * (level - 1); }
static uint64_t level_size(unsigned level) { return (uint64_t)1 << level_shift(level); }
static unsigned entry_index(uint64_t input, unsigned level) { return (unsigned)(input >> level_shift(level)) % ENTRIES; }

static uint64_t *table_pointer(hpa_t table)
{
	return physmap_pointer(table);
}

/* What is above a table is written last, and a table's content before the entry that shows it to the hardware. */
static void entry_write(const struct page_table_format *format, uint64_t *entry, uint64_t value)
{
	__atomic_store_n(entry, value, __ATOMIC_RELEASE);
	if (format->flush != NULL)
		format->flush(entry, sizeof(*entry));
}

/* Entries of one table of which the hardware takes each as it finds it: one flush for all of them. */
struct entry_run { uint64_t *first, *last; };

static void run_write(struct entry_run *run, uint64_t *entry, uint64_t value)
{
	__atomic_store_n(entry, value, __ATOMIC_RELEASE);
	run->first = run->first != NULL ? run->first : entry;
	run->last = entry;
}

static void run_flush(const struct page_table_format *format, const struct entry_run *run)
{
	if (format->flush != NULL)
		format->flush(run->first, (uint64_t)(run->last - run->first + 1) * sizeof(*run->first));
}

static void table_flush(const struct page_table_format *format, hpa_t table)
{
	if (format->flush != NULL)
		format->flush(table_pointer(table), PAGE_SIZE);
}

/* A 1 GiB leaf must be splittable into 2 MiB leaves. */
static bool format_has_leaf(const struct page_table_format *format, unsigned level)
{
	return level == 1 || (level == 2 && format->page_2m) || (level == 3 && format->page_2m && format->page_1g);
}

/* ---- table pages taken before anything changes, linked through their first quadword ---- */

struct reserve {
	uint64_t head; /* host-physical address, 0: empty */
};

static hpa_t reserve_take(struct reserve *reserve)
{
	hpa_t page = hpa(reserve->head);

	assert_always(page.value != 0);
	reserve->head = *table_pointer(page);
	*table_pointer(page) = 0;
	return page;
}

static void reserve_release(struct reserve *reserve)
{
	while (reserve->head != 0)
		page_pool_free(reserve_take(reserve), PAGE_ORDER_4K, PAGE_OWNER_TABLE);
}

static enum status reserve_fill(struct reserve *reserve, uint64_t count)
{
	hpa_t page;

	reserve->head = 0;
	for (; count != 0; count--) {
		if (page_pool_allocate(PAGE_ORDER_4K, PAGE_OWNER_TABLE, &page) != STATUS_OK) {
			reserve_release(reserve);
			return STATUS_NO_MEMORY;
		}
		*table_pointer(page) = reserve->head;
		reserve->head = page.value;
	}
	return STATUS_OK;
}

/* ---- create and destroy ---- */

enum status page_table_create(struct page_table *table, const struct page_table_format *format)
{
	hpa_t root;
	enum status status = page_pool_allocate(PAGE_ORDER_4K, PAGE_OWNER_TABLE, &root);

	if (status != STATUS_OK)
		return status;
	table_flush(format, root);
	*table = (struct page_table){.format = format, .root = root, .table_pages = 1};
	return STATUS_OK;
}

static void free_tables(const struct page_table_format *format, hpa_t table, unsigned level)
{
	const uint64_t *entries = table_pointer(table);

	for (unsigned i = 0; level > 1 && i < ENTRIES; i++)
		if (format->is_present(entries[i]) && !format->is_leaf(entries[i], level))
			free_tables(format, format->entry_address(entries[i], level), level - 1);
	page_pool_free(table, PAGE_ORDER_4K, PAGE_OWNER_TABLE);
}

void page_table_destroy(struct page_table *table)
{
	free_tables(table->format, table->root, table->format->levels);
	*table = (struct page_table){0};
}

static bool range_is_valid(const struct page_table *table, uint64_t input, uint64_t length)
{
	return length > 0 && is_aligned(input | length, PAGE_SIZE) && range_within(input, length, level_size(table->format->levels + 1));
}

/* ---- map: the same walk runs twice, first to check and count, then to write ---- */

struct mapping {
	struct page_table *table;
	uint64_t input, output; /* where the range begins */
	uint32_t attributes;
	bool commit;
	uint64_t tables_needed; /* counted while !commit */
	struct reserve reserve;
};

/* A leaf at @level can map [@start, @end): the whole of an entry, to an output aligned as the entry is. */
static bool leaf_fits(const struct mapping *mapping, unsigned level, uint64_t start, uint64_t end)
{
	uint64_t output = mapping->output + (start - mapping->input);

	return format_has_leaf(mapping->table->format, level) && end - start == level_size(level) &&
	       is_aligned(output, level_size(level));
}

/* The table below a non-present @entry (NULL while the table that would hold it does not exist yet); 0 if only counted. */
static hpa_t provide_table(struct mapping *mapping, uint64_t *entry)
{
	const struct page_table_format *format = mapping->table->format;
	hpa_t child;

	if (!mapping->commit) {
		mapping->tables_needed++;
		return hpa(0);
	}
	child = reserve_take(&mapping->reserve);
	mapping->table->table_pages++;
	table_flush(format, child);
	entry_write(format, entry, format->make_table(child));
	return child;
}

/* Maps [@start, @end), which lies within the table of @level at @table; 0: a table that does not exist yet. */
static enum status map_level(struct mapping *mapping, hpa_t table, unsigned level, uint64_t start, uint64_t end)
{
	const struct page_table_format *format = mapping->table->format;
	uint64_t *entries = table.value != 0 ? table_pointer(table) : NULL;
	struct entry_run leaves = {0};

	while (start < end) {
		uint64_t *entry = entries != NULL ? &entries[entry_index(start, level)] : NULL;
		uint64_t value = entry != NULL ? *entry : 0;
		uint64_t entry_end = min_u64(end, align_down(start, level_size(level)) + level_size(level));
		enum status status = STATUS_OK;

		if (format->is_present(value) && format->is_leaf(value, level))
			return STATUS_EXISTS;
		if (format->is_present(value))
			status = map_level(mapping, format->entry_address(value, level), level - 1, start, entry_end);
		else if (!leaf_fits(mapping, level, start, entry_end))
			status = map_level(mapping, provide_table(mapping, entry), level - 1, start, entry_end);
		else if (mapping->commit)
			run_write(&leaves, entry,
				  format->make_leaf(hpa(mapping->output + (start - mapping->input)), level, mapping->attributes));
		if (status != STATUS_OK)
			return status;
		start = entry_end;
	}
	if (leaves.first != NULL)
		run_flush(format, &leaves);
	return STATUS_OK;
}

static bool attributes_are_valid(uint32_t attributes)
{
	const uint32_t cache_types = PAGE_UNCACHED | PAGE_WRITE_COMBINING;

	return (attributes & PAGE_READ) != 0 && (attributes & cache_types) != cache_types;
}

enum status page_table_map(struct page_table *table, uint64_t input, hpa_t output, uint64_t length, uint32_t attributes)
{
	struct mapping mapping = {.table = table, .input = input, .output = output.value, .attributes = attributes};
	unsigned levels = table->format->levels;
	enum status status;

	if (!range_is_valid(table, input, length) || !is_aligned(output.value, PAGE_SIZE) ||
	    !range_within(output.value, length, PHYSMAP_SIZE) || !attributes_are_valid(attributes))
		return STATUS_INVALID;
	status = map_level(&mapping, table->root, levels, input, input + length);
	if (status == STATUS_OK)
		status = reserve_fill(&mapping.reserve, mapping.tables_needed);
	if (status != STATUS_OK)
		return status;
	mapping.commit = true;
	status = map_level(&mapping, table->root, levels, input, input + length);
	assert_always(status == STATUS_OK && mapping.reserve.head == 0);
	return STATUS_OK;
}

/* ---- unmap: splits are counted and their pages taken before anything changes ---- */

/* Tables that taking [@start, @end) out of one leaf at @level needs: one for each edge inside it at each lower level. */
static uint64_t count_splits(const struct page_table_format *format, unsigned level, uint64_t start, uint64_t end)
{
	uint64_t size = level_size(level), count = 1, first_end, last_start;

	if (is_aligned(start | end, size))
		return 0;
	size = level_size(level - 1);
	first_end = min_u64(end, align_down(start, size) + size);
	count += count_splits(format, level - 1, start, first_end);
	last_start = align_down(end - 1, size);
	if (last_start >= first_end)
		count += count_splits(format, level - 1, last_start, end);
	return count;
}

static uint64_t count_level_splits(const struct page_table_format *format, hpa_t table, unsigned level, uint64_t start,
				   uint64_t end)
{
	const uint64_t *entries = table_pointer(table);
	uint64_t count = 0;

	while (start < end) {
		uint64_t value = entries[entry_index(start, level)];
		uint64_t entry_end = min_u64(end, align_down(start, level_size(level)) + level_size(level));

		if (format->is_present(value) && format->is_leaf(value, level))
			count += count_splits(format, level, start, entry_end);
		else if (format->is_present(value))
			count += count_level_splits(format, format->entry_address(value, level), level - 1, start, entry_end);
		start = entry_end;
	}
	return count;
}

/* Replaces the leaf at @level by a table of smaller leaves that map the same. */
static hpa_t split_leaf(struct page_table *table, struct reserve *reserve, uint64_t *entry, unsigned level)
{
	const struct page_table_format *format = table->format;
	uint64_t address = format->entry_address(*entry, level).value;
	uint32_t attributes = format->entry_attributes(*entry);
	hpa_t child = reserve_take(reserve);
	uint64_t *entries = table_pointer(child);

	for (unsigned i = 0; i < ENTRIES; i++)
		entries[i] = format->make_leaf(hpa(address + i * level_size(level - 1)), level - 1, attributes);
	table->table_pages++;
	table_flush(format, child);
	entry_write(format, entry, format->make_table(child));
	return child;
}

static bool table_is_empty(const struct page_table_format *format, hpa_t table)
{
	const uint64_t *entries = table_pointer(table);

	for (unsigned i = 0; i < ENTRIES; i++)
		if (format->is_present(entries[i]))
			return false;
	return true;
}

struct unmapping {
	struct page_table *table;
	struct reserve reserve;
	bool keep_tables; /* those that become empty */
};

static void unmap_level(struct unmapping *unmapping, hpa_t page, unsigned level, uint64_t start, uint64_t end)
{
	struct page_table *table = unmapping->table;
	const struct page_table_format *format = table->format;
	uint64_t *entries = table_pointer(page), entry_end;
	struct entry_run leaves = {0};

	for (; start < end; start = entry_end) {
		uint64_t *entry = &entries[entry_index(start, level)];
		bool leaf = format->is_present(*entry) && format->is_leaf(*entry, level);
		hpa_t child;

		entry_end = min_u64(end, align_down(start, level_size(level)) + level_size(level));
		if (!format->is_present(*entry))
			continue;
		if (leaf && entry_end - start == level_size(level)) {
			run_write(&leaves, entry, 0);
			continue;
		}
		child = leaf ? split_leaf(table, &unmapping->reserve, entry, level) : format->entry_address(*entry, level);
		unmap_level(unmapping, child, level - 1, start, entry_end);
		if (!unmapping->keep_tables && table_is_empty(format, child)) {
			entry_write(format, entry, 0);
			page_pool_free(child, PAGE_ORDER_4K, PAGE_OWNER_TABLE);
			table->table_pages--;
		}
	}
	if (leaves.first != NULL)
		run_flush(format, &leaves);
}

static enum status unmap(struct unmapping *unmapping, uint64_t input, uint64_t length)
{
	struct page_table *table = unmapping->table;
	unsigned levels = table->format->levels;
	enum status status;

	if (!range_is_valid(table, input, length))
		return STATUS_INVALID;
	status = reserve_fill(&unmapping->reserve, count_level_splits(table->format, table->root, levels, input, input + length));
	if (status != STATUS_OK)
		return status;
	unmap_level(unmapping, table->root, levels, input, input + length);
	assert_always(unmapping->reserve.head == 0);
	return STATUS_OK;
}

enum status page_table_unmap(struct page_table *table, uint64_t input, uint64_t length)
{
	struct unmapping unmapping = {.table = table};

	return unmap(&unmapping, input, length);
}

enum status page_table_unmap_leaves(struct page_table *table, uint64_t input, uint64_t length)
{
	struct unmapping unmapping = {.table = table, .keep_tables = true};

	return unmap(&unmapping, input, length);
}

/* ---- lookup ---- */

enum status page_table_lookup(const struct page_table *table, uint64_t input, struct page_table_leaf *leaf)
{
	const struct page_table_format *format = table->format;
	hpa_t page = table->root;

	*leaf = (struct page_table_leaf){.level = format->levels};
	if (input >= level_size(format->levels + 1))
		return STATUS_NOT_FOUND;
	for (;; leaf->level--) {
		uint64_t size = level_size(leaf->level);

		leaf->entry = table_pointer(page)[entry_index(input, leaf->level)];
		if (!format->is_present(leaf->entry))
			return STATUS_NOT_FOUND;
		page = format->entry_address(leaf->entry, leaf->level);
		if (!format->is_leaf(leaf->entry, leaf->level))
			continue;
		leaf->output = hpa(page.value + (input & (size - 1)));
		leaf->page_size = size;
		leaf->attributes = format->entry_attributes(leaf->entry);
		return STATUS_OK;
	}
}
