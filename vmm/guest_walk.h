/*
 * Walks a guest's paging structures as its CPU would: rights, faults, accessed and dirty bits. Behind guest_linear.h; nobody
 * else needs it. SDM Vol. 3A "Paging".
 */
#pragma once

#include "lib/status.h"
#include "lib/types.h"
#include "vmm/guest_linear.h"

struct guest_memory;

/* Every register is a call and several VMREADs, so a walk reads only those that decide something. */
struct guest_walk {
	struct vcpu *vcpu;
	const struct guest_memory *memory;
	uint64_t linear;
	uint64_t efer;
	enum guest_linear_access access;
	struct guest_linear_fault *fault;
};

/** guest_walk_start() - makes ready for any number of translations of one kind; @fault: where they tell why they failed. */
void guest_walk_start(struct guest_walk *walk, struct vcpu *vcpu, enum guest_linear_access access, struct guest_linear_fault *fault);

/** guest_walk_translate() - STATUS_OK and *@result; STATUS_DENIED and the fault. */
must_check enum status guest_walk_translate(struct guest_walk *walk, uint64_t linear, gpa_t *result);

/** guest_walk_general_protection() - makes #GP(0) the fault, for memory that is not RAM. Return: STATUS_DENIED. */
enum status guest_walk_general_protection(const struct guest_walk *walk);
