/*
 * What guests see of the processor. A table of rows says which bits of the host's CPUID answers are passed and which are
 * forced; whatever no row names reads as zero. Everything that does not change is made ready once at boot, so that a
 * CPUID exit is a look-up.
 *
 * Manual: SDM Vol. 2A "CPUID—CPU Identification".
 */
#pragma once

#include "arch/x86/insn.h"
#include "lib/types.h"

struct vcpu;

#define CPUID_POLICY_HYPERVISOR_LEAF 0x40000000u /* EBX ECX EDX: "TrivetTrivet"; EAX: the highest of these leaves */
#define CPUID_POLICY_TIMING_LEAF 0x40000010u     /* EAX: TSC [kHz]; EBX: local APIC timer before its divider [kHz] */

/** The host's answer to CPUID; a parameter so that tests can describe any machine. */
typedef struct cpuid_result (*cpuid_policy_source)(uint32_t leaf, uint32_t subleaf);

/**
 * cpuid_policy_init() - makes the answers ready from this CPU's CPUID; once, at boot, after clock_set_frequency() and
 * before the first guest runs. cpuid_policy_build(): the same from any source.
 */
void cpuid_policy_init(void);
void cpuid_policy_build(cpuid_policy_source source);

/**
 * cpuid_policy_read() - what CPUID returns to @vcpu, which is loaded.
 * @leaf, @subleaf: the guest's EAX and ECX, any value.
 */
void cpuid_policy_read(struct vcpu *vcpu, uint32_t leaf, uint32_t subleaf, struct cpuid_result *out);

/*
 * Bits that a guest may set because CPUID shows it their feature; others are reserved for it, and setting them is #GP.
 * Constant after cpuid_policy_build().
 */
uint64_t cpuid_policy_cr4_allowed(void);
uint64_t cpuid_policy_xcr0_allowed(void); /* 0: no XSAVE */
uint64_t cpuid_policy_efer_allowed(void);
/** cpuid_policy_physical_address_bits() - MAXPHYADDR as the guest sees it; CR3 and PAT checks depend on it. */
unsigned cpuid_policy_physical_address_bits(void);
/** cpuid_policy_has_arch_capabilities() - CPUID shows IA32_ARCH_CAPABILITIES. */
bool cpuid_policy_has_arch_capabilities(void);
