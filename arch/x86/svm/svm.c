#include "arch/x86/svm/svm.h"

#include "arch/x86/cpu/features.h"
#include "arch/x86/cr.h"
#include "arch/x86/insn.h"
#include "arch/x86/mm/page_pool.h"
#include "arch/x86/mm/page_table_npt.h"
#include "arch/x86/msr.h"
#include "arch/x86/svm/svm_internal.h"

struct svm_settings svm_settings;

enum status svm_probe(const char **why)
{
	if (!features_has(CPU_FEATURE_SVM)) {
		*why = "this CPU has no SVM (AMD-V)";
		return STATUS_UNSUPPORTED;
	}
	return svm_settings_decide(&svm_settings, why);
}

void svm_report(void (*print)(const char *format, ...))
{
	if (features_has(CPU_FEATURE_SVM))
		svm_features_report(print);
}

static enum status create_cpu(struct pcpu *pcpu)
{
	struct svm_cpu *cpu = page_pool_allocate_pointer();
	hpa_t pages[2];

	if (!cpu)
		return STATUS_NO_MEMORY;
	for (unsigned i = 0; i < array_count(pages); i++) {
		if (page_pool_allocate(PAGE_ORDER_4K, PAGE_OWNER_HYPERVISOR, &pages[i]) == STATUS_OK)
			continue;
		if (i > 0)
			page_pool_free(pages[0], PAGE_ORDER_4K, PAGE_OWNER_HYPERVISOR);
		page_pool_free_pointer(cpu);
		return STATUS_NO_MEMORY;
	}
	cpu->save_area = pages[0];
	cpu->host_state = pages[1];
	pcpu->svm = cpu;
	return STATUS_OK;
}

/* "Enabling SVM", "VM_HSAVE_PA MSR". What VMSAVE writes here, the bases of GS and TR among it, the hypervisor does not change
 * any more. */
static enum status cpu_enable(void)
{
	struct pcpu *pcpu = pcpu_current();
	uint64_t control;

	if (!insn_rdmsr_safe(MSR_VM_CR, &control))
		control = 0;
	if (svm_is_locked_off(control))
		return STATUS_DENIED;
	if (!pcpu->svm && create_cpu(pcpu) != STATUS_OK)
		return STATUS_NO_MEMORY;
	if (control & VM_CR_SVM_DISABLED)
		insn_wrmsr(MSR_VM_CR, control & ~VM_CR_SVM_DISABLED);
	insn_wrmsr(MSR_EFER, insn_rdmsr(MSR_EFER) | EFER_SVME);
	insn_wrmsr(MSR_VM_HSAVE_PA, pcpu->svm->save_area.value);
	insn_vmsave(pcpu->svm->host_state);
	svm_asid_init_cpu(pcpu->svm);
	pcpu->virtualization_on = true;
	return STATUS_OK;
}

static void cpu_disable(void)
{
	struct pcpu *pcpu = pcpu_current();

	if (!pcpu->virtualization_on)
		return;
	insn_wrmsr(MSR_EFER, insn_rdmsr(MSR_EFER) & ~EFER_SVME);
	pcpu->virtualization_on = false;
}

static const struct page_table_format *nested_format(void)
{
	return page_table_npt_format(svm_settings.page_1g);
}

/* Guests' local APICs are carried out by software alone. */
static bool apic_mode_supported(enum virt_apic_mode mode)
{
	return mode == VIRT_APIC_SOFTWARE;
}

static bool apic_can_post(void)
{
	return false;
}

static void apic_set_mode(struct virt_vcpu *vcpu, enum virt_apic_mode mode)
{
	(void)vcpu;
	(void)mode;
}

static void apic_set_status(struct virt_vcpu *vcpu, uint8_t requested, uint8_t in_service)
{
	(void)vcpu;
	(void)requested;
	(void)in_service;
}

static void apic_set_eoi_exits(struct virt_vcpu *vcpu, unsigned word, uint64_t vectors)
{
	(void)vcpu;
	(void)word;
	(void)vectors;
}

static bool apic_arm_timer(struct virt_vcpu *vcpu, uint8_t vector, uint64_t deadline)
{
	(void)vcpu;
	(void)vector;
	(void)deadline;
	return false;
}

static bool apic_disarm_timer(struct virt_vcpu *vcpu)
{
	(void)vcpu;
	return true;
}

const struct virt_ops svm_ops = {
	.name = "SVM",
	.nested_name = "NPT",
	.cpu_enable = cpu_enable,
	.cpu_disable = cpu_disable,
	.nested_format = nested_format,
	.vm_create = svm_vm_create,
	.vm_destroy = svm_vm_destroy,
	.vm_flush = svm_vm_flush,
	.msr_intercept = svm_msr_intercept,
	.port_intercept = svm_port_intercept,
	.vcpu_create = svm_vcpu_create,
	.vcpu_destroy = svm_vcpu_destroy,
	.vcpu_load = svm_vcpu_load,
	.vcpu_put = svm_vcpu_put,
	.vcpu_run = svm_vcpu_run,
	.vcpu_flush = svm_vcpu_flush,
	.vcpu_enter_init = svm_vcpu_enter_init,
	.register_read = svm_register_read,
	.register_write = svm_register_write,
	.segment_read = svm_segment_read,
	.segment_write = svm_segment_write,
	.skip_instruction = svm_skip_instruction,
	.inject_exception = svm_inject_exception,
	.inject_interrupt = svm_inject_interrupt,
	.inject_nmi = svm_inject_nmi,
	.interrupt_allowed = svm_interrupt_allowed,
	.nmi_allowed = svm_nmi_allowed,
	.interrupt_window = svm_interrupt_window,
	.apic_mode_supported = apic_mode_supported,
	.apic_set_mode = apic_set_mode,
	.apic_can_post = apic_can_post,
	.apic_set_status = apic_set_status,
	.apic_set_eoi_exits = apic_set_eoi_exits,
	.apic_arm_timer = apic_arm_timer,
	.apic_disarm_timer = apic_disarm_timer,
	.reason_name = svm_reason_name,
	.inspect = &svm_inspect_ops,
	.dump = svm_dump,
};
