/*
 * The keyboard controller, without keyboard or mouse: it answers its own commands, so that a driver that probes it is
 * done quickly, and resets the machine. Its interrupts are never raised. IBM PS/2 Technical Reference, "Keyboard and
 * Auxiliary Device Controller".
 */
#include "vmm/dev/port_device.h"
#include "vmm/platform.h"
#include "vmm/vm.h"

#define STATUS_OUTPUT_FULL 0x01u
#define STATUS_SYSTEM 0x04u      /* passed its self test */
#define STATUS_COMMAND 0x08u     /* the last write went to the command port */
#define STATUS_NOT_LOCKED 0x10u
#define STATUS_TIMEOUT 0x40u     /* no device answered */

enum i8042_command {
	COMMAND_READ_RAM = 0x20, /* to 0x3f; 0x20 is the command byte */
	COMMAND_WRITE_RAM = 0x60, /* to 0x7f */
	COMMAND_DISABLE_AUX = 0xa7, COMMAND_ENABLE_AUX = 0xa8, COMMAND_TEST_AUX = 0xa9,
	COMMAND_SELF_TEST = 0xaa, COMMAND_TEST_KEYBOARD = 0xab, COMMAND_DISABLE_KEYBOARD = 0xad, COMMAND_ENABLE_KEYBOARD = 0xae,
	COMMAND_READ_INPUT = 0xc0, COMMAND_READ_OUTPUT = 0xd0, COMMAND_WRITE_OUTPUT = 0xd1,
	COMMAND_LOOP_KEYBOARD = 0xd2, COMMAND_LOOP_AUX = 0xd3, COMMAND_WRITE_AUX = 0xd4,
	COMMAND_PULSE = 0xf0, /* to 0xff: bits 3..0 that are 0 are pulsed low */
};

#define RAM_SIZE 32u
#define CONTROL_SYSTEM 0x04u
#define CONTROL_DISABLE_KEYBOARD 0x10u
#define CONTROL_DISABLE_AUX 0x20u

#define OUTPUT_NOT_RESET 0x01u
#define OUTPUT_A20 0x02u

#define SELF_TEST_PASSED 0x55u
#define PORT_TEST_PASSED 0x00u
#define PORT_TEST_CLOCK_HIGH 0x02u /* nothing is connected */
#define NO_DEVICE 0xfeu

struct i8042 {
	struct io_device device;
	uint8_t status;
	uint8_t output;       /* byte that the data port gives */
	uint8_t command;      /* that waits for its parameter; 0: none */
	uint8_t output_port;
	uint8_t ram[RAM_SIZE]; /* [0] is the command byte */
};

static struct i8042 *i8042_from_device(struct io_device *device)
{
	return container_of(device, struct i8042, device);
}

static void i8042_answer(struct i8042 *controller, uint8_t byte)
{
	controller->output = byte;
	controller->status = (uint8_t)((controller->status & ~STATUS_TIMEOUT) | STATUS_OUTPUT_FULL);
}

/* A byte sent to a device that is not there. */
static void i8042_answer_no_device(struct i8042 *controller)
{
	i8042_answer(controller, NO_DEVICE);
	controller->status |= STATUS_TIMEOUT;
}

static void i8042_write_output_port(struct i8042 *controller, uint8_t value)
{
	controller->output_port = value;
	if ((value & OUTPUT_NOT_RESET) == 0)
		vm_stop(controller->device.vm, VM_STOP_REBOOT, 0);
}

static void i8042_self_test(struct i8042 *controller)
{
	controller->ram[0] = CONTROL_DISABLE_KEYBOARD | CONTROL_DISABLE_AUX | CONTROL_SYSTEM;
	controller->status |= STATUS_SYSTEM;
	i8042_answer(controller, SELF_TEST_PASSED);
}

static bool command_takes_parameter(uint8_t command)
{
	return (command >= COMMAND_WRITE_RAM && command < COMMAND_WRITE_RAM + RAM_SIZE) ||
	       (command >= COMMAND_WRITE_OUTPUT && command <= COMMAND_WRITE_AUX);
}

static void i8042_run_command(struct i8042 *controller, uint8_t command)
{
	switch (command) {
	case COMMAND_DISABLE_AUX: controller->ram[0] |= CONTROL_DISABLE_AUX; break;
	case COMMAND_ENABLE_AUX: controller->ram[0] &= (uint8_t)~CONTROL_DISABLE_AUX; break;
	case COMMAND_DISABLE_KEYBOARD: controller->ram[0] |= CONTROL_DISABLE_KEYBOARD; break;
	case COMMAND_ENABLE_KEYBOARD: controller->ram[0] &= (uint8_t)~CONTROL_DISABLE_KEYBOARD; break;
	case COMMAND_TEST_AUX: i8042_answer(controller, PORT_TEST_CLOCK_HIGH); break;
	case COMMAND_SELF_TEST: i8042_self_test(controller); break;
	case COMMAND_TEST_KEYBOARD: i8042_answer(controller, PORT_TEST_PASSED); break;
	case COMMAND_READ_INPUT: i8042_answer(controller, 0); break;
	case COMMAND_READ_OUTPUT: i8042_answer(controller, controller->output_port); break;
	default: break; /* unknown ones are passed over, as by the controller's firmware */
	}
}

static void i8042_write_command(struct i8042 *controller, uint8_t command)
{
	controller->status |= STATUS_COMMAND;
	controller->command = 0;
	if (command_takes_parameter(command))
		controller->command = command;
	else if (command >= COMMAND_PULSE && (command & OUTPUT_NOT_RESET) == 0)
		vm_stop(controller->device.vm, VM_STOP_REBOOT, 0);
	else if (command >= COMMAND_READ_RAM && command < COMMAND_READ_RAM + RAM_SIZE)
		i8042_answer(controller, controller->ram[command - COMMAND_READ_RAM]);
	else
		i8042_run_command(controller, command);
}

static void i8042_write_data(struct i8042 *controller, uint8_t value)
{
	uint8_t command = controller->command;

	controller->command = 0;
	controller->status &= (uint8_t)~STATUS_COMMAND;
	if (command >= COMMAND_WRITE_RAM && command < COMMAND_WRITE_RAM + RAM_SIZE)
		controller->ram[command - COMMAND_WRITE_RAM] = value;
	else if (command == COMMAND_WRITE_OUTPUT)
		i8042_write_output_port(controller, value);
	else if (command == COMMAND_LOOP_KEYBOARD)
		i8042_answer(controller, value);
	else
		i8042_answer_no_device(controller);
}

static uint8_t i8042_read_data(struct i8042 *controller)
{
	controller->status &= (uint8_t)~(STATUS_OUTPUT_FULL | STATUS_TIMEOUT);
	return controller->output;
}

static enum status data_read(struct io_device *device, struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t *value)
{
	(void)vcpu, (void)offset, (void)size;
	*value = i8042_read_data(i8042_from_device(device));
	return STATUS_OK;
}

static enum status data_write(struct io_device *device, struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t value)
{
	(void)vcpu, (void)offset, (void)size;
	i8042_write_data(i8042_from_device(device), (uint8_t)value);
	return STATUS_OK;
}

static enum status command_read(struct io_device *device, struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t *value)
{
	(void)vcpu, (void)offset, (void)size;
	*value = i8042_from_device(device)->status;
	return STATUS_OK;
}

static enum status command_write(struct io_device *device, struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t value)
{
	(void)vcpu, (void)offset, (void)size;
	i8042_write_command(i8042_from_device(device), (uint8_t)value);
	return STATUS_OK;
}

static void i8042_reset(struct io_device *device)
{
	struct i8042 *controller = i8042_from_device(device);

	controller->status = STATUS_SYSTEM | STATUS_NOT_LOCKED;
	controller->command = controller->output = 0;
	controller->output_port = OUTPUT_NOT_RESET | OUTPUT_A20;
	controller->ram[0] = CONTROL_SYSTEM | CONTROL_DISABLE_KEYBOARD | CONTROL_DISABLE_AUX;
}

extern const struct io_device_class i8042_class;

static enum status i8042_create(struct vm *vm, struct io_device **device)
{
	static const struct io_ops data_ops = {.read = data_read, .write = data_write};
	static const struct io_ops command_ops = {.read = command_read, .write = command_write};
	static const struct port_range ranges[] = {
		{PLATFORM_I8042_DATA_PORT, 1, &data_ops, "keyboard controller data"},
		{PLATFORM_I8042_COMMAND_PORT, 1, &command_ops, "keyboard controller command"},
	};

	return port_device_create(vm, &i8042_class, sizeof(struct i8042), ranges, array_count(ranges), device);
}

const struct io_device_class i8042_class = {
	.name = "i8042",
	.order = 25,
	.create = i8042_create,
	.reset = i8042_reset,
};
IO_DEVICE_CLASS(i8042_class);
