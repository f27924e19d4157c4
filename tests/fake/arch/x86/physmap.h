/*
 * Stands in for arch/x86/physmap.h in host builds: physical memory is one arena of FAKE_PHYSICAL_SIZE bytes that takes
 * host memory only where it is touched. An address outside it aborts.
 */
#pragma once

#include "lib/types.h"

#define PHYSMAP_BASE 0xffff800000000000ull
#define PHYSMAP_SIZE (64ull << 40)
#define HYPERVISOR_VIRTUAL_BASE 0xffffffff80000000ull

#define FAKE_PHYSICAL_SIZE (64 * GIB)

void *physmap_pointer(hpa_t address);
hpa_t physmap_address(const void *pointer);
