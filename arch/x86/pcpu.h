/*
 * The per-CPU block: one struct for each processor, found through GS. Only its own CPU writes it, except where a field
 * says otherwise. Higher layers hang their per-CPU state in through pointers, so that this header needs none of them.
 */
#pragma once

#include "lib/types.h"

#define PCPU_MAX 64u

struct vcpu;
struct vmx_cpu;
struct svm_cpu;
struct scheduler_cpu;

struct pcpu {
	struct pcpu *self;  /* at %gs:0, so that one load finds the block; see boot_entry.asm */
	uint64_t stack_top; /* of the CPU's one stack */
	uint32_t index;     /* 0..pcpu_count()-1; 0 is the boot processor */
	uint32_t apic_id;   /* x2APIC id, may be sparse */
	uint32_t acpi_id;
	bool online;        /* written by its own CPU once, read by all */
	bool virtualization_on; /* in VMX (SVM) operation */
	const char *activity; /* what it is doing, static text, for panics and `cpu` */
	struct vcpu *current_vcpu; /* whose state is loaded, running or not */
	struct vmx_cpu *vmx; /* one of these two, if VMs can run */
	struct svm_cpu *svm;
	struct scheduler_cpu *scheduler;
	void *descriptor_tables; /* struct of cpu/gdt.c: GDT, TSS and interrupt stacks */
	uint64_t progress;  /* changes as long as the CPU gets on with what it does outside of guests; see cpu/watchdog.h */
	bool idle;          /* sleeps until an interrupt comes */
};

/** pcpu_current() - the block of the CPU that calls. */
struct pcpu *pcpu_current(void);
/** pcpu_get() - block @index < pcpu_count(). */
struct pcpu *pcpu_get(uint32_t index);
uint32_t pcpu_count(void);
/** pcpu_add() - a new block for the processor with @apic_id, zeroed, offline. NULL when PCPU_MAX are taken or @apic_id has
 * a block. Boot only; the first one added is the boot processor. */
struct pcpu *pcpu_add(uint32_t apic_id, uint32_t acpi_id);
/** pcpu_note_progress() - tells the watchdog that long work of this CPU gets on; see long_work.h. */
static inline void pcpu_note_progress(void) { pcpu_current()->progress++; }
/** pcpu_set_current() - loads GS so that pcpu_current() answers @pcpu on this CPU. */
void pcpu_set_current(struct pcpu *pcpu);
