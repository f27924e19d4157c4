/*
 * What this processor offers, read by CPUID once and kept as a table. SDM Vol. 2A "CPUID"; AMD APM Vol. 3 "Obtaining
 * Processor Information Via the CPUID Instruction".
 */
#pragma once

#include "lib/types.h"

enum cpu_feature {
	CPU_FEATURE_NX, CPU_FEATURE_SMEP, CPU_FEATURE_SMAP, CPU_FEATURE_UMIP, CPU_FEATURE_PAGE_1G, CPU_FEATURE_PAT,
	CPU_FEATURE_PGE, CPU_FEATURE_MCE, CPU_FEATURE_MCA, CPU_FEATURE_PCID, CPU_FEATURE_FSGSBASE, CPU_FEATURE_LA57,
	CPU_FEATURE_INVARIANT_TSC, CPU_FEATURE_TSC_DEADLINE, CPU_FEATURE_TSC_ADJUST, CPU_FEATURE_RDTSCP, CPU_FEATURE_ARAT,
	CPU_FEATURE_X2APIC, CPU_FEATURE_XSAVE, CPU_FEATURE_XSAVEOPT, CPU_FEATURE_XSAVES, CPU_FEATURE_AVX,
	CPU_FEATURE_AVX512, CPU_FEATURE_PKU, CPU_FEATURE_MONITOR, CPU_FEATURE_RDRAND, CPU_FEATURE_ARCH_CAPABILITIES,
	CPU_FEATURE_VMX, CPU_FEATURE_SVM, CPU_FEATURE_HYPERVISOR, CPU_FEATURE_HYBRID,
	CPU_FEATURE_COUNT,
};

struct cpu_feature_info {
	const char *name;
	bool present;
	const char *cost; /* what is worse without it, for people; NULL: nothing a user would notice */
};

enum cpu_vendor { CPU_VENDOR_OTHER, CPU_VENDOR_INTEL, CPU_VENDOR_AMD };

struct cpu_identity {
	enum cpu_vendor vendor;
	char vendor_name[13]; /* "GenuineIntel" */
	char brand[49];       /* "" if the processor has none; leading spaces cut off */
	uint32_t family, model, stepping; /* extended fields added in */
	uint32_t physical_address_bits, linear_address_bits;
	uint32_t apic_id;     /* of the processor that called features_init(): the x2APIC id where there is one */
	uint32_t max_leaf, max_extended_leaf;
};

/** features_init() - reads CPUID; once, on the boot processor, before anything below is asked. */
void features_init(void);
/** features_has() - @feature is there. Any context; a table look-up. */
bool features_has(enum cpu_feature feature);
/** features_get() - the row of @feature < CPU_FEATURE_COUNT. */
struct cpu_feature_info features_get(enum cpu_feature feature);
const struct cpu_identity *features_identity(void);

/** features_read_apic_id() - the APIC id of the CPU that calls, by CPUID: the x2APIC id where leaf 0BH has one. */
uint32_t features_read_apic_id(void);
