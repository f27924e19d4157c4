/*
 * Each CPU's GDT and TSS, with stacks of their own for the exceptions that may come when the normal stack is not usable.
 * SDM Vol. 3A "Segment Descriptors", "64-Bit Task State Segment", "Interrupt Stack Table".
 */
#pragma once

#include "arch/x86/pcpu.h"
#include "lib/status.h"
#include "lib/types.h"

#define GDT_SELECTOR_CODE 0x08u
#define GDT_SELECTOR_DATA 0x10u
#define GDT_SELECTOR_TSS 0x18u

/* Numbers in the interrupt stack table. */
enum gdt_interrupt_stack { GDT_STACK_DOUBLE_FAULT = 1, GDT_STACK_NMI = 2, GDT_STACK_MACHINE_CHECK = 3, GDT_STACK_COUNT = 3 };
#define GDT_INTERRUPT_STACK_SIZE (2 * PAGE_SIZE)

struct gdt_tss {
	uint32_t reserved0;
	uint64_t rsp[3];
	uint64_t reserved1;
	uint64_t ist[7]; /* ist[0] is IST1 */
	uint64_t reserved2;
	uint16_t reserved3;
	uint16_t io_map_base;
} packed_struct;

struct gdt_tables {
	uint64_t gdt[5]; /* null, code, data, and the TSS's two */
	struct gdt_tss tss aligned_to(16);
	uint8_t *interrupt_stacks; /* GDT_STACK_COUNT of them, one behind the other */
};

/** gdt_make_tss_descriptor() - the 16 bytes that describe an available TSS of @size bytes at @base. */
void gdt_make_tss_descriptor(uint64_t base, uint32_t size, uint64_t descriptor[2]);

/** gdt_build() - fills @tables for interrupt stacks at @stacks (GDT_STACK_COUNT * GDT_INTERRUPT_STACK_SIZE bytes). */
void gdt_build(struct gdt_tables *tables, uint8_t *stacks);

/**
 * gdt_create() - gives @pcpu its tables: static ones to the boot processor (index 0), pages of the pool to the others.
 * Return: STATUS_OK; STATUS_NO_MEMORY (nothing changed).
 */
must_check enum status gdt_create(struct pcpu *pcpu);

/** gdt_load() - on the CPU of @pcpu, interrupts off: its GDT, segments and TSS; makes it the current pcpu. */
void gdt_load(struct pcpu *pcpu);

/** gdt_find_interrupt_stack() - the interrupt stack of @pcpu that holds @address: its end, or 0. */
uint64_t gdt_find_interrupt_stack(const struct pcpu *pcpu, uint64_t address);
