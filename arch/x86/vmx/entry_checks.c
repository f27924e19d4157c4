#include "arch/x86/vmx/entry_checks.h"

#include "arch/x86/cr.h"
#include "arch/x86/vmx/vmcs.h"

#define UNUSABLE(segment) ((segment).access_rights & BIT(16))
#define TYPE(segment) ((segment).access_rights & 0xf)
#define CODE_OR_DATA(segment) ((segment).access_rights & BIT(4))
#define PRESENT(segment) ((segment).access_rights & BIT(7))

static bool is_canonical(uint64_t address)
{
	return (uint64_t)((int64_t)(address << 16) >> 16) == address;
}

static bool limit_fits_granularity(const struct vmx_guest_segment *segment)
{
	if (segment->access_rights & BIT(15))
		return (segment->limit & 0xfff) == 0xfff;
	return (segment->limit >> 20) == 0;
}

static bool long_mode(const struct vmx_guest_snapshot *s) { return s->entry_controls & ENTRY_IA32E_GUEST; }
static bool virtual_8086(const struct vmx_guest_snapshot *s) { return s->rflags & RFLAGS_VM; }

static bool cr0_fixed(const struct vmx_guest_snapshot *s) { return (s->cr0 & s->cr0_must_be_one) == s->cr0_must_be_one; }
static bool cr0_paging(const struct vmx_guest_snapshot *s) { return !(s->cr0 & CR0_PG) || s->cr0 & CR0_PE; }
static bool cr4_fixed(const struct vmx_guest_snapshot *s)
{
	return (s->cr4 & s->cr4_must_be_one) == s->cr4_must_be_one && !(s->cr4 & ~s->cr4_allowed);
}
static bool long_mode_paging(const struct vmx_guest_snapshot *s) { return !long_mode(s) || (s->cr0 & CR0_PG && s->cr4 & CR4_PAE); }
static bool pcid_long_mode(const struct vmx_guest_snapshot *s) { return long_mode(s) || !(s->cr4 & CR4_PCIDE); }
static bool efer_lma(const struct vmx_guest_snapshot *s) { return !(s->efer & EFER_LMA) == !long_mode(s); }
static bool efer_lme(const struct vmx_guest_snapshot *s) { return !(s->cr0 & CR0_PG) || !(s->efer & EFER_LME) == !(s->efer & EFER_LMA); }
static bool rflags_fixed(const struct vmx_guest_snapshot *s)
{
	return s->rflags & RFLAGS_FIXED && !(s->rflags & (BITS(63, 22) | BIT(15) | BIT(5) | BIT(3)));
}
static bool rflags_vm(const struct vmx_guest_snapshot *s) { return !virtual_8086(s) || (!long_mode(s) && s->cr0 & CR0_PE); }
static bool rflags_if(const struct vmx_guest_snapshot *s)
{
	bool external = s->entry_interruption_info & INTERRUPTION_VALID && !(s->entry_interruption_info & INTERRUPTION_TYPE);

	return !external || s->rflags & RFLAGS_IF;
}
static bool rip_width(const struct vmx_guest_snapshot *s)
{
	return (long_mode(s) && s->cs.access_rights & BIT(13)) ? is_canonical(s->rip) : s->rip >> 32 == 0;
}
static bool cs_type(const struct vmx_guest_snapshot *s)
{
	unsigned type = TYPE(s->cs);

	return virtual_8086(s) || type == 3 || type == 9 || type == 11 || type == 13 || type == 15;
}
static bool cs_present(const struct vmx_guest_snapshot *s) { return virtual_8086(s) || (PRESENT(s->cs) && CODE_OR_DATA(s->cs) && !UNUSABLE(s->cs)); }
static bool cs_mode(const struct vmx_guest_snapshot *s)
{
	return !(long_mode(s) && s->cs.access_rights & BIT(13)) || !(s->cs.access_rights & BIT(14));
}
static bool cs_limit(const struct vmx_guest_snapshot *s) { return limit_fits_granularity(&s->cs); }
static bool ss_type(const struct vmx_guest_snapshot *s) { return virtual_8086(s) || UNUSABLE(s->ss) || TYPE(s->ss) == 3 || TYPE(s->ss) == 7; }
static bool ss_limit(const struct vmx_guest_snapshot *s) { return UNUSABLE(s->ss) || limit_fits_granularity(&s->ss); }
static bool tr_usable(const struct vmx_guest_snapshot *s) { return !UNUSABLE(s->tr) && PRESENT(s->tr) && !CODE_OR_DATA(s->tr); }
static bool tr_type(const struct vmx_guest_snapshot *s) { return TYPE(s->tr) == 11 || (TYPE(s->tr) == 3 && !long_mode(s)); }
static bool tr_limit(const struct vmx_guest_snapshot *s) { return limit_fits_granularity(&s->tr); }
static bool ldtr_valid(const struct vmx_guest_snapshot *s) { return UNUSABLE(s->ldtr) || (TYPE(s->ldtr) == 2 && PRESENT(s->ldtr)); }
static bool bases_canonical(const struct vmx_guest_snapshot *s)
{
	return is_canonical(s->gdtr_base) && is_canonical(s->idtr_base) && is_canonical(s->fs.base) && is_canonical(s->gs.base) && is_canonical(s->tr.base);
}
static bool table_limits(const struct vmx_guest_snapshot *s) { return s->gdtr_limit <= 0xffff && s->idtr_limit <= 0xffff; }
static bool activity(const struct vmx_guest_snapshot *s) { return s->activity <= 3; }
static bool shadow(const struct vmx_guest_snapshot *s)
{
	return (s->interruptibility & INTERRUPTIBILITY_SHADOW) != INTERRUPTIBILITY_SHADOW &&
	       (!(s->interruptibility & INTERRUPTIBILITY_STI) || s->rflags & RFLAGS_IF);
}
static bool link_pointer(const struct vmx_guest_snapshot *s) { return s->link_pointer == ~0ull; }
static bool pat_types(const struct vmx_guest_snapshot *s)
{
	for (unsigned i = 0; i < 8; i++) {
		uint8_t type = (uint8_t)(s->pat >> 8 * i);
		if (type > 7 || type == 2 || type == 3)
			return false;
	}
	return true;
}

static const struct { bool (*holds)(const struct vmx_guest_snapshot *); const char *demand; } checks[] = {
	{cr0_fixed, "CR0 has the bits that VMX fixes to 1"},
	{cr0_paging, "CR0.PG needs CR0.PE"},
	{cr4_fixed, "CR4 has the bits that VMX fixes to 1 and none that the CPU lacks"},
	{long_mode_paging, "an IA-32e guest needs CR0.PG and CR4.PAE"},
	{pcid_long_mode, "CR4.PCIDE needs IA-32e mode"},
	{efer_lma, "EFER.LMA equals the entry control IA-32e mode guest"},
	{efer_lme, "with paging on, EFER.LME equals EFER.LMA"},
	{rflags_fixed, "RFLAGS bit 1 is 1, reserved bits are 0"},
	{rflags_vm, "RFLAGS.VM needs protected mode outside IA-32e mode"},
	{rflags_if, "an injected external interrupt needs RFLAGS.IF"},
	{rip_width, "RIP is canonical in 64-bit mode, below 4 GiB outside"},
	{cs_type, "CS is an accessed code segment"},
	{cs_present, "CS is present and usable"},
	{cs_mode, "CS.L and CS.D are not both 1"},
	{cs_limit, "CS limit fits its granularity"},
	{ss_type, "SS is an accessed, writable data segment"},
	{ss_limit, "SS limit fits its granularity"},
	{tr_usable, "TR is usable and present"},
	{tr_type, "TR is a busy TSS (64-bit in IA-32e mode)"},
	{tr_limit, "TR limit fits its granularity"},
	{ldtr_valid, "LDTR is unusable or a present LDT"},
	{bases_canonical, "GDTR, IDTR, FS, GS and TR bases are canonical"},
	{table_limits, "GDTR and IDTR limits are at most 0xffff"},
	{activity, "the activity state is 0..3"},
	{shadow, "at most one interrupt shadow, STI's only with RFLAGS.IF"},
	{link_pointer, "the VMCS link pointer is all ones"},
	{pat_types, "PAT holds valid memory types"},
};

bool vmx_entry_check(const struct vmx_guest_snapshot *snapshot, unsigned index, const char **why, bool *failed)
{
	if (index >= array_count(checks))
		return false;
	*why = checks[index].demand;
	*failed = !checks[index].holds(snapshot);
	return true;
}
