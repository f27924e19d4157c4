/*
 * The seam to a virtualization back end (arch/x86/vmx, arch/x86/svm). Above it nothing reads a VMCS or a VMCB.
 * A back end fills struct vm_exit from its own exit codes and offers the operations below.
 */
#pragma once

#include "lib/bits.h"
#include "lib/status.h"
#include "lib/types.h"

/* General registers in the order of instruction encodings; RSP lives in the back end (VIRT_RSP). */
enum { GPR_RAX, GPR_RCX, GPR_RDX, GPR_RBX, GPR_RSP, GPR_RBP, GPR_RSI, GPR_RDI, GPR_R8, GPR_R9, GPR_R10, GPR_R11, GPR_R12, GPR_R13, GPR_R14, GPR_R15, GPR_COUNT };

/* State that the back end keeps; read and written by register_read/register_write while the vCPU is loaded. */
enum virt_register {
	VIRT_RIP, VIRT_RSP, VIRT_RFLAGS, VIRT_CR0, VIRT_CR2, VIRT_CR3, VIRT_CR4, VIRT_EFER, VIRT_PAT, VIRT_DR7,
	VIRT_GDTR_BASE, VIRT_GDTR_LIMIT, VIRT_IDTR_BASE, VIRT_IDTR_LIMIT,
	VIRT_SYSENTER_CS, VIRT_SYSENTER_ESP, VIRT_SYSENTER_EIP, VIRT_FS_BASE, VIRT_GS_BASE, VIRT_DEBUGCTL,
	VIRT_PDPTE0, VIRT_PDPTE1, VIRT_PDPTE2, VIRT_PDPTE3, /* used by the CPU while PAE paging is on */
	VIRT_TSC_OFFSET, /* guest TSC - host TSC */
	VIRT_REGISTER_COUNT,
};

enum virt_segment_name { VIRT_ES, VIRT_CS, VIRT_SS, VIRT_DS, VIRT_FS, VIRT_GS, VIRT_LDTR, VIRT_TR, VIRT_SEGMENT_COUNT };

/* attributes as a VMCS holds them: type [3:0], S 4, DPL [6:5], P 7, AVL 12, L 13, D/B 14, G 15, unusable 16. */
struct virt_segment {
	uint64_t base;
	uint32_t limit;
	uint32_t attributes;
	uint16_t selector;
};
#define VIRT_SEGMENT_L BIT(13)
#define VIRT_SEGMENT_DB BIT(14)
#define VIRT_SEGMENT_UNUSABLE BIT(16)

/* The kinds of exit that handlers know; one table in vmm/exit/ has a handler for each. */
enum vm_exit_kind {
	VM_EXIT_UNKNOWN = 0,
	VM_EXIT_EXCEPTION, VM_EXIT_EXTERNAL_INTERRUPT, VM_EXIT_NMI, VM_EXIT_MACHINE_CHECK, VM_EXIT_TRIPLE_FAULT, VM_EXIT_INIT,
	VM_EXIT_SIPI, VM_EXIT_SMI, VM_EXIT_INTERRUPT_WINDOW, VM_EXIT_NMI_WINDOW, VM_EXIT_TASK_SWITCH, VM_EXIT_CPUID,
	VM_EXIT_HLT, VM_EXIT_INVD, VM_EXIT_WBINVD, VM_EXIT_INVLPG, VM_EXIT_RDPMC, VM_EXIT_RDTSC, VM_EXIT_HYPERCALL,
	VM_EXIT_VIRTUALIZATION_INSTRUCTION, VM_EXIT_CR_ACCESS, VM_EXIT_DR_ACCESS, VM_EXIT_IO, VM_EXIT_RDMSR, VM_EXIT_WRMSR,
	VM_EXIT_ENTRY_FAILED, VM_EXIT_MWAIT, VM_EXIT_MONITOR, VM_EXIT_MONITOR_TRAP, VM_EXIT_PAUSE, VM_EXIT_TPR_THRESHOLD,
	VM_EXIT_APIC_ACCESS, VM_EXIT_APIC_WRITE, VM_EXIT_VIRTUAL_EOI, VM_EXIT_DESCRIPTOR_TABLE, VM_EXIT_NESTED_FAULT,
	VM_EXIT_NESTED_MISCONFIGURED, VM_EXIT_TIMER, VM_EXIT_XSETBV, VM_EXIT_UNDEFINED_INSTRUCTION, VM_EXIT_PML_FULL,
	VM_EXIT_HANDLED, /* by the back end: nothing is left to do */
	VM_EXIT_KIND_COUNT,
};

enum vm_exit_cr_operation { CR_MOV_TO, CR_MOV_FROM, CR_CLTS, CR_LMSW };

/* A cache line; an exit recorder keeps the last ones as they are. */
struct vm_exit {
	enum vm_exit_kind kind;
	uint32_t reason;             /* the hardware's own number as far as it goes, for counters and dumps; < VIRT_EXIT_REASON_MAX */
	uint32_t instruction_length; /* [bytes]; of kinds that an instruction causes */
	uint32_t cost;               /* TSC ticks until the guest was about to be entered again; 0: it was not, or not yet */
	uint64_t time;               /* host TSC at the exit */
	uint64_t qualification;      /* raw; of kinds that have one */
	uint64_t rip;                /* of the instruction; valid for every kind */
	union {
		uint64_t subject;    /* of CPUID: the leaf, of MSRs: the number (in the low half); of the others as below */
		struct { uint8_t vector; bool has_error_code; uint32_t error_code; uint64_t address; bool is_software; } exception;
		struct { uint8_t vector; } interrupt;
		struct { uint16_t port; uint8_t size; bool in, string, repeat; uint64_t linear_address; uint8_t address_size; uint8_t segment; } io;
		struct { uint8_t number; uint8_t gpr; enum vm_exit_cr_operation operation; uint16_t lmsw_value; } cr;
		struct { uint8_t number; uint8_t gpr; bool from; } dr;
		struct { gpa_t gpa; uint64_t gva; bool read, write, execute, gva_valid, during_walk; } nested;
		struct { uint64_t offset; } apic; /* of the register written; VM_EXIT_APIC_ACCESS is told as .nested */
		struct { uint8_t vector; } eoi;
	};
};

#define VIRT_EXIT_REASON_MAX 168u /* counters per hardware reason */

struct virt_vcpu_backend;
struct virt_vm_backend;
struct page_table;
struct posted_interrupts;

/* Who carries out a vCPU's local APIC. SDM Vol. 3C "APIC Virtualization and Virtual Interrupts". */
enum virt_apic_mode {
	VIRT_APIC_SOFTWARE, /* every access exits, interrupts are injected */
	VIRT_APIC_XAPIC,    /* the hardware, by memory-mapped registers */
	VIRT_APIC_X2APIC,   /* the hardware, by MSRs */
};

/* What a back end keeps of one VM: bitmaps, the tag of its TLB entries. Embedded in struct vm. */
struct virt_vm {
	struct virt_vm_backend *backend;
	const struct page_table *nested;
	/* To be mapped at VIRT_APIC_BASE for vCPUs in VIRT_APIC_XAPIC, while none is in VIRT_APIC_X2APIC; 0: none, and no such mode. */
	hpa_t apic_access_page;
};

/* Where VIRT_APIC_XAPIC has its registers [guest-physical]. */
#define VIRT_APIC_BASE 0xfee00000u

/* What a back end sees of a vCPU. Embedded as first member of struct vcpu; offsets known to virt_registers.inc. */
struct virt_vcpu {
	uint64_t gpr[GPR_COUNT]; /* gpr[GPR_RSP] is unused */
	uint64_t cr2;
	struct virt_vm *vm;
	struct virt_vcpu_backend *backend;
	uint64_t entry_deadline; /* TSC at which the guest must exit (VM_EXIT_TIMER), or somewhat earlier if it is far off */
	uint64_t tsc_offset;     /* guest TSC = host TSC + offset; set before the first load, then by VIRT_TSC_OFFSET */
	uint64_t dr[4], dr6;
	uint64_t xcr0;
	bool os_xsave;           /* CR4.OSXSAVE as the guest set it last: CPUID shows it, so the back end keeps it at hand */
	uint64_t xss;
	uint64_t kernel_gs_base, star, lstar, cstar, fmask, tsc_aux; /* valid while not loaded */
	void *xsave_area;
	/* The registers of the local APIC, 4 KiB, as xAPIC mode lays them out; NULL: the hardware takes no part in it. While a
	 * guest runs in another mode than VIRT_APIC_SOFTWARE its hardware writes TPR, PPR, ISR, IRR and ICR here. */
	uint32_t *apic_page;
	/* Where devices leave interrupts for it (arch/x86/posted_interrupts.h): set before the first load, by who keeps them
	 * notifying INTERRUPT_VECTOR_POSTED on the CPU that the vCPU runs on; NULL: none do. */
	struct posted_interrupts *posted;
	/* Where exits are written, one behind the other and round again; @exit is the last one. From creation a ring of one. */
	struct vm_exit *exit, *exits, *exits_end;
};

/* virt_next_exit() - where the exit that has just come belongs. */
static always_inline struct vm_exit *virt_next_exit(struct virt_vcpu *vcpu)
{
	struct vm_exit *exit = vcpu->exit + 1;

	if (unlikely(exit == vcpu->exits_end))
		exit = vcpu->exits;
	vcpu->exit = exit;
	return exit;
}

/* Where dumps go; lines end in '\n'. */
typedef void (*virt_print)(const char *format, ...) printf_like(1, 2);

/* Looks at one exit, which is lent until it returns; false: the vCPU leaves this CPU or has something else to wait for. */
typedef bool (*virt_exit_handler)(struct virt_vcpu *vcpu, const struct vm_exit *exit);

/* What an audit asks of a back end; any CPU, no lock; nothing changes. */
struct virt_inspect_ops {
	/* Calls @visit for every port, or MSR access, that goes through without an exit. @x2apic: for vCPUs in VIRT_APIC_X2APIC. */
	void (*open_ports)(const struct virt_vm *vm, void (*visit)(void *context, uint16_t port), void *context);
	void (*open_msrs)(const struct virt_vm *vm, void (*visit)(void *context, uint32_t msr, bool write, bool x2apic), void *context);
	/* What keeps the vCPU's translations apart from others' in the TLB: a VPID. */
	uint32_t (*vcpu_tag)(const struct virt_vcpu *vcpu);
	/* Calls @visit for the pages of the host that the back end keeps for the VM, or for the vCPU. */
	void (*vm_pages)(const struct virt_vm *vm, void (*visit)(void *context, hpa_t pages, uint64_t bytes), void *context);
	void (*vcpu_pages)(const struct virt_vcpu *vcpu, void (*visit)(void *context, hpa_t pages, uint64_t bytes), void *context);
};

struct virt_ops {
	const char *name; /* "VMX" */
	const char *nested_name; /* "EPT" */

	/* Turns the CPU's virtualization on/off; on that CPU, interrupts off. */
	enum status (*cpu_enable)(void);
	void (*cpu_disable)(void);
	/* The format of nested tables that this machine allows. */
	const struct page_table_format *(*nested_format)(void);

	enum status (*vm_create)(struct virt_vm *vm, const struct page_table *nested);
	void (*vm_destroy)(struct virt_vm *vm);
	/* After mappings were taken out of the nested table: vcpu_run() does not use the old ones any more; who is in one already
	 * needs vcpu_flush(). */
	void (*vm_flush)(struct virt_vm *vm);
	/* Whether guest accesses to @msr exit; from creation all do. */
	void (*msr_intercept)(struct virt_vm *vm, uint32_t msr, bool read, bool write);
	void (*port_intercept)(struct virt_vm *vm, uint16_t port, bool intercept);

	/* The vCPU starts in the state after INIT (real mode, CS:IP f000:fff0); loaded nowhere. */
	enum status (*vcpu_create)(struct virt_vcpu *vcpu, struct virt_vm *vm);
	void (*vcpu_destroy)(struct virt_vcpu *vcpu);
	/* Makes the vCPU this CPU's current one / saves it so that another CPU may load it. All below need it loaded. */
	void (*vcpu_load)(struct virt_vcpu *vcpu);
	void (*vcpu_put)(struct virt_vcpu *vcpu);
	/* Enters the guest; calls @handle at every exit and enters again as long as it returns true. Interrupts off. */
	void (*vcpu_run)(struct virt_vcpu *vcpu, virt_exit_handler handle);

	/* Forgets all translations of the vCPU: after a change of paging mode that the back end did not see. */
	void (*vcpu_flush)(struct virt_vcpu *vcpu);
	/* Registers, segments and debug registers as INIT leaves them, nothing pending, no translations; MSRs but EFER stay. */
	void (*vcpu_enter_init)(struct virt_vcpu *vcpu);

	uint64_t (*register_read)(struct virt_vcpu *vcpu, enum virt_register name);
	void (*register_write)(struct virt_vcpu *vcpu, enum virt_register name, uint64_t value);
	void (*segment_read)(struct virt_vcpu *vcpu, enum virt_segment_name name, struct virt_segment *segment);
	void (*segment_write)(struct virt_vcpu *vcpu, enum virt_segment_name name, const struct virt_segment *segment);

	/* Moves RIP behind the instruction of @exit and ends its interrupt shadow. */
	void (*skip_instruction)(struct virt_vcpu *vcpu, const struct vm_exit *exit);
	/* Queues an event for the next entry. */
	void (*inject_exception)(struct virt_vcpu *vcpu, uint8_t vector, bool has_error_code, uint32_t error_code);
	void (*inject_interrupt)(struct virt_vcpu *vcpu, uint8_t vector);
	void (*inject_nmi)(struct virt_vcpu *vcpu);
	/* The guest would take an interrupt now: IF set, no shadow, no event queued. */
	bool (*interrupt_allowed)(struct virt_vcpu *vcpu);
	/* The same of an NMI; if not, the guest exits (VM_EXIT_NMI_WINDOW) as soon as it would be. */
	bool (*nmi_allowed)(struct virt_vcpu *vcpu);
	/* Exit as soon as interrupt_allowed() would be true / no longer, nor because of NMIs. */
	void (*interrupt_window)(struct virt_vcpu *vcpu, bool wanted);

	/* Whether this machine has @mode, if vcpu->apic_page is there. */
	bool (*apic_mode_supported)(enum virt_apic_mode mode);
	void (*apic_set_mode)(struct virt_vcpu *vcpu, enum virt_apic_mode mode);
	/* Whether in the hardware's modes the guest gets what is left at vcpu->posted without an exit. */
	bool (*apic_can_post)(void);
	/* In the hardware's modes: the highest vectors in IRR and ISR as software left them, 0 for none. */
	void (*apic_set_status)(struct virt_vcpu *vcpu, uint8_t requested, uint8_t in_service);
	/* Vectors 64 * @word + n, bits n of @vectors, exit (VM_EXIT_VIRTUAL_EOI) when the guest ends them; the others do not. */
	void (*apic_set_eoi_exits)(struct virt_vcpu *vcpu, unsigned word, uint64_t vectors);

	/*
	 * In the hardware's modes: the guest gets edge interrupt @vector at host TSC @deadline without an exit, if it runs then;
	 * one at a time. Return: false if the machine cannot do it, or not this time.
	 */
	bool (*apic_arm_timer)(struct virt_vcpu *vcpu, uint8_t vector, uint64_t deadline);
	/* Takes that back. Return: false if the interrupt has been delivered (it is in IRR or further). The vCPU must not leave
	 * the CPU or the mode with its timer armed. */
	bool (*apic_disarm_timer)(struct virt_vcpu *vcpu);

	/* The hardware's name of exit @reason, or NULL. */
	const char *(*reason_name)(uint32_t reason);
	const struct virt_inspect_ops *inspect;
	/* Everything in words: controls, guest state, last exit, and which entry checks fail. */
	void (*dump)(struct virt_vcpu *vcpu, virt_print print);
};

/** virt_ops - the back end of this machine; NULL if it has none (virt_missing_reason() says why). Set once at boot. */
extern const struct virt_ops *virt_ops;
const char *virt_missing_reason(void);
/** virt_set_ops() / virt_set_missing() - the boot stage's verdict; @reason: static text. */
void virt_set_ops(const struct virt_ops *ops);
void virt_set_missing(const char *reason);

/*
 * For CPUs that do not tell all about the instruction that exited, how the guest's memory is reached; the vCPU is loaded.
 *
 * A virt_code_reader copies what the page of CS:@rip has of the guest's code to @bytes, at most @size. Return: how many bytes; 0 if
 * the guest's paging structures have changed. A virt_operand_access reads or writes the two bytes at a linear address with the
 * guest's rights. Return: false: it may not, and gets the fault at its next entry.
 */
typedef size_t (*virt_code_reader)(struct virt_vcpu *vcpu, uint64_t rip, uint8_t *bytes, size_t size);
typedef bool (*virt_operand_access)(struct virt_vcpu *vcpu, uint64_t linear, uint16_t *value, bool write);
extern virt_code_reader virt_read_code;
extern virt_operand_access virt_access_operand;
/** virt_set_guest_access() - who can walk them; at boot, before a vCPU runs. */
void virt_set_guest_access(virt_code_reader reader, virt_operand_access access);
