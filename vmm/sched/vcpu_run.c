#include "arch/x86/clock.h"
#include "arch/x86/cr.h"
#include "arch/x86/insn.h"
#include "arch/x86/pcpu.h"
#include "vmm/exit/exit_handlers.h"
#include "vmm/sched/scheduler_cpu.h"
#include "vmm/vcpu_posting.h"
#include "vmm/vcpu_reset.h"
#include "vmm/vcpu_timer.h"
#include "vmm/vm.h"

#define LONGEST_WAIT_NANOSECONDS 200000u

void scheduler_load(struct scheduler_cpu *cpu, struct vcpu *vcpu)
{
	if (cpu->loaded == vcpu)
		return;
	if (cpu->loaded)
		virt_ops->vcpu_put(&cpu->loaded->virt);
	/* Only behind the save may another CPU take the old one. */
	__atomic_store_n(&cpu->loaded, vcpu, __ATOMIC_RELEASE);
	pcpu_current()->current_vcpu = vcpu;
	if (vcpu)
		virt_ops->vcpu_load(&vcpu->virt);
}

/* Hands interrupts to the hardware if it delivers them; else injects the one that is due, or asks for an exit as soon as
 * the guest takes one. Device lock held. */
static void inject_pending_locked(struct vcpu *vcpu)
{
	if (!irq_prepare_entry(vcpu))
		return;
	if (!virt_ops->interrupt_allowed(&vcpu->virt)) {
		virt_ops->interrupt_window(&vcpu->virt, true);
		return;
	}
	int vector = irq_acknowledge(vcpu);
	if (vector < 0)
		return;
	virt_ops->inject_interrupt(&vcpu->virt, (uint8_t)vector);
	/* One is queued; if there are more they come when this one's handler lets them. */
	if (irq_prepare_entry(vcpu))
		virt_ops->interrupt_window(&vcpu->virt, true);
}

static void inject_nmi(struct vcpu *vcpu)
{
	if (virt_ops->nmi_allowed(&vcpu->virt))
		virt_ops->inject_nmi(&vcpu->virt);
	else
		__atomic_fetch_or(&vcpu->requests, VCPU_REQUEST_NMI, __ATOMIC_RELAXED);
}

static struct vcpu *vcpu_of(struct virt_vcpu *virt)
{
	return container_of(virt, struct vcpu, virt);
}

/* Expires timers and computes when the next one, or the end of the slice, must end the guest's run. Device lock held. */
static void run_timers_locked(struct vcpu *vcpu, uint64_t slice_end)
{
	vcpu_timer_take_back(vcpu);
	vcpu_timers_run(vcpu, clock_now());
	vcpu->virt.entry_deadline = min_u64(vcpu_timer_entrust(vcpu), slice_end);
}

/* Those of every entry and exit are not among them. */
#define CONTROL_REQUESTS \
	(VCPU_REQUEST_STOP | VCPU_REQUEST_PAUSE | VCPU_REQUEST_INIT | VCPU_REQUEST_SIPI | VCPU_REQUEST_FLUSH | VCPU_REQUEST_POSTED)

static bool leave(struct scheduler_cpu *cpu, enum vcpu_state state)
{
	cpu->next_state = state;
	return false;
}

/* Into the local APIC. Returns what is to be done behind it, which is asked of the vCPU no more: a request that stood would keep
 * others from asking again. */
static uint32_t take_posted(struct vcpu *vcpu)
{
	struct vm *vm = vcpu->vm;

	spinlock_lock(&vm->device_lock);
	vcpu_posting_take(vcpu);
	__atomic_fetch_and(&vcpu->requests, ~VCPU_REQUEST_EVENT, __ATOMIC_ACQUIRE);
	spinlock_unlock(&vm->device_lock);
	return VCPU_REQUEST_EVENT;
}

/* Requests that change what the vCPU is. Returns false if it must leave its CPU. */
static bool handle_control(struct scheduler_cpu *cpu, struct vcpu *vcpu, uint32_t requests)
{
	if (requests & VCPU_REQUEST_STOP)
		return leave(cpu, VCPU_OFF);
	if (requests & VCPU_REQUEST_FLUSH)
		virt_ops->vcpu_flush(&vcpu->virt);
	if (requests & VCPU_REQUEST_INIT) {
		vcpu_enter_init_state(vcpu);
		vcpu->sched.waits_for_sipi = vcpu->index != 0;
	}
	if (requests & VCPU_REQUEST_SIPI && vcpu->sched.waits_for_sipi) {
		vcpu_set_startup_address(vcpu, __atomic_load_n(&vcpu->sipi_vector, __ATOMIC_RELAXED));
		vcpu->sched.waits_for_sipi = false;
	}
	if (!(requests & VCPU_REQUEST_PAUSE) && !vcpu->sched.waits_for_sipi)
		return true;
	/* What waits until it comes back. Timers and interrupts are looked at then in any case. */
	__atomic_fetch_or(&vcpu->requests, requests & (VCPU_REQUEST_NMI | VCPU_REQUEST_PAUSE), __ATOMIC_RELAXED);
	return leave(cpu, vcpu->sched.waits_for_sipi ? VCPU_WAIT_SIPI : VCPU_PAUSED);
}

/* What others asked of the vCPU. Returns false if it must leave its CPU. */
static bool handle_requests_once(struct scheduler_cpu *cpu, struct vcpu *vcpu)
{
	struct vm *vm = vcpu->vm;
	uint32_t requests = __atomic_exchange_n(&vcpu->requests, 0, __ATOMIC_ACQUIRE);

	/* An INIT clears a pending NMI, and none is taken until the start-up IPI. */
	if (unlikely(requests & VCPU_REQUEST_INIT || vcpu->sched.waits_for_sipi))
		requests &= ~VCPU_REQUEST_NMI;
	if (unlikely(requests & CONTROL_REQUESTS)) {
		requests |= requests & VCPU_REQUEST_POSTED ? take_posted(vcpu) : 0;
		if (!handle_control(cpu, vcpu, requests))
			return false;
	}
	spinlock_lock(&vm->device_lock);
	if (requests & VCPU_REQUEST_TIMER) {
		run_timers_locked(vcpu, cpu->run_end);
		/* Expired timers ask for events, and arming one again asks for what was just done. */
		requests |= __atomic_fetch_and(&vcpu->requests, ~(VCPU_REQUEST_TIMER | VCPU_REQUEST_EVENT), __ATOMIC_ACQUIRE) & VCPU_REQUEST_EVENT;
	}
	if (requests & VCPU_REQUEST_EVENT)
		inject_pending_locked(vcpu);
	spinlock_unlock(&vm->device_lock);
	if (unlikely(requests & VCPU_REQUEST_NMI))
		inject_nmi(vcpu);
	return true;
}

static no_inline bool handle_requests(struct scheduler_cpu *cpu, struct vcpu *vcpu)
{
	/* A device may ask for something of this kind while its timer expires. */
	do {
		if (!handle_requests_once(cpu, vcpu))
			return false;
	} while (unlikely(__atomic_load_n(&vcpu->requests, __ATOMIC_RELAXED) & CONTROL_REQUESTS));
	return true;
}

/* Between two runs of the guest: false if the vCPU must leave its CPU. */
static inline bool may_enter(struct scheduler_cpu *cpu, struct vcpu *vcpu)
{
	if (unlikely(__atomic_load_n(&vcpu->requests, __ATOMIC_RELAXED)) && !handle_requests(cpu, vcpu))
		return false;
	if (unlikely(__atomic_load_n(&cpu->attention, __ATOMIC_RELAXED)))
		return leave(cpu, VCPU_RUNNABLE);
	return true;
}

/* HLT: sleeps unless something is already due. */
static bool block(struct vcpu *vcpu)
{
	struct vm *vm = vcpu->vm;

	spinlock_lock(&vm->device_lock);
	vcpu_timer_take_back(vcpu);
	vcpu->sched.deaf = !(virt_ops->register_read(&vcpu->virt, VIRT_RFLAGS) & RFLAGS_IF);
	bool pending = !vcpu->sched.deaf && irq_pending_vector(vcpu) >= 0;
	spinlock_unlock(&vm->device_lock);
	if (pending) {
		__atomic_fetch_or(&vcpu->requests, VCPU_REQUEST_EVENT, __ATOMIC_RELAXED);
		return false;
	}
	return __atomic_load_n(&vcpu->requests, __ATOMIC_ACQUIRE) == 0;
}

/* Carries out what a handler decided, other than skipping. Returns false when the vCPU leaves its CPU. */
static no_inline bool apply(struct scheduler_cpu *cpu, struct vcpu *vcpu, const struct vm_exit *exit, enum exit_action action)
{
	switch (action) {
	case EXIT_BLOCK:
		virt_ops->skip_instruction(&vcpu->virt, exit);
		return !block(vcpu) || leave(cpu, VCPU_BLOCKED);
	case EXIT_YIELD:
		cpu->yielded = true;
		return leave(cpu, VCPU_RUNNABLE);
	case EXIT_STOP:
		return leave(cpu, VCPU_OFF);
	default:
		return exit->kind != VM_EXIT_TIMER || clock_now() < cpu->run_end || leave(cpu, VCPU_RUNNABLE);
	}
}

/* Every exit comes through here. */
static bool handle_exit(struct virt_vcpu *virt, const struct vm_exit *exit)
{
	struct vcpu *vcpu = vcpu_of(virt);
	enum exit_action action = exit_dispatch(vcpu, exit);

	if (likely(action == EXIT_SKIP))
		virt_ops->skip_instruction(virt, exit);
	else if (!apply(vcpu->scheduler, vcpu, exit, action))
		return false;
	return may_enter(vcpu->scheduler, vcpu);
}

/* The hardware looks after a timer only while the vCPU is on its CPU; then wake_at counts. */
static void take_timer_back(struct vcpu *vcpu)
{
	struct vm *vm = vcpu->vm;

	spinlock_lock(&vm->device_lock);
	vcpu_timer_take_back(vcpu);
	vcpu->sched.wake_at = vcpu_timer_next(vcpu);
	spinlock_unlock(&vm->device_lock);
}

/* So that a guest begins at a time that does not depend on how long the switch to it takes. */
static void wait_for_entry(uint64_t time)
{
	uint64_t now = clock_now();

	if (now >= time || time - now > clock_ticks_from_nanoseconds(LONGEST_WAIT_NANOSECONDS))
		return;
	while (clock_now() < time)
		insn_pause();
}

/* The last thing before the guest's entry: its time counts from now on. */
static void begin_run(struct scheduler_cpu *cpu, struct vcpu *vcpu, uint64_t run_end)
{
	if (cpu->enter_at)
		wait_for_entry(cpu->enter_at);
	cpu->entered_at = clock_now();
	if (cpu->run_most >= run_end - cpu->entered_at || run_end <= cpu->entered_at)
		return;
	uint64_t end = cpu->entered_at + cpu->run_most;
	if (vcpu->virt.entry_deadline > end)
		vcpu->virt.entry_deadline = end;
	cpu->run_end = end;
}

void scheduler_run_vcpu(struct scheduler_cpu *cpu, struct vcpu *vcpu, uint64_t run_end)
{
	cpu->entered_at = clock_now();
	if (!vcpu->first_entry_tsc)
		vcpu->first_entry_tsc = cpu->entered_at;
	cpu->run_end = run_end;
	cpu->yielded = false;
	vcpu->scheduler = cpu;
	/* Whatever happened while it did not run: look at timers and interrupts once. */
	__atomic_fetch_or(&vcpu->requests, VCPU_REQUEST_EVENT | VCPU_REQUEST_TIMER, __ATOMIC_SEQ_CST);
	if (may_enter(cpu, vcpu)) {
		begin_run(cpu, vcpu, run_end);
		virt_ops->vcpu_run(&vcpu->virt, handle_exit);
	}
	cpu->left_at = clock_now();
	take_timer_back(vcpu);
}
