/* Bringing a processor up, in the order that its parts need. */
#pragma once

#include "arch/x86/pcpu.h"
#include "lib/status.h"
#include "lib/types.h"

/**
 * cpu_init_boot() - the boot processor, first of all: its per-CPU block (pcpu 0, online), features, GDT, TSS, IDT and
 * control registers. From here on exceptions end in a panic that says what happened, as far as the log has a sink.
 * Context: once, on the stack of boot_entry.asm, interrupts off; needs no memory but the image.
 */
void cpu_init_boot(void);

/**
 * cpu_init_interrupts() - the boot processor's stack guard, 8259s, local APIC, IPIs and XSAVE; after host_memory_init() and
 * clock_set_frequency(). @x2apic_opt_out: see lapic_init().
 * Return: STATUS_OK; otherwise the machine has no usable local APIC (logged).
 */
must_check enum status cpu_init_interrupts(bool x2apic_opt_out);

/** cpu_init_started() - the same on another CPU once its GDT is loaded; see ap_startup.c. */
void cpu_init_started(void);
