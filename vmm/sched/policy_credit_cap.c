#include "vmm/sched/policy_credit_cap.h"

#include "arch/x86/clock.h"
#include "arch/x86/spinlock.h"

#define WINDOW_MICROSECONDS 10000u
#define LEAST_MICROSECONDS 50u /* of a window's rest that is given to one of several vCPUs */

static uint64_t window_length, least; /* [TSC ticks] */
static struct spinlock cap_lock = SPINLOCK_INITIALIZER; /* protects cap_window and cap_used of all VMs that have a cap */

void credit_cap_init(void)
{
	const uint64_t microsecond = clock_ticks_from_nanoseconds(1000);

	window_length = WINDOW_MICROSECONDS * microsecond;
	least = LEAST_MICROSECONDS * microsecond;
}

static uint64_t allowance(const struct vm *vm)
{
	return window_length * vm->sched_settings.cap / 100;
}

/* Goes on to the window in which @now lies. */
static void advance_window_locked(struct vm *vm, uint64_t now)
{
	uint64_t begin = vm->sched.cap_window;

	if (now < begin + window_length)
		return;
	uint64_t windows = (now - begin) / window_length;
	uint64_t paid = windows < 1000 ? windows * allowance(vm) : UINT64_MAX;
	vm->sched.cap_used = vm->sched.cap_used > paid ? vm->sched.cap_used - paid : 0;
	vm->sched.cap_window = begin + windows * window_length;
}

static uint64_t left_locked(struct vm *vm, uint64_t now)
{
	advance_window_locked(vm, now);
	return allowance(vm) > vm->sched.cap_used ? allowance(vm) - vm->sched.cap_used : 0;
}

uint64_t credit_cap_left(struct vm *vm, uint64_t now)
{
	spinlock_lock(&cap_lock);
	uint64_t left = left_locked(vm, now);
	spinlock_unlock(&cap_lock);
	return left;
}

uint64_t credit_cap_grant(struct vcpu *vcpu, uint64_t now)
{
	struct vm *vm = vcpu->vm;

	spinlock_lock(&cap_lock);
	uint64_t left = left_locked(vm, now);
	uint64_t part = min_u64(left, max_u64(left / vm->vcpu_count, least));
	vm->sched.cap_used += part;
	vcpu->sched.credit.granted = part;
	spinlock_unlock(&cap_lock);
	return part;
}

void credit_cap_charge(struct vcpu *vcpu, uint64_t used)
{
	struct vm *vm = vcpu->vm;
	uint64_t granted = vcpu->sched.credit.granted;

	vcpu->sched.credit.granted = 0;
	if (!credit_has_cap(vm))
		return;
	spinlock_lock(&cap_lock);
	uint64_t sum = vm->sched.cap_used + used;
	vm->sched.cap_used = sum > granted ? sum - granted : 0;
	spinlock_unlock(&cap_lock);
}

uint64_t credit_cap_window_end(const struct vm *vm)
{
	return __atomic_load_n(&vm->sched.cap_window, __ATOMIC_RELAXED) + window_length;
}
