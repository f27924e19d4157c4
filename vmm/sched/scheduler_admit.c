/*
 * What the boot processor does to vCPUs from outside: they come and go, start, pause, change their CPUs and policies.
 */
#include "arch/x86/clock.h"
#include "arch/x86/panic.h"
#include "lib/bits.h"
#include "lib/fmt.h"
#include "vmm/sched/scheduler_cpu.h"
#include "vmm/vm.h"

static struct scheduler_cpu *cpu_of(const struct vcpu *vcpu)
{
	return scheduler_cpu_of(vcpu->pcpu_index);
}

/* Locks the CPU to which @vcpu belongs, which may change until then. */
static struct scheduler_cpu *lock_cpu_of(const struct vcpu *vcpu)
{
	for (;;) {
		struct scheduler_cpu *cpu = scheduler_cpu_of(__atomic_load_n(&vcpu->pcpu_index, __ATOMIC_ACQUIRE));
		spinlock_lock(&cpu->lock);
		if (cpu->index == vcpu->pcpu_index)
			return cpu;
		spinlock_unlock(&cpu->lock);
	}
}

static enum status admit_to(struct vcpu *vcpu, uint64_t cpus, char *why)
{
	const struct sched_policy *policy = sched_policy_of(vcpu->vm->sched_settings.policy);
	uint64_t allowed = scheduler_usable_cpus() & cpus;
	uint32_t index;

	if (!allowed) {
		fmt_print(why, SCHED_REFUSAL_SIZE, "none of the CPUs in `cpus` can run VMs");
		return STATUS_NOT_FOUND;
	}
	enum status status = policy->admit(vcpu, allowed, &index, why);
	if (status != STATUS_OK)
		return status;
	vcpu->sched.policy = policy;
	__atomic_store_n(&vcpu->pcpu_index, index, __ATOMIC_RELEASE);
	return STATUS_OK;
}

/* Gives an admitted vCPU to its CPU. */
static void attach(struct vcpu *vcpu)
{
	struct scheduler_cpu *cpu = cpu_of(vcpu);

	spinlock_lock(&cpu->lock);
	scheduler_attach(cpu, vcpu, clock_now());
	spinlock_unlock(&cpu->lock);
	scheduler_wake_cpu(cpu);
}

static void detach_here(struct vcpu *vcpu, void *unused)
{
	struct scheduler_cpu *cpu = pcpu_current()->scheduler;

	(void)unused;
	spinlock_lock(&cpu->lock);
	scheduler_load(cpu, NULL);
	scheduler_detach(cpu, vcpu, clock_now());
	spinlock_unlock(&cpu->lock);
}

/* Takes the vCPU from its CPU, saved and in no queue; its state stays, and so does what is asked of it. */
static enum status detach(struct vcpu *vcpu, char *why)
{
	enum status status = scheduler_call(vcpu, detach_here, NULL);

	if (status != STATUS_OK)
		fmt_print(why, SCHED_REFUSAL_SIZE, "CPU %u does not answer", vcpu->pcpu_index);
	return status;
}

enum status scheduler_add(struct vcpu *vcpu, char *why)
{
	enum status status = admit_to(vcpu, vcpu->sched.affinity, why);

	if (status == STATUS_OK)
		attach(vcpu);
	return status;
}

enum status scheduler_remove(struct vcpu *vcpu)
{
	char why[SCHED_REFUSAL_SIZE];
	enum status status = detach(vcpu, why);

	if (status != STATUS_OK)
		return status;
	vcpu->sched.policy->leave(vcpu);
	vcpu->sched.policy = NULL;
	return STATUS_OK;
}

static void load_here(struct vcpu *vcpu)
{
	struct scheduler_cpu *cpu = pcpu_current()->scheduler;

	spinlock_lock(&cpu->lock);
	scheduler_load(cpu, vcpu);
	spinlock_unlock(&cpu->lock);
}

enum status scheduler_borrow(struct vcpu *vcpu, void (*function)(struct vcpu *, void *), void *argument)
{
	char why[SCHED_REFUSAL_SIZE];
	enum status status = detach(vcpu, why);

	if (status != STATUS_OK)
		return status;
	load_here(vcpu);
	function(vcpu, argument);
	load_here(NULL);
	attach(vcpu);
	return STATUS_OK;
}

void scheduler_start(struct vcpu *vcpu)
{
	struct scheduler_cpu *cpu = lock_cpu_of(vcpu);
	uint64_t now = clock_now();

	/* Of an earlier life. */
	__atomic_store_n(&vcpu->requests, 0, __ATOMIC_SEQ_CST);
	vcpu->sched.waits_for_sipi = vcpu->index != 0;
	vcpu->sched.halted = false;
	if (vcpu->index != 0)
		scheduler_set_state(cpu, vcpu, VCPU_WAIT_SIPI, now);
	else if (vcpu->sched.paused)
		scheduler_set_state(cpu, vcpu, VCPU_PAUSED, now);
	else
		scheduler_enqueue(cpu, vcpu, SCHED_STARTED, now);
	spinlock_unlock(&cpu->lock);
	scheduler_wake_cpu(cpu);
	/* Another vCPU may have ended the VM already: then its request came before this one was ready for it. */
	if (__atomic_load_n(&vcpu->vm->state, __ATOMIC_SEQ_CST) == VM_STOPPING)
		vcpu_kick(vcpu, VCPU_REQUEST_STOP);
}

void scheduler_pause(struct vcpu *vcpu)
{
	struct scheduler_cpu *cpu = lock_cpu_of(vcpu);

	vcpu->sched.paused = true;
	spinlock_unlock(&cpu->lock);
	vcpu_kick(vcpu, VCPU_REQUEST_PAUSE);
}

void scheduler_unpause(struct vcpu *vcpu)
{
	struct scheduler_cpu *cpu = lock_cpu_of(vcpu);
	uint64_t now = clock_now();

	vcpu->sched.paused = false;
	__atomic_fetch_and(&vcpu->requests, ~VCPU_REQUEST_PAUSE, __ATOMIC_SEQ_CST);
	if (vcpu->state == VCPU_PAUSED && vcpu->sched.halted) {
		scheduler_set_state(cpu, vcpu, VCPU_BLOCKED, now);
		vcpu->sched.wake_at = 0;
	} else if (vcpu->state == VCPU_PAUSED) {
		scheduler_enqueue(cpu, vcpu, SCHED_STARTED, now);
	}
	vcpu->sched.halted = false;
	spinlock_unlock(&cpu->lock);
	scheduler_wake_cpu(cpu);
}

/* Back to what it had, which was just given back and is there still. */
static void admit_again(struct vcpu *vcpu, uint32_t index)
{
	char why[SCHED_REFUSAL_SIZE];
	enum status status = admit_to(vcpu, BIT(index), why);

	assert_always(status == STATUS_OK);
}

enum status scheduler_set_affinity(struct vcpu *vcpu, uint64_t cpus, char *why)
{
	enum status status = detach(vcpu, why);
	uint32_t index = vcpu->pcpu_index;

	if (status != STATUS_OK)
		return status;
	vcpu->sched.policy->leave(vcpu);
	status = admit_to(vcpu, cpus, why);
	if (status == STATUS_OK)
		vcpu->sched.affinity = cpus;
	else
		admit_again(vcpu, index);
	if (vcpu->pcpu_index != index)
		vcpu->sched.migrations++;
	attach(vcpu);
	return status;
}

/* Admits all vCPUs of @vm, which are detached, to their affinity; else none. */
static enum status admit_all(struct vm *vm, char *why)
{
	for (uint32_t i = 0; i < vm->vcpu_count; i++) {
		enum status status = admit_to(vm->vcpus[i], vm->vcpus[i]->sched.affinity, why);
		if (status == STATUS_OK)
			continue;
		while (i--)
			vm->vcpus[i]->sched.policy->leave(vm->vcpus[i]);
		return status;
	}
	return STATUS_OK;
}

static void attach_first(struct vm *vm, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		attach(vm->vcpus[i]);
}

/* @indexes: where they were. */
static enum status detach_all(struct vm *vm, uint32_t *indexes, char *why)
{
	for (uint32_t i = 0; i < vm->vcpu_count; i++) {
		enum status status = detach(vm->vcpus[i], why);
		if (status != STATUS_OK) {
			attach_first(vm, i);
			return status;
		}
		indexes[i] = vm->vcpus[i]->pcpu_index;
	}
	return STATUS_OK;
}

enum status scheduler_set_policy(struct vm *vm, const struct config_sched *settings, char *why)
{
	struct config_sched before = vm->sched_settings;
	uint32_t indexes[VM_MAX_VCPUS];
	enum status status = detach_all(vm, indexes, why);

	if (status != STATUS_OK)
		return status;
	for (uint32_t i = 0; i < vm->vcpu_count; i++)
		vm->vcpus[i]->sched.policy->leave(vm->vcpus[i]);
	vm->sched_settings = *settings;
	status = admit_all(vm, why);
	if (status != STATUS_OK) {
		vm->sched_settings = before;
		for (uint32_t i = 0; i < vm->vcpu_count; i++)
			admit_again(vm->vcpus[i], indexes[i]);
	}
	attach_first(vm, vm->vcpu_count);
	return status;
}
