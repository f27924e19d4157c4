#include "vmm/dev/local_apic.h"

/* Interrupt command register. SDM Vol. 3A "Interrupt Command Register (ICR)". */
#define ICR_VECTOR(command) ((uint8_t)bits_get(command, 7, 0))
#define ICR_DELIVERY_MODE(command) ((uint8_t)bits_get(command, 10, 8))
#define ICR_LOGICAL BIT(11)
#define ICR_ASSERT BIT(14)
#define ICR_SHORTHAND(command) ((enum shorthand)bits_get(command, 19, 18))

enum shorthand { SHORTHAND_NONE, SHORTHAND_SELF, SHORTHAND_ALL, SHORTHAND_OTHERS };

#define BROADCAST 0xffffffffu
#define XAPIC_BROADCAST 0xffu

#define DFR_MODEL(dfr) ((dfr) >> 28)
#define DFR_MODEL_FLAT 0xfu
#define DFR_MODEL_CLUSTER 0x0u

static bool matches_x2apic_logical(const struct local_apic *apic, uint32_t destination)
{
	uint32_t ldr = local_apic_get(apic, LOCAL_APIC_LDR);

	return destination >> 16 == ldr >> 16 && (destination & ldr & 0xffff) != 0;
}

/* SDM Vol. 3A "Logical Destination Mode": one set of eight, or four in each of fifteen clusters. */
static bool matches_xapic_logical(const struct local_apic *apic, uint32_t destination)
{
	uint32_t own = local_apic_get(apic, LOCAL_APIC_LDR) >> 24;

	if (destination > XAPIC_BROADCAST)
		return false;
	switch (DFR_MODEL(local_apic_get(apic, LOCAL_APIC_DFR))) {
	case DFR_MODEL_FLAT:
		return (destination & own) != 0;
	case DFR_MODEL_CLUSTER:
		return destination >> 4 == own >> 4 && (destination & own & 0xf) != 0;
	default:
		return false;
	}
}

/* Of a broadcast or a logical destination. */
static bool is_destination(const struct local_apic *apic, const struct irq_message *message)
{
	if (!local_apic_is_enabled(apic))
		return false;
	if (message->destination == BROADCAST)
		return true;
	if (local_apic_is_x2apic(apic))
		return matches_x2apic_logical(apic, message->destination);
	return matches_xapic_logical(apic, message->destination);
}

static struct local_apic *apic_of(const struct vm *vm, uint32_t index)
{
	return vm->vcpus[index] != NULL ? vm->vcpus[index]->local_apic : NULL;
}

/* Return: whether @apic took the message. SDM Vol. 3A "Local APIC State After It Has Been Software Disabled": one that
 * software turned off still answers to NMI, INIT and start-up IPIs. System management mode does not exist here. */
static bool accept_message(struct local_apic *apic, const struct irq_message *message)
{
	switch (message->delivery_mode) {
	case IRQ_DELIVERY_FIXED:
	case IRQ_DELIVERY_LOWEST:
		if (!local_apic_is_software_enabled(apic))
			return false;
		if (message->vector >= LOCAL_APIC_FIRST_VECTOR)
			local_apic_accept(apic, message->vector, message->level);
		else
			local_apic_report_error(apic, LOCAL_APIC_ERROR_RECEIVE_ILLEGAL_VECTOR);
		return message->vector >= LOCAL_APIC_FIRST_VECTOR;
	case IRQ_DELIVERY_NMI:
		vcpu_kick(apic->vcpu, VCPU_REQUEST_NMI);
		return true;
	case IRQ_DELIVERY_INIT:
		vcpu_kick(apic->vcpu, VCPU_REQUEST_INIT);
		return true;
	case IRQ_DELIVERY_STARTUP:
		__atomic_store_n(&apic->vcpu->sipi_vector, message->vector, __ATOMIC_RELEASE);
		vcpu_kick(apic->vcpu, VCPU_REQUEST_SIPI);
		return true;
	default:
		return false;
	}
}

/* Delivers to every destination but @except. Return: whether any took it. */
static bool deliver_to_all(struct vm *vm, const struct irq_message *message, const struct local_apic *except)
{
	bool accepted = false;

	for (uint32_t i = 0; i < vm->vcpu_count; i++) {
		struct local_apic *apic = apic_of(vm, i);

		if (apic != NULL && apic != except && is_destination(apic, message))
			accepted |= accept_message(apic, message);
	}
	return accepted;
}

/* Delivers to the destination that does the least important work; among equals they take turns. */
static bool deliver_to_lowest(struct local_apic_device *self, const struct irq_message *message, const struct local_apic *except)
{
	struct vm *vm = self->device.vm;
	struct local_apic *lowest = NULL;

	for (uint32_t i = 1; i <= vm->vcpu_count; i++) {
		uint32_t index = self->last_lowest + i;
		struct local_apic *apic = apic_of(vm, index < vm->vcpu_count ? index : index - vm->vcpu_count);

		if (apic == NULL || apic == except || !is_destination(apic, message) || !local_apic_is_software_enabled(apic))
			continue;
		if (lowest == NULL || local_apic_get(apic, LOCAL_APIC_PPR) < local_apic_get(lowest, LOCAL_APIC_PPR))
			lowest = apic;
	}
	if (lowest == NULL)
		return false;
	self->last_lowest = lowest->vcpu->index;
	return accept_message(lowest, message);
}

/* The common case: APIC ids are indices. */
static bool deliver_to_one(struct vm *vm, const struct irq_message *message)
{
	struct local_apic *apic = message->destination < vm->vcpu_count ? apic_of(vm, message->destination) : NULL;

	return apic != NULL && local_apic_is_enabled(apic) && accept_message(apic, message);
}

static bool deliver(struct local_apic_device *self, const struct irq_message *message, const struct local_apic *except)
{
	if (likely(!message->logical && message->destination != BROADCAST))
		return deliver_to_one(self->device.vm, message);
	if (message->delivery_mode == IRQ_DELIVERY_LOWEST)
		return deliver_to_lowest(self, message, except);
	return deliver_to_all(self->device.vm, message, except);
}

enum status local_apic_deliver(struct io_device *device, const struct irq_message *message)
{
	struct local_apic_device *self = container_of(device, struct local_apic_device, device);
	struct irq_message expanded = *message;

	/* Only another processor's APIC sends these. */
	if (expanded.delivery_mode == IRQ_DELIVERY_STARTUP)
		return STATUS_NOT_FOUND;
	if (expanded.destination == XAPIC_BROADCAST)
		expanded.destination = BROADCAST;
	return deliver(self, &expanded, NULL) ? STATUS_OK : STATUS_NOT_FOUND;
}

/* Those below local_apic_target() are never posted; the APIC may have been turned off since. */
void local_apic_accept_posted(struct io_device *device, struct vcpu *vcpu, unsigned word, uint64_t vectors)
{
	struct local_apic *apic = vcpu->local_apic;

	(void)device;
	if (apic == NULL || !local_apic_is_enabled(apic) || !local_apic_is_software_enabled(apic))
		return;
	for (; vectors != 0; vectors &= vectors - 1)
		local_apic_accept(apic, (uint8_t)(word * 64 + bits_lowest(vectors)), false);
}

static bool takes_message(const struct local_apic *apic, const struct irq_message *message)
{
	if (!local_apic_is_enabled(apic) || !local_apic_is_software_enabled(apic))
		return false;
	return message->logical ? is_destination(apic, message) : message->destination == apic->vcpu->index;
}

struct vcpu *local_apic_target(struct io_device *device, const struct irq_message *message)
{
	struct vm *vm = device->vm;
	struct vcpu *target = NULL;
	bool has_vector = message->delivery_mode == IRQ_DELIVERY_FIXED || message->delivery_mode == IRQ_DELIVERY_LOWEST;

	if (!has_vector || message->vector < LOCAL_APIC_FIRST_VECTOR || message->destination == XAPIC_BROADCAST)
		return NULL;
	for (uint32_t i = 0; i < vm->vcpu_count; i++) {
		const struct local_apic *apic = apic_of(vm, i);

		if (apic == NULL || !takes_message(apic, message))
			continue;
		if (target != NULL)
			return NULL;
		target = vm->vcpus[i];
	}
	return target;
}

/* "Valid Combinations for the ... Local xAPIC Interrupt Command Register": only fixed interrupts go to oneself by shorthand. */
static void send_by_shorthand(struct local_apic *apic, struct irq_message *message, enum shorthand shorthand)
{
	if (shorthand != SHORTHAND_OTHERS && message->delivery_mode != IRQ_DELIVERY_FIXED)
		return;
	if (shorthand == SHORTHAND_SELF) {
		accept_message(apic, message);
		return;
	}
	message->destination = BROADCAST;
	deliver(local_apic_device_of(apic), message, shorthand == SHORTHAND_OTHERS ? apic : NULL);
}

void local_apic_send_ipi(struct local_apic *apic, uint32_t command, uint32_t destination)
{
	struct irq_message message = {
		.destination = destination,
		.logical = (command & ICR_LOGICAL) != 0,
		.delivery_mode = ICR_DELIVERY_MODE(command),
		.vector = ICR_VECTOR(command),
	};
	bool has_vector = message.delivery_mode == IRQ_DELIVERY_FIXED || message.delivery_mode == IRQ_DELIVERY_LOWEST;

	if (has_vector && message.vector < LOCAL_APIC_FIRST_VECTOR) {
		local_apic_report_error(apic, LOCAL_APIC_ERROR_SEND_ILLEGAL_VECTOR);
		return;
	}
	/* The INIT level de-assert message only means something to processors before the Pentium 4. */
	if (message.delivery_mode == IRQ_DELIVERY_INIT && !(command & ICR_ASSERT))
		return;
	if (!local_apic_is_x2apic(apic) && destination == XAPIC_BROADCAST)
		message.destination = BROADCAST;
	if (ICR_SHORTHAND(command) != SHORTHAND_NONE)
		send_by_shorthand(apic, &message, ICR_SHORTHAND(command));
	else
		deliver(local_apic_device_of(apic), &message, NULL);
}
