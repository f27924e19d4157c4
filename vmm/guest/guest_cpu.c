#include "vmm/guest/guest_cpu.h"

#include "arch/x86/cr.h"
#include "lib/string.h"
#include "vmm/vcpu.h"

/* Flat segments, accessed bit set; SDM Vol. 3A "Segment Descriptors". */
#define DESCRIPTOR_CODE_32 0x00cf9b000000ffffull
#define DESCRIPTOR_CODE_64 0x00af9b000000ffffull
#define DESCRIPTOR_DATA 0x00cf93000000ffffull

const uint64_t guest_cpu_gdt[2][GUEST_CPU_GDT_ENTRIES] = {
	{ 0, 0, DESCRIPTOR_CODE_32, DESCRIPTOR_DATA },
	{ 0, 0, DESCRIPTOR_CODE_64, DESCRIPTOR_DATA },
};

/* The same, as struct virt_segment holds them. */
#define ATTRIBUTES_CODE_32 0xc09bu
#define ATTRIBUTES_CODE_64 0xa09bu
#define ATTRIBUTES_DATA 0xc093u
#define ATTRIBUTES_BUSY_TSS 0x8bu
#define ATTRIBUTES_UNUSABLE 0x10000u
#define TSS_LIMIT 0x67u

static void set_segments(struct vcpu *vcpu, uint32_t code_attributes)
{
	const struct virt_segment code = { 0, 0xffffffff, code_attributes, GUEST_CPU_CODE_SELECTOR };
	const struct virt_segment data = { 0, 0xffffffff, ATTRIBUTES_DATA, GUEST_CPU_DATA_SELECTOR };
	const struct virt_segment task = { 0, TSS_LIMIT, ATTRIBUTES_BUSY_TSS, 0 };
	const struct virt_segment none = { 0, 0, ATTRIBUTES_UNUSABLE, 0 };
	static const enum virt_segment_name data_segments[] = { VIRT_ES, VIRT_SS, VIRT_DS, VIRT_FS, VIRT_GS };

	virt_ops->segment_write(&vcpu->virt, VIRT_CS, &code);
	for (size_t i = 0; i < array_count(data_segments); i++)
		virt_ops->segment_write(&vcpu->virt, data_segments[i], &data);
	virt_ops->segment_write(&vcpu->virt, VIRT_LDTR, &none);
	virt_ops->segment_write(&vcpu->virt, VIRT_TR, &task);
}

static void set_registers(struct vcpu *vcpu, uint64_t rip, uint64_t gdt)
{
	memset(vcpu->virt.gpr, 0, sizeof(vcpu->virt.gpr));
	virt_ops->register_write(&vcpu->virt, VIRT_RIP, rip);
	virt_ops->register_write(&vcpu->virt, VIRT_RSP, 0);
	virt_ops->register_write(&vcpu->virt, VIRT_RFLAGS, RFLAGS_FIXED);
	virt_ops->register_write(&vcpu->virt, VIRT_GDTR_BASE, gdt);
	virt_ops->register_write(&vcpu->virt, VIRT_GDTR_LIMIT, gdt == 0 ? 0 : sizeof(guest_cpu_gdt[0]) - 1);
	virt_ops->register_write(&vcpu->virt, VIRT_IDTR_BASE, 0);
	virt_ops->register_write(&vcpu->virt, VIRT_IDTR_LIMIT, 0);
}

void guest_cpu_enter_protected(struct vcpu *vcpu, uint64_t rip, uint64_t gdt)
{
	set_registers(vcpu, rip, gdt);
	virt_ops->register_write(&vcpu->virt, VIRT_CR0, CR0_PE | CR0_ET | CR0_NE);
	virt_ops->register_write(&vcpu->virt, VIRT_CR3, 0);
	virt_ops->register_write(&vcpu->virt, VIRT_CR4, 0);
	virt_ops->register_write(&vcpu->virt, VIRT_EFER, 0);
	set_segments(vcpu, ATTRIBUTES_CODE_32);
}

void guest_cpu_enter_long(struct vcpu *vcpu, uint64_t rip, uint64_t gdt, uint64_t cr3)
{
	set_registers(vcpu, rip, gdt);
	virt_ops->register_write(&vcpu->virt, VIRT_CR4, CR4_PAE);
	virt_ops->register_write(&vcpu->virt, VIRT_CR3, cr3);
	virt_ops->register_write(&vcpu->virt, VIRT_EFER, EFER_LME | EFER_LMA);
	virt_ops->register_write(&vcpu->virt, VIRT_CR0, CR0_PE | CR0_ET | CR0_NE | CR0_PG);
	set_segments(vcpu, ATTRIBUTES_CODE_64);
}
