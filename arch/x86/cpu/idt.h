/* The interrupt descriptor table, one for all CPUs, and the stubs that it points to. SDM Vol. 3A "IDT Descriptors". */
#pragma once

#include "arch/x86/virt.h"
#include "lib/types.h"

#define IDT_ENTRY_COUNT 256u

/* What the stubs of idt_stubs.asm leave on the stack: general registers by their numbers in instruction encodings (the
 * slot of RSP is not used), then what the processor pushed. */
struct idt_frame {
	uint64_t gpr[GPR_COUNT];
	uint64_t vector;
	uint64_t error_code; /* 0 where the exception has none */
	uint64_t rip, cs, rflags, rsp, ss;
};

struct idt_entry {
	uint64_t low, high;
};

/** idt_make_entry() - a 64-bit interrupt gate (interrupts off on entry) to @handler; @interrupt_stack 0..7, 0: none. */
struct idt_entry idt_make_entry(uint64_t handler, uint16_t code_selector, unsigned interrupt_stack);

/** idt_init() - fills the table; once, before the first idt_load(). */
void idt_init(void);
/** idt_load() - the CPU that calls uses the table. */
void idt_load(void);

/** idt_raise_nmi() - handles an NMI that a VM exit reported, as if it came now: unblocks further ones at its end. */
void idt_raise_nmi(void);
/** idt_raise_machine_check() - the same for a machine check. */
void idt_raise_machine_check(void);
