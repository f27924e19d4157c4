#include "vmm/guest_memory.h"

#include "arch/x86/long_work.h"
#include "arch/x86/physmap.h"
#include "lib/checked.h"
#include "lib/string.h"

/*
 * chunks[] points to each 2 MiB of guest-physical memory that lie in one piece, NULL for others: the short way for nearly
 * every access. The first 2 MiB never do, because of the VGA hole; low_pages[] points to each of their 4 KiB pages, NULL for
 * the hole. What neither knows is looked up in the nested table.
 */
#define CHUNK_SIZE PAGE_SIZE_2M
#define LOW_PAGE_COUNT (CHUNK_SIZE / PAGE_SIZE)

/* Addresses that no RAM reaches: where the RAM of a VM with @size bytes ends. */
static uint64_t address_end(uint64_t size)
{
	return size <= GUEST_LOW_RAM_END ? size : size - GUEST_LOW_RAM_END + 4 * GIB;
}

/* For low_pages[] and chunks[] behind it. */
static unsigned short_cut_pages(uint64_t size)
{
	uint64_t entries = LOW_PAGE_COUNT + address_end(size) / CHUNK_SIZE;

	return (unsigned)(align_up(entries * sizeof(void *), PAGE_SIZE) / PAGE_SIZE);
}

static void remember_page(struct guest_memory *memory, uint64_t address, hpa_t page, uint64_t size)
{
	if (address < CHUNK_SIZE)
		memory->low_pages[address / PAGE_SIZE] = physmap_pointer(page);
	for (uint64_t offset = 0; size >= CHUNK_SIZE && offset < size; offset += CHUNK_SIZE)
		memory->chunks[(address + offset) / CHUNK_SIZE] = physmap_pointer(hpa(page.value + offset));
}

static bool order_fits(const struct page_table_format *format, enum page_order order, uint64_t address, uint64_t length)
{
	if ((order == PAGE_ORDER_1G && !format->page_1g) || (order != PAGE_ORDER_4K && !format->page_2m))
		return false;
	return is_aligned(address, page_order_size(order)) && length >= page_order_size(order);
}

/* One page at @address, the largest that fits in @length and that the pool has; *@size: its size. */
static enum status map_page(struct guest_memory *memory, uint64_t address, uint64_t length, uint64_t *size)
{
	enum status status = STATUS_NO_MEMORY;
	enum page_order order = PAGE_ORDER_COUNT;
	hpa_t page;

	while (status != STATUS_OK && order-- > PAGE_ORDER_4K)
		if (order_fits(memory->nested.format, order, address, length))
			status = page_pool_allocate(order, PAGE_OWNER_GUEST, &page);
	if (status != STATUS_OK)
		return status;
	*size = page_order_size(order);
	status = page_table_map(&memory->nested, address, page, *size, PAGE_RWX);
	if (status != STATUS_OK)
		page_pool_free(page, order, PAGE_OWNER_GUEST);
	else
		remember_page(memory, address, page, *size);
	return status;
}

/* Adds a slot and fills it; on failure it is as long as what was mapped. */
static enum status add_slot(struct guest_memory *memory, uint64_t start, uint64_t end)
{
	struct guest_memory_slot *slot;
	uint64_t size = 0;
	enum status status = STATUS_OK;

	if (start >= end)
		return STATUS_OK;
	slot = &memory->slots[memory->slot_count++];
	*slot = (struct guest_memory_slot){gpa(start), 0};
	while (slot->length < end - start) {
		status = map_page(memory, start + slot->length, end - start - slot->length, &size);
		if (status != STATUS_OK)
			break;
		slot->length += size;
	}
	return status;
}

enum status guest_memory_create(struct guest_memory *memory, uint64_t size, const struct page_table_format *format)
{
	uint64_t low_end = min_u64(size, GUEST_LOW_RAM_END);
	enum status status;

	*memory = (struct guest_memory){.size = size};
	if (size == 0 || !is_aligned(size, CHUNK_SIZE))
		return STATUS_INVALID;
	if (size > PHYSMAP_SIZE || short_cut_pages(size) > 512)
		return STATUS_NO_MEMORY;
	memory->low_pages = page_pool_allocate_contiguous(short_cut_pages(size));
	if (memory->low_pages == NULL)
		return STATUS_NO_MEMORY;
	memory->chunks = memory->low_pages + LOW_PAGE_COUNT;
	memory->chunk_count = address_end(size) / CHUNK_SIZE;
	status = page_table_create(&memory->nested, format);
	if (status == STATUS_OK)
		status = add_slot(memory, 0, GUEST_VGA_HOLE_START);
	if (status == STATUS_OK)
		status = add_slot(memory, GUEST_VGA_HOLE_END, low_end);
	if (status == STATUS_OK)
		status = add_slot(memory, 4 * GIB, address_end(size) > 4 * GIB ? address_end(size) : 0);
	if (status != STATUS_OK)
		guest_memory_destroy(memory);
	return status;
}

static uint64_t ram_size(const struct guest_memory *memory)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < memory->slot_count; i++)
		sum += memory->slots[i].length;
	return sum;
}

static void free_slot(struct guest_memory *memory, const struct guest_memory_slot *slot, bool clean)
{
	struct page_table_leaf leaf;

	for (uint64_t offset = 0; offset < slot->length; offset += leaf.page_size) {
		enum page_order order = PAGE_ORDER_4K;

		if (page_table_lookup(&memory->nested, slot->base.value + offset, &leaf) != STATUS_OK)
			return;
		while (page_order_size(order) < leaf.page_size)
			order++;
		if (clean)
			page_pool_free_clean(leaf.output, order, PAGE_OWNER_GUEST);
		else
			page_pool_free(leaf.output, order, PAGE_OWNER_GUEST);
		long_work_step();
	}
}

/* Zeroes at most @limit bytes at @offset of @slot, not further than the page that holds them; returns how many. */
static uint64_t scrub_piece(struct guest_memory *memory, const struct guest_memory_slot *slot, uint64_t offset, uint64_t limit)
{
	uint64_t address = slot->base.value + offset;
	struct page_table_leaf leaf;

	if (page_table_lookup(&memory->nested, address, &leaf) != STATUS_OK)
		return slot->length - offset;
	limit = min_u64(limit, min_u64(slot->length - offset, leaf.page_size - address % leaf.page_size));
	long_work_zero(physmap_pointer(leaf.output), limit);
	return limit;
}

bool guest_memory_scrub(struct guest_memory *memory, uint64_t limit)
{
	uint64_t before = 0;

	for (unsigned i = 0; i < memory->slot_count; i++) {
		const struct guest_memory_slot *slot = &memory->slots[i];

		while (limit != 0 && memory->scrubbed < before + slot->length) {
			uint64_t done = scrub_piece(memory, slot, memory->scrubbed - before, limit);

			memory->scrubbed += done;
			limit -= min_u64(done, limit);
		}
		before += slot->length;
	}
	return memory->scrubbed < before;
}

void guest_memory_reuse(struct guest_memory *memory)
{
	memory->scrubbed = 0;
}

/* Tables of each level, one for each part of the address space that the level above covers. */
uint64_t guest_memory_overhead(uint64_t size, const struct page_table_format *format)
{
	uint64_t end = address_end(size), pages = short_cut_pages(size) + 1, span = PAGE_SIZE_2M;

	/* The first 2 MiB are mapped by small pages, the local APIC's too. */
	pages += format->page_2m ? 2 : end / PAGE_SIZE_2M;
	for (unsigned level = 2; level < format->levels; level++) {
		span *= PAGE_SIZE / sizeof(uint64_t);
		pages += 1 + (level == 2 && format->page_1g ? 2 : (end + span - 1) / span);
	}
	return pages * PAGE_SIZE;
}

void guest_memory_destroy(struct guest_memory *memory)
{
	bool clean = memory->scrubbed >= ram_size(memory);

	for (unsigned i = 0; i < memory->slot_count; i++)
		free_slot(memory, &memory->slots[i], clean);
	if (memory->nested.root.value != 0)
		page_table_destroy(&memory->nested);
	if (memory->low_pages != NULL)
		page_pool_free_contiguous(memory->low_pages, short_cut_pages(memory->size));
	*memory = (struct guest_memory){0};
}

void *guest_memory_find_page(const struct guest_memory *memory, gpa_t address)
{
	uint64_t page = align_down(address.value, PAGE_SIZE);
	struct page_table_leaf leaf;

	if (!guest_memory_is_ram(memory, gpa(page), PAGE_SIZE) || page_table_lookup(&memory->nested, page, &leaf) != STATUS_OK)
		return NULL;
	return physmap_pointer(leaf.output);
}

void *guest_memory_pointer(const struct guest_memory *memory, gpa_t address, uint64_t length)
{
	uint64_t offset = address.value % PAGE_SIZE;

	if (length - 1 >= PAGE_SIZE - offset)
		return NULL;
	uint8_t *page = guest_memory_page(memory, address);
	return page != NULL ? page + offset : NULL;
}

/* Pointer to as much of the @length bytes at @address as lies in one 4 KiB page: *@piece; NULL if that is not RAM. */
static void *next_piece(const struct guest_memory *memory, uint64_t address, uint64_t length, uint64_t *piece)
{
	*piece = min_u64(length, PAGE_SIZE - address % PAGE_SIZE);
	return guest_memory_pointer(memory, gpa(address), *piece);
}

enum status guest_memory_read(const struct guest_memory *memory, gpa_t address, void *buffer, uint64_t length)
{
	uint64_t piece;

	for (uint64_t done = 0; done < length; done += piece) {
		const void *source = next_piece(memory, address.value + done, length - done, &piece);

		if (source == NULL)
			return STATUS_OUT_OF_RANGE;
		memcpy((char *)buffer + done, source, piece);
	}
	return STATUS_OK;
}

enum status guest_memory_write(const struct guest_memory *memory, gpa_t address, const void *buffer, uint64_t length)
{
	uint64_t piece;

	for (uint64_t done = 0; done < length; done += piece) {
		void *destination = next_piece(memory, address.value + done, length - done, &piece);

		if (destination == NULL)
			return STATUS_OUT_OF_RANGE;
		memcpy(destination, (const char *)buffer + done, piece);
		if (length > PAGE_SIZE)
			long_work_step();
	}
	return STATUS_OK;
}

enum status guest_memory_fill(const struct guest_memory *memory, gpa_t address, uint8_t byte, uint64_t length)
{
	uint64_t piece;

	for (uint64_t done = 0; done < length; done += piece) {
		void *destination = next_piece(memory, address.value + done, length - done, &piece);

		if (destination == NULL)
			return STATUS_OUT_OF_RANGE;
		memset(destination, byte, piece);
		if (length > PAGE_SIZE)
			long_work_step();
	}
	return STATUS_OK;
}

bool guest_memory_is_ram(const struct guest_memory *memory, gpa_t address, uint64_t length)
{
	for (unsigned i = 0; i < memory->slot_count; i++) {
		const struct guest_memory_slot *slot = &memory->slots[i];

		if (address.value >= slot->base.value && range_within(address.value - slot->base.value, length, slot->length))
			return true;
	}
	return false;
}
