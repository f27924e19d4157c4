/*
 * Host interrupts: which vector means what, who handles it, and the end of interrupt. Vectors below 32 are exceptions
 * (cpu/exceptions.c).
 */
#pragma once

#include "lib/status.h"
#include "lib/types.h"

/* The higher its first digit, the sooner the local APIC delivers a vector. */
enum interrupt_vector {
	INTERRUPT_VECTOR_FIRST = 0x20,
	INTERRUPT_VECTOR_PIC = 0x20,      /* 0x20..0x2f: where the 8259s are moved to before they are masked */
	INTERRUPT_VECTOR_SCI = 0x30,      /* ACPI */
	INTERRUPT_VECTOR_IOMMU = 0x38,    /* a unit of the IOMMU recorded a fault */
	INTERRUPT_VECTOR_SERIAL = 0x40,   /* the host's console */
	INTERRUPT_VECTOR_DEVICES = 0x50,  /* 0x50..0xdf: given out by interrupt_allocate_vector() */
	INTERRUPT_VECTOR_DEVICES_END = 0xe0,
	INTERRUPT_VECTOR_TIMER = 0xe0,    /* the local APIC's timer */
	INTERRUPT_VECTOR_KICK = 0xf0,     /* another CPU wants this one to leave the guest or HLT; no handler needed */
	INTERRUPT_VECTOR_CALL = 0xf1,     /* another CPU wants a function called (ipi.h) */
	INTERRUPT_VECTOR_POSTED = 0xf2,   /* a device left an interrupt for the vCPU that runs here, which takes it without an exit */
	INTERRUPT_VECTOR_POSTED_WAKE = 0xf3, /* the same for a vCPU that sleeps here */
	INTERRUPT_VECTOR_ERROR = 0xfe,    /* the local APIC found an error */
	INTERRUPT_VECTOR_SPURIOUS = 0xff, /* no end of interrupt */
};

typedef void (*interrupt_handler)(uint8_t vector);

/**
 * interrupt_register() - @handler is called on the CPU that got @vector, interrupts off, before the end of interrupt is
 * sent, so that a level-triggered device can be silenced. It must return. Boot only; panics when @vector is an exception's
 * or taken.
 */
void interrupt_register(uint8_t vector, interrupt_handler handler);

/**
 * interrupt_allocate_vector() - a vector of the same meaning on all CPUs for an interrupt of a device; @handler as above.
 * Any CPU, interrupts off.
 * Return: STATUS_OK and *@vector; STATUS_NO_MEMORY (all are taken; nothing changed).
 */
must_check enum status interrupt_allocate_vector(interrupt_handler handler, uint8_t *vector);
/**
 * interrupt_free_vector() - gives it back, when nothing raises it any more. An interrupt that a CPU had accepted by then is
 * ended without a handler, or goes to the vector's next owner; handlers must bear one that comes for nothing.
 */
void interrupt_free_vector(uint8_t vector);

/**
 * interrupt_dispatch() - handles @vector: its handler and the end of interrupt. Called by the IDT's stubs, and by the back
 * end when a VM exit acknowledged an external interrupt. Interrupts off.
 */
void interrupt_dispatch(uint8_t vector);

/** interrupt_count() - how often @vector came on all CPUs. interrupt_name(): "timer"; NULL for vectors without a name. */
uint64_t interrupt_count(uint8_t vector);
const char *interrupt_name(uint8_t vector);
