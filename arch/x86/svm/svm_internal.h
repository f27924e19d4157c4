/*
 * What the files of the SVM back end share. AMD APM Vol. 2 "Secure Virtual Machine".
 */
#pragma once

#include "arch/x86/pcpu.h"
#include "arch/x86/svm/features.h"
#include "arch/x86/svm/svm.h"
#include "arch/x86/svm/vmcb.h"
#include "arch/x86/virt.h"
#include "lib/status.h"

/* A CPU's own: pcpu->svm. */
struct svm_cpu {
	hpa_t save_area;   /* where VMRUN keeps the host's state */
	hpa_t host_state;  /* what VMLOAD takes back after an exit */
	uint64_t asids_given; /* since the CPU was switched on; see asid.c */
	bool flush_all;    /* at the next entry, whoever's */
};

struct virt_vm_backend {
	hpa_t io_permissions;  /* three contiguous pages */
	hpa_t msr_permissions; /* two contiguous pages */
	uint32_t flush_generation; /* atomic; raised by vm_flush */
	uint32_t vcpu_count;
};

struct virt_vcpu_backend {
	struct vmcb *vmcb;       /* these three: see entry.asm */
	uint64_t vmcb_address;
	uint64_t host_state;     /* svm_cpu->host_state of the CPU that has the vCPU loaded */
	uint64_t cr0, cr4;       /* as the guest sees them; the VMCB's differ in bits that are the host's */
	uint64_t debugctl;       /* the same; without LBR virtualization it has no effect */
	uint64_t timer_deadline; /* that this CPU's timer was set to; 0: unknown */
	uint64_t asid_number;    /* of svm_cpu->asids_given */
	uint64_t shadow_rip;     /* where the guest was entered in an interrupt shadow */
	uint64_t step_dr6;       /* the guest's, before a step of ours */
	uint64_t iret_rip;       /* of the IRET at the end of an NMI handler */
	uint64_t last_pause;     /* TSC of the last PAUSE that exited; without a PAUSE filter */
	uint32_t pauses;         /* so many in a loop */
	uint32_t last_pcpu;      /* PCPU_MAX: none yet */
	uint32_t tag;            /* for audits; see svm_vcpu_tag() */
	uint32_t flush_generation; /* of the VM at this vCPU's last flush */
	bool event_queued;       /* the VMCB has one to inject */
	bool window_wanted;      /* exit when the guest would take an interrupt */
	bool entered_in_shadow;
	bool step_wanted;        /* at the next entry: exit after one instruction, or after the event that is injected */
	bool is_stepping;        /* that was so at the last one: RFLAGS.TF is ours */
	bool nmi_blocked;        /* from the injection of an NMI to the end of its handler's IRET */
	bool iret_begun;         /* the IRET at @iret_rip is about to be carried out */
	virt_exit_handler handle; /* the caller's, while the vCPU runs */
	struct vm_exit exit;     /* the vCPU's ring of exits until it gets a larger one */
};

extern struct svm_settings svm_settings;

/* entry.asm: enters the guest and comes back when svm_after_exit() returns NULL. Interrupts off. */
void svm_enter(struct virt_vcpu *vcpu);
/* Called by it after every exit, the host's state loaded and interrupts held off: @vcpu to enter again, or NULL. */
struct virt_vcpu *svm_after_exit(struct virt_vcpu *vcpu);

/* vm.c: contracts in virt.h */
must_check enum status svm_vm_create(struct virt_vm *vm, const struct page_table *nested);
void svm_vm_destroy(struct virt_vm *vm);
void svm_vm_flush(struct virt_vm *vm);
void svm_msr_intercept(struct virt_vm *vm, uint32_t msr, bool read, bool write);
void svm_port_intercept(struct virt_vm *vm, uint16_t port, bool intercept);
#define SVM_IO_PAGES 3u
#define SVM_MSR_PAGES 2u
/* The MSR that two bits stand for (reads, then writes), the first of every range. */
#define SVM_MSR_RANGES 3u
#define SVM_MSR_RANGE_SIZE 0x2000u
extern const uint32_t svm_msr_ranges[SVM_MSR_RANGES];

/* vcpu.c */
must_check enum status svm_vcpu_create(struct virt_vcpu *vcpu, struct virt_vm *vm);
void svm_vcpu_destroy(struct virt_vcpu *vcpu);
void svm_vcpu_load(struct virt_vcpu *vcpu);
void svm_vcpu_put(struct virt_vcpu *vcpu);
void svm_vcpu_run(struct virt_vcpu *vcpu, virt_exit_handler handle);
/* What must be right in the VMCB and in this CPU's timer before each entry. */
void svm_prepare_entry(struct virt_vcpu *vcpu);

/* QEMU's software emulation of SVM lets guests carry XSETBV out: takes what the loaded vCPU has in XCR0, as far as vCPUs are
 * switched with it. */
void svm_note_xcr0(struct virt_vcpu *vcpu);

/* asid.c: the tag of the vCPU's TLB entries on the CPU that has it loaded */
void svm_asid_init_cpu(struct svm_cpu *cpu);
void svm_asid_init_vcpu(struct virt_vcpu_backend *backend);
/* Before the first entry on this CPU after a load: gives one unless the vCPU's is still its own. */
void svm_asid_check(struct virt_vcpu *vcpu);
void svm_vcpu_flush(struct virt_vcpu *vcpu);
uint32_t svm_vcpu_tag(const struct virt_vcpu *vcpu);

/* vmcb_setup.c: fills a new VMCB; INIT. */
void svm_vmcb_setup(struct virt_vcpu *vcpu);
void svm_vcpu_enter_init(struct virt_vcpu *vcpu);

/* exit_decode.c */
const char *svm_reason_name(uint32_t reason);
/* Exit codes as struct vm_exit counts them: below SVM_EXIT_LOW_COUNT the CPU's own number, the others in these. */
enum { SVM_REASON_NESTED_PAGE_FAULT = SVM_EXIT_LOW_COUNT, SVM_REASON_INVALID, SVM_REASON_UNKNOWN };

/* pause.c: PAUSE: goes on behind it unless it is one of a loop that lasts. */
void svm_decode_pause(struct virt_vcpu *vcpu, struct vm_exit *exit);

/* exit_instruction.c: exits that the instruction itself must be looked at for */
void svm_decode_length(struct virt_vcpu *vcpu, struct vm_exit *exit, uint16_t opcode);
void svm_decode_io(struct virt_vcpu *vcpu, struct vm_exit *exit);
void svm_decode_cr(struct virt_vcpu *vcpu, struct vm_exit *exit);
void svm_decode_xsetbv(struct virt_vcpu *vcpu, struct vm_exit *exit);

/* registers.c */
uint64_t svm_register_read(struct virt_vcpu *vcpu, enum virt_register name);
void svm_register_write(struct virt_vcpu *vcpu, enum virt_register name, uint64_t value);
void svm_segment_read(struct virt_vcpu *vcpu, enum virt_segment_name name, struct virt_segment *segment);
void svm_segment_write(struct virt_vcpu *vcpu, enum virt_segment_name name, const struct virt_segment *segment);

/* Bochs 3.1 does not load CR2 at VMRUN: whenever the VMCB's is another than the CPU's. */
void svm_load_cr2(const struct virt_vcpu_backend *backend);

/* events.c */
void svm_skip_instruction(struct virt_vcpu *vcpu, const struct vm_exit *exit);
void svm_inject_exception(struct virt_vcpu *vcpu, uint8_t vector, bool has_error_code, uint32_t error_code);
void svm_inject_interrupt(struct virt_vcpu *vcpu, uint8_t vector);
void svm_inject_nmi(struct virt_vcpu *vcpu);
bool svm_interrupt_allowed(struct virt_vcpu *vcpu);
bool svm_nmi_allowed(struct virt_vcpu *vcpu);
void svm_interrupt_window(struct virt_vcpu *vcpu, bool wanted);
/* Puts the event back that the last exit interrupted. */
void svm_requeue_event(struct virt_vcpu_backend *backend);
/* Switches the exit for the interrupt window on or off; @backend->window_wanted is not touched. */
void svm_set_window(struct virt_vcpu_backend *backend, bool on);

/* step.c: what takes an exit after one instruction: the end of NMI handlers, and shadows that the CPU forgets */
void svm_begin_step(struct virt_vcpu_backend *backend);
/* After an exit: takes RFLAGS.TF away and turns the step's #DB into VM_EXIT_INTERRUPT_WINDOW. */
void svm_end_step(struct virt_vcpu_backend *backend, struct vm_exit *exit);
/* VINTR: the guest is where it was entered in a shadow, which a CPU that keeps shadows does not do. */
void svm_check_window(struct virt_vcpu_backend *backend, struct vm_exit *exit);
void svm_iret(struct virt_vcpu_backend *backend, struct vm_exit *exit);
/* NMIs stay blocked until the IRET has been carried out: until RIP has moved away from it. */
void svm_note_progress(struct virt_vcpu_backend *backend, const struct vm_exit *exit);

/* inspect.c, dump.c */
extern const struct virt_inspect_ops svm_inspect_ops;
void svm_dump(struct virt_vcpu *vcpu, virt_print print);
