#include "arch/x86/cpu/control_registers.h"

#include "arch/x86/cpu/features.h"
#include "arch/x86/cr.h"
#include "arch/x86/insn.h"
#include "arch/x86/msr.h"

#define CR0_WANTED (CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG)

static const struct { enum cpu_feature feature; uint64_t bit; } cr4_rows[] = {
	{CPU_FEATURE_PGE, CR4_PGE},
	{CPU_FEATURE_MCE, CR4_MCE},
	{CPU_FEATURE_SMEP, CR4_SMEP},
	{CPU_FEATURE_SMAP, CR4_SMAP},
	{CPU_FEATURE_UMIP, CR4_UMIP},
};

static struct { uint64_t cr0, cr4, efer, pat; } captured;

void control_registers_init(void)
{
	uint64_t cr4 = insn_read_cr4();

	for (size_t i = 0; i < array_count(cr4_rows); i++)
		if (features_has(cr4_rows[i].feature))
			cr4 |= cr4_rows[i].bit;
	insn_write_cr0(CR0_WANTED);
	insn_write_cr4(cr4);
	if (features_has(CPU_FEATURE_NX))
		insn_wrmsr(MSR_EFER, insn_rdmsr(MSR_EFER) | EFER_NXE);
}

void control_registers_capture(void)
{
	captured.cr0 = insn_read_cr0();
	captured.cr4 = insn_read_cr4() & ~CR4_VMXE;
	captured.efer = insn_rdmsr(MSR_EFER) & ~EFER_SVME;
	captured.pat = features_has(CPU_FEATURE_PAT) ? insn_rdmsr(MSR_PAT) : 0;
}

void control_registers_apply(void)
{
	/* PAT first: turning global pages on drops what the TLB holds, memory types included. */
	if (features_has(CPU_FEATURE_PAT))
		insn_wrmsr(MSR_PAT, captured.pat);
	insn_wrmsr(MSR_EFER, captured.efer);
	insn_write_cr0(captured.cr0);
	insn_write_cr4(captured.cr4);
}
