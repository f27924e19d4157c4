/*
 * Interrupts of passed-through functions on the machine's side. A message goes through an interrupt remapping entry
 * straight to a vCPU, where the unit posts interrupts (vmm/vcpu_posting.h); else the entry, or an I/O APIC input
 * (lines, which several functions may share), leads to a host vector, and that to whoever delivers it to the guest.
 */
#pragma once

#include "drivers/iommu/iommu.h"
#include "drivers/pci/pci.h"
#include "lib/status.h"
#include "lib/types.h"

struct vcpu;
struct vm;

struct passthrough_interrupt {
	struct vm *vm;
	/* The function interrupted; device lock held, any CPU. Returns whether it was this one: of several that share a
	 * line those that did not are asked as well. */
	bool (*deliver)(struct passthrough_interrupt *interrupt);
	struct iommu_interrupt remapped; /* of messages: what the function is to be programmed with */
	bool bound;
	uint8_t vector; /* of the host, while bound; of messages 0 until deliver() was wanted */
	uint32_t apic_id; /* of messages: the CPU that it goes to, if not posted */
	const struct vcpu *posted_to; /* NULL: not posted; */
	uint8_t posted_vector;        /* the guest's */
};

/**
 * passthrough_interrupt_bind() - messages: @interrupt->remapped.address and .data are what the function is to send;
 * nothing comes of it yet. Device lock held.
 * @interrupt: vm and deliver are set, the rest is zeroes.
 * Return: STATUS_OK; what iommu_interrupt_allocate() says: nothing changed.
 */
must_check enum status passthrough_interrupt_bind(struct passthrough_interrupt *interrupt, const struct pci_function *function);
/**
 * passthrough_interrupt_aim() - from now on a bound message interrupts the CPU that @target is on now, for deliver().
 * With @posted_vector != 0, and if @target has a descriptor, it brings that vector to @target's local APIC instead,
 * wherever the vCPU is. Nothing that comes meanwhile is lost. Device lock held.
 * Return: STATUS_OK; STATUS_NO_MEMORY (no host vector left), and what iommu_interrupt_route() says: it goes where it
 * went.
 */
must_check enum status passthrough_interrupt_aim(struct passthrough_interrupt *interrupt, const struct vcpu *target,
						 uint8_t posted_vector);

/**
 * passthrough_interrupt_line() - the input of the I/O APICs (global system interrupt) that INTA#..INTD# of @function
 * come in at, as far as it is known without the firmware's bytecode: what firmware wrote into its interrupt line
 * register.
 * Return: false: none, or another device of the hypervisor's uses it.
 */
must_check bool passthrough_interrupt_line(const struct pci_function *function, uint32_t *gsi);
/** passthrough_interrupt_bind_line() - the same as passthrough_interrupt_bind() for an input of the I/O APIC,
 * level-triggered: deliver() must silence the function. STATUS_NO_MEMORY: no vector left or too many share it;
 * STATUS_OUT_OF_RANGE, STATUS_NOT_FOUND. */
must_check enum status passthrough_interrupt_bind_line(struct passthrough_interrupt *interrupt, uint32_t gsi);

/** passthrough_interrupt_unbind() - deliver() is not called any more and not being called elsewhere; the function must
 * be silent or it is lost. Not bound: nothing. Device lock held. */
void passthrough_interrupt_unbind(struct passthrough_interrupt *interrupt);
