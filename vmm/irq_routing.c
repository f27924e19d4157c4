#include "vmm/irq_routing.h"

#include "lib/bits.h"
#include "vmm/vm.h"

/* What answers an INTA cycle when nobody drives the bus. */
#define FLOATING_VECTOR 0xffu
/* The I/O APIC's input that the ISA timer is wired to, as the MADT's interrupt source override says. */
#define IO_APIC_TIMER_PIN 2u

/* Messages to 0xfeexxxxx. SDM Vol. 3A "Message Address Register Format", "Message Data Register Format". */
#define MSI_ADDRESS_BASE 0xfee00000u
#define MSI_ADDRESS_MASK (~(uint64_t)0xfffff)
#define MSI_DESTINATION(address) ((uint32_t)bits_get(address, 19, 12))
#define MSI_LOGICAL BIT(2)
#define MSI_VECTOR(data) ((uint8_t)bits_get(data, 7, 0))
#define MSI_DELIVERY_MODE(data) ((uint8_t)bits_get(data, 10, 8))
#define MSI_ASSERT BIT(14)
#define MSI_LEVEL BIT(15)

enum status irq_routing_add_pins(struct vm *vm, const struct irq_pin_controller *ops, struct io_device *device)
{
	struct irq_routing *irq = &vm->irq;

	if (irq->pin_controllers == array_count(irq->pins))
		return STATUS_NO_MEMORY;
	irq->pins[irq->pin_controllers].ops = ops;
	irq->pins[irq->pin_controllers].device = device;
	irq->pin_controllers++;
	return STATUS_OK;
}

void irq_routing_set_external(struct vm *vm, const struct irq_external_source *ops, struct io_device *device)
{
	vm->irq.external = ops;
	vm->irq.external_device = device;
}

void irq_routing_set_local(struct vm *vm, const struct irq_local_controller *ops, struct io_device *device)
{
	vm->irq.local = ops;
	vm->irq.local_device = device;
}

void irq_routing_set_line_ended(struct vm *vm, void (*ended)(struct io_device *device, unsigned line), struct io_device *device)
{
	vm->irq.line_ended = ended;
	vm->irq.line_ended_device = device;
}

void irq_routing_set_targets_changed(struct vm *vm, void (*changed)(struct io_device *device), struct io_device *device)
{
	vm->irq.targets_changed = changed;
	vm->irq.targets_changed_device = device;
}

/* Drives one controller. On an I/O APIC the timer comes in at pin 2, and the 8259's cascade line 2 is not wired. */
static void set_pin(struct irq_routing *irq, unsigned controller, unsigned line, bool level)
{
	const struct irq_pin_controller *ops = irq->pins[controller].ops;
	bool is_io_apic = ops->end_of_interrupt != NULL;

	if (is_io_apic && line == IO_APIC_TIMER_PIN)
		return;
	if (is_io_apic && line == IRQ_LINE_TIMER)
		line = IO_APIC_TIMER_PIN;
	ops->set_pin(irq->pins[controller].device, line, level);
}

void irq_line_set(struct vm *vm, unsigned line, bool level)
{
	struct irq_routing *irq = &vm->irq;

	if (line >= IRQ_LINE_COUNT)
		return;
	irq->line_level[line] = level;
	for (unsigned i = 0; i < irq->pin_controllers; i++)
		set_pin(irq, i, line, level);
}

void irq_line_pulse(struct vm *vm, unsigned line)
{
	irq_line_set(vm, line, true);
	irq_line_set(vm, line, false);
}

enum status irq_message_send(struct vm *vm, const struct irq_message *message)
{
	if (vm->irq.local == NULL)
		return STATUS_NOT_FOUND;
	return vm->irq.local->deliver(vm->irq.local_device, message);
}

static struct irq_message msi_message(uint64_t address, uint32_t data)
{
	return (struct irq_message){
		.destination = MSI_DESTINATION(address),
		.logical = (address & MSI_LOGICAL) != 0,
		.delivery_mode = MSI_DELIVERY_MODE(data),
		.vector = MSI_VECTOR(data),
		.level = (data & MSI_LEVEL) != 0,
	};
}

enum status irq_msi_send(struct vm *vm, uint64_t address, uint32_t data)
{
	struct irq_message message = msi_message(address, data);

	if ((address & MSI_ADDRESS_MASK) != MSI_ADDRESS_BASE)
		return STATUS_INVALID;
	/* A level that ends; local APICs keep no line that it could take down. */
	if (message.level && !(data & MSI_ASSERT))
		return STATUS_OK;
	return irq_message_send(vm, &message);
}

struct vcpu *irq_msi_target(struct vm *vm, uint64_t address, uint32_t data, uint8_t *vector)
{
	struct irq_message message = msi_message(address, data);

	*vector = message.vector;
	if ((address & MSI_ADDRESS_MASK) != MSI_ADDRESS_BASE || message.level || vm->irq.local == NULL || vm->irq.local->target == NULL)
		return NULL;
	return vm->irq.local->target(vm->irq.local_device, &message);
}

void irq_targets_changed(struct vm *vm)
{
	if (vm->irq.targets_changed != NULL)
		vm->irq.targets_changed(vm->irq.targets_changed_device);
}

void irq_end_of_interrupt(struct vm *vm, uint8_t vector)
{
	struct irq_routing *irq = &vm->irq;

	for (unsigned i = 0; i < irq->pin_controllers; i++) {
		if (irq->pins[i].ops->end_of_interrupt != NULL)
			irq->pins[i].ops->end_of_interrupt(irq->pins[i].device, vector);
	}
}

void irq_line_ended(struct vm *vm, unsigned line)
{
	if (vm->irq.line_ended != NULL)
		vm->irq.line_ended(vm->irq.line_ended_device, line);
}

bool irq_external_pending(struct vm *vm)
{
	return vm->irq.external != NULL && vm->irq.external->pending(vm->irq.external_device);
}

uint8_t irq_external_acknowledge(struct vm *vm)
{
	if (vm->irq.external == NULL)
		return FLOATING_VECTOR;
	return vm->irq.external->acknowledge(vm->irq.external_device);
}

int irq_pending_vector(struct vcpu *vcpu)
{
	const struct irq_routing *irq = &vcpu->vm->irq;

	return irq->local != NULL ? irq->local->pending_vector(irq->local_device, vcpu) : -1;
}

int irq_acknowledge(struct vcpu *vcpu)
{
	const struct irq_routing *irq = &vcpu->vm->irq;

	return irq->local != NULL ? irq->local->acknowledge(irq->local_device, vcpu) : -1;
}

bool irq_prepare_entry(struct vcpu *vcpu)
{
	const struct irq_routing *irq = &vcpu->vm->irq;

	return irq->local != NULL && irq->local->prepare_entry(irq->local_device, vcpu);
}

void irq_register_written(struct vcpu *vcpu, uint64_t offset)
{
	const struct irq_routing *irq = &vcpu->vm->irq;

	if (irq->local != NULL)
		irq->local->register_written(irq->local_device, vcpu, offset);
}

void irq_accept_posted(struct vcpu *vcpu, unsigned word, uint64_t vectors)
{
	const struct irq_routing *irq = &vcpu->vm->irq;

	if (irq->local != NULL)
		irq->local->accept_posted(irq->local_device, vcpu, word, vectors);
}

void irq_enter_init(struct vcpu *vcpu)
{
	const struct irq_routing *irq = &vcpu->vm->irq;

	if (irq->local != NULL)
		irq->local->enter_init(irq->local_device, vcpu);
}
