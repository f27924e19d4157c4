/*
 * How interrupts travel inside a VM. Devices raise lines (ISA IRQ / GSI numbers) or send messages (MSI); interrupt
 * controllers (vmm/dev: 8259 pair, I/O APIC, local APIC) register here, so that no device names another.
 */
#pragma once

#include "lib/status.h"
#include "lib/types.h"

struct io_device;
struct vcpu;
struct vm;

#define IRQ_LINE_COUNT 24u
#define IRQ_LINE_TIMER 0u
#define IRQ_LINE_KEYBOARD 1u
#define IRQ_LINE_COM1 4u
#define IRQ_LINE_RTC 8u
#define IRQ_LINE_SCI 9u

enum irq_delivery_mode { IRQ_DELIVERY_FIXED = 0, IRQ_DELIVERY_LOWEST = 1, IRQ_DELIVERY_SMI = 2, IRQ_DELIVERY_NMI = 4, IRQ_DELIVERY_INIT = 5, IRQ_DELIVERY_STARTUP = 6, IRQ_DELIVERY_EXTINT = 7 };

struct irq_message {
	uint32_t destination;      /* APIC id, or logical destination */
	bool logical;
	uint8_t delivery_mode;     /* enum irq_delivery_mode */
	uint8_t vector;
	bool level;
};

/* A controller with input pins (8259 pair, I/O APIC). */
struct irq_pin_controller {
	void (*set_pin)(struct io_device *device, unsigned line, bool level);
	/* The guest ended a level-triggered interrupt of @vector; NULL for the 8259. */
	void (*end_of_interrupt)(struct io_device *device, uint8_t vector);
};

/* The 8259 pair's output, which reaches vCPU 0 through LVT LINT0 as ExtINT. */
struct irq_external_source {
	bool (*pending)(struct io_device *device);
	uint8_t (*acknowledge)(struct io_device *device); /* the INTA cycle */
};

/* The local APICs. */
struct irq_local_controller {
	enum status (*deliver)(struct io_device *device, const struct irq_message *message);
	/* The highest vector that @vcpu may take now (ISR, PPR and ExtINT considered), or -1. */
	int (*pending_vector)(struct io_device *device, struct vcpu *vcpu);
	/* Moves the vector to inject from requested to in service (or runs the INTA cycle); -1 if there is none any more. */
	int (*acknowledge)(struct io_device *device, struct vcpu *vcpu);
	/* Before an entry, the vCPU is loaded: what the hardware delivers by itself is handed to it. Returns whether an
	 * interrupt is left that must be injected. */
	bool (*prepare_entry)(struct io_device *device, struct vcpu *vcpu);
	/* The hardware put a guest's write into the vCPU's register page at @offset, and its effect is left to us. */
	void (*register_written)(struct io_device *device, struct vcpu *vcpu, uint64_t offset);
	/* Vectors 64 * @word + n, bits n of @vectors, which a unit of the IOMMU had left for @vcpu, arrive; edge-triggered. */
	void (*accept_posted)(struct io_device *device, struct vcpu *vcpu, unsigned word, uint64_t vectors);
	/* See irq_msi_target(). */
	struct vcpu *(*target)(struct io_device *device, const struct irq_message *message);
	/* An INIT resets @vcpu's APIC, which is loaded. */
	void (*enter_init)(struct io_device *device, struct vcpu *vcpu);
	/* CR8 = TPR[7:4]. */
	uint8_t (*get_task_priority)(struct io_device *device, struct vcpu *vcpu);
	void (*set_task_priority)(struct io_device *device, struct vcpu *vcpu, uint8_t cr8);
};

struct irq_routing {
	struct { const struct irq_pin_controller *ops; struct io_device *device; } pins[2];
	unsigned pin_controllers;
	const struct irq_external_source *external;
	struct io_device *external_device;
	const struct irq_local_controller *local;
	struct io_device *local_device;
	void (*line_ended)(struct io_device *device, unsigned line); /* NULL: nobody wants to know */
	struct io_device *line_ended_device;
	void (*targets_changed)(struct io_device *device); /* NULL: nobody wants to know */
	struct io_device *targets_changed_device;
	bool line_level[IRQ_LINE_COUNT];
};

must_check enum status irq_routing_add_pins(struct vm *vm, const struct irq_pin_controller *ops, struct io_device *device);
void irq_routing_set_external(struct vm *vm, const struct irq_external_source *ops, struct io_device *device);
void irq_routing_set_local(struct vm *vm, const struct irq_local_controller *ops, struct io_device *device);

/**
 * irq_routing_set_line_ended() - @ended is told of each end of a level-triggered interrupt that line @line raised, before its pin
 * is looked at again: for a device that lowers its line then. One for each VM.
 */
void irq_routing_set_line_ended(struct vm *vm, void (*ended)(struct io_device *device, unsigned line), struct io_device *device);

/** irq_routing_set_targets_changed() - @changed is told when irq_msi_target() may say something else than before. One for each VM. */
void irq_routing_set_targets_changed(struct vm *vm, void (*changed)(struct io_device *device), struct io_device *device);

/* Used by devices; device lock held. */
/** irq_line_set() - drives line @line < IRQ_LINE_COUNT of all pin controllers; every level is passed on, edges are the
 * controllers' business. ISA IRQ 0 reaches pin 0 of the 8259 and pin 2 of the I/O APIC. */
void irq_line_set(struct vm *vm, unsigned line, bool level);
/** irq_line_pulse() - up and down at once, for edge-triggered sources. */
void irq_line_pulse(struct vm *vm, unsigned line);
/** irq_message_send() - an MSI write or an I/O APIC's message. STATUS_INVALID: address outside 0xfeexxxxx. */
enum status irq_message_send(struct vm *vm, const struct irq_message *message);
enum status irq_msi_send(struct vm *vm, uint64_t address, uint32_t data);
/**
 * irq_msi_target() - the one vCPU to which such a message brings *@vector, edge-triggered, and nothing else happens, as long as
 * local APICs are as they are now. NULL: several vCPUs or none take it, or it is of another kind.
 */
struct vcpu *irq_msi_target(struct vm *vm, uint64_t address, uint32_t data, uint8_t *vector);
/** irq_targets_changed() - a local APIC changed its mode, its logical id, or whether it takes messages. */
void irq_targets_changed(struct vm *vm);
void irq_end_of_interrupt(struct vm *vm, uint8_t vector);
/** irq_line_ended() - a pin controller saw the end of an interrupt of @line. */
void irq_line_ended(struct vm *vm, unsigned line);
bool irq_external_pending(struct vm *vm);
uint8_t irq_external_acknowledge(struct vm *vm);

/* Used by the vCPU's run loop; device lock held. */
int irq_pending_vector(struct vcpu *vcpu);
bool irq_prepare_entry(struct vcpu *vcpu);
int irq_acknowledge(struct vcpu *vcpu);
void irq_register_written(struct vcpu *vcpu, uint64_t offset);
void irq_accept_posted(struct vcpu *vcpu, unsigned word, uint64_t vectors);
void irq_enter_init(struct vcpu *vcpu);
