#include "arch/x86/svm/entry_checks.h"

#include "arch/x86/cr.h"

#define ATTRIBUTE_L BIT(9)
#define ATTRIBUTE_D BIT(10)

static bool long_mode(const struct vmcb *v) { return v->efer & EFER_LME && v->cr0 & CR0_PG; }

static bool efer_svme(const struct vmcb *v) { return v->efer & EFER_SVME; }
static bool cr0_caches(const struct vmcb *v) { return v->cr0 & CR0_CD || !(v->cr0 & CR0_NW); }
static bool cr0_upper(const struct vmcb *v) { return v->cr0 >> 32 == 0; }
static bool debug_upper(const struct vmcb *v) { return v->dr6 >> 32 == 0 && v->dr7 >> 32 == 0; }
static bool long_pae(const struct vmcb *v) { return !long_mode(v) || v->cr4 & CR4_PAE; }
static bool long_protected(const struct vmcb *v) { return !long_mode(v) || v->cr0 & CR0_PE; }
static bool code_size(const struct vmcb *v)
{
	const uint64_t both = ATTRIBUTE_L | ATTRIBUTE_D;

	return !long_mode(v) || !(v->cr4 & CR4_PAE) || (v->segments[VIRT_CS].attributes & both) != both;
}
static bool vmrun(const struct vmcb *v) { return v->intercept_2 & INTERCEPT_VMRUN; }
static bool asid(const struct vmcb *v) { return v->asid != 0; }
static bool event(const struct vmcb *v)
{
	unsigned type = (unsigned)((v->event_injection & EVENT_TYPE) >> EVENT_TYPE_SHIFT), vector = v->event_injection & EVENT_VECTOR;

	if (!(v->event_injection & EVENT_VALID))
		return true;
	if (type == EVENT_EXCEPTION)
		return vector != 2 && vector < 32;
	return type == EVENT_INTERRUPT || type == EVENT_NMI || type == EVENT_SOFTWARE_INTERRUPT;
}

static const struct { bool (*holds)(const struct vmcb *vmcb); const char *demand; } checks[] = {
	{efer_svme, "EFER.SVME is 1"},
	{cr0_caches, "CR0.NW needs CR0.CD"},
	{cr0_upper, "the upper half of CR0 is 0"},
	{debug_upper, "the upper halves of DR6 and DR7 are 0"},
	{long_pae, "long mode needs CR4.PAE"},
	{long_protected, "long mode needs CR0.PE"},
	{code_size, "CS.L and CS.D are not both 1 in long mode"},
	{vmrun, "VMRUN is intercepted"},
	{asid, "the ASID is not 0"},
	{event, "the event to inject is one that there is"},
};

bool svm_entry_check(const struct vmcb *vmcb, unsigned index, const char **why, bool *failed)
{
	if (index >= array_count(checks))
		return false;
	*why = checks[index].demand;
	*failed = !checks[index].holds(vmcb);
	return true;
}
