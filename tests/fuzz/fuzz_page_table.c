/*
 * Random sequences of map, unmap and lookup against a model that keeps mapped ranges in a plain array. Twelve bytes make
 * one operation; the first byte of the input chooses the format.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arch/x86/mm/page_table.h"
#include "arch/x86/mm/page_table_npt.h"

#define MAX_RANGES 128u
#define OPERATION_SIZE 12u
#define MAX_OPERATIONS 16u
#define INPUT_END ((uint64_t)1 << 48)

struct range {
	uint64_t start, end, output;
	uint32_t attributes;
};

static struct range ranges[MAX_RANGES];
static unsigned range_count;
static struct page_table table;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool condition, const char *what)
{
	if (condition)
		return;
	fprintf(stderr, "the page table differs from the model: %s\n", what);
	abort();
}

static bool model_overlaps(uint64_t start, uint64_t end)
{
	for (unsigned i = 0; i < range_count; i++)
		if (start < ranges[i].end && ranges[i].start < end)
			return true;
	return false;
}

static void model_map(uint64_t start, uint64_t end, uint64_t output, uint32_t attributes)
{
	ranges[range_count++] = (struct range){start, end, output, attributes};
}

static void model_unmap(uint64_t start, uint64_t end)
{
	for (unsigned i = 0; i < range_count; i++) {
		struct range old = ranges[i];

		if (start >= old.end || old.start >= end)
			continue;
		ranges[i--] = ranges[--range_count];
		if (old.start < start)
			model_map(old.start, start, old.output, old.attributes);
		if (end < old.end)
			model_map(end, old.end, old.output + (end - old.start), old.attributes);
		if (old.start < start || end < old.end)
			i = (unsigned)-1; /* the array was shuffled: look again */
	}
}

static void check_address(uint64_t address)
{
	struct page_table_leaf leaf;
	enum status status = page_table_lookup(&table, address, &leaf);

	for (unsigned i = 0; i < range_count; i++) {
		if (address < ranges[i].start || address >= ranges[i].end)
			continue;
		check(status == STATUS_OK, "not mapped");
		check(leaf.output.value == ranges[i].output + (address - ranges[i].start), "output");
		check(leaf.attributes == ranges[i].attributes, "attributes");
		check(align_down(address, leaf.page_size) >= ranges[i].start &&
		      align_down(address, leaf.page_size) + leaf.page_size <= ranges[i].end, "leaf reaches beyond the range");
		return;
	}
	check(status == STATUS_NOT_FOUND, "mapped");
}

static void check_all(void)
{
	for (unsigned i = 0; i < range_count; i++) {
		check_address(ranges[i].start);
		check_address(ranges[i].end - 1);
		check_address(ranges[i].end);
		check_address(ranges[i].start - 1);
		check_address(ranges[i].start + (ranges[i].end - ranges[i].start) / 2);
	}
}

/* Addresses near the borders of leaves and tables. */
static uint64_t choose_address(const uint8_t *data)
{
	static const uint64_t anchors[8] = {0, 2 * MIB, 64 * MIB, GIB, 2 * GIB, 512 * GIB, INPUT_END - GIB, INPUT_END};
	static const uint64_t units[4] = {PAGE_SIZE, PAGE_SIZE_2M, PAGE_SIZE_1G, 512};

	return anchors[data[0] & 7] + (uint64_t)(int64_t)(int8_t)data[1] * units[data[0] >> 3 & 3];
}

static void operate(const uint8_t *data)
{
	static const uint32_t attribute_choices[4] = {PAGE_RWX, PAGE_READ, PAGE_READ | PAGE_WRITE | PAGE_UNCACHED, PAGE_READ | PAGE_EXECUTE};
	static const uint64_t units[4] = {PAGE_SIZE, PAGE_SIZE_2M, PAGE_SIZE_1G, PAGE_SIZE};
	uint64_t start = choose_address(data + 1), unit = table.format->page_2m ? units[data[3] & 3] : PAGE_SIZE;
	uint64_t length = unit * (1 + (data[4] & (unit == PAGE_SIZE ? 31 : 1)));
	/* In step with the input as far as the unit goes, so that gibibytes are not mapped in small pages. */
	uint64_t output = ((uint64_t)data[5] << 30) + start % unit + (uint64_t)(unit == PAGE_SIZE_1G ? data[6] & 1 : 0) * PAGE_SIZE_2M +
			  (uint64_t)(unit == PAGE_SIZE_1G ? 0 : data[7] & 3) * PAGE_SIZE;
	uint32_t attributes = attribute_choices[data[8] & 3];
	bool valid = is_aligned(start, PAGE_SIZE) && start < INPUT_END && length <= INPUT_END - start;
	uint64_t tables = table.table_pages;
	enum status status;

	if ((data[0] & 3) == 0) {
		status = page_table_unmap(&table, start, length);
		check(valid ? status == STATUS_OK || status == STATUS_NO_MEMORY : status == STATUS_INVALID, "status of unmap");
		if (status == STATUS_OK)
			model_unmap(start, start + length);
	} else {
		status = page_table_map(&table, start, hpa(output), length, attributes);
		check((status == STATUS_INVALID) == !valid, "status of map");
		if (valid)
			check((status == STATUS_EXISTS) == model_overlaps(start, start + length), "overlap");
		if (status == STATUS_OK)
			model_map(start, start + length, output, attributes);
	}
	if (status != STATUS_OK)
		check(table.table_pages == tables, "a refusal changed something");
	check_address(start);
}

static const struct page_table_format *choose_format(uint8_t choice)
{
	if (choice & 4)
		return &page_table_host_format;
	return choice & 8 ? page_table_npt_format(choice & 2) : page_table_ept_format(choice & 1, choice & 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool pool_ready;
	uint64_t free_bytes;

	if (!pool_ready)
		page_pool_add(hpa(2 * MIB), 16 * MIB);
	pool_ready = true;
	if (size == 0)
		return 0;
	free_bytes = page_pool_free_bytes();
	range_count = 0;
	if (page_table_create(&table, choose_format(data[0])) != STATUS_OK)
		return 0;
	for (unsigned i = 0; i < MAX_OPERATIONS && (i + 1) * OPERATION_SIZE < size && range_count < MAX_RANGES - 2; i++)
		operate(data + 1 + i * OPERATION_SIZE);
	check_all();
	check(page_pool_owned_bytes(PAGE_OWNER_TABLE) == table.table_pages * PAGE_SIZE, "count of table pages");
	check(page_table_unmap(&table, 0, INPUT_END) == STATUS_OK && table.table_pages == 1, "emptied");
	page_table_destroy(&table);
	check(page_pool_free_bytes() == free_bytes, "a page was lost");
	return 0;
}
