/*
 * The local APICs of a VM, one state block per vCPU: registers by MMIO and by MSR (local_apic.c), what each register
 * does (local_apic_registers.c), acceptance and delivery of interrupts (local_apic_interrupts.c), the hardware's part in
 * both (local_apic_hardware.c), messages between APICs (local_apic_messages.c), the timer (local_apic_timer.c), state in
 * words (local_apic_describe.c). Private to these files and their tests.
 *
 * Everything here runs with the VM's device lock held. While the hardware carries an APIC out and its vCPU is in the guest,
 * the hardware alone changes IRR, ISR, TPR and PPR: what arrives meanwhile is posted, and joins IRR on the vCPU's own CPU
 * before the next entry. SDM Vol. 3A "Advanced Programmable Interrupt Controller (APIC)".
 */
#pragma once

#include "arch/x86/msr.h"
#include "lib/bits.h"
#include "vmm/io_device.h"
#include "vmm/irq_routing.h"
#include "vmm/vcpu_timer.h"
#include "vmm/vm.h"

#define LOCAL_APIC_BASE 0xfee00000u
#define LOCAL_APIC_LENGTH 0x1000u

/* Integrated APIC, six entries in the local vector table, no suppression of EOI broadcasts. */
#define LOCAL_APIC_VERSION 0x00050014u

/* Registers by number: x2APIC MSR less 0x800, MMIO offset / 16. */
enum local_apic_register_number {
	LOCAL_APIC_ID = 0x02, LOCAL_APIC_VERSION_REGISTER = 0x03, LOCAL_APIC_TPR = 0x08, LOCAL_APIC_PPR = 0x0a,
	LOCAL_APIC_EOI = 0x0b, LOCAL_APIC_LDR = 0x0d, LOCAL_APIC_DFR = 0x0e, LOCAL_APIC_SVR = 0x0f, LOCAL_APIC_ISR = 0x10,
	LOCAL_APIC_TMR = 0x18, LOCAL_APIC_IRR = 0x20, LOCAL_APIC_ESR = 0x28, LOCAL_APIC_ICR = 0x30, LOCAL_APIC_ICR_HIGH = 0x31,
	LOCAL_APIC_LVT = 0x32, LOCAL_APIC_INITIAL_COUNT = 0x38, LOCAL_APIC_CURRENT_COUNT = 0x39, LOCAL_APIC_DIVIDE = 0x3e,
	LOCAL_APIC_SELF_IPI = 0x3f, LOCAL_APIC_REGISTER_COUNT = 0x40,
};
#define LOCAL_APIC_REGISTER_WORDS 4u /* from one register to the next in the page */

/* The local vector table in the order of its registers. */
enum local_apic_lvt {
	LOCAL_APIC_LVT_TIMER, LOCAL_APIC_LVT_THERMAL, LOCAL_APIC_LVT_PERFORMANCE, LOCAL_APIC_LVT_LINT0, LOCAL_APIC_LVT_LINT1,
	LOCAL_APIC_LVT_ERROR, LOCAL_APIC_LVT_COUNT,
};

#define LOCAL_APIC_LVT_VECTOR 0xffu
#define LOCAL_APIC_LVT_MODE 0x700u
#define LOCAL_APIC_LVT_MODE_NMI 0x400u
#define LOCAL_APIC_LVT_MODE_EXTINT 0x700u
#define LOCAL_APIC_LVT_MASKED 0x10000u
#define LOCAL_APIC_LVT_TIMER_MODE 0x60000u
#define LOCAL_APIC_LVT_ONE_SHOT 0x00000u
#define LOCAL_APIC_LVT_PERIODIC 0x20000u
#define LOCAL_APIC_LVT_TSC_DEADLINE 0x40000u

#define LOCAL_APIC_SVR_ENABLE 0x100u

/* Bits of the error status register. */
#define LOCAL_APIC_ERROR_SEND_ILLEGAL_VECTOR 0x20u
#define LOCAL_APIC_ERROR_RECEIVE_ILLEGAL_VECTOR 0x40u
#define LOCAL_APIC_ERROR_ILLEGAL_REGISTER 0x80u

/* Vectors below this belong to exceptions; an APIC does not deliver them. */
#define LOCAL_APIC_FIRST_VECTOR 16u

/* No timer goes faster than this [TSC ticks], so that a guest's periodic timer leaves time to run the guest. */
#define LOCAL_APIC_PERIOD_MIN 10000u

struct local_apic {
	struct vcpu *vcpu;    /* NULL: no such vCPU */
	uint64_t base_msr;    /* IA32_APIC_BASE */
	/* The registers as a guest reads them, see local_apic_at(): the page that the hardware works on, or own_registers.
	 * In both modes the upper half of ICR is register LOCAL_APIC_ICR_HIGH. */
	uint32_t *registers;
	uint32_t own_registers[LOCAL_APIC_REGISTER_COUNT * LOCAL_APIC_REGISTER_WORDS];
	enum virt_apic_mode mode; /* who carries the registers out and delivers interrupts */
	/* The hardware has not been told yet: of the mode; of what software changed in IRR and ISR. */
	bool mode_is_new, status_is_new;
	uint64_t posted[4], posted_level[4]; /* requested since the last entry, and which of them level-triggered */
	uint64_t eoi_exits[4]; /* level-triggered vectors, as the hardware was told */
	/* The highest vector set in IRR and ISR, 0 for none; of VIRT_APIC_SOFTWARE only. */
	uint8_t highest_requested, highest_in_service;
	bool accepts_external; /* the 8259's output reaches this vCPU */
	uint32_t errors;       /* since the last write of ESR */
	/* What the timer goes by; a guest's write shows in the register before it comes into force. */
	uint32_t timer_lvt, initial_count;
	uint8_t divide_shift;  /* the timer counts every 2^divide_shift TSC ticks */
	uint64_t tsc_deadline; /* IA32_TSC_DEADLINE while the timer is armed: guest TSC */
	struct vcpu_timer timer;
};

struct local_apic_device {
	struct io_device device;
	uint32_t last_lowest; /* index of the vCPU that took the last lowest-priority interrupt */
	bool access_page_mapped; /* in the VM's nested table */
	struct local_apic apics[VM_MAX_VCPUS];
};

static inline bool local_apic_is_enabled(const struct local_apic *apic) { return (apic->base_msr & APIC_BASE_ENABLE) != 0; }
static inline bool local_apic_is_x2apic(const struct local_apic *apic) { return (apic->base_msr & APIC_BASE_X2APIC) != 0; }
static inline bool local_apic_is_in_hardware(const struct local_apic *apic) { return apic->mode != VIRT_APIC_SOFTWARE; }

/** local_apic_at() - register @number, which is lower than LOCAL_APIC_REGISTER_COUNT. */
static inline uint32_t *local_apic_at(const struct local_apic *apic, unsigned number)
{
	return &apic->registers[number * LOCAL_APIC_REGISTER_WORDS];
}

static inline uint32_t local_apic_get(const struct local_apic *apic, unsigned number) { return *local_apic_at(apic, number); }
static inline void local_apic_set(struct local_apic *apic, unsigned number, uint32_t value) { *local_apic_at(apic, number) = value; }

static inline bool local_apic_is_software_enabled(const struct local_apic *apic)
{
	return (local_apic_get(apic, LOCAL_APIC_SVR) & LOCAL_APIC_SVR_ENABLE) != 0;
}

/** local_apic_x2apic_logical_id() - LDR in x2APIC mode. SDM Vol. 3A "Deriving Logical x2APIC ID from the Local x2APIC ID". */
static inline uint32_t local_apic_x2apic_logical_id(uint32_t id) { return (id >> 4) << 16 | 1u << (id & 0xf); }

/* ---- local_apic_registers.c ---- */
/** local_apic_reset_registers() - the state after power-up or after the APIC was disabled; IA32_APIC_BASE stays. */
void local_apic_reset_registers(struct local_apic *apic);
/** local_apic_enter_virtual_wire() - behind a reset: what firmware sets on the boot processor. */
void local_apic_enter_virtual_wire(struct local_apic *apic);
/**
 * local_apic_read_register() / _write_register() - register @number < LOCAL_APIC_REGISTER_COUNT in the mode that the
 * APIC is in. STATUS_DENIED: none there or reserved bits set, which is #GP in x2APIC mode and goes by in xAPIC mode.
 */
must_check enum status local_apic_read_register(struct local_apic *apic, unsigned number, uint64_t *value);
must_check enum status local_apic_write_register(struct local_apic *apic, unsigned number, uint64_t value);

/** local_apic_register_written() - the hardware put a guest's write into register @number and leaves its effect to us. */
void local_apic_register_written(struct local_apic *apic, unsigned number);
/** local_apic_set_identity() - ID, version and LDR of the mode that the APIC is in. */
void local_apic_set_identity(struct local_apic *apic);

/* ---- local_apic_interrupts.c ---- */
/** local_apic_highest() - in the bitmap that begins at register @bitmap (IRR, ISR), none above @limit; 0 if there is none. */
uint8_t local_apic_highest(const struct local_apic *apic, enum local_apic_register_number bitmap, uint8_t limit);
/** local_apic_request() - sets @vector in IRR, and TMR as @level says. */
void local_apic_request(struct local_apic *apic, uint8_t vector, bool level);
/** local_apic_notify() - has the vCPU look at its interrupts before it enters the guest again. */
void local_apic_notify(struct local_apic *apic);
/** local_apic_accept() - @vector >= 16 arrives: it is requested from now on, and the vCPU told if it can take it. */
void local_apic_accept(struct local_apic *apic, uint8_t vector, bool level);
/** local_apic_accept_lvt() - the timer or the error logic raises its entry of the local vector table. */
void local_apic_accept_lvt(struct local_apic *apic, enum local_apic_lvt entry);
/** local_apic_report_error() - notes @error for ESR and raises the error interrupt. */
void local_apic_report_error(struct local_apic *apic, uint32_t error);
void local_apic_end_of_interrupt(struct local_apic *apic);
void local_apic_set_task_priority(struct local_apic *apic, uint8_t priority);
/** local_apic_update_external() - after LVT LINT0 or the enable bits changed: whether the 8259's output gets through. */
void local_apic_update_external(struct local_apic *apic);
void local_apic_clear_interrupts(struct local_apic *apic);
int local_apic_pending_vector(const struct local_apic *apic);
int local_apic_acknowledge(struct local_apic *apic);
/**
 * local_apic_prepare_entry() - on the vCPU's CPU, where it is loaded. Return: whether an interrupt is due that must be
 * injected: local_apic_acknowledge() takes it.
 */
bool local_apic_prepare_entry(struct local_apic *apic);

/* ---- local_apic_hardware.c ---- */
/** local_apic_device_of() - the device that holds @apic: the blocks of all vCPUs lie in its array by index. */
static inline struct local_apic_device *local_apic_device_of(struct local_apic *apic)
{
	return container_of(apic - apic->vcpu->index, struct local_apic_device, apics[0]);
}

/** local_apic_choose_mode() - after IA32_APIC_BASE changed: who carries out the APIC from now on. */
void local_apic_choose_mode(struct local_apic *apic);
/** local_apic_post() - @vector arrives at an APIC in hardware, whose vCPU may be in the guest. */
void local_apic_post(struct local_apic *apic, uint8_t vector, bool level);
/** local_apic_update_hardware() - on the vCPU's CPU, where it is loaded: tells the hardware what changed and what arrived. */
void local_apic_update_hardware(struct local_apic *apic);
/** local_apic_highest_posted() - 0 if nothing is. */
uint8_t local_apic_highest_posted(const struct local_apic *apic);

/* ---- local_apic_messages.c ---- */
/** local_apic_deliver() - a message from an I/O APIC or an MSI. STATUS_NOT_FOUND: no local APIC accepted it. */
enum status local_apic_deliver(struct io_device *device, const struct irq_message *message);
/** local_apic_accept_posted(), local_apic_target() - see struct irq_local_controller. */
void local_apic_accept_posted(struct io_device *device, struct vcpu *vcpu, unsigned word, uint64_t vectors);
struct vcpu *local_apic_target(struct io_device *device, const struct irq_message *message);
/** local_apic_send_ipi() - what a write of the interrupt command register asks for. @command: ICR [31:0]. */
void local_apic_send_ipi(struct local_apic *apic, uint32_t command, uint32_t destination);

/* ---- local_apic_timer.c ---- */
void local_apic_timer_init(struct local_apic *apic);
void local_apic_timer_stop(struct local_apic *apic);
void local_apic_timer_set_initial_count(struct local_apic *apic, uint32_t count);
uint32_t local_apic_timer_current_count(const struct local_apic *apic);
void local_apic_timer_set_divide(struct local_apic *apic, uint32_t value);
/** local_apic_timer_lvt_changed() - the timer's entry of the local vector table, or who carries the APIC out, is in force as
 * it stands now. */
void local_apic_timer_lvt_changed(struct local_apic *apic);
uint64_t local_apic_timer_get_deadline(struct local_apic *apic);
void local_apic_timer_set_deadline(struct local_apic *apic, uint64_t deadline);

/* ---- local_apic_describe.c ---- */
void local_apic_describe(struct io_device *device, void (*print)(const char *format, ...));
