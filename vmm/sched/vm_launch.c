#include "vmm/sched/vm_launch.h"

#include "arch/x86/clock.h"
#include "vmm/guest/guest_boot.h"
#include "vmm/sched/policy.h"
#include "vmm/sched/scheduler.h"
#include "vmm/sched/vm_life.h"
#include "vmm/vm.h"

static const struct boot_info *boot_information;

struct load_request { enum status status; };

void vm_launch_init(const struct boot_info *info)
{
	boot_information = info;
}

static enum status admit(struct vm *vm)
{
	char why[SCHED_REFUSAL_SIZE];

	for (uint32_t i = 0; i < vm->vcpu_count; i++) {
		enum status status = scheduler_add(vm->vcpus[i], why);
		if (status != STATUS_OK) {
			log_error("vm %s: vCPU %u is not admitted: %s", vm->config->name, i, why);
			return status;
		}
	}
	return STATUS_OK;
}

static void load_guest(struct vcpu *vcpu, void *argument)
{
	struct load_request *request = argument;

	request->status = guest_boot_load(vcpu->vm, boot_information);
}

enum status vm_launch_prepare(struct vm *vm)
{
	struct load_request request = {STATUS_OK};
	enum status status = admit(vm);

	if (status != STATUS_OK)
		return status;
	status = scheduler_borrow(vm->vcpus[0], load_guest, &request);
	if (status == STATUS_OK)
		return request.status;
	log_error("vm %s: CPU %u does not answer: %s", vm->config->name, vm->vcpus[0]->pcpu_index, status_name(status));
	return status;
}

void vm_launch_run(struct vm *vm)
{
	uint64_t delay = vm->life.delay, said_delay = vm->life.said_delay;

	vm->life = (struct vm_life){.delay = delay, .said_delay = said_delay};
	vm->paused = false;
	vm->state = VM_RUNNING;
	vm->started_tsc = clock_now();
	log_info("vm %s: started", vm->config->name);
	/* The first one comes last: it may call for the others at once. */
	for (uint32_t i = vm->vcpu_count; i-- > 0;)
		scheduler_start(vm->vcpus[i]);
}

bool vm_launch_leave(struct vm *vm)
{
	for (uint32_t i = 0; i < vm->vcpu_count; i++) {
		if (vm->vcpus[i]->sched.policy && scheduler_remove(vm->vcpus[i]) != STATUS_OK)
			return false;
	}
	return true;
}

uint64_t vm_life_first_entry_ticks(const struct vm *vm)
{
	uint64_t first = vm->vcpu_count ? vm->vcpus[0]->first_entry_tsc : 0;

	return first ? first - boot_information->entry_tsc : 0;
}
