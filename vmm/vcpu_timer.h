/*
 * Timers of device models. A timer belongs to one vCPU and expires on the CPU that runs it: as a VMX preemption timer
 * exit while the guest runs, as a host timer interrupt while the vCPU is blocked. One that only requests an interrupt can
 * be entrusted to the hardware while the guest runs, and then takes no exit at all.
 */
#pragma once

#include "lib/list.h"
#include "lib/types.h"

struct vcpu;
struct vcpu_timer;

typedef void (*vcpu_timer_expire)(struct vcpu_timer *timer);

struct vcpu_timer {
	struct list link;     /* in vcpu->timers, sorted by deadline; linked to itself when not armed */
	uint64_t deadline;    /* host TSC [ticks] */
	vcpu_timer_expire expire; /* device lock held, interrupts off; may arm again */
	struct vcpu *vcpu;
	/* All that its expiry does is to request this edge-triggered interrupt at the vCPU's local APIC, so that the hardware
	 * may do it; 0: it does more. Its owner takes the timer back before it changes this. */
	uint8_t vector;
};

void vcpu_timer_init(struct vcpu_timer *timer, struct vcpu *vcpu, vcpu_timer_expire expire);
/** vcpu_timer_arm() - (re)arms for host TSC @deadline; one in the past expires before the next entry. Device lock held. */
void vcpu_timer_arm(struct vcpu_timer *timer, uint64_t deadline);
void vcpu_timer_cancel(struct vcpu_timer *timer);
bool vcpu_timer_is_armed(const struct vcpu_timer *timer);

/** vcpu_timer_next() - the earliest deadline, UINT64_MAX if none. Device lock held, nothing entrusted to the hardware. */
uint64_t vcpu_timer_next(const struct vcpu *vcpu);
/** vcpu_timers_run() - expires what is due at @now; returns the next deadline, UINT64_MAX if none. Device lock held. */
uint64_t vcpu_timers_run(struct vcpu *vcpu, uint64_t now);

/**
 * vcpu_timer_entrust() - behind vcpu_timers_run(), before the guest runs: gives the first timer to the hardware if it can
 * have it. The vCPU is loaded on this CPU. Return: the deadline of the next one that it has not got, UINT64_MAX if none.
 */
uint64_t vcpu_timer_entrust(struct vcpu *vcpu);
/**
 * vcpu_timer_take_back() - what the hardware has becomes a timer as the others: armed, or expired if its time has come.
 * To be called before the vCPU leaves its CPU, and before the timer's state is looked at. Device lock held.
 */
void vcpu_timer_take_back(struct vcpu *vcpu);
