#include "vmm/vm_flush.h"

#include "vmm/vm.h"

void vm_flush_translations(struct vm *vm)
{
	virt_ops->vm_flush(&vm->virt);
	for (uint32_t i = 0; i < vm->vcpu_count; i++) {
		if (vm->vcpus[i] != NULL && __atomic_load_n(&vm->vcpus[i]->state, __ATOMIC_ACQUIRE) == VCPU_RUNNING)
			vcpu_kick(vm->vcpus[i], VCPU_REQUEST_FLUSH);
	}
}
