/*
 * The PC's pair of interrupt controllers: a slave in cascade at input 2 of the master, and the edge/level registers of
 * EISA. Intel 82371 (PIIX) "Interrupt Controller".
 */
#include "lib/bits.h"
#include "vmm/dev/pic_8259_chip.h"
#include "vmm/io_device.h"
#include "vmm/irq_routing.h"
#include "vmm/vm.h"

#define MASTER_PORT 0x20u
#define SLAVE_PORT 0xa0u
#define EDGE_LEVEL_PORT 0x4d0u
#define PORT_COUNT 2u
#define LINE_COUNT 16u
#define CASCADE_INPUT 2u

enum { MASTER, SLAVE, CHIP_COUNT };

/* Inputs that can be made level-triggered: not those of timer, keyboard, cascade, clock and coprocessor. */
static const uint8_t level_allowed[CHIP_COUNT] = {[MASTER] = 0xf8, [SLAVE] = 0xde};

struct pic_pair {
	struct io_device device;
	struct pic_8259_chip chips[CHIP_COUNT];
	bool output; /* of the master, to INTR */
};

static struct pic_pair *pair_of(struct io_device *device)
{
	return container_of(device, struct pic_pair, device);
}

/* Behind every change: what comes out of the slave goes into the master, what comes out of that to vCPU 0. */
static void update(struct pic_pair *self)
{
	struct vcpu *vcpu = self->device.vm->vcpus[0];
	bool slave_output = pic_8259_chip_request(&self->chips[SLAVE]) != PIC_8259_NO_INPUT;

	pic_8259_chip_set_input(&self->chips[MASTER], CASCADE_INPUT, slave_output);
	self->output = pic_8259_chip_request(&self->chips[MASTER]) != PIC_8259_NO_INPUT;
	if (self->output && vcpu != NULL)
		vcpu_kick(vcpu, VCPU_REQUEST_EVENT);
}

/* ---- interrupts ---- */

static void set_pin(struct io_device *device, unsigned line, bool level)
{
	struct pic_pair *self = pair_of(device);

	if (line >= LINE_COUNT || line == CASCADE_INPUT)
		return;
	pic_8259_chip_set_input(&self->chips[line / 8], line % 8, level);
	update(self);
}

static const struct irq_pin_controller pin_controller = {.set_pin = set_pin};

static bool pending(struct io_device *device)
{
	return pair_of(device)->output;
}

static uint8_t acknowledge(struct io_device *device)
{
	struct pic_pair *self = pair_of(device);
	unsigned input;
	uint8_t vector = pic_8259_chip_acknowledge(&self->chips[MASTER], &input);

	if (input == CASCADE_INPUT)
		vector = pic_8259_chip_acknowledge(&self->chips[SLAVE], &input);
	update(self);
	return vector;
}

static const struct irq_external_source external_source = {pending, acknowledge};

/* ---- ports ---- */

/* Wider accesses are several cycles of one byte, as on the bus that these chips come from. */
static uint64_t read_ports(struct pic_pair *self, unsigned chip, uint64_t offset, unsigned size)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < size; i++)
		value |= (uint64_t)pic_8259_chip_read(&self->chips[chip], (offset + i) % 2 != 0) << (8 * i);
	update(self);
	return value;
}

static void write_ports(struct pic_pair *self, unsigned chip, uint64_t offset, unsigned size, uint64_t value)
{
	for (unsigned i = 0; i < size; i++)
		pic_8259_chip_write(&self->chips[chip], (offset + i) % 2 != 0, (uint8_t)(value >> (8 * i)));
	update(self);
}

static enum status master_read(struct io_device *device, struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t *value)
{
	(void)vcpu;
	*value = read_ports(pair_of(device), MASTER, offset, size);
	return STATUS_OK;
}

static enum status master_write(struct io_device *device, struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t value)
{
	(void)vcpu;
	write_ports(pair_of(device), MASTER, offset, size, value);
	return STATUS_OK;
}

static enum status slave_read(struct io_device *device, struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t *value)
{
	(void)vcpu;
	*value = read_ports(pair_of(device), SLAVE, offset, size);
	return STATUS_OK;
}

static enum status slave_write(struct io_device *device, struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t value)
{
	(void)vcpu;
	write_ports(pair_of(device), SLAVE, offset, size, value);
	return STATUS_OK;
}

static enum status edge_level_read(struct io_device *device, struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t *value)
{
	const struct pic_pair *self = pair_of(device);

	(void)vcpu;
	*value = 0;
	for (unsigned i = 0; i < size; i++)
		*value |= (uint64_t)self->chips[(offset + i) % CHIP_COUNT].level_inputs << (8 * i);
	return STATUS_OK;
}

static enum status edge_level_write(struct io_device *device, struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t value)
{
	struct pic_pair *self = pair_of(device);

	(void)vcpu;
	for (unsigned i = 0; i < size; i++) {
		uint64_t chip = (offset + i) % CHIP_COUNT;

		pic_8259_chip_set_level_inputs(&self->chips[chip], (uint8_t)(value >> (8 * i)) & level_allowed[chip]);
	}
	update(self);
	return STATUS_OK;
}

static const struct io_ops master_ops = {master_read, master_write};
static const struct io_ops slave_ops = {slave_read, slave_write};
static const struct io_ops edge_level_ops = {edge_level_read, edge_level_write};

/* ---- life ---- */

static const struct io_region regions[] = {
	{.base = MASTER_PORT, .length = PORT_COUNT, .ops = &master_ops, .name = "8259 master"},
	{.base = SLAVE_PORT, .length = PORT_COUNT, .ops = &slave_ops, .name = "8259 slave"},
	{.base = EDGE_LEVEL_PORT, .length = PORT_COUNT, .ops = &edge_level_ops, .name = "8259 edge/level"},
};

static enum status connect(struct vm *vm, struct io_device *device)
{
	for (unsigned i = 0; i < array_count(regions); i++) {
		struct io_region region = regions[i];
		enum status status;

		region.device = device;
		status = io_bus_add(&vm->buses[IO_SPACE_PORT], &region);
		if (status != STATUS_OK)
			return status;
	}
	return irq_routing_add_pins(vm, &pin_controller, device);
}

static enum status create(struct vm *vm, struct io_device **device)
{
	struct pic_pair *self = io_device_allocate(sizeof(*self));
	enum status status;

	if (self == NULL)
		return STATUS_NO_MEMORY;
	status = connect(vm, &self->device);
	if (status != STATUS_OK) {
		io_bus_remove_device(&vm->buses[IO_SPACE_PORT], &self->device);
		io_device_free(self, sizeof(*self));
		return status;
	}
	irq_routing_set_external(vm, &external_source, &self->device);
	*device = &self->device;
	return STATUS_OK;
}

/* Devices are reset behind their interrupt controllers and then drive their lines again. */
static void reset(struct io_device *device)
{
	struct pic_pair *self = pair_of(device);

	pic_8259_chip_reset(&self->chips[MASTER], 1u << CASCADE_INPUT);
	pic_8259_chip_reset(&self->chips[SLAVE], 0);
	self->output = false;
}

static void describe(struct io_device *device, void (*print)(const char *format, ...))
{
	static const char *const names[CHIP_COUNT] = {"master", "slave"};
	const struct pic_pair *self = pair_of(device);

	for (unsigned i = 0; i < CHIP_COUNT; i++) {
		const struct pic_8259_chip *chip = &self->chips[i];

		print("8259 %s: %s, vectors from %#x, IRR %#x, IMR %#x, ISR %#x, lines %#x, level %#x%s%s\n", names[i],
			chip->init_state == PIC_8259_READY ? "ready" : "not configured", chip->vector_base, chip->irr, chip->imr,
			chip->isr, chip->lines, chip->level_inputs, chip->auto_eoi ? ", automatic EOI" : "",
			chip->special_mask ? ", special mask" : "");
	}
	print("8259 output: %s\n", self->output ? "asserted" : "idle");
}

const struct io_device_class pic_8259_class = {
	.name = "pic-8259",
	.order = 12,
	.create = create,
	.reset = reset,
	.describe = describe,
};
IO_DEVICE_CLASS(pic_8259_class);
