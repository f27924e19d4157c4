/*
 * What this CPU's VMX offers, read once from the capability MSRs, and what Trivet makes of it: one table decides every
 * control bit and tells what a missing one costs. SDM Vol. 3D "VMX Capability Reporting Facility".
 */
#pragma once

#include "lib/status.h"
#include "lib/types.h"

enum vmx_control_word { VMX_PIN, VMX_PRIMARY, VMX_SECONDARY, VMX_EXIT, VMX_ENTRY, VMX_CONTROL_WORD_COUNT };

struct vmx_capabilities {
	uint64_t basic;                             /* IA32_VMX_BASIC */
	uint64_t misc;                              /* IA32_VMX_MISC */
	uint64_t ept_vpid;                          /* IA32_VMX_EPT_VPID_CAP; 0 if there is neither */
	uint64_t controls[VMX_CONTROL_WORD_COUNT];  /* allowed-0 [31:0], allowed-1 [63:32] */
	uint64_t cr0_fixed0, cr0_fixed1, cr4_fixed0, cr4_fixed1;
};

struct vmx_settings {
	uint32_t controls[VMX_CONTROL_WORD_COUNT]; /* what every VMCS starts with */
	uint32_t revision;                         /* VMCS revision identifier */
	uint8_t timer_shift;                       /* the preemption timer counts TSC >> timer_shift */
	bool has_preemption_timer, has_vpid, has_virtual_nmis;
	bool has_apic, has_x2apic; /* the hardware carries out guests' local APICs, in x2APIC mode too */
	bool has_posted_interrupts;
	bool has_pause_loop_exiting;
	bool ept_2m, ept_1g;
	bool invept_single, invvpid_single;
	uint64_t cr0_must_be_one, cr4_must_be_one; /* in the guest's real CR0/CR4, unrestricted guest considered */
	uint64_t cr4_allowed;
};

/** vmx_capabilities_read() - reads the MSRs; only on a CPU whose CPUID has VMX. */
void vmx_capabilities_read(struct vmx_capabilities *capabilities);

/**
 * vmx_settings_decide() - computes the controls; pure.
 * @why: out: static text that names the missing feature that VMs need, "" on success.
 * Return: STATUS_OK; STATUS_UNSUPPORTED with *@why.
 */
must_check enum status vmx_settings_decide(const struct vmx_capabilities *capabilities, struct vmx_settings *settings, const char **why);

/** vmx_capabilities_report() - one line for each optional feature: present, or missing and what that costs. */
void vmx_capabilities_report(const struct vmx_capabilities *capabilities, void (*print)(const char *format, ...));
