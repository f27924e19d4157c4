/*
 * Makes the guest exit when its deadline comes: by the VMX preemption timer, or by a LAPIC timer interrupt where the CPU has
 * none. SDM Vol. 3C "VMX-Preemption Timer". Inline, since every entry sets it.
 */
#pragma once

#include "arch/x86/clock.h"
#include "arch/x86/irq/lapic_timer.h"
#include "arch/x86/vmx/vmcs.h"
#include "arch/x86/vmx/vmx.h"

/* The timer counts 32 bits; a deadline farther off than this many of its ticks makes an early exit, which does no harm. */
#define VMX_TIMER_MAX_TICKS ((uint64_t)1 << 31)

static always_inline void vmx_write_timer(struct virt_vcpu_backend *backend, uint64_t ticks, bool is_far)
{
	backend->timer_deadline = is_far ? UINT64_MAX : UINT64_MAX - 1;
	vmcs_write_32(VMCS_GUEST_PREEMPTION_TIMER, (uint32_t)ticks);
}

static always_inline void vmx_set_timer(struct virt_vcpu *vcpu)
{
	uint64_t deadline = vcpu->entry_deadline;

	if (deadline == vcpu->backend->timer_deadline)
		return;
	if (unlikely(!vmx_settings.has_preemption_timer)) {
		lapic_timer_arm(deadline);
		return;
	}
	uint64_t now = clock_now();
	uint64_t ticks = deadline > now ? (deadline - now) >> vmx_settings.timer_shift : 0;
	if (unlikely(ticks >= VMX_TIMER_MAX_TICKS))
		vmx_write_timer(vcpu->backend, VMX_TIMER_MAX_TICKS, true);
	else /* Rounded up: an exit before the deadline would find nothing due. */
		vmx_write_timer(vcpu->backend, ticks + 1, false);
}
