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

/** ipi_stop_self() - the end of a CPU that another one's panic stops: says so and halts. */
noreturn_function void ipi_stop_self(void);
