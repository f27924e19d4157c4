#include "arch/x86/cpu/xsave.h"
#include "arch/x86/insn.h"
#include "vmm/cpuid_policy.h"
#include "vmm/exit/exit_handlers.h"
#include "vmm/msr_policy.h"

/* RAX after a VMCALL that asks for nothing we know. */
#define HYPERCALL_UNKNOWN (~(uint64_t)0)

enum exit_action exit_cpuid(struct vcpu *vcpu, const struct vm_exit *exit)
{
	uint64_t *gpr = vcpu->virt.gpr;
	struct cpuid_result result;

	(void)exit;
	cpuid_policy_read(vcpu, (uint32_t)gpr[GPR_RAX], (uint32_t)gpr[GPR_RCX], &result);
	gpr[GPR_RAX] = result.eax;
	gpr[GPR_RBX] = result.ebx;
	gpr[GPR_RCX] = result.ecx;
	gpr[GPR_RDX] = result.edx;
	return EXIT_SKIP;
}

enum exit_action exit_rdmsr(struct vcpu *vcpu, const struct vm_exit *exit)
{
	uint64_t *gpr = vcpu->virt.gpr;
	uint64_t value;

	if (unlikely(msr_policy_read(vcpu, (uint32_t)gpr[GPR_RCX], &value) != STATUS_OK))
		return exit_general_protection(vcpu, exit);
	gpr[GPR_RAX] = (uint32_t)value;
	gpr[GPR_RDX] = value >> 32;
	return EXIT_SKIP;
}

enum exit_action exit_wrmsr(struct vcpu *vcpu, const struct vm_exit *exit)
{
	const uint64_t *gpr = vcpu->virt.gpr;
	uint64_t value = (uint32_t)gpr[GPR_RAX] | gpr[GPR_RDX] << 32;

	if (unlikely(msr_policy_write(vcpu, (uint32_t)gpr[GPR_RCX], value) != STATUS_OK))
		return exit_general_protection(vcpu, exit);
	return EXIT_SKIP;
}

enum exit_action exit_ignored_instruction(struct vcpu *vcpu, const struct vm_exit *exit)
{
	(void)vcpu;
	(void)exit;
	return EXIT_SKIP;
}

enum exit_action exit_undefined_opcode(struct vcpu *vcpu, const struct vm_exit *exit)
{
	(void)exit;
	vcpu_inject_undefined_opcode(vcpu);
	return EXIT_INJECT;
}

enum exit_action exit_general_protection(struct vcpu *vcpu, const struct vm_exit *exit)
{
	(void)exit;
	vcpu_inject_general_protection(vcpu);
	return EXIT_INJECT;
}

enum exit_action exit_hypercall(struct vcpu *vcpu, const struct vm_exit *exit)
{
	(void)exit;
	vcpu->virt.gpr[GPR_RAX] = HYPERCALL_UNKNOWN;
	return EXIT_SKIP;
}

/* The CPU has checked CPL and CR4.OSXSAVE before the exit; SDM Vol. 2 "XSETBV". */
enum exit_action exit_xsetbv(struct vcpu *vcpu, const struct vm_exit *exit)
{
	const uint64_t *gpr = vcpu->virt.gpr;
	uint64_t value = (uint32_t)gpr[GPR_RAX] | gpr[GPR_RDX] << 32;

	if ((uint32_t)gpr[GPR_RCX] != 0 || value & ~cpuid_policy_xcr0_allowed() || !xsave_xcr0_is_valid(value))
		return exit_general_protection(vcpu, exit);
	vcpu->virt.xcr0 = value;
	insn_xsetbv(0, value);
	return EXIT_SKIP;
}
