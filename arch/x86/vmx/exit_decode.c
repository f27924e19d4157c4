#include "arch/x86/vmx/timer.h"
#include "arch/x86/vmx/vmcs.h"
#include "arch/x86/vmx/vmx.h"
#include "lib/bits.h"

/* What the exit left in the VMCS and must be read for this reason: each VMREAD costs. */
#define HAS_QUALIFICATION 0x1u
#define HAS_LENGTH 0x2u
#define HAS_MORE 0x8u /* and is decoded from other fields than the qualification */
#define MAY_INTERRUPT_DELIVERY 0x4u /* the exit can happen while an event is delivered */

/* An aligned size, since every exit looks its row up. A row of zeros is VM_EXIT_UNKNOWN. */
struct reason_row {
	const char *name; /* the manual's words; NULL: no such reason */
	enum vm_exit_kind kind;
	uint8_t flags;
	void (*decode)(struct vm_exit *exit);
} aligned_to(32);

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

/* SDM Vol. 3D "VMX Basic Exit Reasons", every one. */
static const struct reason_row reasons[VIRT_EXIT_REASON_MAX] = {
	[0] = {"exception or NMI", VM_EXIT_EXCEPTION, Q | L | V, decode_exception},
	[1] = {"external interrupt", VM_EXIT_EXTERNAL_INTERRUPT, HAS_MORE, decode_interrupt},
	[2] = {"triple fault", VM_EXIT_TRIPLE_FAULT, 0, NULL},
	[3] = {"INIT signal", VM_EXIT_INIT, 0, NULL},
	[4] = {"start-up IPI", VM_EXIT_SIPI, Q, NULL},
	[5] = {"I/O SMI", VM_EXIT_SMI, 0, NULL},
	[6] = {"other SMI", VM_EXIT_SMI, 0, NULL},
	[7] = {"interrupt window", VM_EXIT_INTERRUPT_WINDOW, 0, NULL},
	[8] = {"NMI window", VM_EXIT_NMI_WINDOW, 0, NULL},
	[9] = {"task switch", VM_EXIT_TASK_SWITCH, Q | L | V, NULL},
	[10] = {"CPUID", VM_EXIT_CPUID, L, NULL},
	[11] = {"GETSEC", VM_EXIT_VIRTUALIZATION_INSTRUCTION, L, NULL},
	[12] = {"HLT", VM_EXIT_HLT, L, NULL},
	[13] = {"INVD", VM_EXIT_INVD, L, NULL},
	[14] = {"INVLPG", VM_EXIT_INVLPG, Q | L, NULL},
	[15] = {"RDPMC", VM_EXIT_RDPMC, L, NULL},
	[16] = {"RDTSC", VM_EXIT_RDTSC, L, NULL},
	[17] = {"RSM", VM_EXIT_UNDEFINED_INSTRUCTION, L, NULL},
	[18] = {"VMCALL", VM_EXIT_HYPERCALL, L, NULL},
	[19] = {"VMCLEAR", VM_EXIT_VIRTUALIZATION_INSTRUCTION, L, NULL},
	[20] = {"VMLAUNCH", VM_EXIT_VIRTUALIZATION_INSTRUCTION, L, NULL},
	[21] = {"VMPTRLD", VM_EXIT_VIRTUALIZATION_INSTRUCTION, L, NULL},
	[22] = {"VMPTRST", VM_EXIT_VIRTUALIZATION_INSTRUCTION, L, NULL},
	[23] = {"VMREAD", VM_EXIT_VIRTUALIZATION_INSTRUCTION, L, NULL},
	[24] = {"VMRESUME", VM_EXIT_VIRTUALIZATION_INSTRUCTION, L, NULL},
	[25] = {"VMWRITE", VM_EXIT_VIRTUALIZATION_INSTRUCTION, L, NULL},
	[26] = {"VMXOFF", VM_EXIT_VIRTUALIZATION_INSTRUCTION, L, NULL},
	[27] = {"VMXON", VM_EXIT_VIRTUALIZATION_INSTRUCTION, L, NULL},
	[28] = {"control-register access", VM_EXIT_CR_ACCESS, Q | L, decode_cr},
	[29] = {"MOV DR", VM_EXIT_DR_ACCESS, Q | L, decode_dr},
	[30] = {"I/O instruction", VM_EXIT_IO, Q | L, decode_io},
	[31] = {"RDMSR", VM_EXIT_RDMSR, L, NULL},
	[32] = {"WRMSR", VM_EXIT_WRMSR, L, NULL},
	[33] = {"VM-entry failure: invalid guest state", VM_EXIT_ENTRY_FAILED, Q, NULL},
	[34] = {"VM-entry failure: MSR loading", VM_EXIT_ENTRY_FAILED, Q, NULL},
	[36] = {"MWAIT", VM_EXIT_MWAIT, L, NULL},
	[37] = {"monitor trap flag", VM_EXIT_MONITOR_TRAP, 0, NULL},
	[39] = {"MONITOR", VM_EXIT_MONITOR, L, NULL},
	[40] = {"PAUSE", VM_EXIT_PAUSE, L, NULL},
	[41] = {"VM-entry failure: machine check", VM_EXIT_ENTRY_FAILED, Q, NULL},
	[43] = {"TPR below threshold", VM_EXIT_TPR_THRESHOLD, 0, NULL},
	[44] = {"APIC access", VM_EXIT_APIC_ACCESS, Q | L | V, decode_apic_access},
	[45] = {"virtualized EOI", VM_EXIT_VIRTUAL_EOI, Q, decode_eoi},
	[46] = {"access to GDTR or IDTR", VM_EXIT_DESCRIPTOR_TABLE, Q | L, NULL},
	[47] = {"access to LDTR or TR", VM_EXIT_DESCRIPTOR_TABLE, Q | L, NULL},
	[48] = {"EPT violation", VM_EXIT_NESTED_FAULT, Q | L | V, decode_nested_fault},
	[49] = {"EPT misconfiguration", VM_EXIT_NESTED_MISCONFIGURED, V, decode_nested_misconfiguration},
	[50] = {"INVEPT", VM_EXIT_VIRTUALIZATION_INSTRUCTION, L, NULL},
	[51] = {"RDTSCP", VM_EXIT_RDTSC, L, NULL},
	[52] = {"VMX preemption timer", VM_EXIT_TIMER, 0, NULL},
	[53] = {"INVVPID", VM_EXIT_VIRTUALIZATION_INSTRUCTION, L, NULL},
	[54] = {"WBINVD or WBNOINVD", VM_EXIT_WBINVD, L, NULL},
	[55] = {"XSETBV", VM_EXIT_XSETBV, L, NULL},
	[56] = {"APIC write", VM_EXIT_APIC_WRITE, Q, decode_apic_write},
	[57] = {"RDRAND", VM_EXIT_UNDEFINED_INSTRUCTION, L, NULL},
	[58] = {"INVPCID", VM_EXIT_UNDEFINED_INSTRUCTION, L, NULL},
	[59] = {"VMFUNC", VM_EXIT_VIRTUALIZATION_INSTRUCTION, L, NULL},
	[60] = {"ENCLS", VM_EXIT_UNDEFINED_INSTRUCTION, L, NULL},
	[61] = {"RDSEED", VM_EXIT_UNDEFINED_INSTRUCTION, L, NULL},
	[62] = {"page-modification log full", VM_EXIT_PML_FULL, V, NULL},
	[63] = {"XSAVES", VM_EXIT_UNDEFINED_INSTRUCTION, L, NULL},
	[64] = {"XRSTORS", VM_EXIT_UNDEFINED_INSTRUCTION, L, NULL},
	[65] = {"PCONFIG", VM_EXIT_UNDEFINED_INSTRUCTION, L, NULL},
	[66] = {"SPP-related event", VM_EXIT_UNKNOWN, Q | V, NULL},
	[67] = {"UMWAIT", VM_EXIT_UNDEFINED_INSTRUCTION, L, NULL},
	[68] = {"TPAUSE", VM_EXIT_UNDEFINED_INSTRUCTION, L, NULL},
	[69] = {"LOADIWKEY", VM_EXIT_UNDEFINED_INSTRUCTION, L, NULL},
	[70] = {"ENCLV", VM_EXIT_UNDEFINED_INSTRUCTION, L, NULL},
	[72] = {"ENQCMD PASID translation failure", VM_EXIT_UNKNOWN, Q, NULL},
	[73] = {"ENQCMDS PASID translation failure", VM_EXIT_UNKNOWN, Q, NULL},
	[74] = {"bus lock", VM_EXIT_UNKNOWN, 0, NULL},
	[75] = {"instruction timeout", VM_EXIT_UNKNOWN, Q, NULL},
	[76] = {"SEAMCALL", VM_EXIT_VIRTUALIZATION_INSTRUCTION, L, NULL},
	[77] = {"TDCALL", VM_EXIT_VIRTUALIZATION_INSTRUCTION, L, NULL},
	[78] = {"RDMSRLIST", VM_EXIT_UNDEFINED_INSTRUCTION, L, NULL},
	[79] = {"WRMSRLIST", VM_EXIT_UNDEFINED_INSTRUCTION, L, NULL},
};

#undef Q
#undef L
#undef V

const char *vmx_reason_name(uint32_t reason)
{
	return reason < VIRT_EXIT_REASON_MAX ? reasons[reason].name : NULL;
}

static always_inline void decode(struct virt_vcpu *vcpu, struct vm_exit *exit)
{
	uint32_t reason = vmcs_read_32(VMCS_DATA_EXIT_REASON) & EXIT_REASON_BASIC;

	/* The last row stands for all numbers that no manual knows yet. */
	if (unlikely(reason >= VIRT_EXIT_REASON_MAX))
		reason = VIRT_EXIT_REASON_MAX - 1;
	const struct reason_row *row = &reasons[reason];
	exit->reason = reason;
	exit->kind = row->kind;
	exit->rip = vmcs_read_natural(VMCS_GUEST_RIP);
	if (row->flags & HAS_LENGTH)
		exit->instruction_length = vmcs_read_32(VMCS_DATA_INSTRUCTION_LENGTH);
	if (likely(!(row->flags & (HAS_QUALIFICATION | HAS_MORE | MAY_INTERRUPT_DELIVERY))))
		return;
	if (row->flags & HAS_QUALIFICATION)
		exit->qualification = vmcs_read_natural(VMCS_DATA_EXIT_QUALIFICATION);
	if (row->flags & MAY_INTERRUPT_DELIVERY)
		vmx_requeue_event(vcpu);
	if (row->decode)
		row->decode(exit);
}

bool vmx_after_exit(struct virt_vcpu *vcpu)
{
	struct virt_vcpu_backend *backend = vcpu->backend;

	backend->event_queued = false;
	decode(vcpu, &backend->exit);
	if (!backend->handle(vcpu, &backend->exit))
		return false;
	vmx_set_timer(vcpu);
	return true;
}
