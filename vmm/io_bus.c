#include "vmm/io_bus.h"

#include "lib/bits.h"
#include "lib/checked.h"

_Static_assert(IO_BUS_MAX_REGIONS <= IO_BUS_MAX_KEYS && (IO_BUS_MAX_KEYS & (IO_BUS_MAX_KEYS - 1)) == 0,
	       "the search may read any key below the power of two above the count");

/* Makes ready for the search what depends on the regions. */
static void update_keys(struct io_bus *bus)
{
	for (uint32_t i = 0; i < IO_BUS_MAX_KEYS; i++)
		bus->keys[i] = i < bus->count ? bus->regions[i].base : UINT64_MAX;
	bus->last = 0;
	bus->first_step = bus->count > 1 ? 1u << bits_highest(bus->count - 1) : 0;
}

enum status io_bus_add(struct io_bus *bus, const struct io_region *region)
{
	uint64_t end;
	uint32_t place = bus->count;

	if (region->length == 0 || !checked_add(region->base, region->length, &end))
		return STATUS_INVALID;
	for (uint32_t i = 0; i < bus->count; i++) {
		if (ranges_overlap(region->base, region->length, bus->regions[i].base, bus->regions[i].length))
			return STATUS_EXISTS;
	}
	if (bus->count == IO_BUS_MAX_REGIONS)
		return STATUS_NO_MEMORY;

	for (; place > 0 && bus->regions[place - 1].base > region->base; place--)
		bus->regions[place] = bus->regions[place - 1];
	bus->regions[place] = *region;
	bus->count++;
	update_keys(bus);
	return STATUS_OK;
}

void io_bus_remove_device(struct io_bus *bus, const struct io_device *device)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < bus->count; i++) {
		if (bus->regions[i].device != device)
			bus->regions[kept++] = bus->regions[i];
	}
	bus->count = kept;
	if (kept == 0)
		bus->regions[0].length = 0;
	update_keys(bus);
}

/* Five instructions for each doubling of the number of regions, down to the one that may hold @address. */
static always_inline uint32_t search(const struct io_bus *bus, uint64_t address)
{
	uint64_t index = 0;

	/* "Below address + 1" instead of "up to address": so that the last address of all meets no key behind the last. */
	for (uint64_t step = bus->first_step; step != 0; step >>= 1)
		index += bus->keys[index + step] < address + 1 ? step : 0;
	return (uint32_t)index;
}

static always_inline bool region_holds(const struct io_region *region, uint64_t address, unsigned size)
{
	uint64_t offset = address - region->base;
	uint64_t span = region->numbered ? 1 : size;

	/* An empty bus has a region without length. An address below the region wraps to an offset that no region reaches,
	 * since none ends at 2^64. */
	return offset < region->length && span <= region->length - offset;
}

const struct io_region *io_bus_find(const struct io_bus *bus, uint64_t address, unsigned size)
{
	const struct io_region *region = &bus->regions[search(bus, address)];

	return region_holds(region, address, size) ? region : NULL;
}

/* Every port, MMIO and MSR exit comes through here. */
static always_inline const struct io_region *find_region(struct io_bus *bus, uint64_t address, unsigned size)
{
	const struct io_region *region = &bus->regions[bus->last];

	if (likely(region_holds(region, address, size)))
		return region;
	bus->last = search(bus, address);
	region = &bus->regions[bus->last];
	return region_holds(region, address, size) ? region : NULL;
}

enum status io_bus_read(struct io_bus *bus, struct vcpu *vcpu, uint64_t address, unsigned size, uint64_t *value)
{
	const struct io_region *region = find_region(bus, address, size);
	enum status status = STATUS_NOT_FOUND;

	if (likely(region != NULL))
		status = region->ops->read(region->device, vcpu, address - region->base, size, value);
	if (unlikely(status != STATUS_OK))
		*value = size_mask(size);
	return status;
}

enum status io_bus_write(struct io_bus *bus, struct vcpu *vcpu, uint64_t address, unsigned size, uint64_t value)
{
	const struct io_region *region = find_region(bus, address, size);

	if (unlikely(region == NULL))
		return STATUS_NOT_FOUND;
	return region->ops->write(region->device, vcpu, address - region->base, size, value);
}
