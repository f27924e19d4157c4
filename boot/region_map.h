/*
 * Builds the list of memory regions that the hypervisor gets, out of whatever the firmware says in whatever order: the
 * list is sorted, does not overlap, and neighbours of one type are merged. Where two statements contradict each other
 * the one that allows less wins.
 */
#pragma once

#include "boot/boot_info.h"

struct region_map {
	struct boot_memory_region *regions; /* lent by the caller */
	uint32_t count, capacity;
};

/** region_map_open() - begins an empty map in @regions, which has room for @capacity and outlives the map. */
void region_map_open(struct region_map *map, struct boot_memory_region *regions, uint32_t capacity);

/**
 * region_map_add() - [@base, @base + @length) is memory of @type.
 * Any alignment: usable memory shrinks to whole 4 KiB pages, anything else grows to them. Statements about one page
 * rank USABLE < LOADER < ACPI_RECLAIM < ACPI_NVS < RESERVED < MMIO < BAD, the highest wins; so the order of calls does
 * not matter, and LOADER takes its part out of usable memory. A type outside the enum counts as RESERVED.
 * Return: STATUS_OK; STATUS_OUT_OF_RANGE if the range ends above 2^52 (nothing was added); STATUS_NO_MEMORY if there
 * are too many regions (the map is then incomplete and not to be used).
 */
must_check enum status region_map_add(struct region_map *map, uint64_t base, uint64_t length, uint32_t type);
