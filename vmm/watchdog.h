/*
 * Who looks after whom, so that no CPU hangs in the hypervisor unseen: the boot processor after all others once a second, the
 * others after the boot processor whenever they pass by and, while they sleep, every few seconds. Nobody disturbs a CPU that
 * sleeps or runs a guest. A CPU that seems to hang is asked by NMI (arch/x86/cpu/watchdog.h), and panics if it does.
 */
#pragma once

#include "lib/types.h"

struct pcpu;

/** watchdog_start() - from now on CPUs are looked after; boot processor, when all that will are online. Nothing with one CPU. */
void watchdog_start(void);

/**
 * watchdog_look() - in every pass of a CPU's scheduler loop: this CPU gets on; looks after others when it is time to.
 * @now: host TSC.
 * Return: host TSC at which this CPU must pass by again: the boot processor from its sleep or its guest, others from
 * their sleep only. UINT64_MAX: never.
 */
uint64_t watchdog_look(uint64_t now);

/** watchdog_provoke() - @pcpu hangs (or panics) at its next watchdog_look(): to test the watchdog. Boot processor. */
enum watchdog_provocation { WATCHDOG_PROVOKE_NONE, WATCHDOG_PROVOKE_HANG, WATCHDOG_PROVOKE_PANIC };
void watchdog_provoke(struct pcpu *pcpu, enum watchdog_provocation what);
