#include "arch/x86/cr.h"
#include "arch/x86/panic.h"
#include "arch/x86/vmx/vmcs.h"
#include "arch/x86/vmx/vmx.h"

/* CR0.CD and CR0.NW stay clear in the CPU: a guest sees its own values but does not slow the caches down for all. */
#define CR0_NEVER_REAL (CR0_CD | CR0_NW)

static const enum vmcs_field_natural natural_fields[VIRT_REGISTER_COUNT] = {
	[VIRT_RIP] = VMCS_GUEST_RIP,
	[VIRT_RSP] = VMCS_GUEST_RSP,
	[VIRT_RFLAGS] = VMCS_GUEST_RFLAGS,
	[VIRT_CR3] = VMCS_GUEST_CR3,
	[VIRT_DR7] = VMCS_GUEST_DR7,
	[VIRT_GDTR_BASE] = VMCS_GUEST_GDTR_BASE,
	[VIRT_IDTR_BASE] = VMCS_GUEST_IDTR_BASE,
	[VIRT_SYSENTER_ESP] = VMCS_GUEST_SYSENTER_ESP,
	[VIRT_SYSENTER_EIP] = VMCS_GUEST_SYSENTER_EIP,
	[VIRT_FS_BASE] = VMCS_GUEST_FS_BASE,
	[VIRT_GS_BASE] = VMCS_GUEST_GS_BASE,
};

static const enum vmcs_field_32 fields_32[VIRT_REGISTER_COUNT] = {
	[VIRT_GDTR_LIMIT] = VMCS_GUEST_GDTR_LIMIT,
	[VIRT_IDTR_LIMIT] = VMCS_GUEST_IDTR_LIMIT,
	[VIRT_SYSENTER_CS] = VMCS_GUEST_SYSENTER_CS,
};

static const enum vmcs_field_64 fields_64[VIRT_REGISTER_COUNT] = {
	[VIRT_EFER] = VMCS_GUEST_EFER,
	[VIRT_PAT] = VMCS_GUEST_PAT,
	[VIRT_DEBUGCTL] = VMCS_GUEST_DEBUGCTL,
	[VIRT_PDPTE0] = VMCS_GUEST_PDPTE0,
	[VIRT_PDPTE1] = VMCS_GUEST_PDPTE1,
	[VIRT_PDPTE2] = VMCS_GUEST_PDPTE2,
	[VIRT_PDPTE3] = VMCS_GUEST_PDPTE3,
	[VIRT_TSC_OFFSET] = VMCS_CONTROL_TSC_OFFSET,
};

static uint64_t control_register_read(enum vmcs_field_natural real, enum vmcs_field_natural shadow, enum vmcs_field_natural mask_field)
{
	uint64_t mask = vmcs_read_natural(mask_field);

	return (vmcs_read_natural(real) & ~mask) | (vmcs_read_natural(shadow) & mask);
}

uint64_t vmx_register_read(struct virt_vcpu *vcpu, enum virt_register name)
{
	(void)vcpu;
	switch (name) {
	case VIRT_CR2: /* not switched by entries and exits: it stays in the CPU while the vCPU is loaded */
		return insn_read_cr2();
	case VIRT_CR0:
		return control_register_read(VMCS_GUEST_CR0, VMCS_CONTROL_CR0_SHADOW, VMCS_CONTROL_CR0_MASK);
	case VIRT_CR4:
		return control_register_read(VMCS_GUEST_CR4, VMCS_CONTROL_CR4_SHADOW, VMCS_CONTROL_CR4_MASK);
	default:
		if (natural_fields[name])
			return vmcs_read_natural(natural_fields[name]);
		return fields_32[name] ? vmcs_read_32(fields_32[name]) : vmcs_read_64(fields_64[name]);
	}
}

static void write_entry_controls(struct virt_vcpu_backend *backend, uint32_t controls)
{
	if (controls == backend->entry_controls)
		return;
	backend->entry_controls = controls;
	vmcs_write_32(VMCS_CONTROL_ENTRY, controls);
}

/* EFER.LMA = EFER.LME and CR0.PG, and the entry control that says so, change together; SDM Vol. 3A "IA-32e Mode". */
static void write_efer(struct virt_vcpu *vcpu, uint64_t efer, bool paging)
{
	struct virt_vcpu_backend *backend = vcpu->backend;
	bool long_mode = efer & EFER_LME && paging;

	vmcs_write_64(VMCS_GUEST_EFER, long_mode ? efer | EFER_LMA : efer & ~EFER_LMA);
	write_entry_controls(backend, long_mode ? backend->entry_controls | ENTRY_IA32E_GUEST
						: backend->entry_controls & ~(uint32_t)ENTRY_IA32E_GUEST);
}

static void write_cr0(struct virt_vcpu *vcpu, uint64_t value)
{
	vmcs_write_natural(VMCS_CONTROL_CR0_SHADOW, value);
	vmcs_write_natural(VMCS_GUEST_CR0, (value | vmx_settings.cr0_must_be_one) & ~CR0_NEVER_REAL);
	write_efer(vcpu, vmcs_read_64(VMCS_GUEST_EFER), value & CR0_PG);
}

static void write_cr4(struct virt_vcpu *vcpu, uint64_t value)
{
	vcpu->os_xsave = value & CR4_OSXSAVE;
	vmcs_write_natural(VMCS_CONTROL_CR4_SHADOW, value);
	/* With MCE clear a machine check in the guest would shut the whole CPU down. */
	vmcs_write_natural(VMCS_GUEST_CR4, value | vmx_settings.cr4_must_be_one | (vmx_settings.cr4_allowed & CR4_MCE));
}

void vmx_register_write(struct virt_vcpu *vcpu, enum virt_register name, uint64_t value)
{
	switch (name) {
	case VIRT_CR2:
		insn_write_cr2(value);
		return;
	case VIRT_CR0:
		write_cr0(vcpu, value);
		return;
	case VIRT_CR4:
		write_cr4(vcpu, value);
		return;
	case VIRT_EFER:
		write_efer(vcpu, value, vmcs_read_natural(VMCS_GUEST_CR0) & CR0_PG);
		return;
	case VIRT_TSC_OFFSET:
		vcpu->tsc_offset = value;
		vmcs_write_64(VMCS_CONTROL_TSC_OFFSET, value);
		return;
	default:
		if (natural_fields[name])
			vmcs_write_natural(natural_fields[name], value);
		else if (fields_32[name])
			vmcs_write_32(fields_32[name], (uint32_t)value);
		else
			vmcs_write_64(fields_64[name], value);
	}
}

/* The four fields of a segment register follow the same order in every group of encodings, two apart. */
#define SEGMENT_FIELD(first, name) ((first) + 2 * (unsigned)(name))

void vmx_segment_read(struct virt_vcpu *vcpu, enum virt_segment_name name, struct virt_segment *segment)
{
	(void)vcpu;
	segment->selector = vmcs_read_16((enum vmcs_field_16)SEGMENT_FIELD(VMCS_GUEST_ES_SELECTOR, name));
	segment->base = vmcs_read_natural((enum vmcs_field_natural)SEGMENT_FIELD(VMCS_GUEST_ES_BASE, name));
	segment->limit = vmcs_read_32((enum vmcs_field_32)SEGMENT_FIELD(VMCS_GUEST_ES_LIMIT, name));
	segment->attributes = vmcs_read_32((enum vmcs_field_32)SEGMENT_FIELD(VMCS_GUEST_ES_ACCESS_RIGHTS, name));
}

void vmx_segment_write(struct virt_vcpu *vcpu, enum virt_segment_name name, const struct virt_segment *segment)
{
	(void)vcpu;
	vmcs_write_16((enum vmcs_field_16)SEGMENT_FIELD(VMCS_GUEST_ES_SELECTOR, name), segment->selector);
	vmcs_write_natural((enum vmcs_field_natural)SEGMENT_FIELD(VMCS_GUEST_ES_BASE, name), segment->base);
	vmcs_write_32((enum vmcs_field_32)SEGMENT_FIELD(VMCS_GUEST_ES_LIMIT, name), segment->limit);
	vmcs_write_32((enum vmcs_field_32)SEGMENT_FIELD(VMCS_GUEST_ES_ACCESS_RIGHTS, name), segment->attributes);
}
