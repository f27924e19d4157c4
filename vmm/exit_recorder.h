/*
 * The exit recorder of a vCPU: its last EXIT_RECORDER_SIZE exits, always on, as the back end decoded them. The back end
 * itself writes it at every exit (struct virt_vcpu: exit, exits, exits_end), on the CPU that runs the vCPU; it is read by
 * anyone, who may see an exit that is being overwritten.
 */
#pragma once

#include "arch/x86/virt.h"
#include "lib/types.h"

#define EXIT_RECORDER_SIZE 256u

struct vcpu;

/* All zeroes is an empty one. An exit with time 0 has not been. */
struct exit_recorder {
	struct vm_exit exits[EXIT_RECORDER_SIZE];
};

/**
 * exit_recorder_create() - an empty recorder into which @vcpu's exits go from now on; @vcpu has its VM and its back end.
 * Return: NULL: no memory.
 */
must_check struct exit_recorder *exit_recorder_create(struct vcpu *vcpu);
/** exit_recorder_destroy() - @vcpu's, which runs no more; may be NULL. */
void exit_recorder_destroy(struct vcpu *vcpu);

/** exit_recorder_last() - the last exit, or the one that is handled now; its time is 0 if there was none yet. */
const struct vm_exit *exit_recorder_last(const struct vcpu *vcpu);

/** exit_recorder_print() - the last @most exits, oldest first, a line each, with the reason in words. Any context; no lock. */
void exit_recorder_print(const struct vcpu *vcpu, uint32_t most, virt_print print);

/**
 * exit_recorder_print_records() - the same of a recorder whose vCPU is gone, and which may hold anything.
 * @start_tsc: what the times are told from.
 */
void exit_recorder_print_records(const struct exit_recorder *recorder, uint32_t most, uint64_t start_tsc, virt_print print);

/* What the recorded exits cost, by reason. */
struct exit_cost {
	uint32_t count;
	uint64_t ticks;
};
/** exit_recorder_sum() - adds the recorded exits of @vcpu that went back into the guest to @costs[VIRT_EXIT_REASON_MAX]. */
void exit_recorder_sum(const struct vcpu *vcpu, struct exit_cost *costs);
