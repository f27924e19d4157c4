#include "boot/region_map.h"

#include "lib/checked.h"
#include "lib/string.h"

/* The widest physical address that the architecture knows. */
#define ADDRESS_LIMIT ((uint64_t)1 << 52)

void region_map_open(struct region_map *map, struct boot_memory_region *regions, uint32_t capacity)
{
	*map = (struct region_map){.regions = regions, .count = 0, .capacity = capacity};
}

static uint64_t region_end(const struct boot_memory_region *region)
{
	return region->base + region->length;
}

/* The numbers of enum boot_memory_type ascend with what they forbid, but for an unknown one. */
static uint32_t known_type(uint32_t type)
{
	return type >= BOOT_MEMORY_USABLE && type <= BOOT_MEMORY_BAD ? type : BOOT_MEMORY_RESERVED;
}

static enum status insert(struct region_map *map, uint32_t place, uint64_t base, uint64_t end, uint32_t type)
{
	if (map->count == map->capacity)
		return STATUS_NO_MEMORY;
	memmove(&map->regions[place + 1], &map->regions[place], (map->count - place) * sizeof(map->regions[0]));
	map->regions[place] = (struct boot_memory_region){.base = base, .length = end - base, .type = type};
	map->count++;
	return STATUS_OK;
}

/* Cuts region @place in two at @address, if that lies within it. */
static enum status split(struct region_map *map, uint32_t place, uint64_t address)
{
	struct boot_memory_region *region = &map->regions[place];
	uint64_t end = region_end(region);
	enum status status;

	if (address <= region->base || address >= end)
		return STATUS_OK;
	status = insert(map, place + 1, address, end, region->type);
	if (status == STATUS_OK)
		region->length = address - region->base;
	return status;
}

static void merge_neighbours(struct region_map *map)
{
	uint32_t kept = 0;

	for (uint32_t i = 1; i < map->count; i++) {
		struct boot_memory_region *last = &map->regions[kept];

		if (region_end(last) == map->regions[i].base && last->type == map->regions[i].type)
			last->length += map->regions[i].length;
		else
			map->regions[++kept] = map->regions[i];
	}
	if (map->count > 0)
		map->count = kept + 1;
}

/* Says @type of the beginning of [*@cursor, @end), up to where the list changes, and moves *@cursor behind it. */
static enum status paint_step(struct region_map *map, uint64_t *cursor, uint64_t end, uint32_t type)
{
	uint64_t start = *cursor;
	enum status status;
	uint32_t place = 0;

	while (place < map->count && region_end(&map->regions[place]) <= start)
		place++;
	if (place == map->count || map->regions[place].base > start) {
		*cursor = place == map->count ? end : min_u64(end, map->regions[place].base);
		return insert(map, place, start, *cursor, type);
	}
	*cursor = min_u64(end, region_end(&map->regions[place]));
	if (map->regions[place].type >= type)
		return STATUS_OK;
	status = split(map, place, *cursor);
	if (status == STATUS_OK && start > map->regions[place].base)
		status = split(map, place++, start);
	if (status == STATUS_OK)
		map->regions[place].type = type;
	return status;
}

enum status region_map_add(struct region_map *map, uint64_t base, uint64_t length, uint32_t type)
{
	enum status status = STATUS_OK;
	uint64_t end;

	if (!range_within(base, length, ADDRESS_LIMIT))
		return STATUS_OUT_OF_RANGE;
	if (length == 0)
		return STATUS_OK;
	end = base + length;
	type = known_type(type);
	if (type == BOOT_MEMORY_USABLE) {
		base = align_up(base, PAGE_SIZE);
		end = align_down(end, PAGE_SIZE);
	} else {
		base = align_down(base, PAGE_SIZE);
		end = align_up(end, PAGE_SIZE);
	}
	while (base < end && status == STATUS_OK)
		status = paint_step(map, &base, end, type);
	merge_neighbours(map);
	return status;
}
