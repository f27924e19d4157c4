/*
 * The processor that host builds run on: what a test puts in is what the code under test finds. An MSR, port or
 * instruction that nobody modelled aborts with a message. fake_cpu_reset() brings everything back to the start.
 */
#pragma once

#include "arch/x86/insn.h"
#include "lib/types.h"

void fake_cpu_reset(void);

/* MSRs: a map that the test fills. Writes to MSRs in the map are kept; others abort, or fail in the _safe forms. */
void fake_msr_set(uint32_t msr, uint64_t value);
uint64_t fake_msr_get(uint32_t msr);
/** fake_msr_refuse_writes() - the MSR exists but a write gives #GP. */
void fake_msr_refuse_writes(uint32_t msr);
extern unsigned fake_msr_write_count;

/* CPUID: leaves that are not in the table read as zero. */
void fake_cpuid_set(uint32_t leaf, uint32_t subleaf, uint32_t eax, uint32_t ebx, uint32_t ecx, uint32_t edx);

/* Ports [first, first + count): later devices come before earlier ones. */
struct fake_port_device {
	uint16_t first;
	uint32_t count;
	uint32_t (*read)(void *context, uint16_t port, unsigned size);
	void (*write)(void *context, uint16_t port, unsigned size, uint32_t value);
	void *context;
};
void fake_port_add(const struct fake_port_device *device);

/* Memory-mapped registers at host pointers [base, base + length); elsewhere is plain memory. */
struct fake_mmio_device {
	const void *base;
	uint64_t length;
	uint64_t (*read)(void *context, uint64_t offset, unsigned size);
	void (*write)(void *context, uint64_t offset, unsigned size, uint64_t value);
	void *context;
};
void fake_mmio_add(const struct fake_mmio_device *device);

extern uint64_t fake_tsc;      /* the next insn_rdtsc() */
extern uint64_t fake_tsc_step; /* added after each; 1000 after a reset */

extern uint64_t fake_cr0, fake_cr2, fake_cr3, fake_cr4, fake_dr[8], fake_xcr0, fake_rbp, fake_rsp;
extern bool fake_interrupts_enabled;
extern uint16_t fake_tr, fake_ldtr, fake_code_selector, fake_data_selector;
extern struct descriptor_table_register fake_gdtr, fake_idtr;

/* Called by HLT (an unhooked one aborts) and by PAUSE; interrupts are as the instruction leaves them. */
extern void (*fake_halt_hook)(void);
extern void (*fake_pause_hook)(void);
/* Called by CLFLUSH, for models of hardware that reads past the caches. */
extern void (*fake_clflush_hook)(const volatile void *address);
extern unsigned fake_halt_count;
extern uint64_t fake_pause_count;

/* VMX: one VMCS for all regions; the failure switches make the next instructions fail. */
uint64_t fake_vmcs_get(uint64_t field);
void fake_vmcs_set(uint64_t field, uint64_t value);
extern bool fake_vmx_on, fake_vmxon_fails, fake_vmptrld_fails, fake_vmclear_fails;
extern uint64_t fake_vmcs_missing_field; /* the _safe forms fail for it */
extern hpa_t fake_vmxon_region, fake_vmcs_current;
extern unsigned fake_vmread_count, fake_vmwrite_count, fake_invept_count, fake_invvpid_count, fake_invlpg_count,
	fake_wbinvd_count, fake_vmclear_count;
