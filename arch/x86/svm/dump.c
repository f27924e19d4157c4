#include "arch/x86/svm/entry_checks.h"
#include "arch/x86/svm/svm_internal.h"
#include "arch/x86/virt_dump.h"

static const struct virt_bit_name names_1[] = {
	{INTERCEPT_INTR, "external interrupt"}, {INTERCEPT_NMI, "NMI"}, {INTERCEPT_INIT, "INIT"}, {INTERCEPT_VINTR, "interrupt window"},
	{INTERCEPT_RDPMC, "RDPMC"}, {INTERCEPT_CPUID, "CPUID"}, {INTERCEPT_IRET, "IRET"},
	{INTERCEPT_INVD, "INVD"}, {INTERCEPT_PAUSE, "PAUSE"}, {INTERCEPT_HLT, "HLT"}, {INTERCEPT_INVLPGA, "INVLPGA"}, {INTERCEPT_IO, "I/O"},
	{INTERCEPT_MSR, "MSR"}, {INTERCEPT_TASK_SWITCH, "task switch"}, {INTERCEPT_SHUTDOWN, "shutdown"}, {0, NULL},
};

static const struct virt_bit_name names_2[] = {
	{INTERCEPT_VMRUN, "VMRUN"}, {INTERCEPT_VMMCALL, "VMMCALL"}, {INTERCEPT_VMLOAD, "VMLOAD"}, {INTERCEPT_VMSAVE, "VMSAVE"},
	{INTERCEPT_STGI, "STGI"}, {INTERCEPT_CLGI, "CLGI"}, {INTERCEPT_SKINIT, "SKINIT"}, {INTERCEPT_WBINVD, "WBINVD"},
	{INTERCEPT_MONITOR, "MONITOR"}, {INTERCEPT_MWAIT, "MWAIT"}, {INTERCEPT_MWAIT_ARMED, "armed MWAIT"}, {INTERCEPT_XSETBV, "XSETBV"},
	{INTERCEPT_RDPRU, "RDPRU"}, {0, NULL},
};

static void dump_entry_checks(const struct vmcb *vmcb, virt_print print)
{
	const char *why;
	bool failed, any = false;

	for (unsigned i = 0; svm_entry_check(vmcb, i, &why, &failed); i++) {
		if (failed)
			print("  entry check fails: %s\n", why);
		any |= failed;
	}
	if (!any)
		print("  entry checks: all that are known here hold\n");
}

static void dump_exit(const struct vmcb *vmcb, const struct vm_exit *exit, virt_print print)
{
	const char *name = svm_reason_name(exit->reason);

	print("last exit: %llx (%s), information %016llx %016llx, instruction length %u\n", (unsigned long long)vmcb->exit_code,
	      name ? name : "unknown", (unsigned long long)vmcb->exit_info_1, (unsigned long long)vmcb->exit_info_2, exit->instruction_length);
	print("  event being delivered %016llx\n", (unsigned long long)vmcb->exit_interrupt_info);
}

void svm_dump(struct virt_vcpu *vcpu, virt_print print)
{
	const struct virt_vcpu_backend *backend = vcpu->backend;
	const struct vmcb *vmcb = backend->vmcb;

	dump_exit(vmcb, vcpu->exit, print);
	print("guest state:\n");
	virt_dump_registers(vcpu, print);
	print("  in the CPU: cr0 %08llx, cr4 %08llx, dr6 %08llx\n", (unsigned long long)vmcb->cr0, (unsigned long long)vmcb->cr4,
	      (unsigned long long)vmcb->dr6);
	virt_dump_segments(vcpu, print);
	print("  privilege level %u, interrupt shadow %u, NMIs %s, event to inject %016llx\n", vmcb->cpl,
	      (unsigned)(vmcb->interrupt_state & INTERRUPT_SHADOW), backend->nmi_blocked ? "blocked" : "open",
	      (unsigned long long)vmcb->event_injection);
	print("controls:\n");
	virt_dump_bits(print, "intercepts", vmcb->intercept_1, names_1);
	virt_dump_bits(print, "and", vmcb->intercept_2, names_2);
	print("  CR intercepts %08x, exceptions %08x, virtual interrupt %llx\n", vmcb->intercept_cr, vmcb->intercept_exceptions,
	      (unsigned long long)vmcb->virtual_interrupt);
	print("  nested tables %llx, ASID %u, TSC offset %lld\n", (unsigned long long)vmcb->nested_cr3, vmcb->asid, (long long)vmcb->tsc_offset);
	dump_entry_checks(vmcb, print);
}
