/*
 * A machine with VMX made of the fake CPU: capability MSRs, a page pool that can fail, and vmx_enter() of entry.asm as a
 * script that the test writes. Included by one .c file of a program.
 */
#pragma once

#include "arch/x86/clock.h"
#include "arch/x86/cpu/gdt.h"
#include "arch/x86/cr.h"
#include "arch/x86/exception.h"
#include "arch/x86/irq/lapic.h"
#include "arch/x86/irq/lapic_timer.h"
#include "arch/x86/log.h"
#include "arch/x86/msr.h"
#include "arch/x86/pcpu.h"
#include "arch/x86/vmx/vm_state.h"
#include "arch/x86/vmx/vmcs.h"
#include "arch/x86/vmx/vmx.h"
#include "tests/fake/fake_cpu.h"
#include "tests/fake/fake_pcpu.h"
#include "tests/unit/failing_pool.h"

#define FIXTURE_HZ 2000000000u /* of the TSC */
#define FIXTURE_REVISION 0x1234u

/* ---- the guest: each call of fixture_guest is a run up to its next exit ---- */

static void (*fixture_guest)(struct virt_vcpu *vcpu); /* leaves the exit in the VMCS */
static bool fixture_entry_fails;                       /* the next entry does */
static unsigned fixture_entries, fixture_enters;       /* VM entries; calls of vmx_enter() */
#define FIXTURE_ENTRY_LIMIT 100000u

void vmx_exit_entry_point(void)
{
	abort();
}

/* The loop of entry.asm. */
void vmx_enter(struct virt_vcpu *vcpu, struct virt_vcpu_backend *backend)
{
	bool again = true;

	fixture_enters++;
	while (again) {
		if (fixture_entries++ > FIXTURE_ENTRY_LIMIT)
			abort();
		backend->launched = 1;
		if (fixture_entry_fails) {
			fixture_entry_fails = false;
			again = vmx_after_failed_entry(vcpu);
			continue;
		}
		fake_vmcs_set(VMCS_DATA_EXIT_INTERRUPTION_INFO, 0);
		fake_vmcs_set(VMCS_DATA_IDT_VECTORING_INFO, 0);
		fixture_guest(vcpu);
		/* An exit clears the valid bit of what was to be injected. */
		fake_vmcs_set(VMCS_CONTROL_ENTRY_INTERRUPTION_INFO, fake_vmcs_get(VMCS_CONTROL_ENTRY_INTERRUPTION_INFO) & ~INTERRUPTION_VALID);
		again = vmx_after_exit(vcpu);
	}
}

/* ---- the log ---- */

static char fixture_log[65536];
static size_t fixture_log_length;

static inline void fixture_log_take(const char *text, size_t size, bool synchronous)
{
	(void)synchronous;
	for (size_t i = 0; i < size && fixture_log_length < sizeof(fixture_log) - 1; i++)
		fixture_log[fixture_log_length++] = text[i];
	fixture_log[fixture_log_length] = '\0';
}

static inline void fixture_log_clear(void)
{
	fixture_log_length = 0;
	fixture_log[0] = '\0';
}

static inline bool fixture_logged(const char *text)
{
	return strstr(fixture_log, text) != NULL;
}

/* ---- the CPU ---- */

/* Every control may be set; those that the first CPUs with VMX had on for good must be. */
static inline void fixture_set_capabilities(void)
{
	const uint64_t any = (uint64_t)0xffffffff << 32;

	fake_msr_set(MSR_FEATURE_CONTROL, 0);
	fake_msr_set(MSR_VMX_BASIC, FIXTURE_REVISION | BIT(55) | (uint64_t)6 << 50 | (uint64_t)4096 << 32);
	fake_msr_set(MSR_VMX_MISC, 5);
	fake_msr_set(MSR_VMX_PINBASED_CTLS, any | 0x16);
	fake_msr_set(MSR_VMX_PROCBASED_CTLS, any | 0x0401e172);
	fake_msr_set(MSR_VMX_EXIT_CTLS, any | 0x36dff);
	fake_msr_set(MSR_VMX_ENTRY_CTLS, any | 0x11ff);
	fake_msr_set(MSR_VMX_TRUE_PINBASED_CTLS, any | 0x16);
	fake_msr_set(MSR_VMX_TRUE_PROCBASED_CTLS, any | 0x04006172);
	fake_msr_set(MSR_VMX_TRUE_EXIT_CTLS, any | 0x36dfb);
	fake_msr_set(MSR_VMX_TRUE_ENTRY_CTLS, any | 0x11fb);
	fake_msr_set(MSR_VMX_PROCBASED_CTLS2, any);
	fake_msr_set(MSR_VMX_EPT_VPID_CAP, BIT(6) | BIT(14) | BIT(16) | BIT(17) | BIT(20) | BIT(25) | BIT(26) | BIT(32) | BIT(41));
	fake_msr_set(MSR_VMX_CR0_FIXED0, CR0_PE | CR0_NE | CR0_PG);
	fake_msr_set(MSR_VMX_CR0_FIXED1, 0xffffffff);
	fake_msr_set(MSR_VMX_CR4_FIXED0, CR4_VMXE);
	fake_msr_set(MSR_VMX_CR4_FIXED1, 0x3727ff);
}

static inline void fixture_set_cpu(void)
{
	static const uint32_t msrs[] = {MSR_STAR, MSR_LSTAR, MSR_CSTAR, MSR_FMASK, MSR_KERNEL_GS_BASE, MSR_TSC_AUX, MSR_EFER, MSR_PAT,
					MSR_TSC_DEADLINE, MSR_XSS};

	/* VMX, x2APIC, TSC-deadline timer; local APIC. */
	fake_cpuid_set(1, 0, 0, 0, BIT(5) | BIT(21) | BIT(24), BIT(9));
	for (uint32_t msr = MSR_X2APIC_BASE; msr <= MSR_X2APIC_BASE + 0x3f; msr++)
		fake_msr_set(msr, 0);
	fake_msr_set(MSR_APIC_BASE, 0xfee00000 | APIC_BASE_ENABLE | APIC_BASE_X2APIC | APIC_BASE_BSP);
	for (size_t i = 0; i < array_count(msrs); i++)
		fake_msr_set(msrs[i], 0);
	fake_msr_set(MSR_EFER, EFER_LME | EFER_LMA | EFER_NXE);
	fake_msr_set(MSR_PAT, 0x0007040600070406);
	fixture_set_capabilities();
}

/* Gives the current CPU what VMX needs of it. False: VMX could not be switched on. */
static inline bool fixture_enable_cpu(void)
{
	static struct gdt_tables tables[PCPU_MAX];

	pcpu_current()->descriptor_tables = &tables[pcpu_current()->index];
	fake_vmx_on = false;
	return vmx_ops.cpu_enable() == STATUS_OK;
}

static inline void fixture_start_vmx(void)
{
	static struct log_sink sink = {.name = "test", .write = fixture_log_take};
	static bool sink_added, apic_started;
	const char *why;

	fake_cpu_reset();
	fake_pcpu_reset();
	pool_reset();
	fixture_set_cpu();
	clock_set_frequency(FIXTURE_HZ);
	if (!sink_added)
		log_add_sink(&sink);
	sink_added = true;
	fixture_log_clear();
	fixture_guest = NULL;
	fixture_entry_fails = false;
	fixture_entries = fixture_enters = 0;
	if (!apic_started && (lapic_init(false) != STATUS_OK || lapic_timer_calibrate() != STATUS_OK))
		abort();
	apic_started = true; /* it registers interrupt handlers, which can be done once */
	if (vmx_probe(&why) != STATUS_OK || !fixture_enable_cpu())
		abort();
	virt_set_ops(&vmx_ops);
}

/* ---- what is queued for the next entry ---- */

static inline uint32_t fixture_event(void)
{
	return (uint32_t)fake_vmcs_get(VMCS_CONTROL_ENTRY_INTERRUPTION_INFO);
}

#define EVENT(type, vector) ((uint32_t)(INTERRUPTION_VALID | (uint32_t)(type) << INTERRUPTION_TYPE_SHIFT | (vector)))
#define EVENT_EXCEPTION(vector) EVENT(INTERRUPTION_HARDWARE_EXCEPTION, vector)
#define EVENT_EXCEPTION_CODE(vector) (EVENT_EXCEPTION(vector) | (uint32_t)INTERRUPTION_ERROR_CODE)
