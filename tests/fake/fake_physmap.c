#include "fake_physmap.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "lib/checked.h"

static uint8_t *arena;

static uint8_t *arena_get(void)
{
	if (arena == NULL) {
		arena = mmap(NULL, FAKE_PHYSICAL_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (arena == MAP_FAILED) {
			perror("fake physical memory");
			abort();
		}
	}
	return arena;
}

void fake_physmap_reset(void)
{
	if (arena != NULL && madvise(arena, FAKE_PHYSICAL_SIZE, MADV_DONTNEED) != 0) {
		perror("fake physical memory");
		abort();
	}
}

bool fake_physmap_discard(void *start, uint64_t length)
{
	uint64_t offset = (uint64_t)((uintptr_t)start - (uintptr_t)arena_get());

	if (!range_within(offset, length, FAKE_PHYSICAL_SIZE) || !is_aligned(offset | length, PAGE_SIZE))
		return false;
	return madvise(start, length, MADV_DONTNEED) == 0;
}

void *physmap_pointer(hpa_t address)
{
	if (address.value >= FAKE_PHYSICAL_SIZE) {
		fprintf(stderr, "physmap_pointer(%#llx): outside the fake physical memory\n", (unsigned long long)address.value);
		abort();
	}
	return arena_get() + address.value;
}

hpa_t physmap_address(const void *pointer)
{
	uint64_t offset = (uint64_t)((uintptr_t)pointer - (uintptr_t)arena_get());

	if (offset >= FAKE_PHYSICAL_SIZE) {
		fprintf(stderr, "physmap_address(%p): not in the fake physical memory\n", pointer);
		abort();
	}
	return hpa(offset);
}
