/*
 * Who looks after whom, so that no CPU hangs in the hypervisor unseen: the boot processor after all others once a second, each
 * other one after the boot processor every two seconds, unless a pinned vCPU owns it. Nobody disturbs a CPU that sleeps or runs
 * a guest. A CPU that seems to hang is asked by NMI (arch/x86/cpu/watchdog.h), and panics if it does.
 */
#pragma once

#include "lib/types.h"

struct pcpu;

/** watchdog_start() - from now on CPUs are looked after; boot processor, when all that will are online. With one CPU its
 * performance counter takes the others' place; without that, nothing does. */
void watchdog_start(void);

/**
 * watchdog_look() - in every pass of a CPU's scheduler loop: this CPU gets on; looks after others when it is time to.
 * @now: host TSC.
 * Return: host TSC at which this CPU must pass by again, from its sleep or its guest (not if that is pinned, but for the boot
 * processor). UINT64_MAX: it need not.
 */
uint64_t watchdog_look(uint64_t now);

/** watchdog_provoke() - @pcpu hangs (or panics) at its next watchdog_look(): to test the watchdog. Boot processor. */
enum watchdog_provocation { WATCHDOG_PROVOKE_NONE, WATCHDOG_PROVOKE_HANG, WATCHDOG_PROVOKE_PANIC };
void watchdog_provoke(struct pcpu *pcpu, enum watchdog_provocation what);
