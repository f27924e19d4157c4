/* The ways to reset a PC other than the keyboard controller's: 0xcf9 and port 0x92, "system control A". */
#include "vmm/dev/reset_ports.h"

#include "vmm/dev/port_device.h"
#include "vmm/vm.h"

#define SYSTEM_CONTROL_A_PORT 0x92u
#define CONTROL_A_RESET 0x01u
#define CONTROL_A_A20 0x02u /* always on: a guest that turns it off has nothing to gain */

void reset_control_write(struct vm *vm, uint8_t *control, uint8_t value)
{
	bool rising = value & ~*control & RESET_CONTROL_CPU;

	*control = value & RESET_CONTROL_MASK;
	if (rising)
		vm_stop(vm, VM_STOP_REBOOT, 0);
}

static enum status control_a_read(struct io_device *device, struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t *value)
{
	(void)device, (void)vcpu, (void)offset, (void)size;
	*value = CONTROL_A_A20;
	return STATUS_OK;
}

static enum status control_a_write(struct io_device *device, struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t value)
{
	(void)vcpu, (void)offset, (void)size;
	if (value & CONTROL_A_RESET)
		vm_stop(device->vm, VM_STOP_REBOOT, 0);
	return STATUS_OK;
}

extern const struct io_device_class reset_ports_class;

static enum status reset_ports_create(struct vm *vm, struct io_device **device)
{
	static const struct io_ops ops = {.read = control_a_read, .write = control_a_write};
	static const struct port_range range = {SYSTEM_CONTROL_A_PORT, 1, &ops, "system control A"};

	return port_device_create(vm, &reset_ports_class, sizeof(struct io_device), &range, 1, device);
}

const struct io_device_class reset_ports_class = {
	.name = "reset_ports",
	.order = 24,
	.create = reset_ports_create,
};
IO_DEVICE_CLASS(reset_ports_class);
