#include "arch/x86/vmx/timer.h"
#include "arch/x86/vmx/vmcs.h"
#include "arch/x86/vmx/vmx.h"
#include "lib/bits.h"

/* What the exit left in the VMCS and must be read for this reason: each VMREAD costs. */
#define HAS_QUALIFICATION 0x1u
#define HAS_LENGTH 0x2u
#define HAS_MORE 0x8u /* and is decoded from other fields than the qualification */
#define MAY_INTERRUPT_DELIVERY 0x4u /* the exit can happen while an event is delivered */
#define ABOUT_RCX 0x10u /* what it is about stands in RCX; else, for kinds with a length alone, in RAX if anywhere */

/* An aligned size, since every exit looks its row up. */
struct reason_row {
	struct { enum vm_exit_kind kind; uint32_t reason; } head; /* as struct vm_exit begins */
	uint8_t flags;
	uint8_t subject; /* offset in struct virt_vcpu, of kinds with a length alone */
	const char *name; /* the manual's words; NULL: no such reason */
	void (*decode)(struct vm_exit *exit);
} aligned_to(32);
_Static_assert(offsetof(struct vm_exit, kind) == 0 && offsetof(struct vm_exit, reason) == 4, "struct reason_row: head");
_Static_assert(sizeof(struct vm_exit) == 64, "an exit takes a cache line");

static void decode_exception(struct vm_exit *exit)
{
	uint32_t info = vmcs_read_32(VMCS_DATA_EXIT_INTERRUPTION_INFO);
	unsigned type = (info & INTERRUPTION_TYPE) >> INTERRUPTION_TYPE_SHIFT;

	exit->exception.vector = info & INTERRUPTION_VECTOR;
	exit->exception.has_error_code = info & INTERRUPTION_ERROR_CODE;
	exit->exception.error_code = exit->exception.has_error_code ? vmcs_read_32(VMCS_DATA_EXIT_INTERRUPTION_ERROR_CODE) : 0;
	exit->exception.address = exit->qualification;
	exit->exception.is_software = type == INTERRUPTION_SOFTWARE_EXCEPTION || type == INTERRUPTION_PRIVILEGED_SOFTWARE_EXCEPTION;
	if (type == INTERRUPTION_NMI)
		exit->kind = VM_EXIT_NMI;
	else if (exit->exception.vector == 18)
		exit->kind = VM_EXIT_MACHINE_CHECK;
}

static void decode_interrupt(struct vm_exit *exit)
{
	exit->interrupt.vector = (uint8_t)(vmcs_read_32(VMCS_DATA_EXIT_INTERRUPTION_INFO) & INTERRUPTION_VECTOR);
}

/* "Exit Qualification for I/O Instructions" */
static void decode_io(struct vm_exit *exit)
{
	uint64_t q = exit->qualification;

	exit->io.size = (uint8_t)(bits_get(q, 2, 0) + 1);
	exit->io.in = q & BIT(3);
	exit->io.string = q & BIT(4);
	exit->io.port = (uint16_t)(q >> 16);
	if (likely(!exit->io.string))
		return;
	exit->io.repeat = q & BIT(5);
	uint32_t info = vmcs_read_32(VMCS_DATA_INSTRUCTION_INFO);
	exit->io.linear_address = vmcs_read_natural(VMCS_DATA_GUEST_LINEAR_ADDRESS);
	exit->io.address_size = (uint8_t)(2u << bits_get(info, 9, 7));
	exit->io.segment = (uint8_t)bits_get(info, 17, 15);
}

/* "Exit Qualification for Control-Register Accesses" */
static void decode_cr(struct vm_exit *exit)
{
	uint64_t q = exit->qualification;

	exit->cr.number = (uint8_t)bits_get(q, 3, 0);
	exit->cr.operation = (enum vm_exit_cr_operation)bits_get(q, 5, 4);
	exit->cr.gpr = (uint8_t)bits_get(q, 11, 8);
	exit->cr.lmsw_value = (uint16_t)bits_get(q, 31, 16);
}

static void decode_dr(struct vm_exit *exit)
{
	exit->dr.number = (uint8_t)bits_get(exit->qualification, 2, 0);
	exit->dr.from = exit->qualification & BIT(4);
	exit->dr.gpr = (uint8_t)bits_get(exit->qualification, 11, 8);
}

/* "Exit Qualification for EPT Violations" */
static void decode_nested_fault(struct vm_exit *exit)
{
	uint64_t q = exit->qualification;

	exit->nested.gpa = gpa(vmcs_read_64(VMCS_DATA_GUEST_PHYSICAL_ADDRESS));
	exit->nested.read = q & BIT(0);
	exit->nested.write = q & BIT(1);
	exit->nested.execute = q & BIT(2);
	exit->nested.gva_valid = q & BIT(7);
	exit->nested.during_walk = exit->nested.gva_valid && !(q & BIT(8));
	exit->nested.gva = exit->nested.gva_valid ? vmcs_read_natural(VMCS_DATA_GUEST_LINEAR_ADDRESS) : 0;
}

static void decode_nested_misconfiguration(struct vm_exit *exit)
{
	exit->nested.gpa = gpa(vmcs_read_64(VMCS_DATA_GUEST_PHYSICAL_ADDRESS));
}

/* "Exit Qualification for APIC-Access VM Exits from Linear Accesses and Guest-Physical Accesses", told as the nested fault that
 * it would be if the page were not mapped. */
static void decode_apic_access(struct vm_exit *exit)
{
	unsigned type = (unsigned)bits_get(exit->qualification, 15, 12);

	exit->nested.gpa = gpa(VIRT_APIC_BASE + bits_get(exit->qualification, 11, 0));
	exit->nested.read = type == APIC_ACCESS_READ;
	exit->nested.write = type == APIC_ACCESS_WRITE;
	exit->nested.execute = type == APIC_ACCESS_FETCH;
	exit->nested.gva_valid = false;
	exit->nested.gva = 0;
	/* The others come from the delivery of an event or a page walk: there is no instruction that could be carried out. */
	exit->nested.during_walk = type > APIC_ACCESS_FETCH;
}

static void decode_apic_write(struct vm_exit *exit)
{
	exit->apic.offset = bits_get(exit->qualification, 11, 0);
}

static void decode_eoi(struct vm_exit *exit)
{
	exit->eoi.vector = (uint8_t)exit->qualification;
}

#define Q HAS_QUALIFICATION
#define L HAS_LENGTH
#define V MAY_INTERRUPT_DELIVERY
#define C ABOUT_RCX
#define ROW(number, name, kind, flags, decode) \
	[number] = {{kind, number}, (flags) & ~C, (flags) & C ? GPR_RCX * 8 : GPR_RAX * 8, name, decode}
#define NONE(number) ROW(number, NULL, VM_EXIT_UNKNOWN, 0, NULL)

/* SDM Vol. 3D "VMX Basic Exit Reasons", every one. */
static const struct reason_row reasons[VMX_REASON_COUNT] = {
	ROW(0, "exception or NMI", VM_EXIT_EXCEPTION, Q | L | V, decode_exception),
	ROW(1, "external interrupt", VM_EXIT_EXTERNAL_INTERRUPT, HAS_MORE, decode_interrupt),
	ROW(2, "triple fault", VM_EXIT_TRIPLE_FAULT, 0, NULL),
	ROW(3, "INIT signal", VM_EXIT_INIT, 0, NULL),
	ROW(4, "start-up IPI", VM_EXIT_SIPI, Q, NULL),
	ROW(5, "I/O SMI", VM_EXIT_SMI, 0, NULL),
	ROW(6, "other SMI", VM_EXIT_SMI, 0, NULL),
	ROW(7, "interrupt window", VM_EXIT_INTERRUPT_WINDOW, 0, NULL),
	ROW(8, "NMI window", VM_EXIT_NMI_WINDOW, 0, NULL),
	ROW(9, "task switch", VM_EXIT_TASK_SWITCH, Q | L | V, NULL),
	ROW(10, "CPUID", VM_EXIT_CPUID, L, NULL),
	ROW(11, "GETSEC", VM_EXIT_VIRTUALIZATION_INSTRUCTION, L, NULL),
	ROW(12, "HLT", VM_EXIT_HLT, L, NULL),
	ROW(13, "INVD", VM_EXIT_INVD, L, NULL),
	ROW(14, "INVLPG", VM_EXIT_INVLPG, Q | L, NULL),
	ROW(15, "RDPMC", VM_EXIT_RDPMC, L, NULL),
	ROW(16, "RDTSC", VM_EXIT_RDTSC, L, NULL),
	ROW(17, "RSM", VM_EXIT_UNDEFINED_INSTRUCTION, L, NULL),
	ROW(18, "VMCALL", VM_EXIT_HYPERCALL, L, NULL),
	ROW(19, "VMCLEAR", VM_EXIT_VIRTUALIZATION_INSTRUCTION, L, NULL),
	ROW(20, "VMLAUNCH", VM_EXIT_VIRTUALIZATION_INSTRUCTION, L, NULL),
	ROW(21, "VMPTRLD", VM_EXIT_VIRTUALIZATION_INSTRUCTION, L, NULL),
	ROW(22, "VMPTRST", VM_EXIT_VIRTUALIZATION_INSTRUCTION, L, NULL),
	ROW(23, "VMREAD", VM_EXIT_VIRTUALIZATION_INSTRUCTION, L, NULL),
	ROW(24, "VMRESUME", VM_EXIT_VIRTUALIZATION_INSTRUCTION, L, NULL),
	ROW(25, "VMWRITE", VM_EXIT_VIRTUALIZATION_INSTRUCTION, L, NULL),
	ROW(26, "VMXOFF", VM_EXIT_VIRTUALIZATION_INSTRUCTION, L, NULL),
	ROW(27, "VMXON", VM_EXIT_VIRTUALIZATION_INSTRUCTION, L, NULL),
	ROW(28, "control-register access", VM_EXIT_CR_ACCESS, Q | L, decode_cr),
	ROW(29, "MOV DR", VM_EXIT_DR_ACCESS, Q | L, decode_dr),
	ROW(30, "I/O instruction", VM_EXIT_IO, Q | L, decode_io),
	ROW(31, "RDMSR", VM_EXIT_RDMSR, L | C, NULL),
	ROW(32, "WRMSR", VM_EXIT_WRMSR, L | C, NULL),
	ROW(33, "VM-entry failure: invalid guest state", VM_EXIT_ENTRY_FAILED, Q, NULL),
	ROW(34, "VM-entry failure: MSR loading", VM_EXIT_ENTRY_FAILED, Q, NULL),
	ROW(36, "MWAIT", VM_EXIT_MWAIT, L, NULL),
	ROW(37, "monitor trap flag", VM_EXIT_MONITOR_TRAP, 0, NULL),
	ROW(39, "MONITOR", VM_EXIT_MONITOR, L, NULL),
	ROW(40, "PAUSE", VM_EXIT_PAUSE, L, NULL),
	ROW(41, "VM-entry failure: machine check", VM_EXIT_ENTRY_FAILED, Q, NULL),
	ROW(43, "TPR below threshold", VM_EXIT_TPR_THRESHOLD, 0, NULL),
	ROW(44, "APIC access", VM_EXIT_APIC_ACCESS, Q | L | V, decode_apic_access),
	ROW(45, "virtualized EOI", VM_EXIT_VIRTUAL_EOI, Q, decode_eoi),
	ROW(46, "access to GDTR or IDTR", VM_EXIT_DESCRIPTOR_TABLE, Q | L, NULL),
	ROW(47, "access to LDTR or TR", VM_EXIT_DESCRIPTOR_TABLE, Q | L, NULL),
	ROW(48, "EPT violation", VM_EXIT_NESTED_FAULT, Q | L | V, decode_nested_fault),
	ROW(49, "EPT misconfiguration", VM_EXIT_NESTED_MISCONFIGURED, V, decode_nested_misconfiguration),
	ROW(50, "INVEPT", VM_EXIT_VIRTUALIZATION_INSTRUCTION, L, NULL),
	ROW(51, "RDTSCP", VM_EXIT_RDTSC, L, NULL),
	ROW(52, "VMX preemption timer", VM_EXIT_TIMER, 0, NULL),
	ROW(53, "INVVPID", VM_EXIT_VIRTUALIZATION_INSTRUCTION, L, NULL),
	ROW(54, "WBINVD or WBNOINVD", VM_EXIT_WBINVD, L, NULL),
	ROW(55, "XSETBV", VM_EXIT_XSETBV, L, NULL),
	ROW(56, "APIC write", VM_EXIT_APIC_WRITE, Q, decode_apic_write),
	ROW(57, "RDRAND", VM_EXIT_UNDEFINED_INSTRUCTION, L, NULL),
	ROW(58, "INVPCID", VM_EXIT_UNDEFINED_INSTRUCTION, L, NULL),
	ROW(59, "VMFUNC", VM_EXIT_VIRTUALIZATION_INSTRUCTION, L, NULL),
	ROW(60, "ENCLS", VM_EXIT_UNDEFINED_INSTRUCTION, L, NULL),
	ROW(61, "RDSEED", VM_EXIT_UNDEFINED_INSTRUCTION, L, NULL),
	ROW(62, "page-modification log full", VM_EXIT_PML_FULL, V, NULL),
	ROW(63, "XSAVES", VM_EXIT_UNDEFINED_INSTRUCTION, L, NULL),
	ROW(64, "XRSTORS", VM_EXIT_UNDEFINED_INSTRUCTION, L, NULL),
	ROW(65, "PCONFIG", VM_EXIT_UNDEFINED_INSTRUCTION, L, NULL),
	ROW(66, "SPP-related event", VM_EXIT_UNKNOWN, Q | V, NULL),
	ROW(67, "UMWAIT", VM_EXIT_UNDEFINED_INSTRUCTION, L, NULL),
	ROW(68, "TPAUSE", VM_EXIT_UNDEFINED_INSTRUCTION, L, NULL),
	ROW(69, "LOADIWKEY", VM_EXIT_UNDEFINED_INSTRUCTION, L, NULL),
	ROW(70, "ENCLV", VM_EXIT_UNDEFINED_INSTRUCTION, L, NULL),
	ROW(72, "ENQCMD PASID translation failure", VM_EXIT_UNKNOWN, Q, NULL),
	ROW(73, "ENQCMDS PASID translation failure", VM_EXIT_UNKNOWN, Q, NULL),
	ROW(74, "bus lock", VM_EXIT_UNKNOWN, 0, NULL),
	ROW(75, "instruction timeout", VM_EXIT_UNKNOWN, Q, NULL),
	ROW(76, "SEAMCALL", VM_EXIT_VIRTUALIZATION_INSTRUCTION, L, NULL),
	ROW(77, "TDCALL", VM_EXIT_VIRTUALIZATION_INSTRUCTION, L, NULL),
	ROW(78, "RDMSRLIST", VM_EXIT_UNDEFINED_INSTRUCTION, L, NULL),
	ROW(79, "WRMSRLIST", VM_EXIT_UNDEFINED_INSTRUCTION, L, NULL),
	NONE(35), NONE(38), NONE(42), NONE(71),
	NONE(80), NONE(81), NONE(82), NONE(83), NONE(84), NONE(85), NONE(86), NONE(87),
	NONE(88), NONE(89), NONE(90), NONE(91), NONE(92), NONE(93), NONE(94), NONE(95),
};

#undef Q
#undef L
#undef V
#undef C
#undef ROW
#undef NONE

const char *vmx_reason_name(uint32_t reason)
{
	return reason < VMX_REASON_COUNT ? reasons[reason].name : NULL;
}

static no_inline void decode_more(struct virt_vcpu *vcpu, const struct reason_row *row)
{
	struct vm_exit *exit = vcpu->exit;

	if (row->flags & HAS_LENGTH)
		exit->instruction_length = vmcs_read_32(VMCS_DATA_INSTRUCTION_LENGTH);
	if (row->flags & HAS_QUALIFICATION)
		exit->qualification = vmcs_read_natural(VMCS_DATA_EXIT_QUALIFICATION);
	if (row->flags & MAY_INTERRUPT_DELIVERY)
		vmx_requeue_event(vcpu);
	exit->subject = 0;
	if (row->decode)
		row->decode(exit);
}

_Static_assert(VMX_REASON_COUNT <= VIRT_EXIT_REASON_MAX, "counters");

static no_inline void decode_unknown(struct virt_vcpu *vcpu)
{
	const struct reason_row *row = &reasons[VMX_REASON_COUNT - 1];

	vcpu->exit->kind = row->head.kind;
	vcpu->exit->reason = row->head.reason;
	vcpu->exit->rip = vmcs_read_natural(VMCS_GUEST_RIP);
	decode_more(vcpu, row);
}

/* Kinds with a length alone and I/O are most of all exits, so they get by without calls. */
static always_inline void decode(struct virt_vcpu *vcpu, struct vm_exit *exit)
{
	uint32_t reason = vmcs_read_32(VMCS_DATA_EXIT_REASON) & EXIT_REASON_BASIC;

	if (unlikely(reason >= VMX_REASON_COUNT)) {
		decode_unknown(vcpu);
		return;
	}
	const struct reason_row *row = &reasons[reason];
	__builtin_memcpy(exit, &row->head, sizeof(row->head));
	exit->rip = vmcs_read_natural(VMCS_GUEST_RIP);
	if (likely(row->flags == HAS_LENGTH)) {
		exit->instruction_length = vmcs_read_32(VMCS_DATA_INSTRUCTION_LENGTH);
		exit->subject = *(const uint64_t *)(const void *)((const char *)vcpu + row->subject);
	} else if (likely(row->decode == decode_io)) {
		exit->instruction_length = vmcs_read_32(VMCS_DATA_INSTRUCTION_LENGTH);
		exit->qualification = vmcs_read_natural(VMCS_DATA_EXIT_QUALIFICATION);
		decode_io(exit);
	} else {
		decode_more(vcpu, row);
	}
}

/* The exit's time and cost are taken here, as near to the guest as C gets. */
struct virt_vcpu *vmx_after_exit(struct virt_vcpu *vcpu)
{
	struct vm_exit *exit = virt_next_exit(vcpu);

	insn_store_tsc(&exit->time);
	exit->cost = 0;
	vcpu->backend->event_queued = false;
	decode(vcpu, exit);
	/* Read again behind the call instead of kept: that takes fewer instructions. */
	if (unlikely(!vcpu->backend->handle(vcpu, vcpu->exit)))
		return NULL;
	vmx_set_timer(vcpu);
	exit = vcpu->exit;
	exit->cost = (uint32_t)clock_now() - (uint32_t)exit->time;
	return vcpu;
}
