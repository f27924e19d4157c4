/*
 * CR0, CR4, EFER and PAT: what the boot processor has, all have. SDM Vol. 3A "Control Registers".
 */
#pragma once

#include "lib/types.h"

/** control_registers_init() - on the boot processor, after features_init(): protections and machine checks on. */
void control_registers_init(void);
/** control_registers_capture() - notes the values of the CPU that calls, as they are now, for others to take over. */
void control_registers_capture(void);
/**
 * control_registers_apply() - on a CPU that starts: the captured values, but for what a CPU turns on by itself (VMX
 * operation). Must run in 64-bit mode with the hypervisor's page tables.
 */
void control_registers_apply(void);
