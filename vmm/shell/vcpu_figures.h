/* What several commands show of a vCPU. Read while it runs: near enough for people. */
#pragma once

#include "lib/types.h"
#include "vmm/vcpu.h"

/** vcpu_state_name() - never NULL. */
const char *vcpu_state_name(enum vcpu_state state);
/** vcpu_is_admitted() - it has a place with the scheduler; else its VM comes or goes just now, and the user is told. */
bool vcpu_is_admitted(const struct vcpu *vcpu);
/** vcpu_wait_ticks() - how long it was runnable until now while others ran [TSC ticks]. */
uint64_t vcpu_wait_ticks(const struct vcpu *vcpu);
/** vcpu_exit_count() - all its VM exits. */
uint64_t vcpu_exit_count(const struct vcpu *vcpu);
