/*
 * The architectural state of a vCPU after INIT and after a start-up IPI. SDM Vol. 3A "Processor Initialization",
 * "MP Initialization Protocol Algorithm". On the vCPU's CPU, where it is loaded; no lock held.
 */
#pragma once

#include "lib/types.h"

struct vcpu;

/** vcpu_enter_init_state() - registers, segments, control registers, DR, pending events and its local APIC as INIT leaves them. */
void vcpu_enter_init_state(struct vcpu *vcpu);
/** vcpu_set_startup_address() - real mode at CS:IP @vector * 0x100 : 0, as a start-up IPI says. */
void vcpu_set_startup_address(struct vcpu *vcpu, uint8_t vector);
