/*
 * QEMU's isa-debug-exit, for test programs: a write ends the VM with an exit code that is never 0, so that a program
 * that ends by accident is not taken for one that passed.
 */
#include "vmm/dev/port_device.h"
#include "vmm/platform.h"
#include "vmm/vm.h"

static bool test_device_wanted(const struct vm_config *config)
{
	return config->testdev;
}

static enum status test_device_read(struct io_device *device, struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t *value)
{
	(void)device, (void)vcpu, (void)offset, (void)size;
	*value = 0;
	return STATUS_OK;
}

static enum status test_device_write(struct io_device *device, struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t value)
{
	(void)vcpu, (void)offset, (void)size;
	vm_stop(device->vm, VM_STOP_EXIT, (uint32_t)(value << 1) | 1);
	return STATUS_OK;
}

extern const struct io_device_class test_device_class;

static enum status test_device_create(struct vm *vm, struct io_device **device)
{
	static const struct io_ops ops = {.read = test_device_read, .write = test_device_write};
	static const struct port_range range = {PLATFORM_TEST_DEVICE_PORT, 4, &ops, "test device"};

	return port_device_create(vm, &test_device_class, sizeof(struct io_device), &range, 1, device);
}

const struct io_device_class test_device_class = {
	.name = "test_device",
	.order = 40,
	.wanted = test_device_wanted,
	.create = test_device_create,
};
IO_DEVICE_CLASS(test_device_class);
