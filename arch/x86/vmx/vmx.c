#include "arch/x86/vmx/vmx.h"

#include "arch/x86/cr.h"
#include "arch/x86/insn.h"
#include "arch/x86/log.h"
#include "arch/x86/mm/page_pool.h"
#include "arch/x86/mm/page_table.h"
#include "arch/x86/msr.h"
#include "arch/x86/physmap.h"
#include "arch/x86/vmx/vm_state.h"

#define CPUID_1_ECX_VMX BIT(5)

struct vmx_capabilities vmx_capabilities;
struct vmx_settings vmx_settings;

static bool cpu_has_vmx(void)
{
	return insn_cpuid(1, 0).ecx & CPUID_1_ECX_VMX;
}

/* SDM Vol. 3C "Enabling and Entering VMX Operation": firmware may lock VMX off; where it left the lock open, we decide. */
static enum status check_feature_control(const char **why)
{
	uint64_t control;

	if (!insn_rdmsr_safe(MSR_FEATURE_CONTROL, &control)) {
		*why = "VMX cannot be switched on: there is no IA32_FEATURE_CONTROL";
		return STATUS_UNSUPPORTED;
	}
	if (control & FEATURE_CONTROL_LOCKED && !(control & FEATURE_CONTROL_VMX_OUTSIDE_SMX)) {
		*why = "VMX is switched off by the firmware (look for \"Intel Virtualization Technology\" in its set-up)";
		return STATUS_UNSUPPORTED;
	}
	return STATUS_OK;
}

enum status vmx_probe(const char **why)
{
	if (!cpu_has_vmx()) {
		*why = "this CPU has no VMX (Intel VT-x)";
		return STATUS_UNSUPPORTED;
	}
	enum status status = check_feature_control(why);
	if (status != STATUS_OK)
		return status;
	vmx_capabilities_read(&vmx_capabilities);
	return vmx_settings_decide(&vmx_capabilities, &vmx_settings, why);
}

void vmx_report(void (*print)(const char *format, ...))
{
	if (!cpu_has_vmx())
		return;
	if (!vmx_capabilities.basic)
		vmx_capabilities_read(&vmx_capabilities);
	vmx_capabilities_report(&vmx_capabilities, print);
}

static enum status cpu_enable(void)
{
	struct pcpu *pcpu = pcpu_current();
	uint64_t control = insn_rdmsr(MSR_FEATURE_CONTROL);

	if (!(control & FEATURE_CONTROL_LOCKED))
		insn_wrmsr(MSR_FEATURE_CONTROL, control | FEATURE_CONTROL_LOCKED | FEATURE_CONTROL_VMX_OUTSIDE_SMX);
	else if (!(control & FEATURE_CONTROL_VMX_OUTSIDE_SMX))
		return STATUS_DENIED;
	if (!pcpu->vmx) {
		struct vmx_cpu *cpu = page_pool_allocate_pointer();
		hpa_t region;
		if (!cpu)
			return STATUS_NO_MEMORY;
		if (page_pool_allocate(PAGE_ORDER_4K, PAGE_OWNER_HYPERVISOR, &region) != STATUS_OK) {
			page_pool_free_pointer(cpu);
			return STATUS_NO_MEMORY;
		}
		cpu->vmxon_region = region;
		*(uint32_t *)physmap_pointer(region) = vmx_settings.revision;
		pcpu->vmx = cpu;
	}
	insn_write_cr0((insn_read_cr0() | vmx_capabilities.cr0_fixed0) & vmx_capabilities.cr0_fixed1);
	insn_write_cr4((insn_read_cr4() | CR4_VMXE | vmx_capabilities.cr4_fixed0) & vmx_capabilities.cr4_fixed1);
	if (!insn_vmxon(pcpu->vmx->vmxon_region))
		return STATUS_IO;
	pcpu->virtualization_on = true;
	return STATUS_OK;
}

static void cpu_disable(void)
{
	struct pcpu *pcpu = pcpu_current();

	if (!pcpu->virtualization_on)
		return;
	insn_vmxoff();
	insn_write_cr4(insn_read_cr4() & ~CR4_VMXE);
	pcpu->virtualization_on = false;
}

static const struct page_table_format *nested_format(void)
{
	return page_table_ept_format(vmx_settings.ept_2m, vmx_settings.ept_1g);
}

const struct virt_ops vmx_ops = {
	.name = "VMX",
	.nested_name = "EPT",
	.cpu_enable = cpu_enable,
	.cpu_disable = cpu_disable,
	.nested_format = nested_format,
	.vm_create = vmx_vm_create,
	.vm_destroy = vmx_vm_destroy,
	.vm_flush = vmx_vm_flush,
	.msr_intercept = vmx_msr_intercept,
	.port_intercept = vmx_port_intercept,
	.vcpu_create = vmx_vcpu_create,
	.vcpu_destroy = vmx_vcpu_destroy,
	.vcpu_load = vmx_vcpu_load,
	.vcpu_put = vmx_vcpu_put,
	.vcpu_run = vmx_vcpu_run,
	.vcpu_flush = vmx_vcpu_flush,
	.vcpu_enter_init = vmx_vcpu_enter_init,
	.register_read = vmx_register_read,
	.register_write = vmx_register_write,
	.segment_read = vmx_segment_read,
	.segment_write = vmx_segment_write,
	.skip_instruction = vmx_skip_instruction,
	.inject_exception = vmx_inject_exception,
	.inject_interrupt = vmx_inject_interrupt,
	.inject_nmi = vmx_inject_nmi,
	.interrupt_allowed = vmx_interrupt_allowed,
	.nmi_allowed = vmx_nmi_allowed,
	.interrupt_window = vmx_interrupt_window,
	.apic_mode_supported = vmx_apic_mode_supported,
	.apic_can_post = vmx_apic_can_post,
	.apic_set_mode = vmx_apic_set_mode,
	.apic_set_status = vmx_apic_set_status,
	.apic_set_eoi_exits = vmx_apic_set_eoi_exits,
	.apic_arm_timer = vmx_apic_arm_timer,
	.apic_disarm_timer = vmx_apic_disarm_timer,
	.reason_name = vmx_reason_name,
	.inspect = &vmx_inspect_ops,
	.dump = vmx_dump,
};
