#include "vmm/sched/scheduler.h"

#include "arch/x86/clock.h"
#include "arch/x86/insn.h"
#include "arch/x86/irq/interrupt.h"
#include "arch/x86/irq/ipi.h"
#include "arch/x86/irq/lapic_timer.h"
#include "arch/x86/log.h"
#include "arch/x86/mm/page_pool.h"
#include "arch/x86/panic.h"
#include "vmm/sched/scheduler_cpu.h"
#include "vmm/vcpu_timer.h"
#include "vmm/vm.h"

#define SCHEDULER_CPU_PAGES ((unsigned)(align_up(sizeof(struct scheduler_cpu), PAGE_SIZE) / PAGE_SIZE))
#define CALL_TIMEOUT_NANOSECONDS 1000000000ull

static bool (*housekeeping)(void);
static bool housekeeping_wanted; /* atomic */

static struct scheduler_cpu *cpu_of(const struct vcpu *vcpu)
{
	return pcpu_get(vcpu->pcpu_index)->scheduler;
}

static void wake_cpu(struct pcpu *pcpu)
{
	__atomic_store_n(&pcpu->scheduler->attention, true, __ATOMIC_RELEASE);
	if (pcpu != pcpu_current())
		ipi_kick(pcpu);
}

/* Changes no state: the vCPU's own CPU finds the request when it looks around. */
static void kick_vcpu(struct vcpu *vcpu)
{
	struct pcpu *pcpu = pcpu_get(vcpu->pcpu_index);

	if (pcpu == pcpu_current() && pcpu->scheduler->looking_around)
		return;
	wake_cpu(pcpu);
}

/* It only ends a sleep: the loop looks at the deadlines itself. */
static void handle_timer(uint8_t vector)
{
	(void)vector;
}

enum status scheduler_init(void)
{
	for (uint32_t i = 0; i < pcpu_count(); i++) {
		struct scheduler_cpu *cpu = page_pool_allocate_contiguous(SCHEDULER_CPU_PAGES);
		if (!cpu)
			return STATUS_NO_MEMORY;
		list_init(&cpu->run_queue);
		cpu->blocked_deadline = UINT64_MAX;
		pcpu_get(i)->scheduler = cpu;
	}
	vcpu_set_kick_handler(kick_vcpu);
	interrupt_register(INTERRUPT_VECTOR_TIMER, handle_timer);
	return STATUS_OK;
}

void scheduler_set_housekeeping(bool (*work)(void))
{
	housekeeping = work;
}

void scheduler_attention(void)
{
	__atomic_store_n(&housekeeping_wanted, true, __ATOMIC_RELEASE);
	wake_cpu(pcpu_get(0));
}

void scheduler_add(struct vcpu *vcpu, uint32_t pcpu_index)
{
	struct scheduler_cpu *cpu = pcpu_get(pcpu_index)->scheduler;

	vcpu->pcpu_index = pcpu_index;
	spinlock_lock(&cpu->lock);
	assert_always(cpu->vcpu_count < SCHEDULER_MAX_VCPUS);
	cpu->vcpus[cpu->vcpu_count++] = vcpu;
	spinlock_unlock(&cpu->lock);
}

static void save_state(struct vcpu *vcpu, void *unused)
{
	(void)unused;
	scheduler_load(cpu_of(vcpu), NULL);
}

enum status scheduler_remove(struct vcpu *vcpu)
{
	struct scheduler_cpu *cpu = cpu_of(vcpu);
	enum status status = scheduler_call(vcpu, save_state, NULL);

	if (status != STATUS_OK)
		return status;
	spinlock_lock(&cpu->lock);
	uint32_t kept = 0;
	for (uint32_t i = 0; i < cpu->vcpu_count; i++) {
		if (cpu->vcpus[i] != vcpu)
			cpu->vcpus[kept++] = cpu->vcpus[i];
	}
	cpu->vcpu_count = kept;
	list_remove(&vcpu->run_link);
	spinlock_unlock(&cpu->lock);
	return STATUS_OK;
}

static void make_runnable_locked(struct scheduler_cpu *cpu, struct vcpu *vcpu)
{
	vcpu->state = VCPU_RUNNABLE;
	list_append(&cpu->run_queue, &vcpu->run_link);
}

void scheduler_start(struct vcpu *vcpu)
{
	struct scheduler_cpu *cpu = cpu_of(vcpu);

	spinlock_lock(&cpu->lock);
	make_runnable_locked(cpu, vcpu);
	spinlock_unlock(&cpu->lock);
	kick_vcpu(vcpu);
}

enum status scheduler_call(struct vcpu *vcpu, void (*function)(struct vcpu *, void *), void *argument)
{
	struct scheduler_cpu *cpu = cpu_of(vcpu);

	if (vcpu->pcpu_index == pcpu_current()->index) {
		scheduler_load(cpu, vcpu);
		function(vcpu, argument);
		return STATUS_OK;
	}
	uint64_t deadline = clock_now() + clock_ticks_from_nanoseconds(CALL_TIMEOUT_NANOSECONDS);
	cpu->call_vcpu = vcpu;
	cpu->call_function = function;
	cpu->call_argument = argument;
	__atomic_store_n(&cpu->call_state, SCHEDULER_CALL_POSTED, __ATOMIC_RELEASE);
	wake_cpu(pcpu_get(vcpu->pcpu_index));
	for (;;) {
		if (__atomic_load_n(&cpu->call_state, __ATOMIC_ACQUIRE) == SCHEDULER_CALL_FREE)
			return STATUS_OK;
		uint32_t posted = SCHEDULER_CALL_POSTED;
		/* Taken back only while it has not begun; once it runs its end is near. */
		if (clock_now() > deadline && __atomic_compare_exchange_n(&cpu->call_state, &posted, SCHEDULER_CALL_FREE, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
			return STATUS_TIMEOUT;
		insn_pause();
	}
}

static void run_posted_call(struct scheduler_cpu *cpu)
{
	uint32_t posted = SCHEDULER_CALL_POSTED;

	if (!__atomic_compare_exchange_n(&cpu->call_state, &posted, SCHEDULER_CALL_RUNNING, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		return;
	scheduler_load(cpu, cpu->call_vcpu);
	cpu->call_function(cpu->call_vcpu, cpu->call_argument);
	__atomic_store_n(&cpu->call_state, SCHEDULER_CALL_FREE, __ATOMIC_RELEASE);
}

/* Expires a sleeping vCPU's timers; they ask it for an event if something became due. */
static uint64_t run_timers(struct vcpu *vcpu, uint64_t now)
{
	struct vm *vm = vcpu->vm;

	spinlock_lock(&vm->device_lock);
	uint64_t next = vcpu_timers_run(vcpu, now);
	spinlock_unlock(&vm->device_lock);
	return next;
}

/* An interrupt that arrives at a vCPU in HLT ends its sleep only if its priority lets it through. */
static bool takes_interrupt(struct vcpu *vcpu)
{
	struct vm *vm = vcpu->vm;

	spinlock_lock(&vm->device_lock);
	__atomic_fetch_and(&vcpu->requests, ~VCPU_REQUEST_EVENT, __ATOMIC_RELAXED);
	bool pending = irq_pending_vector(vcpu) >= 0;
	spinlock_unlock(&vm->device_lock);
	return pending;
}

static bool has_reason_to_run(struct vcpu *vcpu)
{
	uint32_t requests = __atomic_load_n(&vcpu->requests, __ATOMIC_ACQUIRE);

	if (requests & ~(VCPU_REQUEST_TIMER | VCPU_REQUEST_EVENT))
		return true;
	return requests & VCPU_REQUEST_EVENT && takes_interrupt(vcpu);
}

/* Finds out which sleeping vCPUs have a reason to run, and when the next timer of the others is due. */
static void wake_blocked(struct scheduler_cpu *cpu)
{
	uint64_t now = clock_now();

	cpu->blocked_deadline = UINT64_MAX;
	cpu->looking_around = true;
	for (uint32_t i = 0; i < cpu->vcpu_count; i++) {
		struct vcpu *vcpu = cpu->vcpus[i];
		if (vcpu->state != VCPU_BLOCKED)
			continue;
		uint64_t next = run_timers(vcpu, now);
		if (has_reason_to_run(vcpu)) {
			spinlock_lock(&cpu->lock);
			make_runnable_locked(cpu, vcpu);
			spinlock_unlock(&cpu->lock);
			continue;
		}
		__atomic_fetch_and(&vcpu->requests, ~VCPU_REQUEST_TIMER, __ATOMIC_RELAXED);
		cpu->blocked_deadline = min_u64(cpu->blocked_deadline, next);
	}
	cpu->looking_around = false;
}

static struct vcpu *take_next(struct scheduler_cpu *cpu, bool *others)
{
	struct vcpu *vcpu = NULL;

	spinlock_lock(&cpu->lock);
	if (!list_is_empty(&cpu->run_queue)) {
		vcpu = list_entry(cpu->run_queue.next, struct vcpu, run_link);
		list_remove(&vcpu->run_link);
		__atomic_store_n(&vcpu->state, VCPU_RUNNING, __ATOMIC_RELEASE);
	}
	*others = !list_is_empty(&cpu->run_queue);
	spinlock_unlock(&cpu->lock);
	return vcpu;
}

/* The last vCPU that leaves ends the VM and tells the boot processor. */
static void finish_vcpu(struct vcpu *vcpu)
{
	struct vm *vm = vcpu->vm;

	for (uint32_t i = 0; i < vm->vcpu_count; i++) {
		if (__atomic_load_n(&vm->vcpus[i]->state, __ATOMIC_ACQUIRE) != VCPU_OFF)
			return;
	}
	enum vm_state stopping = VM_STOPPING;
	if (!__atomic_compare_exchange_n(&vm->state, &stopping, VM_STOPPED, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		return;
	/* The boot processor shows the rest of the guest's output before this line. */
	scheduler_attention();
}

static void after_run(struct scheduler_cpu *cpu, struct vcpu *vcpu)
{
	if (vcpu->state == VCPU_OFF) {
		finish_vcpu(vcpu);
		return;
	}
	if (vcpu->state != VCPU_RUNNABLE)
		return;
	spinlock_lock(&cpu->lock);
	make_runnable_locked(cpu, vcpu);
	spinlock_unlock(&cpu->lock);
}

static void idle(struct scheduler_cpu *cpu)
{
	struct pcpu *pcpu = pcpu_current();

	if (__atomic_load_n(&cpu->attention, __ATOMIC_ACQUIRE))
		return;
	if (cpu->blocked_deadline != UINT64_MAX)
		lapic_timer_arm(cpu->blocked_deadline);
	pcpu->activity = "idle";
	insn_sti_hlt_cli();
	pcpu->activity = "scheduling";
}

static void run_one(struct scheduler_cpu *cpu, struct vcpu *vcpu, bool others)
{
	uint64_t slice_end = cpu->blocked_deadline;

	if (others)
		slice_end = min_u64(slice_end, clock_now() + clock_ticks_from_nanoseconds(SCHEDULER_SLICE_MICROSECONDS * 1000ull));
	scheduler_run_vcpu(cpu, vcpu, slice_end);
	after_run(cpu, vcpu);
}

noreturn_function void scheduler_loop(void)
{
	struct scheduler_cpu *cpu = pcpu_current()->scheduler;
	bool is_boot_processor = pcpu_current()->index == 0;

	for (;;) {
		bool others;

		__atomic_store_n(&cpu->attention, false, __ATOMIC_RELEASE);
		run_posted_call(cpu);
		if (is_boot_processor && __atomic_exchange_n(&housekeeping_wanted, false, __ATOMIC_ACQ_REL) && housekeeping())
			scheduler_attention();
		wake_blocked(cpu);
		struct vcpu *vcpu = take_next(cpu, &others);
		if (vcpu)
			run_one(cpu, vcpu, others);
		else
			idle(cpu);
	}
}
