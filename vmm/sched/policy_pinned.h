/*
 * What the other policies must know of pinned vCPUs.
 */
#pragma once

#include "lib/status.h"
#include "lib/types.h"

/** sched_cpus_not_pinned() - the CPUs of @allowed that no pinned vCPU owns. Any CPU; stays true on a CPU while its lock is held. */
uint64_t sched_cpus_not_pinned(uint64_t allowed);
/** sched_refuse_pinned() - says in @why (SCHED_REFUSAL_SIZE bytes) that none is left of them. Return: STATUS_DENIED. */
enum status sched_refuse_pinned(char *why);
