#include "arch/x86/clock.h"
#include "arch/x86/exception.h"
#include "arch/x86/insn.h"
#include "arch/x86/svm/svm_internal.h"
#include "lib/bits.h"

/* What struct vm_exit's subject is, of exits that have nothing but a length. */
enum subject { ABOUT_NOTHING, ABOUT_RAX, ABOUT_RCX };

struct reason_row {
	enum vm_exit_kind kind;
	uint16_t opcode; /* of the instruction, whose length is wanted; 0: it is not */
	uint8_t subject;
	const char *name; /* the manual's words; NULL: no such code */
	void (*decode)(struct virt_vcpu *vcpu, struct vm_exit *exit);
};
#define CPUID_LEAF_XSAVE 0xdu
_Static_assert(SVM_REASON_UNKNOWN < VIRT_EXIT_REASON_MAX, "counters");

static void decode_exception(struct virt_vcpu *vcpu, struct vm_exit *exit)
{
	const struct vmcb *vmcb = vcpu->backend->vmcb;
	unsigned vector = exit->reason - SVM_EXIT_EXCEPTION;

	exit->subject = 0;
	exit->exception.vector = (uint8_t)vector;
	exit->exception.has_error_code = exception_has_error_code(vector);
	exit->exception.error_code = exit->exception.has_error_code ? (uint32_t)vmcb->exit_info_1 : 0;
	exit->exception.address = vmcb->exit_info_2;
	exit->exception.is_software = false;
	/* "#DB Intercept": DR6 is as the guest's handler will see it. */
	exit->qualification = vector == EXCEPTION_DB ? vmcb->dr6 : vmcb->exit_info_2;
	if (vector == EXCEPTION_MC)
		exit->kind = VM_EXIT_MACHINE_CHECK;
}

/* The interrupt still waits. It comes by the IDT, its handler with it, as soon as interrupts are let in. */
static void decode_interrupt(struct virt_vcpu *vcpu, struct vm_exit *exit)
{
	insn_sti_nop_cli();
	/* The timer's may have been the one that ends the guest's run, and has to be armed again in any case. */
	vcpu->backend->timer_deadline = 0;
	exit->kind = clock_now() >= vcpu->entry_deadline ? VM_EXIT_TIMER : VM_EXIT_HANDLED;
}

static void decode_window(struct virt_vcpu *vcpu, struct vm_exit *exit)
{
	svm_check_window(vcpu->backend, exit);
}

static void decode_iret(struct virt_vcpu *vcpu, struct vm_exit *exit)
{
	svm_iret(vcpu->backend, exit);
}

/* The leaf tells how large the state is that XCR0 asks for. */
static void decode_cpuid(struct virt_vcpu *vcpu, struct vm_exit *exit)
{
	exit->subject = vcpu->gpr[GPR_RAX];
	if ((uint32_t)exit->subject == CPUID_LEAF_XSAVE)
		svm_note_xcr0(vcpu);
	svm_decode_length(vcpu, exit, 0x0fa2);
}

static void decode_msr(struct virt_vcpu *vcpu, struct vm_exit *exit)
{
	bool is_write = vcpu->backend->vmcb->exit_info_1 & 1;

	exit->kind = is_write ? VM_EXIT_WRMSR : VM_EXIT_RDMSR;
	exit->subject = vcpu->gpr[GPR_RCX];
	svm_decode_length(vcpu, exit, is_write ? 0x0f30 : 0x0f32);
}

static void decode_nested_fault(struct virt_vcpu *vcpu, struct vm_exit *exit)
{
	const struct vmcb *vmcb = vcpu->backend->vmcb;
	uint64_t info = vmcb->exit_info_1;

	exit->qualification = info;
	exit->nested.gpa = gpa(vmcb->exit_info_2);
	exit->nested.write = info & NESTED_INFO_WRITE;
	exit->nested.execute = info & NESTED_INFO_FETCH;
	exit->nested.read = !exit->nested.write && !exit->nested.execute;
	exit->nested.gva_valid = false;
	exit->nested.gva = 0;
	exit->nested.during_walk = info & NESTED_INFO_TABLE_WALK;
}

#define ROW(code, name, kind, decode) [code] = {kind, 0, ABOUT_NOTHING, name, decode}
#define INSTRUCTION(code, name, kind, opcode, subject) [code] = {kind, opcode, subject, name, NULL}
#define CR_ROWS(first, access) \
	ROW((first) + 0, access " of CR0", VM_EXIT_CR_ACCESS, svm_decode_cr), ROW((first) + 4, access " of CR4", VM_EXIT_CR_ACCESS, svm_decode_cr), \
	ROW((first) + 8, access " of CR8", VM_EXIT_CR_ACCESS, svm_decode_cr)
#define TABLE(code, name) ROW(code, name, VM_EXIT_DESCRIPTOR_TABLE, NULL)
#define VIRTUALIZATION(code, name) ROW(code, name, VM_EXIT_VIRTUALIZATION_INSTRUCTION, NULL)
#define UNDEFINED(code, name) ROW(code, name, VM_EXIT_UNDEFINED_INSTRUCTION, NULL)
#define EXCEPTION(vector, name) ROW(SVM_EXIT_EXCEPTION + (vector), name, VM_EXIT_EXCEPTION, decode_exception)

/* APM Vol. 2 "SVM Intercept Codes": what Trivet intercepts, and what it could. */
static const struct reason_row reasons[SVM_REASON_UNKNOWN + 1] = {
	CR_ROWS(SVM_EXIT_READ_CR0, "read"),
	CR_ROWS(SVM_EXIT_WRITE_CR0, "write"),
	EXCEPTION(EXCEPTION_DB, "#DB"),
	EXCEPTION(EXCEPTION_UD, "#UD"),
	EXCEPTION(EXCEPTION_GP, "#GP"),
	EXCEPTION(EXCEPTION_PF, "#PF"),
	EXCEPTION(EXCEPTION_AC, "#AC"),
	EXCEPTION(EXCEPTION_MC, "#MC"),
	ROW(SVM_EXIT_INTR, "external interrupt", VM_EXIT_EXTERNAL_INTERRUPT, decode_interrupt),
	/* The host has had it already, when its interrupts were let in again. */
	ROW(SVM_EXIT_NMI, "NMI", VM_EXIT_HANDLED, NULL),
	ROW(0x62, "SMI", VM_EXIT_SMI, NULL),
	ROW(0x63, "INIT", VM_EXIT_INIT, NULL),
	ROW(SVM_EXIT_VINTR, "interrupt window", VM_EXIT_INTERRUPT_WINDOW, decode_window),
	TABLE(0x66, "SIDT"), TABLE(0x67, "SGDT"), TABLE(0x68, "SLDT"), TABLE(0x69, "STR"),
	TABLE(0x6a, "LIDT"), TABLE(0x6b, "LGDT"), TABLE(0x6c, "LLDT"), TABLE(0x6d, "LTR"),
	INSTRUCTION(0x6e, "RDTSC", VM_EXIT_RDTSC, 0x0f31, ABOUT_NOTHING),
	INSTRUCTION(0x6f, "RDPMC", VM_EXIT_RDPMC, 0x0f33, ABOUT_RCX),
	ROW(SVM_EXIT_CPUID, "CPUID", VM_EXIT_CPUID, decode_cpuid),
	UNDEFINED(0x73, "RSM"),
	ROW(SVM_EXIT_IRET, "IRET", VM_EXIT_INTERRUPT_WINDOW, decode_iret),
	INSTRUCTION(0x76, "INVD", VM_EXIT_INVD, 0x0f08, ABOUT_NOTHING),
	ROW(0x77, "PAUSE", VM_EXIT_PAUSE, svm_decode_pause),
	INSTRUCTION(SVM_EXIT_HLT, "HLT", VM_EXIT_HLT, 0xf4, ABOUT_NOTHING),
	VIRTUALIZATION(0x7a, "INVLPGA"),
	ROW(SVM_EXIT_IO, "I/O instruction", VM_EXIT_IO, svm_decode_io),
	ROW(SVM_EXIT_MSR, "RDMSR or WRMSR", VM_EXIT_RDMSR, decode_msr),
	ROW(0x7d, "task switch", VM_EXIT_TASK_SWITCH, NULL),
	ROW(SVM_EXIT_SHUTDOWN, "shutdown", VM_EXIT_TRIPLE_FAULT, NULL),
	VIRTUALIZATION(0x80, "VMRUN"),
	INSTRUCTION(SVM_EXIT_VMMCALL, "VMMCALL", VM_EXIT_HYPERCALL, 0x0f01, ABOUT_RAX),
	VIRTUALIZATION(0x82, "VMLOAD"), VIRTUALIZATION(0x83, "VMSAVE"), VIRTUALIZATION(0x84, "STGI"), VIRTUALIZATION(0x85, "CLGI"),
	VIRTUALIZATION(0x86, "SKINIT"),
	INSTRUCTION(0x89, "WBINVD or WBNOINVD", VM_EXIT_WBINVD, 0x0f09, ABOUT_NOTHING),
	ROW(0x8a, "MONITOR", VM_EXIT_MONITOR, NULL),
	ROW(0x8b, "MWAIT", VM_EXIT_MWAIT, NULL),
	ROW(0x8c, "MWAIT, armed", VM_EXIT_MWAIT, NULL),
	ROW(SVM_EXIT_XSETBV, "XSETBV", VM_EXIT_XSETBV, svm_decode_xsetbv),
	UNDEFINED(0x8e, "RDPRU"),
	UNDEFINED(0xa0, "INVLPGB"), UNDEFINED(0xa1, "INVLPGB, illegal"), UNDEFINED(0xa2, "INVPCID"), UNDEFINED(0xa3, "MCOMMIT"),
	UNDEFINED(0xa4, "TLBSYNC"),
	ROW(SVM_REASON_NESTED_PAGE_FAULT, "nested page fault", VM_EXIT_NESTED_FAULT, decode_nested_fault),
	ROW(SVM_REASON_INVALID, "VMRUN refused: invalid VMCB", VM_EXIT_ENTRY_FAILED, NULL),
};

const char *svm_reason_name(uint32_t reason)
{
	return reason <= SVM_REASON_UNKNOWN ? reasons[reason].name : NULL;
}

static uint32_t reason_of(uint64_t code)
{
	if (likely(code < SVM_EXIT_LOW_COUNT))
		return (uint32_t)code;
	if (likely(code == SVM_EXIT_NESTED_PAGE_FAULT))
		return SVM_REASON_NESTED_PAGE_FAULT;
	return (uint32_t)code == SVM_EXIT_INVALID ? SVM_REASON_INVALID : SVM_REASON_UNKNOWN;
}

static void decode(struct virt_vcpu *vcpu, struct vm_exit *exit)
{
	const struct vmcb *vmcb = vcpu->backend->vmcb;
	const struct reason_row *row;

	exit->reason = reason_of(vmcb->exit_code);
	row = &reasons[exit->reason];
	exit->kind = row->kind;
	exit->rip = vmcb->rip;
	if (row->opcode != 0) {
		exit->subject = row->subject == ABOUT_NOTHING ? 0 : vcpu->gpr[row->subject == ABOUT_RAX ? GPR_RAX : GPR_RCX];
		svm_decode_length(vcpu, exit, row->opcode);
		return;
	}
	exit->instruction_length = 0;
	exit->qualification = vmcb->exit_info_1;
	if (row->decode)
		row->decode(vcpu, exit);
	else
		exit->subject = 0;
}

/* The exit's time and cost are taken here, as near to the guest as C gets. */
struct virt_vcpu *svm_after_exit(struct virt_vcpu *vcpu)
{
	struct virt_vcpu_backend *backend = vcpu->backend;
	struct vm_exit *exit = virt_next_exit(vcpu);

	insn_store_tsc(&exit->time);
	exit->cost = 0;
	backend->event_queued = false;
	backend->vmcb->event_injection = 0;
	backend->vmcb->tlb_control = TLB_CONTROL_NOTHING;
	if (unlikely(backend->vmcb->exit_interrupt_info & EVENT_VALID))
		svm_requeue_event(backend);
	decode(vcpu, exit);
	if (unlikely(backend->is_stepping))
		svm_end_step(backend, exit);
	if (unlikely(backend->iret_begun))
		svm_note_progress(backend, exit);
	if (unlikely(!backend->handle(vcpu, exit)))
		return NULL;
	svm_prepare_entry(vcpu);
	exit->cost = (uint32_t)clock_now() - (uint32_t)exit->time;
	return vcpu;
}
