/*
 * A virtual CPU: guest state, what is pending for it, its counters and where it may run.
 */
#pragma once

#include "arch/x86/virt.h"
#include "lib/list.h"
#include "lib/types.h"
#include "vmm/exit_recorder.h"
#include "vmm/vcpu_sched.h"

struct vm;
struct scheduler_cpu;

enum vcpu_state {
	VCPU_OFF,      /* its VM was not started yet, or is stopped */
	VCPU_WAIT_SIPI, /* after INIT: waits for a start-up IPI */
	VCPU_RUNNABLE,
	VCPU_RUNNING,  /* on vcpu->pcpu_index now, in the guest or handling its exit */
	VCPU_BLOCKED,  /* in HLT: waits for an interrupt or a timer */
	VCPU_PAUSED,   /* by the user */
};

/* Asked of a vCPU by others; handled by its own CPU before the next entry. */
#define VCPU_REQUEST_EVENT 0x1u   /* look for interrupts to inject */
#define VCPU_REQUEST_STOP 0x2u    /* the VM stops */
#define VCPU_REQUEST_TIMER 0x4u   /* the earliest deadline changed */
#define VCPU_REQUEST_NMI 0x8u
#define VCPU_REQUEST_INIT 0x10u   /* an INIT arrived: state after INIT, then VCPU_WAIT_SIPI (the bootstrap vCPU: starts at the reset vector) */
#define VCPU_REQUEST_SIPI 0x20u   /* a start-up IPI arrived, vcpu->sipi_vector; without effect unless VCPU_WAIT_SIPI */
#define VCPU_REQUEST_PAUSE 0x40u  /* the user pauses the VM */
#define VCPU_REQUEST_POSTED 0x100u /* its descriptor has requests: look at it, then for VCPU_REQUEST_EVENT, which comes along */
#define VCPU_REQUEST_FLUSH 0x80u  /* the VM's nested table lost mappings: forget translations before the next entry */

/* What an exit handler wants done with its vCPU. RIP moves in one place, by this. */
enum exit_action {
	EXIT_RESUME,      /* enter again at the same RIP */
	EXIT_SKIP,        /* the instruction was carried out: move RIP behind it, then enter */
	EXIT_INJECT,      /* the handler queued an event (vcpu_inject_*): enter without moving RIP */
	EXIT_BLOCK,       /* skip the instruction and wait for an interrupt (HLT) */
	EXIT_YIELD,       /* enter again later: let another vCPU run */
	EXIT_STOP,        /* the VM stops; the handler called vm_stop() */
	EXIT_ACTION_COUNT,
};

struct vcpu {
	struct virt_vcpu virt; /* first: vmx/entry.asm works on it */
	struct vm *vm;
	uint32_t index;      /* in its VM; also its APIC id */
	uint32_t pcpu_index; /* the CPU that runs it */
	enum vcpu_state state; /* written by its CPU, or under the scheduler's lock while not running */
	uint32_t requests;   /* VCPU_REQUEST_*, atomic */
	uint8_t sipi_vector; /* atomic; of the last start-up IPI */
	struct scheduler_cpu *scheduler; /* the part of the CPU that runs it; set by the scheduler */
	struct vcpu_sched sched; /* the scheduler's and its policies' */
	struct { struct list link; uint32_t listed_at; } posting; /* vmm/vcpu_posting.c, if virt.posted is there */
	struct list timers;  /* struct vcpu_timer, by deadline; device lock */
	struct vcpu_timer *timer_in_hardware; /* in the list too; NULL: none; device lock */
	void *local_apic;    /* state of the local APIC model; device lock */
	struct exit_recorder *recorder; /* the last exits; never NULL; the vCPU owns it */
	uint64_t exit_counts[VIRT_EXIT_REASON_MAX];
	uint64_t first_entry_tsc;
	/* MSRs without effect that a guest may write and read back, by row of the policy. */
	uint64_t misc_enable, debugctl, pat;
	uint64_t tsc_adjust;
};

/* What makes a CPU look at a vCPU that it is not running at this moment, or runs elsewhere: the scheduler's. */
typedef void (*vcpu_kick_handler)(struct vcpu *vcpu);
void vcpu_set_kick_handler(vcpu_kick_handler handler);

/** vcpu_kick() - sets @request and makes the vCPU's CPU look at it soon: from any CPU, any context. */
void vcpu_kick(struct vcpu *vcpu, uint32_t request);

/** vcpu_run_ticks() - how long it has run until now, in the guest and its exits [TSC ticks]. Any CPU; a hint while it runs. */
uint64_t vcpu_run_ticks(const struct vcpu *vcpu);

/* Registers that instructions name by number 0..15 (GPR_*), RSP included. The vCPU is loaded. */
uint64_t vcpu_gpr_read(struct vcpu *vcpu, unsigned number);
void vcpu_gpr_write(struct vcpu *vcpu, unsigned number, uint64_t value);

/* Faults of the guest's own doing, for EXIT_INJECT. */
void vcpu_inject_undefined_opcode(struct vcpu *vcpu);
void vcpu_inject_general_protection(struct vcpu *vcpu); /* error code 0 */
void vcpu_inject_page_fault(struct vcpu *vcpu, uint64_t address, uint32_t error_code);

/** vcpu_guest_tsc() - what RDTSC would give the guest now. vcpu_host_ticks_from_guest_tsc(): the host TSC at which it reads @value. */
uint64_t vcpu_guest_tsc(const struct vcpu *vcpu);
uint64_t vcpu_host_tsc_from_guest(const struct vcpu *vcpu, uint64_t value);
