#include "vmm/cr_policy.h"

#include "arch/x86/cr.h"

#define CR3_PCID BITS(11, 0)
#define PDPTE_RESERVED (BITS(2, 1) | BITS(8, 5))

bool cr_policy_cr0_allowed(const struct cr_state *state, uint64_t value)
{
	/* Reserved bits of the upper half fault, those of the lower half are ignored. */
	if (value >> 32)
		return false;
	if (value & CR0_PG && !(value & CR0_PE))
		return false;
	if (value & CR0_NW && !(value & CR0_CD))
		return false;
	if (value & CR0_PG && !(state->cr0 & CR0_PG) && state->efer & EFER_LME)
		return state->cr4 & CR4_PAE && !state->cs_long;
	if (!(value & CR0_PG) && state->cr0 & CR0_PG)
		return !state->cs_long && !(state->cr4 & CR4_PCIDE);
	return true;
}

bool cr_policy_cr4_allowed(const struct cr_state *state, uint64_t value, uint64_t supported)
{
	bool long_mode = state->efer & EFER_LMA;

	if (value & ~supported)
		return false;
	if (long_mode && !(value & CR4_PAE))
		return false;
	if (value & CR4_PCIDE && !(state->cr4 & CR4_PCIDE))
		return long_mode && !(state->cr3 & CR3_PCID);
	return true;
}

bool cr_policy_efer_allowed(const struct cr_state *state, uint64_t value)
{
	if (value & ~(uint64_t)CR_POLICY_EFER_BITS)
		return false;
	return !(state->cr0 & CR0_PG) || (value & EFER_LME) == (state->efer & EFER_LME);
}

bool cr_policy_uses_pdptes(uint64_t cr0, uint64_t cr4, uint64_t efer)
{
	return cr0 & CR0_PG && cr4 & CR4_PAE && !(efer & EFER_LME);
}

bool cr_policy_pdpte_allowed(uint64_t pdpte, unsigned address_bits)
{
	return !(pdpte & BIT(0)) || !(pdpte & (PDPTE_RESERVED | BITS(63, address_bits)));
}
