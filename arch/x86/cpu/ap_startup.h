/*
 * Starting the other processors, one after the other. SDM Vol. 3A "Multiple-Processor (MP) Initialization Protocol".
 */
#pragma once

#include "arch/x86/pcpu.h"
#include "lib/types.h"

/* Runs on the started CPU's own stack, interrupts off. Sets pcpu->online when it is ready for work; must not return. */
typedef void (*ap_main_function)(struct pcpu *pcpu);

/**
 * ap_startup_all() - starts every CPU that pcpu_add() knows beside the one that calls, and waits until each is online:
 * stacks and descriptor tables made, control registers as here, local APIC, timer and XSAVE ready, TSC compared with this
 * CPU's. One that cannot be started is logged with its APIC id and stays offline. Takes the pool's low page.
 * Context: boot processor, interrupts off, after cpu_init_interrupts(); the clock's frequency is set.
 * Return: CPUs online, this one included.
 */
uint32_t ap_startup_all(ap_main_function ap_main);
