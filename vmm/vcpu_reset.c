#include "vmm/vcpu_reset.h"

#include "lib/string.h"
#include "vmm/cpuid_policy.h"
#include "vmm/vm.h"

#define STARTUP_PAGE_SHIFT 12
#define STARTUP_SELECTOR_SHIFT 8

/* SDM Vol. 3A "Processor State After Reset": RDX tells the processor's version, as CPUID leaf 1 does. */
static void reset_general_registers(struct vcpu *vcpu)
{
	struct cpuid_result version;

	cpuid_policy_read(vcpu, 1, 0, &version);
	memset(vcpu->virt.gpr, 0, sizeof(vcpu->virt.gpr));
	vcpu->virt.gpr[GPR_RDX] = version.eax;
}

void vcpu_enter_init_state(struct vcpu *vcpu)
{
	struct vm *vm = vcpu->vm;

	virt_ops->vcpu_enter_init(&vcpu->virt);
	reset_general_registers(vcpu);
	spinlock_lock(&vm->device_lock);
	irq_enter_init(vcpu);
	spinlock_unlock(&vm->device_lock);
}

void vcpu_set_startup_address(struct vcpu *vcpu, uint8_t vector)
{
	struct virt_segment code;

	virt_ops->segment_read(&vcpu->virt, VIRT_CS, &code);
	code.selector = (uint16_t)(vector << STARTUP_SELECTOR_SHIFT);
	code.base = (uint64_t)vector << STARTUP_PAGE_SHIFT;
	virt_ops->segment_write(&vcpu->virt, VIRT_CS, &code);
	virt_ops->register_write(&vcpu->virt, VIRT_RIP, 0);
}
