/*
 * The part of the watchdog that a CPU does about itself. Who seems to hang is asked by an NMI, which reaches a CPU that has
 * interrupts off, and decides there: a CPU that sleeps, was in a guest, or got on since it was asked before is well; one that
 * did none of this for WATCHDOG_LIMIT_SECONDS panics, with its own stack. Who asks whom is said in vmm/watchdog.h.
 */
#pragma once

#include "arch/x86/cpu/idt.h"
#include "arch/x86/pcpu.h"
#include "lib/types.h"

#define WATCHDOG_LIMIT_SECONDS 5u

/**
 * watchdog_set_last_exit() - @time tells when the vCPU that @pcpu, the calling CPU, has loaded left its guest last [TSC ticks]; 0:
 * never, or there is none. Called from NMIs. Boot.
 */
void watchdog_set_last_exit(uint64_t (*time)(const struct pcpu *pcpu));

/** watchdog_ask() - has @pcpu, another CPU, look at itself. Any CPU, any context. */
void watchdog_ask(const struct pcpu *pcpu);

/** watchdog_answer() - an NMI came: true if it was for the watchdog. Panics if the CPU hangs. */
bool watchdog_answer(const struct idt_frame *frame);
