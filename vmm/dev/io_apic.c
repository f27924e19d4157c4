/*
 * I/O APIC with 24 pins and an EOI register. 82093AA data sheet; Intel 64 chipset data sheets "I/O xAPIC".
 */
#include "lib/bits.h"
#include "vmm/io_device.h"
#include "vmm/irq_routing.h"
#include "vmm/vm.h"

#define IO_APIC_BASE 0xfec00000u
#define IO_APIC_LENGTH 0x1000u
#define IO_APIC_VERSION 0x20u
#define PIN_COUNT IRQ_LINE_COUNT

/* Registers in memory. */
#define IOREGSEL 0x00u
#define IOWIN 0x10u
#define IOEOI 0x40u

/* Registers behind the window. */
#define INDEX_ID 0x00u
#define INDEX_VERSION 0x01u
#define INDEX_ARBITRATION 0x02u
#define INDEX_REDIRECTION 0x10u /* two for each pin */

#define ID_BITS 0x0f000000u

/* A redirection entry. */
#define ENTRY_VECTOR(entry) ((uint8_t)bits_get(entry, 7, 0))
#define ENTRY_DELIVERY_MODE(entry) ((uint8_t)bits_get(entry, 10, 8))
#define ENTRY_LOGICAL BIT(11)
#define ENTRY_REMOTE_IRR BIT(14)
#define ENTRY_LEVEL BIT(15)
#define ENTRY_MASKED BIT(16)
#define ENTRY_DESTINATION(entry) ((uint32_t)bits_get(entry, 63, 56))
#define ENTRY_WRITABLE (BITS(63, 56) | BITS(16, 15) | BIT(13) | BITS(11, 0)) /* polarity (13) is kept, but lines are logical */

struct io_apic {
	struct io_device device;
	uint32_t id;     /* as in its register */
	uint8_t select;
	uint32_t levels; /* of the input pins, a bit each */
	uint64_t entries[PIN_COUNT];
};

static struct io_apic *io_apic_of(struct io_device *device)
{
	return container_of(device, struct io_apic, device);
}

/* ---- interrupts ---- */

/* Sends the interrupt of @pin. A level-triggered one that was accepted is not sent again before its EOI. */
static void send(struct io_apic *self, unsigned pin)
{
	uint64_t entry = self->entries[pin];
	struct irq_message message = {
		.destination = ENTRY_DESTINATION(entry),
		.logical = (entry & ENTRY_LOGICAL) != 0,
		.delivery_mode = ENTRY_DELIVERY_MODE(entry),
		.vector = ENTRY_VECTOR(entry),
		.level = (entry & ENTRY_LEVEL) != 0,
	};

	if (irq_message_send(self->device.vm, &message) == STATUS_OK && message.level)
		self->entries[pin] |= ENTRY_REMOTE_IRR;
}

/* After something changed at a level-triggered pin. */
static void send_if_asserted(struct io_apic *self, unsigned pin)
{
	uint64_t entry = self->entries[pin];

	if ((entry & (ENTRY_LEVEL | ENTRY_MASKED | ENTRY_REMOTE_IRR)) == ENTRY_LEVEL && (self->levels & BIT(pin)))
		send(self, pin);
}

/* Edges at a masked pin are lost, as the data sheet says ("Interrupt Mask"); a level waits. */
static void set_pin(struct io_device *device, unsigned line, bool level)
{
	struct io_apic *self = io_apic_of(device);
	uint32_t before = self->levels;

	if (line >= PIN_COUNT)
		return;
	self->levels = level ? before | 1u << line : before & ~(1u << line);
	if (self->entries[line] & ENTRY_LEVEL)
		send_if_asserted(self, line);
	else if ((self->levels & ~before) != 0 && !(self->entries[line] & ENTRY_MASKED))
		send(self, line);
}

/* The vector's level-triggered pins may interrupt again, and do at once if their device still asks. */
static void end_of_interrupt(struct io_device *device, uint8_t vector)
{
	struct io_apic *self = io_apic_of(device);

	for (unsigned pin = 0; pin < PIN_COUNT; pin++) {
		if (ENTRY_VECTOR(self->entries[pin]) != vector || !(self->entries[pin] & ENTRY_REMOTE_IRR))
			continue;
		self->entries[pin] &= ~ENTRY_REMOTE_IRR;
		irq_line_ended(device->vm, pin);
		send_if_asserted(self, pin);
	}
}

static const struct irq_pin_controller controller = {set_pin, end_of_interrupt};

/* ---- registers ---- */

static uint32_t read_window(const struct io_apic *self)
{
	unsigned index = self->select;

	switch (index) {
	case INDEX_ID:
	case INDEX_ARBITRATION:
		return self->id;
	case INDEX_VERSION:
		return IO_APIC_VERSION | (PIN_COUNT - 1) << 16;
	default:
		if (index < INDEX_REDIRECTION || index >= INDEX_REDIRECTION + 2 * PIN_COUNT)
			return 0;
		return (uint32_t)(self->entries[(index - INDEX_REDIRECTION) / 2] >> (index % 2 * 32));
	}
}

/* Remote IRR is read-only, but goes with level triggering: software clears a stuck one by going to edge and back. */
static void write_entry(struct io_apic *self, unsigned pin, bool high, uint32_t value)
{
	uint64_t half = high ? BITS(63, 32) : BITS(31, 0);
	uint64_t placed = high ? (uint64_t)value << 32 : value;
	uint64_t entry = self->entries[pin];

	entry = (entry & ~(half & ENTRY_WRITABLE)) | (placed & ENTRY_WRITABLE);
	if (!(entry & ENTRY_LEVEL))
		entry &= ~ENTRY_REMOTE_IRR;
	self->entries[pin] = entry;
	send_if_asserted(self, pin);
}

static void write_window(struct io_apic *self, uint32_t value)
{
	unsigned index = self->select;

	if (index == INDEX_ID)
		self->id = value & ID_BITS;
	else if (index >= INDEX_REDIRECTION && index < INDEX_REDIRECTION + 2 * PIN_COUNT)
		write_entry(self, (index - INDEX_REDIRECTION) / 2, index % 2 != 0, value);
}

static enum status mmio_read(struct io_device *device, struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t *value)
{
	const struct io_apic *self = io_apic_of(device);
	uint32_t content = 0;

	(void)vcpu;
	if (offset == IOREGSEL)
		content = self->select;
	else if (offset == IOWIN)
		content = read_window(self);
	*value = content & size_mask(size);
	return STATUS_OK;
}

/* The window takes whole registers only; the selector has but one byte that matters. */
static enum status mmio_write(struct io_device *device, struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t value)
{
	struct io_apic *self = io_apic_of(device);

	(void)vcpu;
	if (offset == IOREGSEL)
		self->select = (uint8_t)value;
	else if (offset == IOWIN && size >= sizeof(uint32_t))
		write_window(self, (uint32_t)value);
	else if (offset == IOEOI)
		end_of_interrupt(device, (uint8_t)value);
	return STATUS_OK;
}

static const struct io_ops mmio_ops = {mmio_read, mmio_write};

/* ---- life ---- */

static enum status create(struct vm *vm, struct io_device **device)
{
	struct io_apic *self = io_device_allocate(sizeof(*self));
	enum status status;

	if (self == NULL)
		return STATUS_NO_MEMORY;
	status = io_bus_add(&vm->buses[IO_SPACE_MEMORY], &(struct io_region){
		.base = IO_APIC_BASE, .length = IO_APIC_LENGTH, .ops = &mmio_ops, .device = &self->device, .name = "I/O APIC"});
	if (status == STATUS_OK)
		status = irq_routing_add_pins(vm, &controller, &self->device);
	if (status != STATUS_OK) {
		io_bus_remove_device(&vm->buses[IO_SPACE_MEMORY], &self->device);
		io_device_free(self, sizeof(*self));
		return status;
	}
	*device = &self->device;
	return STATUS_OK;
}

/* Devices are reset behind their interrupt controllers and then drive their lines again. */
static void reset(struct io_device *device)
{
	struct io_apic *self = io_apic_of(device);

	self->id = 0;
	self->select = 0;
	self->levels = 0;
	for (unsigned pin = 0; pin < PIN_COUNT; pin++)
		self->entries[pin] = ENTRY_MASKED;
}

static void describe(struct io_device *device, void (*print)(const char *format, ...))
{
	const struct io_apic *self = io_apic_of(device);

	print("I/O APIC: id %u, pins that are high %#x\n", self->id >> 24, self->levels);
	for (unsigned pin = 0; pin < PIN_COUNT; pin++) {
		uint64_t entry = self->entries[pin];

		if (entry == ENTRY_MASKED)
			continue;
		print("  pin %2u: vector %#x, mode %u, to %s %#x, %s%s%s\n", pin, ENTRY_VECTOR(entry), ENTRY_DELIVERY_MODE(entry),
			entry & ENTRY_LOGICAL ? "logical" : "APIC", ENTRY_DESTINATION(entry), entry & ENTRY_LEVEL ? "level" : "edge",
			entry & ENTRY_REMOTE_IRR ? ", waits for EOI" : "", entry & ENTRY_MASKED ? ", masked" : "");
	}
}

const struct io_device_class io_apic_class = {
	.name = "io-apic",
	.order = 11,
	.create = create,
	.reset = reset,
	.describe = describe,
};
IO_DEVICE_CLASS(io_apic_class);
