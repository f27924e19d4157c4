/*
 * What the hypervisor does about its own exceptions: an instruction with a fixup goes on there, NMIs and machine checks
 * have handlers, everything else is a panic that says what happened. SDM Vol. 3A "Exception and Interrupt Reference".
 */
#pragma once

#include "arch/x86/cpu/idt.h"
#include "arch/x86/cpu/symbols.h"
#include "lib/types.h"

/** exception_enter() - called by idt_stubs.asm for every vector, interrupts off; may change @frame. */
void exception_enter(struct idt_frame *frame);

/** exception_name() - "page fault"; "reserved exception" for vectors without a meaning. */
const char *exception_name(uint64_t vector);

/**
 * exception_describe() - `page fault at 0x10 (write, not present), rip 0x... <function+0x12>`, as fmt_print() does.
 * @cr2: used for page faults. @overflow: RSP or CR2 is in the page below a stack, which is then said.
 */
size_t exception_describe(const struct idt_frame *frame, uint64_t cr2, bool overflow, const struct symbol_table *symbols,
			  char *buffer, size_t size);

/** exception_panic() - panic() with the registers and the backtrace of @frame instead of the caller's. */
noreturn_function void exception_panic(const struct idt_frame *frame, const char *format, ...) printf_like(2, 3);

/** exception_nmi_count() - NMIs that nobody here sent and that no error bit explains, since boot. */
uint64_t exception_nmi_count(void);
