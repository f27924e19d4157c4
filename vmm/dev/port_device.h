/* What device models that answer at I/O ports have in common. */
#pragma once

#include "vmm/io_bus.h"
#include "vmm/io_device.h"

struct port_range {
	uint16_t base, length;
	const struct io_ops *ops;
	const char *name; /* static */
};

/**
 * port_device_create() - memory for a model and its ranges on the VM's port bus.
 * @size: of the model's struct, whose first member is its struct io_device.
 * Return: STATUS_OK; what io_bus_add() says, or STATUS_NO_MEMORY (nothing is left behind).
 */
must_check enum status port_device_create(struct vm *vm, const struct io_device_class *class, size_t size,
					  const struct port_range *ranges, unsigned count, struct io_device **device);

typedef uint8_t (*port_read8)(struct io_device *device, uint64_t offset);
typedef void (*port_write8)(struct io_device *device, uint64_t offset, uint8_t value);

/** port_read_wide() - the bytes of a wider access put together; out of the way of the usual one. */
uint64_t port_read_wide(struct io_device *device, uint64_t offset, unsigned size, port_read8 read8);

/* For 8-bit devices: a wider access reaches consecutive ports byte by byte, lowest first, as on ISA. */
static always_inline enum status port_read_bytes(struct io_device *device, uint64_t offset, unsigned size, uint64_t *value,
						 port_read8 read8)
{
	if (unlikely(size != 1)) {
		*value = port_read_wide(device, offset, size, read8);
		return STATUS_OK;
	}
	*value = read8(device, offset);
	return STATUS_OK;
}

static always_inline enum status port_write_bytes(struct io_device *device, uint64_t offset, unsigned size, uint64_t value,
						  port_write8 write8)
{
	for (unsigned byte = 0; byte < size; byte++)
		write8(device, offset + byte, (uint8_t)(value >> (8 * byte)));
	return STATUS_OK;
}
