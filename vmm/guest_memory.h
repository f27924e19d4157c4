/*
 * A VM's RAM: pages of the pool mapped into its nested table. All of it is mapped when the VM is created, so that a
 * running guest never faults for memory. Reads and writes by the hypervisor go through here and are bounded.
 */
#pragma once

#include "arch/x86/mm/page_table.h"
#include "lib/status.h"
#include "lib/types.h"

#define GUEST_LOW_RAM_END (3 * GIB)       /* RAM above this continues at 4 GiB; the gap is for devices */
#define GUEST_VGA_HOLE_START 0xa0000u     /* no RAM, no device: reads give ones */
#define GUEST_VGA_HOLE_END 0xc0000u
#define GUEST_BIOS_START 0xe0000u         /* RAM that e820 reserves: ACPI tables */
#define GUEST_BIOS_END 0x100000u
#define GUEST_MEMORY_MAX_SLOTS 8u

struct guest_memory_slot {
	gpa_t base;
	uint64_t length;
};

struct guest_memory {
	struct page_table nested;
	uint64_t size; /* RAM asked for [bytes]; the VGA hole is taken out of it */
	unsigned slot_count;
	struct guest_memory_slot slots[GUEST_MEMORY_MAX_SLOTS]; /* sorted, RAM only */
	uint8_t **low_pages; /* short cuts of guest_memory.c: by 4 KiB of the first 2 MiB of guest-physical address */
	uint8_t **chunks;    /* by 2 MiB of guest-physical address */
	uint64_t chunk_count; /* at least 1 */
	uint64_t scrubbed;    /* RAM from the first slot on that guest_memory_scrub() has zeroed [bytes] */
};

/**
 * guest_memory_create() - allocates, zeroes and maps @size bytes of RAM (multiple of 2 MiB).
 * Return: STATUS_OK; STATUS_INVALID (@size); STATUS_NO_MEMORY (nothing is left behind; the caller tells how much is missing).
 */
must_check enum status guest_memory_create(struct guest_memory *memory, uint64_t size, const struct page_table_format *format);
/** guest_memory_destroy() - scrubs and frees every page. No vCPU may run. */
void guest_memory_destroy(struct guest_memory *memory);
/**
 * guest_memory_scrub() - zeroes the next piece of RAM, at most @limit bytes (a multiple of 4 KiB), so that much memory takes
 * many short times; guest_memory_destroy() has nothing left to scrub then. No vCPU may run until guest_memory_reuse().
 * Return: false when all is zero.
 */
bool guest_memory_scrub(struct guest_memory *memory, uint64_t limit);
/** guest_memory_reuse() - a guest is going to write to the memory again. */
void guest_memory_reuse(struct guest_memory *memory);
/** guest_memory_overhead() - what the tables of a VM of @size bytes of RAM take at most, in the largest pages [bytes]. */
uint64_t guest_memory_overhead(uint64_t size, const struct page_table_format *format);

/** guest_memory_find_page() - the long way of guest_memory_page(). */
void *guest_memory_find_page(const struct guest_memory *memory, gpa_t address);

/** guest_memory_page() - host pointer to the 4 KiB page of RAM that @address lies in, or NULL. */
static always_inline void *guest_memory_page(const struct guest_memory *memory, gpa_t address)
{
	uint64_t chunk = address.value / PAGE_SIZE_2M;

	if (chunk == 0)
		return memory->low_pages[address.value / PAGE_SIZE];
	if (unlikely(chunk >= memory->chunk_count))
		return NULL;
	if (unlikely(memory->chunks[chunk] == NULL))
		return guest_memory_find_page(memory, address);
	return memory->chunks[chunk] + align_down(address.value % PAGE_SIZE_2M, PAGE_SIZE);
}

/** guest_memory_pointer() - host pointer to @length bytes at @address if they are RAM and do not cross a 4 KiB page; else NULL. */
void *guest_memory_pointer(const struct guest_memory *memory, gpa_t address, uint64_t length);

/**
 * guest_memory_read() / _write() / _fill() - copy between the hypervisor and RAM, over page borders.
 * Return: STATUS_OK; STATUS_OUT_OF_RANGE if any byte is not RAM (a part may have been copied).
 */
must_check enum status guest_memory_read(const struct guest_memory *memory, gpa_t address, void *buffer, uint64_t length);
must_check enum status guest_memory_write(const struct guest_memory *memory, gpa_t address, const void *buffer, uint64_t length);
must_check enum status guest_memory_fill(const struct guest_memory *memory, gpa_t address, uint8_t byte, uint64_t length);
/** guest_memory_is_ram() - all of the range is RAM. */
bool guest_memory_is_ram(const struct guest_memory *memory, gpa_t address, uint64_t length);
