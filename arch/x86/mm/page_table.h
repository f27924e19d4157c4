/*
 * The one page-table walker. A format says how entries look (host, EPT, NPT, VT-d second stage); the walker
 * maps, unmaps and looks up with the largest pages that alignment and format allow.
 */
#pragma once

#include "arch/x86/mm/page_pool.h"
#include "lib/status.h"
#include "lib/types.h"

/* What a mapping allows and how it caches; formats translate it to their own bits. */
#define PAGE_READ 0x1u
#define PAGE_WRITE 0x2u
#define PAGE_EXECUTE 0x4u
#define PAGE_RWX 0x7u
#define PAGE_UNCACHED 0x10u       /* else write-back */
#define PAGE_WRITE_COMBINING 0x20u
#define PAGE_GLOBAL 0x40u         /* host format only */
#define PAGE_SNOOP 0x80u          /* VT-d format only: a device cannot bypass the caches */

struct page_table_format {
	const char *name;
	unsigned levels;         /* 3..5; level 1 holds 4 KiB pages */
	bool page_2m, page_1g;   /* leaf sizes that the hardware allows */
	/* @level 1..3: a leaf of 4 KiB, 2 MiB, 1 GiB. */
	uint64_t (*make_leaf)(hpa_t page, unsigned level, uint32_t attributes);
	uint64_t (*make_table)(hpa_t table);
	bool (*is_present)(uint64_t entry);
	bool (*is_leaf)(uint64_t entry, unsigned level);
	hpa_t (*entry_address)(uint64_t entry, unsigned level);
	uint32_t (*entry_attributes)(uint64_t entry);
	/* For hardware that reads tables past the caches: called when [@start, @start + @length) was written; else NULL. */
	void (*flush)(const void *start, uint64_t length);
};

struct page_table {
	const struct page_table_format *format;
	hpa_t root;
	uint64_t table_pages; /* pages that the tables take, root included */
};

struct page_table_leaf {
	hpa_t output;        /* of the exact address asked for */
	uint64_t page_size;  /* of the leaf [bytes] */
	uint32_t attributes;
	uint64_t entry;      /* raw, for dumps */
	unsigned level;
};

/** page_table_create() - an empty table. STATUS_NO_MEMORY: nothing changed. */
must_check enum status page_table_create(struct page_table *table, const struct page_table_format *format);
/** page_table_destroy() - gives all table pages back; what they mapped is not touched. */
void page_table_destroy(struct page_table *table);

/**
 * page_table_map() - maps [@input, @input + @length) to @output onwards; prepares all table pages first, so it changes
 * all or nothing. @input, @output, @length: 4 KiB aligned, length > 0, no wrap, input below 2^(12 + 9 * levels).
 * Does not flush any TLB.
 * Return: STATUS_OK; STATUS_INVALID (alignment, wrap, bounds, attributes: write without read); STATUS_EXISTS (overlaps a
 *         mapping); STATUS_NO_MEMORY.
 */
must_check enum status page_table_map(struct page_table *table, uint64_t input, hpa_t output, uint64_t length, uint32_t attributes);

/**
 * page_table_unmap() - takes a range out; parts that are not mapped are passed over; larger pages are split at the edges.
 * Empty tables are freed. Does not flush any TLB.
 * Return: STATUS_OK; STATUS_INVALID (alignment, wrap, bounds); STATUS_NO_MEMORY (a split needed a page; nothing changed).
 */
must_check enum status page_table_unmap(struct page_table *table, uint64_t input, uint64_t length);
/** page_table_unmap_leaves() - the same, but empty tables stay: for a table in use on other CPUs, which may have cached where
 * its parts lie. */
must_check enum status page_table_unmap_leaves(struct page_table *table, uint64_t input, uint64_t length);

/** page_table_lookup() - STATUS_OK and *@leaf, or STATUS_NOT_FOUND with leaf->level = where the walk ended, leaf->entry = that entry. */
must_check enum status page_table_lookup(const struct page_table *table, uint64_t input, struct page_table_leaf *leaf);

extern const struct page_table_format page_table_host_format; /* SDM Vol. 3A "4-Level Paging"; NX, no user pages */
/** page_table_ept_format() - EPT with the page sizes that this CPU allows. SDM Vol. 3C "EPT Translation Mechanism". */
const struct page_table_format *page_table_ept_format(bool page_2m, bool page_1g);

/**
 * page_table_vtd_format() - second-stage tables of VT-d units. VT-d Specification, "Second-Stage Paging Entries".
 * @levels: 3..5. @coherent: the units see what is in the caches; else each change is flushed. Of the attributes PAGE_READ,
 * PAGE_WRITE and PAGE_SNOOP count.
 */
struct page_table_format page_table_vtd_format(unsigned levels, bool page_2m, bool page_1g, bool coherent);
/** page_table_vtd_flush() - writes the cache lines of [@start, @start + @length) back to memory; done when it returns. */
void page_table_vtd_flush(const void *start, uint64_t length);
