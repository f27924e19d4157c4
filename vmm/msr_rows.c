#include "vmm/msr_rows.h"

#include "arch/x86/msr.h"
#include "vmm/guest_memory.h"
#include "vmm/vcpu.h"

/* Registers without a name elsewhere. */
#define MSR_P5_MC_ADDR 0x0u
#define MSR_P5_MC_TYPE 0x1u
#define MSR_EBL_CR_POWERON 0x2au
#define MSR_SMI_COUNT 0x34u
#define MSR_MTRR_PHYS_FIRST_UNUSED 0x202u
#define MSR_MTRR_PHYS_LAST 0x20fu
#define MSR_MTRR_FIX4K_LAST 0x26fu
#define MSR_SYSCFG 0xc0010010u
#define MSR_HWCR 0xc0010015u
#define MSR_NB_CFG 0xc001001fu
#define MSR_INT_PENDING 0xc0010055u
#define MSR_DE_CFG 0xc0011029u

/*
 * MTRRs that tell the machine as it is: RAM write-back by default, the legacy video area and the gap for devices
 * uncached. What a guest writes there is ignored: the nested tables decide.
 */
#define MTRR_CAPABILITIES 0x508u /* 8 variable ranges, fixed ranges, write-combining */
#define MTRR_ENABLED_WRITE_BACK 0xc06u
#define MTRR_FIXED_WRITE_BACK 0x0606060606060606ull
#define MTRR_FIXED_UNCACHED 0u

/* AMD's. */
#define HWCR_TSC_CONSTANT BIT(24)
#define DE_CFG_LFENCE_SERIALIZES BIT(1)

#define FIELD(name) offsetof(struct vcpu, name)
#define ONE(msr) (msr), (msr)
#define PASSED MSR_PASS_BOTH, NULL, NULL, 0
#define CONSTANT(value) MSR_PASS_NONE, msr_read_constant, msr_write_ignored, (value)
#define AMD_CONSTANT(value) MSR_PASS_NONE, msr_read_amd_constant, msr_write_amd_ignored, (value)
#define READ_ONLY(value) MSR_PASS_NONE, msr_read_constant, NULL, (value)

const struct msr_row msr_rows[] = {
	{ ONE(MSR_P5_MC_ADDR), "IA32_P5_MC_ADDR", CONSTANT(0) },
	{ ONE(MSR_P5_MC_TYPE), "IA32_P5_MC_TYPE", CONSTANT(0) },
	{ ONE(MSR_TSC), "IA32_TIME_STAMP_COUNTER", MSR_PASS_READ, msr_read_tsc, msr_write_tsc, 0 },
	{ ONE(MSR_PLATFORM_ID), "IA32_PLATFORM_ID", READ_ONLY(0) },
	{ ONE(MSR_APIC_BASE), "IA32_APIC_BASE", MSR_PASS_NONE, msr_read_device, msr_write_device, 0 },
	{ ONE(MSR_EBL_CR_POWERON), "MSR_EBL_CR_POWERON", CONSTANT(0) },
	{ ONE(MSR_SMI_COUNT), "MSR_SMI_COUNT", READ_ONLY(0) },
	/* Locked with VMX and SGX off. */
	{ ONE(MSR_FEATURE_CONTROL), "IA32_FEATURE_CONTROL", READ_ONLY(FEATURE_CONTROL_LOCKED) },
	{ ONE(MSR_TSC_ADJUST), "IA32_TSC_ADJUST", MSR_PASS_NONE, msr_read_field, msr_write_tsc_adjust, FIELD(tsc_adjust) },
	{ ONE(MSR_BIOS_UPDT_TRIG), "IA32_BIOS_UPDT_TRIG", MSR_PASS_NONE, NULL, msr_write_ignored, 0 },
	{ ONE(MSR_BIOS_SIGN_ID), "IA32_BIOS_SIGN_ID", MSR_PASS_NONE, msr_read_host_value, msr_write_ignored, MSR_HOST_BIOS_SIGN_ID },
	{ ONE(MSR_PLATFORM_INFO), "MSR_PLATFORM_INFO", MSR_PASS_NONE, msr_read_host_value, NULL, MSR_HOST_PLATFORM_INFO },
	{ ONE(MSR_MTRRCAP), "IA32_MTRRCAP", READ_ONLY(MTRR_CAPABILITIES) },
	{ ONE(MSR_ARCH_CAPABILITIES), "IA32_ARCH_CAPABILITIES", MSR_PASS_NONE, msr_read_arch_capabilities, NULL, MSR_HOST_ARCH_CAPABILITIES },
	/* No CPUID faulting, which PLATFORM_INFO says too. */
	{ ONE(MSR_MISC_FEATURES_ENABLES), "MSR_MISC_FEATURES_ENABLES", MSR_PASS_NONE, msr_read_constant, msr_write_zero, 0 },
	{ ONE(MSR_SYSENTER_CS), "IA32_SYSENTER_CS", PASSED },
	{ ONE(MSR_SYSENTER_ESP), "IA32_SYSENTER_ESP", PASSED },
	{ ONE(MSR_SYSENTER_EIP), "IA32_SYSENTER_EIP", PASSED },
	/* Machine checks are the host's: no bank is offered. */
	{ ONE(MSR_MCG_CAP), "IA32_MCG_CAP", READ_ONLY(0) },
	{ ONE(MSR_MCG_STATUS), "IA32_MCG_STATUS", MSR_PASS_NONE, msr_read_constant, msr_write_zero, 0 },
	{ ONE(MSR_PERF_STATUS), "IA32_PERF_STATUS", READ_ONLY(0) },
	{ ONE(MSR_PERF_CTL), "IA32_PERF_CTL", CONSTANT(0) },
	{ ONE(MSR_MISC_ENABLE), "IA32_MISC_ENABLE", MSR_PASS_NONE, msr_read_field, msr_write_misc_enable, FIELD(misc_enable) },
	{ ONE(MSR_DEBUGCTL), "IA32_DEBUGCTL", MSR_PASS_NONE, msr_read_register, msr_write_debugctl, VIRT_DEBUGCTL },
	{ ONE(MSR_MTRR_PHYSBASE0), "IA32_MTRR_PHYSBASE0", CONSTANT(GUEST_LOW_RAM_END) },
	{ ONE(MSR_MTRR_PHYSBASE0 + 1), "IA32_MTRR_PHYSMASK0", MSR_PASS_NONE, msr_read_host_value, msr_write_ignored, MSR_HOST_MTRR_MASK },
	{ MSR_MTRR_PHYS_FIRST_UNUSED, MSR_MTRR_PHYS_LAST, "IA32_MTRR_PHYS", CONSTANT(0) },
	{ ONE(MSR_MTRR_FIX64K_00000), "IA32_MTRR_FIX64K_00000", CONSTANT(MTRR_FIXED_WRITE_BACK) },
	{ ONE(MSR_MTRR_FIX16K_80000), "IA32_MTRR_FIX16K_80000", CONSTANT(MTRR_FIXED_WRITE_BACK) },
	{ ONE(MSR_MTRR_FIX16K_A0000), "IA32_MTRR_FIX16K_A0000", CONSTANT(MTRR_FIXED_UNCACHED) },
	{ MSR_MTRR_FIX4K_C0000, MSR_MTRR_FIX4K_LAST, "IA32_MTRR_FIX4K", CONSTANT(MTRR_FIXED_WRITE_BACK) },
	{ ONE(MSR_PAT), "IA32_PAT", MSR_PASS_NONE, msr_read_register, msr_write_pat, VIRT_PAT },
	{ ONE(MSR_MTRR_DEF_TYPE), "IA32_MTRR_DEF_TYPE", CONSTANT(MTRR_ENABLED_WRITE_BACK) },
	{ ONE(MSR_TSC_DEADLINE), "IA32_TSC_DEADLINE", MSR_PASS_NONE, msr_read_device, msr_write_device, 0 },
	{ MSR_X2APIC_BASE, MSR_X2APIC_LAST, "IA32_X2APIC", MSR_PASS_NONE, msr_read_device, msr_write_device, 0 },
	{ ONE(MSR_EFER), "IA32_EFER", MSR_PASS_NONE, msr_read_register, msr_write_efer, VIRT_EFER },
	{ ONE(MSR_STAR), "IA32_STAR", PASSED },
	{ ONE(MSR_LSTAR), "IA32_LSTAR", PASSED },
	{ ONE(MSR_CSTAR), "IA32_CSTAR", PASSED },
	{ ONE(MSR_FMASK), "IA32_FMASK", PASSED },
	{ ONE(MSR_FS_BASE), "IA32_FS_BASE", PASSED },
	{ ONE(MSR_GS_BASE), "IA32_GS_BASE", PASSED },
	{ ONE(MSR_KERNEL_GS_BASE), "IA32_KERNEL_GS_BASE", PASSED },
	{ ONE(MSR_TSC_AUX), "IA32_TSC_AUX", PASSED },
	/* What kernels read and set without asking CPUID. */
	{ ONE(MSR_SYSCFG), "SYSCFG", AMD_CONSTANT(0) },
	{ ONE(MSR_HWCR), "HWCR", AMD_CONSTANT(HWCR_TSC_CONSTANT) },
	{ ONE(MSR_NB_CFG), "NB_CFG", AMD_CONSTANT(0) },
	{ ONE(MSR_INT_PENDING), "INT_PENDING", AMD_CONSTANT(0) },
	{ ONE(MSR_DE_CFG), "DE_CFG", AMD_CONSTANT(DE_CFG_LFENCE_SERIALIZES) },
};
const unsigned msr_row_count = array_count(msr_rows);
