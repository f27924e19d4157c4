/*
 * Where guest accesses to ports, memory-mapped registers and MSRs find their device. One bus of each space per VM;
 * regions of one bus never overlap.
 */
#pragma once

#include "lib/status.h"
#include "lib/types.h"

struct io_device;
struct vcpu;
struct vm;

enum io_space { IO_SPACE_PORT, IO_SPACE_MEMORY, IO_SPACE_MSR, IO_SPACE_COUNT };

/*
 * Called with the VM's device lock held, on the CPU that runs @vcpu, interrupts off; must not block.
 * @offset: from the start of the region [bytes; MSRs: numbers]. @size: 1, 2, 4 or 8 [bytes]; MSRs: 8. Accesses never
 * cross the end of the region.
 * Return: STATUS_OK; anything else: a read gives all ones and a write is lost (ports, memory), or #GP (MSRs).
 */
struct io_ops {
	enum status (*read)(struct io_device *device, struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t *value);
	enum status (*write)(struct io_device *device, struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t value);
};

struct io_region {
	uint64_t base, length;
	const struct io_ops *ops;
	struct io_device *device;
	const char *name; /* static */
	bool numbered; /* addresses are register numbers (MSRs), so that an access of any size takes one; else bytes */
};

#define IO_BUS_MAX_REGIONS 48u

#define IO_BUS_MAX_KEYS 64u /* the power of two above */

/* All zeroes is an empty bus. */
struct io_bus {
	uint32_t count;
	uint32_t first_step;                          /* of the search: the largest power of two below count */
	uint32_t last;                                /* the region of the last access: the next one is often to the same */
	uint64_t keys[IO_BUS_MAX_KEYS];               /* bases of the regions, then UINT64_MAX; for the search */
	struct io_region regions[IO_BUS_MAX_REGIONS]; /* sorted by base */
};

/** io_bus_add() - STATUS_EXISTS on overlap, STATUS_NO_MEMORY when full, STATUS_INVALID for an empty or wrapping range. */
must_check enum status io_bus_add(struct io_bus *bus, const struct io_region *region);
void io_bus_remove_device(struct io_bus *bus, const struct io_device *device);

/** io_bus_find() - the region that holds all of [@address, @address + @size), or NULL. */
const struct io_region *io_bus_find(const struct io_bus *bus, uint64_t address, unsigned size);

/** io_bus_read()/io_bus_write() - one access; STATUS_NOT_FOUND when nothing is there (*value is then all ones of @size). */
enum status io_bus_read(struct io_bus *bus, struct vcpu *vcpu, uint64_t address, unsigned size, uint64_t *value);
enum status io_bus_write(struct io_bus *bus, struct vcpu *vcpu, uint64_t address, unsigned size, uint64_t value);
