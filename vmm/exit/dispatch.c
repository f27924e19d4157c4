#include "vmm/exit/exit_handlers.h"

typedef enum exit_action (*exit_handler)(struct vcpu *vcpu, const struct vm_exit *exit);

static const exit_handler handlers[VM_EXIT_KIND_COUNT] = {
	[VM_EXIT_EXCEPTION] = exit_exception,
	[VM_EXIT_EXTERNAL_INTERRUPT] = exit_external_interrupt,
	[VM_EXIT_NMI] = exit_nmi,
	[VM_EXIT_MACHINE_CHECK] = exit_machine_check,
	[VM_EXIT_TRIPLE_FAULT] = exit_triple_fault,
	[VM_EXIT_INIT] = exit_unexpected,
	[VM_EXIT_SIPI] = exit_unexpected,
	[VM_EXIT_SMI] = exit_unexpected,
	[VM_EXIT_INTERRUPT_WINDOW] = exit_interrupt_window,
	[VM_EXIT_NMI_WINDOW] = exit_interrupt_window,
	[VM_EXIT_TASK_SWITCH] = exit_task_switch,
	[VM_EXIT_CPUID] = exit_cpuid,
	[VM_EXIT_HLT] = exit_hlt,
	/* The guest's caches are the host's, and no device reads its memory behind them: nothing to write back. */
	[VM_EXIT_INVD] = exit_ignored_instruction,
	[VM_EXIT_WBINVD] = exit_ignored_instruction,
	[VM_EXIT_INVLPG] = exit_unexpected,
	[VM_EXIT_RDPMC] = exit_general_protection,
	[VM_EXIT_RDTSC] = exit_unexpected,
	[VM_EXIT_HYPERCALL] = exit_hypercall,
	[VM_EXIT_VIRTUALIZATION_INSTRUCTION] = exit_undefined_opcode,
	[VM_EXIT_CR_ACCESS] = exit_cr_access,
	[VM_EXIT_DR_ACCESS] = exit_unexpected,
	[VM_EXIT_IO] = exit_io,
	[VM_EXIT_RDMSR] = exit_rdmsr,
	[VM_EXIT_WRMSR] = exit_wrmsr,
	[VM_EXIT_ENTRY_FAILED] = exit_entry_failed,
	/* CPUID does not offer MONITOR and MWAIT. */
	[VM_EXIT_MWAIT] = exit_undefined_opcode,
	[VM_EXIT_MONITOR] = exit_undefined_opcode,
	[VM_EXIT_MONITOR_TRAP] = exit_unexpected,
	[VM_EXIT_PAUSE] = exit_yield,
	[VM_EXIT_TPR_THRESHOLD] = exit_unexpected,
	[VM_EXIT_APIC_ACCESS] = exit_unexpected,
	[VM_EXIT_APIC_WRITE] = exit_unexpected,
	[VM_EXIT_VIRTUAL_EOI] = exit_unexpected,
	[VM_EXIT_DESCRIPTOR_TABLE] = exit_unexpected,
	[VM_EXIT_NESTED_FAULT] = exit_nested_fault,
	[VM_EXIT_NESTED_MISCONFIGURED] = exit_unexpected,
	[VM_EXIT_TIMER] = exit_timer,
	[VM_EXIT_XSETBV] = exit_xsetbv,
	[VM_EXIT_UNDEFINED_INSTRUCTION] = exit_undefined_opcode,
	[VM_EXIT_PML_FULL] = exit_unexpected,
	[VM_EXIT_UNKNOWN] = exit_unexpected,
};

enum exit_action exit_dispatch(struct vcpu *vcpu, const struct vm_exit *exit)
{
	/* Both bounded by the back end: reason < VIRT_EXIT_REASON_MAX for known ones, kind < VM_EXIT_KIND_COUNT always. */
	if (likely(exit->reason < VIRT_EXIT_REASON_MAX))
		vcpu->exit_counts[exit->reason]++;
	return handlers[exit->kind](vcpu, exit);
}
