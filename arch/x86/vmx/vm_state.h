/*
 * What VMX keeps of a VM (bitmaps, EPT pointer) and of a vCPU (its VMCS), and their life. The functions are the back
 * end's operations; their contracts stand in arch/x86/virt.h.
 */
#pragma once

#include "arch/x86/virt.h"
#include "lib/status.h"

must_check enum status vmx_vm_create(struct virt_vm *vm, const struct page_table *nested);
void vmx_vm_destroy(struct virt_vm *vm);
void vmx_vm_flush(struct virt_vm *vm);
void vmx_msr_intercept(struct virt_vm *vm, uint32_t msr, bool read, bool write);
void vmx_port_intercept(struct virt_vm *vm, uint16_t port, bool intercept);

must_check enum status vmx_vcpu_create(struct virt_vcpu *vcpu, struct virt_vm *vm);
void vmx_vcpu_destroy(struct virt_vcpu *vcpu);
void vmx_vcpu_load(struct virt_vcpu *vcpu);
void vmx_vcpu_put(struct virt_vcpu *vcpu);
void vmx_vcpu_run(struct virt_vcpu *vcpu, virt_exit_handler handle);
void vmx_vcpu_flush(struct virt_vcpu *vcpu);
void vmx_vcpu_enter_init(struct virt_vcpu *vcpu);

/* inspect.c */
extern const struct virt_inspect_ops vmx_inspect_ops;
