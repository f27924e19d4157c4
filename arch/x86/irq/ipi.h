/* What one CPU asks of another. */
#pragma once

#include "arch/x86/pcpu.h"
#include "lib/status.h"
#include "lib/types.h"

typedef void (*ipi_function)(void *argument);

/** ipi_init() - registers the vector; boot processor, after lapic_init(). */
void ipi_init(void);

/** ipi_kick() - makes @pcpu leave the guest or HLT soon; nothing else. Any CPU, any context. */
void ipi_kick(const struct pcpu *pcpu);

/**
 * ipi_call() - runs @function on @pcpu, interrupts off there, and waits until it has returned. While waiting, calls that
 * other CPUs ask of this one are served, so that two CPUs may call each other. @pcpu may be the caller's own.
 * Context: interrupts off, no lock held that @function or another CPU's call takes.
 * Return: STATUS_OK; STATUS_INVALID (not online); STATUS_TIMEOUT (no answer in about a second of TSC ticks at 1 GHz or
 *         more; it may still run later, so @argument must outlive the hypervisor's interest in it).
 */
must_check enum status ipi_call(struct pcpu *pcpu, ipi_function function, void *argument);

/**
 * ipi_stop_others() - for good, before power-off and reset: first by an interrupt, so that they hold no lock, then by NMI,
 * which reaches those that have interrupts off. In a panic by NMI at once. Waits until all have stopped, but no longer than a
 * few tenths of a second (at 2 GHz) for each of the two. Interrupts off.
 */
void ipi_stop_others(void);
/** ipi_is_stopping() - somebody called it: an NMI that comes now is its. */
bool ipi_is_stopping(void);
/** ipi_stop_self() - the end of a CPU that another one stops: leaves VMX operation, says so and halts. */
noreturn_function void ipi_stop_self(void);
