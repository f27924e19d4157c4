#include "vmm/dev/port_device.h"

#include "vmm/vm.h"

enum status port_device_create(struct vm *vm, const struct io_device_class *class, size_t size, const struct port_range *ranges,
			       unsigned count, struct io_device **device)
{
	struct io_bus *bus = &vm->buses[IO_SPACE_PORT];
	struct io_device *made = io_device_allocate(size);

	if (made == NULL)
		return STATUS_NO_MEMORY;
	made->class = class;
	made->vm = vm;
	for (unsigned i = 0; i < count; i++) {
		struct io_region region = {
			.base = ranges[i].base, .length = ranges[i].length, .ops = ranges[i].ops, .device = made,
			.name = ranges[i].name,
		};
		enum status status = io_bus_add(bus, &region);

		if (status != STATUS_OK) {
			io_bus_remove_device(bus, made);
			io_device_free(made, size);
			return status;
		}
	}
	*device = made;
	return STATUS_OK;
}

uint64_t port_read_wide(struct io_device *device, uint64_t offset, unsigned size, port_read8 read8)
{
	uint64_t value = 0;

	for (unsigned byte = 0; byte < size; byte++)
		value |= (uint64_t)read8(device, offset + byte) << (8 * byte);
	return value;
}
