/* The one stack of each CPU, with a page below it that is not mapped, so that an overflow faults. */
#pragma once

#include "arch/x86/pcpu.h"
#include "lib/status.h"
#include "lib/types.h"

#define CPU_STACK_SIZE (16 * KIB)

/** stack_adopt_boot() - notes the stack that boot_entry.asm set up as @pcpu's. */
void stack_adopt_boot(struct pcpu *pcpu);

/** stack_guard_boot() - unmaps the page below that stack; after host_memory_init(). */
void stack_guard_boot(void);

/** stack_create() - a stack for @pcpu from the page pool. STATUS_NO_MEMORY: nothing changed. */
must_check enum status stack_create(struct pcpu *pcpu);

/** stack_is_overflow() - @address lies in the page below @pcpu's stack. */
bool stack_is_overflow(const struct pcpu *pcpu, uint64_t address);
