/* The per-CPU blocks of host builds: one CPU, number 0, until the test adds more and switches between them. */
#pragma once

#include "arch/x86/pcpu.h"

/** fake_pcpu_reset() - back to one CPU with APIC id 0, current and online. */
void fake_pcpu_reset(void);
