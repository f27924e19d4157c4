/*
 * The handlers of VM exits, by subject. dispatch.c has the one table that names them.
 *
 * Contract of all: the vCPU is loaded on this CPU, interrupts are off, no lock is held; the handler runs to completion
 * and says what is to be done with the vCPU. It never moves RIP.
 */
#pragma once

#include "vmm/vcpu.h"

typedef enum exit_action (*exit_handler)(struct vcpu *vcpu, const struct vm_exit *exit);

/* One for every kind, none NULL. */
extern const exit_handler exit_handlers[VM_EXIT_KIND_COUNT];

/** exit_dispatch() - counts the exit and handles it. Inline, since every exit comes through here. */
static inline enum exit_action exit_dispatch(struct vcpu *vcpu, const struct vm_exit *exit)
{
	/* Both bounded by the back end: reason < VIRT_EXIT_REASON_MAX, kind < VM_EXIT_KIND_COUNT. */
	vcpu->exit_counts[exit->reason]++;
	return exit_handlers[exit->kind](vcpu, exit);
}

/* processor.c: CPUID, MSRs and instructions without a device behind them */
enum exit_action exit_cpuid(struct vcpu *vcpu, const struct vm_exit *exit);
enum exit_action exit_rdmsr(struct vcpu *vcpu, const struct vm_exit *exit);
enum exit_action exit_wrmsr(struct vcpu *vcpu, const struct vm_exit *exit);
enum exit_action exit_ignored_instruction(struct vcpu *vcpu, const struct vm_exit *exit);
enum exit_action exit_undefined_opcode(struct vcpu *vcpu, const struct vm_exit *exit);
enum exit_action exit_general_protection(struct vcpu *vcpu, const struct vm_exit *exit);
enum exit_action exit_hypercall(struct vcpu *vcpu, const struct vm_exit *exit);
enum exit_action exit_xsetbv(struct vcpu *vcpu, const struct vm_exit *exit);

/* control_registers.c */
enum exit_action exit_cr_access(struct vcpu *vcpu, const struct vm_exit *exit);

/* port_io.c */
enum exit_action exit_io(struct vcpu *vcpu, const struct vm_exit *exit);

/* memory_access.c */
enum exit_action exit_nested_fault(struct vcpu *vcpu, const struct vm_exit *exit);

/* apic.c: what the hardware leaves to us of a local APIC */
enum exit_action exit_apic_write(struct vcpu *vcpu, const struct vm_exit *exit);
enum exit_action exit_virtual_eoi(struct vcpu *vcpu, const struct vm_exit *exit);

/* events.c: interrupts, exceptions, HLT, timer */
enum exit_action exit_exception(struct vcpu *vcpu, const struct vm_exit *exit);
enum exit_action exit_external_interrupt(struct vcpu *vcpu, const struct vm_exit *exit);
enum exit_action exit_nmi(struct vcpu *vcpu, const struct vm_exit *exit);
enum exit_action exit_machine_check(struct vcpu *vcpu, const struct vm_exit *exit);
enum exit_action exit_interrupt_window(struct vcpu *vcpu, const struct vm_exit *exit);
enum exit_action exit_timer(struct vcpu *vcpu, const struct vm_exit *exit);
enum exit_action exit_hlt(struct vcpu *vcpu, const struct vm_exit *exit);
enum exit_action exit_yield(struct vcpu *vcpu, const struct vm_exit *exit);
enum exit_action exit_handled(struct vcpu *vcpu, const struct vm_exit *exit);

/* crash.c: what ends a VM */
enum exit_action exit_triple_fault(struct vcpu *vcpu, const struct vm_exit *exit);
enum exit_action exit_task_switch(struct vcpu *vcpu, const struct vm_exit *exit);
enum exit_action exit_entry_failed(struct vcpu *vcpu, const struct vm_exit *exit);
enum exit_action exit_unexpected(struct vcpu *vcpu, const struct vm_exit *exit);
/** exit_crash() - stops the VM with a reason; @vcpu becomes its crashed_vcpu, unless the VM was to stop already. */
enum exit_action exit_crash(struct vcpu *vcpu, const char *format, ...) printf_like(2, 3);
/**
 * exit_crash_dump() - writes to the log, in some 60 lines, why @vcpu's VM crashed, its VMCS in words and its last exits. Some
 * milliseconds of work: for scheduler_borrow(), when the VM has stopped.
 */
void exit_crash_dump(struct vcpu *vcpu, void *unused);
