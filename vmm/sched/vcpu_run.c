#include "arch/x86/clock.h"
#include "arch/x86/pcpu.h"
#include "vmm/exit/exit_handlers.h"
#include "vmm/sched/scheduler_cpu.h"
#include "vmm/vcpu_timer.h"
#include "vmm/vm.h"

void scheduler_load(struct scheduler_cpu *cpu, struct vcpu *vcpu)
{
	if (cpu->loaded == vcpu)
		return;
	if (cpu->loaded)
		virt_ops->vcpu_put(&cpu->loaded->virt);
	cpu->loaded = vcpu;
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

/* What others asked of the vCPU. Returns false if it must leave its CPU; its state then says why. */
static no_inline bool handle_requests(struct scheduler_cpu *cpu, struct vcpu *vcpu)
{
	struct vm *vm = vcpu->vm;
	uint32_t requests = __atomic_exchange_n(&vcpu->requests, 0, __ATOMIC_ACQUIRE);

	if (unlikely(requests & (VCPU_REQUEST_STOP | VCPU_REQUEST_RESET))) {
		if (requests & VCPU_REQUEST_RESET)
			vm_crash(vm, "INIT sent to a vCPU of a one-processor VM");
		vcpu->state = VCPU_OFF;
		return false;
	}
	spinlock_lock(&vm->device_lock);
	if (requests & VCPU_REQUEST_TIMER) {
		run_timers_locked(vcpu, cpu->slice_end);
		/* Expired timers ask for events, and arming one again asks for what was just done. */
		requests |= __atomic_exchange_n(&vcpu->requests, 0, __ATOMIC_ACQUIRE);
	}
	if (requests & VCPU_REQUEST_EVENT)
		inject_pending_locked(vcpu);
	spinlock_unlock(&vm->device_lock);
	if (unlikely(requests & VCPU_REQUEST_NMI))
		inject_nmi(vcpu);
	if (unlikely(requests & (VCPU_REQUEST_STOP | VCPU_REQUEST_RESET)))
		__atomic_fetch_or(&vcpu->requests, requests & (VCPU_REQUEST_STOP | VCPU_REQUEST_RESET), __ATOMIC_RELAXED);
	return true;
}

/* Between two runs of the guest: false if the vCPU must leave its CPU. */
static inline bool may_enter(struct scheduler_cpu *cpu, struct vcpu *vcpu)
{
	if (unlikely(__atomic_load_n(&vcpu->requests, __ATOMIC_RELAXED)) && !handle_requests(cpu, vcpu))
		return false;
	if (unlikely(__atomic_load_n(&cpu->attention, __ATOMIC_RELAXED))) {
		vcpu->state = VCPU_RUNNABLE;
		return false;
	}
	return true;
}

/* HLT: sleeps unless something is already due. */
static bool block(struct vcpu *vcpu)
{
	struct vm *vm = vcpu->vm;

	spinlock_lock(&vm->device_lock);
	vcpu_timer_take_back(vcpu);
	bool pending = irq_pending_vector(vcpu) >= 0;
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
		if (!block(vcpu))
			return true;
		vcpu->state = VCPU_BLOCKED;
		return false;
	case EXIT_YIELD:
		vcpu->state = VCPU_RUNNABLE;
		return false;
	case EXIT_STOP:
		vcpu->state = VCPU_OFF;
		return false;
	default:
		if (exit->kind != VM_EXIT_TIMER || clock_now() < cpu->slice_end)
			return true;
		vcpu->state = VCPU_RUNNABLE;
		return false;
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

/* The hardware looks after a timer only while the vCPU is on its CPU. */
static void take_timer_back(struct vcpu *vcpu)
{
	struct vm *vm = vcpu->vm;

	spinlock_lock(&vm->device_lock);
	vcpu_timer_take_back(vcpu);
	spinlock_unlock(&vm->device_lock);
}

void scheduler_run_vcpu(struct scheduler_cpu *cpu, struct vcpu *vcpu, uint64_t slice_end)
{
	uint64_t started = clock_now();

	scheduler_load(cpu, vcpu);
	if (!vcpu->first_entry_tsc)
		vcpu->first_entry_tsc = started;
	cpu->slice_end = slice_end;
	vcpu->scheduler = cpu;
	/* Whatever happened while it did not run: look at timers and interrupts once. */
	__atomic_fetch_or(&vcpu->requests, VCPU_REQUEST_EVENT | VCPU_REQUEST_TIMER, __ATOMIC_RELAXED);
	if (may_enter(cpu, vcpu))
		virt_ops->vcpu_run(&vcpu->virt, handle_exit);
	take_timer_back(vcpu);
	vcpu->run_ticks += clock_now() - started;
}
