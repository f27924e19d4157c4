/*
 * The VMX back end: probing, and what its files share. Outside this folder only vmx_probe() and vmx_report() are used;
 * everything else goes through struct virt_ops.
 */
#pragma once

#include "arch/x86/pcpu.h"
#include "arch/x86/posted_interrupts.h"
#include "arch/x86/virt.h"
#include "arch/x86/vmx/capabilities.h"
#include "lib/status.h"

/**
 * vmx_probe() - whether this machine can run VMs with VMX; on the boot processor, once.
 * @why: out: static text, the reason if it cannot.
 * Return: STATUS_OK: register vmx_ops with virt_set_ops(); STATUS_UNSUPPORTED.
 */
must_check enum status vmx_probe(const char **why);
extern const struct virt_ops vmx_ops;

/** vmx_report() - the VMX features for `report`; nothing if the CPU has no VMX. */
void vmx_report(void (*print)(const char *format, ...));

/* A CPU's own: pcpu->vmx. */
struct vmx_cpu {
	hpa_t vmxon_region;
	struct virt_vcpu *current; /* whose VMCS is current */
};

struct virt_vm_backend {
	hpa_t io_bitmaps;  /* two contiguous pages: A, B */
	hpa_t msr_bitmaps; /* two contiguous pages: for most, for vCPUs in VIRT_APIC_X2APIC */
	uint64_t ept_pointer;
	uint32_t flush_generation; /* atomic; raised by vm_flush */
	uint32_t vcpu_count;
};

/* What the CPU can tell of an event that an exit interrupted: injected again at the next entry. */
struct virt_vcpu_backend {
	hpa_t vmcs;
	uint64_t host_rsp;   /* as VMCS_HOST_RSP holds it; see entry.asm */
	uint64_t launched;   /* VMRESUME instead of VMLAUNCH; see entry.asm */
	uint32_t primary_controls, entry_controls; /* as the VMCS holds them */
	uint32_t secondary_controls; /* the same, without those of the local APIC's mode */
	enum virt_apic_mode apic_mode;
	bool has_timer_delivery;   /* vmx_apic_arm_timer() can work */
	bool is_posting;           /* the VMCS has posted interrupts switched on, by vmx_apic_arm_timer() */
	uint8_t timer_vector;      /* requested in @own_posted, by vmx_apic_arm_timer(); 0: none */
	bool event_queued;   /* VMCS_CONTROL_ENTRY_INTERRUPTION_INFO is valid */
	uint32_t queued_info;
	uint16_t vpid;
	uint32_t last_pcpu;  /* PCPU_MAX: none yet */
	uint32_t flush_generation; /* of the VM at this vCPU's last flush */
	uint64_t timer_deadline;  /* UINT64_MAX: the VMCS holds VMX_TIMER_MAX_TICKS, so that no deadline needs no write; else no deadline */
	virt_exit_handler handle; /* the caller's, while the vCPU runs */
	struct vm_exit exit;      /* the vCPU's ring of exits until it gets a larger one */
	struct posted_interrupts own_posted; /* of vmx_apic_arm_timer() */
};

extern struct vmx_capabilities vmx_capabilities;
extern struct vmx_settings vmx_settings;

/* entry.asm: enters the guest and comes back when vmx_after_exit() returns false. */
void vmx_enter(struct virt_vcpu *vcpu, struct virt_vcpu_backend *backend);
void vmx_exit_entry_point(void);
/* Called by it after every exit: @vcpu to enter again, or NULL. The same when VMLAUNCH or VMRESUME failed; true: enter again. */
struct virt_vcpu *vmx_after_exit(struct virt_vcpu *vcpu);
bool vmx_after_failed_entry(struct virt_vcpu *vcpu);

/* vmcs_setup.c: fills the current, cleared VMCS. */
void vmx_vmcs_setup(struct virt_vcpu *vcpu);
void vmx_vmcs_setup_host(void);

/* exit_decode.c */
const char *vmx_reason_name(uint32_t reason);
#define VMX_REASON_COUNT 96u /* the last one stands for all numbers that no manual knows yet, and for entries that failed */

/* registers.c */
uint64_t vmx_register_read(struct virt_vcpu *vcpu, enum virt_register name);
void vmx_register_write(struct virt_vcpu *vcpu, enum virt_register name, uint64_t value);
void vmx_segment_read(struct virt_vcpu *vcpu, enum virt_segment_name name, struct virt_segment *segment);
void vmx_segment_write(struct virt_vcpu *vcpu, enum virt_segment_name name, const struct virt_segment *segment);

/* events.c */
void vmx_skip_instruction(struct virt_vcpu *vcpu, const struct vm_exit *exit);
void vmx_inject_exception(struct virt_vcpu *vcpu, uint8_t vector, bool has_error_code, uint32_t error_code);
void vmx_inject_interrupt(struct virt_vcpu *vcpu, uint8_t vector);
void vmx_inject_nmi(struct virt_vcpu *vcpu);
bool vmx_interrupt_allowed(struct virt_vcpu *vcpu);
bool vmx_nmi_allowed(struct virt_vcpu *vcpu);
void vmx_interrupt_window(struct virt_vcpu *vcpu, bool wanted);
/* Puts the event back that the last exit interrupted. */
void vmx_requeue_event(struct virt_vcpu *vcpu);

/* apic.c: virtualization of the local APIC */
/* Allocates the vCPU's register page, if the machine can use one; frees it. */
must_check enum status vmx_apic_create(struct virt_vcpu *vcpu);
void vmx_apic_destroy(struct virt_vcpu *vcpu);
/* Fills its part of the current VMCS: VIRT_APIC_SOFTWARE. */
void vmx_apic_setup(struct virt_vcpu *vcpu);
bool vmx_apic_mode_supported(enum virt_apic_mode mode);
bool vmx_apic_can_post(void);
void vmx_apic_set_mode(struct virt_vcpu *vcpu, enum virt_apic_mode mode);
void vmx_apic_set_status(struct virt_vcpu *vcpu, uint8_t requested, uint8_t in_service);
void vmx_apic_set_eoi_exits(struct virt_vcpu *vcpu, unsigned word, uint64_t vectors);
bool vmx_apic_arm_timer(struct virt_vcpu *vcpu, uint8_t vector, uint64_t deadline);
bool vmx_apic_disarm_timer(struct virt_vcpu *vcpu);
/* The vCPU leaves its CPU, whose timer others may use before it comes back. */
void vmx_apic_stop_posting(struct virt_vcpu *vcpu);

/* dump.c */
void vmx_dump(struct virt_vcpu *vcpu, virt_print print);
