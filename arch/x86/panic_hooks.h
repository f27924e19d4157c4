/*
 * What panic() does beside its own line: layers above register here, since panic.c may include none of them.
 */
#pragma once

#include "lib/linker_table.h"
#include "lib/types.h"

enum panic_stage {
	PANIC_STAGE_STOP_CPUS, /* before anything is printed */
	PANIC_STAGE_REGISTERS,
	PANIC_STAGE_BACKTRACE,
	PANIC_STAGE_HISTORY,   /* what led to it: exit recorders */
	PANIC_STAGE_COUNT,
};

/* A hook runs once, on the CPU that panics, interrupts off; takes no lock, allocates nothing, waits boundedly. */
struct panic_hook {
	enum panic_stage stage;
	void (*run)(void);
};

/* PANIC_HOOK(object) registers a const struct panic_hook; hooks of one stage run in no certain order. */
#define PANIC_HOOK(object) LINKER_TABLE_ENTRY(panic_hooks, const struct panic_hook, object)

/** panic_is_active() - some CPU has panicked: the others must stop where they are. Any context, NMI included. */
bool panic_is_active(void);

/** panic_halt() - the CPU's last instruction. */
noreturn_function void panic_halt(void);
