/*
 * Ticket spinlock: fair. Interrupts must be off while it is held (the hypervisor only turns
 * them on to idle), so one flavour is enough. The order in which locks may nest stands in docs/locking.md.
 */
#pragma once

#include "arch/x86/insn.h"
#include "lib/types.h"

struct spinlock {
	uint32_t next_ticket;
	uint32_t now_serving;
};

#define SPINLOCK_INITIALIZER {0, 0}

static inline void spinlock_lock(struct spinlock *lock)
{
	uint32_t ticket = __atomic_fetch_add(&lock->next_ticket, 1, __ATOMIC_RELAXED);

	while (__atomic_load_n(&lock->now_serving, __ATOMIC_ACQUIRE) != ticket)
		insn_pause();
}

/** spinlock_try_lock() - takes the lock if it is free; for the panic path, which must not wait. */
must_check static inline bool spinlock_try_lock(struct spinlock *lock)
{
	uint32_t serving = __atomic_load_n(&lock->now_serving, __ATOMIC_RELAXED);

	return __atomic_compare_exchange_n(&lock->next_ticket, &serving, serving + 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

static inline void spinlock_unlock(struct spinlock *lock)
{
	__atomic_store_n(&lock->now_serving, lock->now_serving + 1, __ATOMIC_RELEASE);
}
