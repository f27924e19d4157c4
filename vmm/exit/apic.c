#include "vmm/exit/exit_handlers.h"
#include "vmm/vm.h"

/* Both exits come behind the instruction that caused them, so RIP stays. SDM Vol. 3C "APIC-Write VM Exits", "EOI
 * Virtualization". */

enum exit_action exit_apic_write(struct vcpu *vcpu, const struct vm_exit *exit)
{
	struct vm *vm = vcpu->vm;

	spinlock_lock(&vm->device_lock);
	irq_register_written(vcpu, exit->apic.offset);
	spinlock_unlock(&vm->device_lock);
	return EXIT_RESUME;
}

enum exit_action exit_virtual_eoi(struct vcpu *vcpu, const struct vm_exit *exit)
{
	struct vm *vm = vcpu->vm;

	spinlock_lock(&vm->device_lock);
	irq_end_of_interrupt(vm, exit->eoi.vector);
	spinlock_unlock(&vm->device_lock);
	return EXIT_RESUME;
}
