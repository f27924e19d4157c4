/*
 * Which control-register and EFER values a guest may load: the checks that the CPU itself would make. Pure.
 * SDM Vol. 3A "Control Registers", Vol. 2 "MOV—Move to/from Control Registers", "XSETBV".
 */
#pragma once

#include "lib/types.h"

struct cr_state { uint64_t cr0, cr3, cr4, efer; bool cs_long; };

/** cr_policy_cr0_allowed() - MOV to CR0 of @value in @state would not fault. */
bool cr_policy_cr0_allowed(const struct cr_state *state, uint64_t value);
/** cr_policy_cr4_allowed() - @supported: the bits that this guest's CPUID offers. */
bool cr_policy_cr4_allowed(const struct cr_state *state, uint64_t value, uint64_t supported);
/** cr_policy_efer_allowed() - WRMSR of EFER: reserved bits, LME while paging. */
bool cr_policy_efer_allowed(const struct cr_state *state, uint64_t value);
/** cr_policy_uses_pdptes() - PAE paging: the CPU holds four PDPTEs that a load of CR0, CR3 or CR4 refreshes. */
bool cr_policy_uses_pdptes(uint64_t cr0, uint64_t cr4, uint64_t efer);
/** cr_policy_pdpte_allowed() - reserved bits of a PDPTE are clear, or it is not present. @address_bits: MAXPHYADDR, 36..52. */
bool cr_policy_pdpte_allowed(uint64_t pdpte, unsigned address_bits);
/* EFER bits that guests may set: SCE, LME, LMA (which the CPU controls), NXE. */
#define CR_POLICY_EFER_BITS (BIT(0) | BIT(8) | BIT(10) | BIT(11))
