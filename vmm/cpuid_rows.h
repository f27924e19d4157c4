/*
 * The rows of the CPUID policy.
 */
#pragma once

#include "lib/bits.h"
#include "lib/types.h"

#define CPUID_LEAF_XSAVE 0xdu
#define CPUID_LEAF_EXTENDED 0x80000000u
#define CPUID_SUBLEAF_ANY 0xffffffffu

enum cpuid_register { CPUID_EAX, CPUID_EBX, CPUID_ECX, CPUID_EDX };

/* Bits of one register of one leaf: those of the host that a guest sees, and those that are always set. */
struct cpuid_row {
	uint32_t leaf, subleaf;
	enum cpuid_register reg;
	uint32_t passed, forced;
};

/** cpuid_rows - sorted by leaf; rows of one subleaf stand together, those of CPUID_SUBLEAF_ANY last. */
extern const struct cpuid_row cpuid_rows[];
extern const unsigned cpuid_row_count;
