#include "arch/x86/cpu/features.h"
#include "arch/x86/cr.h"
#include "arch/x86/insn.h"
#include "arch/x86/mm/page_table.h"
#include "arch/x86/physmap.h"
#include "arch/x86/svm/svm_internal.h"

/* CR0.CD and CR0.NW stay clear in the CPU: a guest sees its own values but does not slow the caches down for all. */
#define CR0_NEVER_REAL (CR0_CD | CR0_NW)

#define FIELD(name) offsetof(struct vmcb, name)

/* Registers of 64 bits that are the VMCB's alone; 0: others. */
static const uint16_t fields[VIRT_REGISTER_COUNT] = {
	[VIRT_RIP] = FIELD(rip),
	[VIRT_RSP] = FIELD(rsp),
	[VIRT_RFLAGS] = FIELD(rflags),
	[VIRT_CR2] = FIELD(cr2),
	[VIRT_CR3] = FIELD(cr3),
	[VIRT_PAT] = FIELD(pat),
	[VIRT_DR7] = FIELD(dr7),
	[VIRT_GDTR_BASE] = FIELD(gdtr.base),
	[VIRT_IDTR_BASE] = FIELD(idtr.base),
	[VIRT_SYSENTER_CS] = FIELD(sysenter_cs),
	[VIRT_SYSENTER_ESP] = FIELD(sysenter_esp),
	[VIRT_SYSENTER_EIP] = FIELD(sysenter_eip),
	[VIRT_FS_BASE] = FIELD(segments[VIRT_FS].base),
	[VIRT_GS_BASE] = FIELD(segments[VIRT_GS].base),
	[VIRT_TSC_OFFSET] = FIELD(tsc_offset),
};

static uint64_t *field_of(struct vmcb *vmcb, enum virt_register name)
{
	return fields[name] ? (uint64_t *)(void *)((char *)vmcb + fields[name]) : NULL;
}

/* The host needs none: what is in the CPU stays the guest's. */
void svm_load_cr2(const struct virt_vcpu_backend *backend)
{
	insn_write_cr2(backend->vmcb->cr2);
}

/* "PAE Paging": with nested paging the CPU reads the four entries when it needs them, so here they come from memory too. */
static uint64_t read_pdpte(struct virt_vcpu *vcpu, unsigned index)
{
	uint64_t address = (vcpu->backend->vmcb->cr3 & BITS(31, 5)) + index * sizeof(uint64_t);
	struct page_table_leaf leaf;

	if (page_table_lookup(vcpu->vm->nested, address, &leaf) != STATUS_OK)
		return 0;
	return __atomic_load_n((const uint64_t *)physmap_pointer(leaf.output), __ATOMIC_RELAXED);
}

uint64_t svm_register_read(struct virt_vcpu *vcpu, enum virt_register name)
{
	struct virt_vcpu_backend *backend = vcpu->backend;
	const uint64_t *field = field_of(backend->vmcb, name);

	if (likely(field))
		return *field;
	switch (name) {
	case VIRT_CR0:
		return backend->cr0;
	case VIRT_CR4:
		return backend->cr4;
	case VIRT_EFER:
		return backend->vmcb->efer & ~EFER_SVME;
	case VIRT_DEBUGCTL:
		return svm_settings.has_lbr ? backend->vmcb->debugctl : backend->debugctl;
	case VIRT_GDTR_LIMIT:
		return backend->vmcb->gdtr.limit;
	case VIRT_IDTR_LIMIT:
		return backend->vmcb->idtr.limit;
	default:
		return read_pdpte(vcpu, name - VIRT_PDPTE0);
	}
}

/* Writes exit always, reads while the guest must not see what is in the CPU. */
static void intercept_read(struct vmcb *vmcb, unsigned number, bool differs)
{
	vmcb->intercept_cr = (vmcb->intercept_cr & ~INTERCEPT_CR_READ(number)) | (differs ? INTERCEPT_CR_READ(number) : 0);
}

/* EFER.LMA = EFER.LME and CR0.PG, and they change together; APM Vol. 2 "Activating Long Mode". */
static void write_efer(struct vmcb *vmcb, uint64_t efer, bool paging)
{
	bool long_mode = efer & EFER_LME && paging;

	vmcb->efer = (long_mode ? efer | EFER_LMA : efer & ~EFER_LMA) | EFER_SVME;
}

static void write_cr0(struct virt_vcpu_backend *backend, uint64_t value)
{
	struct vmcb *vmcb = backend->vmcb;

	backend->cr0 = value;
	vmcb->cr0 = value & ~CR0_NEVER_REAL;
	intercept_read(vmcb, 0, vmcb->cr0 != value);
	write_efer(vmcb, vmcb->efer, value & CR0_PG);
}

static void write_cr4(struct virt_vcpu *vcpu, uint64_t value)
{
	struct vmcb *vmcb = vcpu->backend->vmcb;

	vcpu->os_xsave = value & CR4_OSXSAVE;
	vcpu->backend->cr4 = value;
	/* With MCE clear a machine check in the guest would shut the whole CPU down. */
	vmcb->cr4 = value | (features_has(CPU_FEATURE_MCE) ? CR4_MCE : 0);
	intercept_read(vmcb, 4, vmcb->cr4 != value);
}

static void write_debugctl(struct virt_vcpu_backend *backend, uint64_t value)
{
	backend->debugctl = value;
	if (!svm_settings.has_lbr)
		return;
	backend->vmcb->debugctl = value;
	backend->vmcb->lbr_control = value != 0 ? LBR_VIRTUALIZATION : 0;
}

void svm_register_write(struct virt_vcpu *vcpu, enum virt_register name, uint64_t value)
{
	struct virt_vcpu_backend *backend = vcpu->backend;
	uint64_t *field = field_of(backend->vmcb, name);

	if (name == VIRT_TSC_OFFSET)
		vcpu->tsc_offset = value;
	if (likely(field))
		*field = value;
	switch (name) {
	case VIRT_CR0:
		write_cr0(backend, value);
		break;
	case VIRT_CR2:
		svm_load_cr2(backend);
		break;
	case VIRT_CR4:
		write_cr4(vcpu, value);
		break;
	case VIRT_EFER:
		write_efer(backend->vmcb, value, backend->vmcb->cr0 & CR0_PG);
		break;
	case VIRT_DEBUGCTL:
		write_debugctl(backend, value);
		break;
	case VIRT_GDTR_LIMIT:
		backend->vmcb->gdtr.limit = (uint32_t)value;
		break;
	case VIRT_IDTR_LIMIT:
		backend->vmcb->idtr.limit = (uint32_t)value;
		break;
	default:
		break; /* PDPTEs have no registers: they are what memory says. */
	}
}

static struct vmcb_segment *segment_of(struct vmcb *vmcb, enum virt_segment_name name)
{
	if (name == VIRT_LDTR)
		return &vmcb->ldtr;
	return name == VIRT_TR ? &vmcb->tr : &vmcb->segments[name];
}

/* Bits 7:0 are the same; the upper four lie four bits apart; what is not present cannot be used. */
#define ATTRIBUTES_LOW BITS(7, 0)
#define ATTRIBUTES_HIGH BITS(11, 8)
#define ATTRIBUTES_SHIFT 4
#define ATTRIBUTES_DPL BITS(6, 5)

void svm_segment_read(struct virt_vcpu *vcpu, enum virt_segment_name name, struct virt_segment *segment)
{
	const struct vmcb *vmcb = vcpu->backend->vmcb;
	const struct vmcb_segment *s = segment_of(vcpu->backend->vmcb, name);

	segment->selector = s->selector;
	segment->base = s->base;
	segment->limit = s->limit;
	segment->attributes = (uint32_t)((s->attributes & ATTRIBUTES_LOW) | (s->attributes & ATTRIBUTES_HIGH) << ATTRIBUTES_SHIFT);
	if (!(s->attributes & VMCB_SEGMENT_PRESENT))
		segment->attributes |= (uint32_t)VIRT_SEGMENT_UNUSABLE;
	/* Where other CPUs keep the privilege level. */
	if (name == VIRT_SS)
		segment->attributes = (uint32_t)((segment->attributes & ~ATTRIBUTES_DPL) | (uint64_t)vmcb->cpl << VMCB_SEGMENT_DPL_SHIFT);
}

void svm_segment_write(struct virt_vcpu *vcpu, enum virt_segment_name name, const struct virt_segment *segment)
{
	struct vmcb *vmcb = vcpu->backend->vmcb;
	struct vmcb_segment *s = segment_of(vmcb, name);
	uint64_t attributes = (segment->attributes & ATTRIBUTES_LOW) | (segment->attributes >> ATTRIBUTES_SHIFT & ATTRIBUTES_HIGH);

	s->selector = segment->selector;
	s->base = segment->base;
	s->limit = segment->limit;
	s->attributes = segment->attributes & VIRT_SEGMENT_UNUSABLE ? 0 : (uint16_t)attributes;
	if (name == VIRT_SS)
		vmcb->cpl = (uint8_t)bits_get(segment->attributes, 6, 5);
}
