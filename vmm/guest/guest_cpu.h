/*
 * Register states in which boot protocols enter a kernel, set through the back end. The vCPU is loaded.
 */
#pragma once

#include "lib/types.h"

struct vcpu;

#define GUEST_CPU_CODE_SELECTOR 0x10u
#define GUEST_CPU_DATA_SELECTOR 0x18u
#define GUEST_CPU_GDT_ENTRIES 4u

/** guest_cpu_gdt - null, null, flat code and flat data at the selectors above; [0]: for 32-bit, [1]: for 64-bit code. */
extern const uint64_t guest_cpu_gdt[2][GUEST_CPU_GDT_ENTRIES];

/** guest_cpu_enter_protected() - 32-bit protected mode, paging off, flat segments, interrupts off; general registers 0. */
void guest_cpu_enter_protected(struct vcpu *vcpu, uint64_t rip, uint64_t gdt);
/** guest_cpu_enter_long() - the same in 64-bit mode with the page tables at @cr3. */
void guest_cpu_enter_long(struct vcpu *vcpu, uint64_t rip, uint64_t gdt, uint64_t cr3);
