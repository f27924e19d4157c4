/*
 * Other processors for test guests. SDM Vol. 3A "Multiple-Processor (MP) Initialization".
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define SMP_MAX 8u
#define SMP_DELIVER_LOWEST (1u << 8)
#define SMP_DELIVER_NMI (4u << 8)
#define SMP_DELIVER_INIT (5u << 8)
#define SMP_DELIVER_STARTUP (6u << 8)
#define SMP_LOGICAL (1u << 11)
#define SMP_ASSERT (1u << 14)
#define SMP_TO_SELF (1u << 18)
#define SMP_TO_ALL (2u << 18)
#define SMP_TO_OTHERS (3u << 18)

/** smp_count() - processors, as CPUID tells; their APIC ids are 0 onwards. smp_self(): the one that asks. */
unsigned smp_count(void);
unsigned smp_self(void);

/** smp_init_processor() - an INIT; smp_start_processor(): then start-up IPIs, and @code(index) runs on a stack of its own, with
 * interrupts off, its APIC as INIT left it. Its return halts the processor. */
void smp_init_processor(unsigned index);
void smp_start_processor(unsigned index, void (*code)(unsigned index));

/** smp_wait() - until *@value is @wanted; false: not within some seconds, which QEMU takes now and then. */
bool smp_wait(const volatile uint32_t *value, uint32_t wanted);
