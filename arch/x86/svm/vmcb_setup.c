#include "arch/x86/cr.h"
#include "arch/x86/exception.h"
#include "arch/x86/insn.h"
#include "arch/x86/mm/page_table.h"
#include "arch/x86/svm/svm_internal.h"

/* #DB and #AC are intercepted and given back: their delivery could otherwise recurse for ever inside the CPU, where no
 * timer or interrupt gets through. #MC is the host's. */
#define EXCEPTIONS_INTERCEPTED ((uint32_t)(BIT(EXCEPTION_DB) | BIT(EXCEPTION_AC) | BIT(EXCEPTION_MC)))

/* What the guest may not do by itself, or what belongs to the host. */
#define INTERCEPTS_CR (INTERCEPT_CR_WRITE(0) | INTERCEPT_CR_WRITE(4) | INTERCEPT_CR_READ(8) | INTERCEPT_CR_WRITE(8))
#define INTERCEPTS_1 (INTERCEPT_INTR | INTERCEPT_NMI | INTERCEPT_INIT | INTERCEPT_RDPMC | INTERCEPT_CPUID | \
		      INTERCEPT_INVD | INTERCEPT_HLT | INTERCEPT_INVLPGA | INTERCEPT_IO | INTERCEPT_MSR | INTERCEPT_TASK_SWITCH | \
		      INTERCEPT_SHUTDOWN)
#define INTERCEPTS_2 (INTERCEPT_VMRUN | INTERCEPT_VMMCALL | INTERCEPT_VMLOAD | INTERCEPT_VMSAVE | INTERCEPT_STGI | INTERCEPT_CLGI | \
		      INTERCEPT_SKINIT | INTERCEPT_WBINVD | INTERCEPT_MONITOR | INTERCEPT_MWAIT | INTERCEPT_MWAIT_ARMED | \
		      INTERCEPT_XSETBV | INTERCEPT_RDPRU)

/* "Pause Intercept Filtering": an exit after so many PAUSEs that are not further apart than the threshold [cycles]. A lock is
 * rarely held that long by a vCPU that runs. */
#define PAUSE_COUNT 3000u
#define PAUSE_THRESHOLD 128u

#define PAT_POWER_ON 0x0007040600070406ull
#define ATTRIBUTES_CODE 0x9bu     /* present, code, accessed, readable */
#define ATTRIBUTES_DATA 0x93u     /* present, data, accessed, writable */
#define ATTRIBUTES_LDT 0x82u
#define ATTRIBUTES_TSS_BUSY 0x8bu

#define SEGMENT(attributes_) ((struct vmcb_segment){.attributes = (attributes_), .limit = 0xffff})

static void setup_controls(struct virt_vcpu *vcpu, struct vmcb *vmcb)
{
	const struct virt_vm_backend *vm = vcpu->vm->backend;

	vmcb->intercept_cr = INTERCEPTS_CR;
	vmcb->intercept_exceptions = EXCEPTIONS_INTERCEPTED;
	vmcb->intercept_1 = INTERCEPTS_1;
	vmcb->intercept_2 = INTERCEPTS_2;
	/* Nobody else could let a lone vCPU's loop end. */
	if (vm->vcpu_count > 1)
		vmcb->intercept_1 |= INTERCEPT_PAUSE;
	if (svm_settings.has_pause_filter)
		vmcb->pause_filter_count = PAUSE_COUNT;
	if (svm_settings.has_pause_threshold)
		vmcb->pause_filter_threshold = PAUSE_THRESHOLD;
	vmcb->io_permissions = vm->io_permissions.value;
	vmcb->msr_permissions = vm->msr_permissions.value;
	vmcb->tsc_offset = vcpu->tsc_offset;
	/* The host's IF decides about its own interrupts, the guest's about virtual ones. */
	vmcb->virtual_interrupt = VIRTUAL_INTERRUPT_MASKING;
	vmcb->nested_control = NESTED_PAGING;
	vmcb->nested_cr3 = vcpu->vm->nested->root.value;
	vmcb->pat = PAT_POWER_ON;
}

/* "Processor Initialization State": what INIT sets. */
static void setup_init(struct vmcb *vmcb)
{
	for (unsigned name = 0; name < array_count(vmcb->segments); name++)
		vmcb->segments[name] = SEGMENT(ATTRIBUTES_DATA);
	vmcb->segments[VIRT_CS] = SEGMENT(ATTRIBUTES_CODE);
	vmcb->segments[VIRT_CS].selector = 0xf000;
	vmcb->segments[VIRT_CS].base = 0xffff0000;
	vmcb->ldtr = SEGMENT(ATTRIBUTES_LDT);
	vmcb->tr = SEGMENT(ATTRIBUTES_TSS_BUSY);
	vmcb->gdtr = vmcb->idtr = SEGMENT(0);
	vmcb->cpl = 0;
	vmcb->cr2 = vmcb->cr3 = vmcb->rsp = 0;
	vmcb->rip = 0xfff0;
	vmcb->rflags = RFLAGS_FIXED;
	vmcb->dr6 = DR6_FIXED;
	vmcb->dr7 = DR7_FIXED;
	vmcb->efer = EFER_SVME;
	vmcb->event_injection = 0;
	vmcb->interrupt_state = 0;
}

void svm_vmcb_setup(struct virt_vcpu *vcpu)
{
	setup_controls(vcpu, vcpu->backend->vmcb);
	setup_init(vcpu->backend->vmcb);
	svm_register_write(vcpu, VIRT_CR0, CR0_ET);
	svm_register_write(vcpu, VIRT_CR4, 0);
}

void svm_vcpu_enter_init(struct virt_vcpu *vcpu)
{
	struct virt_vcpu_backend *backend = vcpu->backend;
	uint64_t cache_control = backend->cr0 & (CR0_CD | CR0_NW);

	svm_interrupt_window(vcpu, false);
	backend->event_queued = backend->nmi_blocked = backend->iret_begun = false;
	backend->vmcb->intercept_1 &= ~INTERCEPT_IRET;
	setup_init(backend->vmcb);
	svm_register_write(vcpu, VIRT_CR0, CR0_ET | cache_control);
	svm_register_write(vcpu, VIRT_CR4, 0);
	svm_load_cr2(backend);
	insn_write_dr0(0);
	insn_write_dr1(0);
	insn_write_dr2(0);
	insn_write_dr3(0);
	svm_vcpu_flush(vcpu);
}
