#include "vmm/sched/vm_start.h"

#include "arch/x86/pcpu.h"
#include "lib/bits.h"
#include "vmm/console_mux.h"
#include "vmm/guest/guest_boot.h"
#include "vmm/sched/scheduler.h"
#include "vmm/vm.h"

static const struct boot_info *boot_information;
static uint64_t usable_cpus;
static uint32_t next_cpu;
static uint32_t running;

void vm_start_init(const struct boot_info *info, uint64_t cpus)
{
	boot_information = info;
	usable_cpus = cpus;
	/* The boot processor has the console to look after, so it comes last. */
	next_cpu = 1;
}

static uint32_t choose_cpu(void)
{
	for (;; next_cpu++) {
		uint32_t candidate = next_cpu % pcpu_count();
		if (usable_cpus >> candidate & 1 && pcpu_get(candidate)->virtualization_on) {
			next_cpu++;
			return candidate;
		}
	}
}

static bool any_usable_cpu(void)
{
	for (uint32_t i = 0; i < pcpu_count(); i++) {
		if (usable_cpus >> i & 1 && pcpu_get(i)->virtualization_on)
			return true;
	}
	return false;
}

struct load_request { enum status status; };

static void load_guest(struct vcpu *vcpu, void *argument)
{
	struct load_request *request = argument;

	request->status = guest_boot_load(vcpu->vm, boot_information);
}

/* A VM that cannot start. What a CPU that does not answer may still use stays taken for good. */
static void give_up(struct vm *vm)
{
	for (uint32_t i = 0; i < vm->vcpu_count; i++) {
		if (scheduler_remove(vm->vcpus[i]) != STATUS_OK) {
			log_error("vm %s vcpu %u: CPU %u does not answer: the VM's memory is lost", vm->config->name, i, vm->vcpus[i]->pcpu_index);
			return;
		}
	}
	vm_destroy(vm);
}

enum status vm_start_prepare(const struct vm_config *config, struct vm **out)
{
	struct load_request request = {STATUS_OK};
	struct vm *vm;

	if (virt_ops && !any_usable_cpu()) {
		log_error("vm %s: not created: none of the CPUs in `cpus` can run VMs", config->name);
		return STATUS_UNSUPPORTED;
	}
	enum status status = vm_create(config, &vm);
	if (status != STATUS_OK)
		return status;
	for (uint32_t i = 0; i < vm->vcpu_count; i++)
		scheduler_add(vm->vcpus[i], choose_cpu());
	status = scheduler_call(vm->vcpus[0], load_guest, &request);
	if (status == STATUS_OK)
		status = request.status;
	else
		log_error("vm %s: CPU %u does not answer: %s", config->name, vm->vcpus[0]->pcpu_index, status_name(status));
	if (status != STATUS_OK) {
		give_up(vm);
		return status;
	}
	*out = vm;
	return STATUS_OK;
}

void vm_start_run(struct vm *vm)
{
	running++;
	vm->state = VM_RUNNING;
	log_info("vm %s: started", vm->config->name);
	scheduler_start(vm->vcpus[0]);
}

bool vm_start_announce_stopped(void)
{
	bool any = false;

	for (uint32_t i = 0; i < vm_list_count; i++) {
		struct vm *vm = vm_list[i];
		char why[VM_STOP_TEXT_SIZE + 16];
		if (__atomic_load_n(&vm->state, __ATOMIC_ACQUIRE) != VM_STOPPED || vm->stop_announced)
			continue;
		console_mux_flush(vm);
		vm->stop_announced = true;
		vm_stop_describe(vm, why, sizeof(why));
		log_info("vm %s: stopped (%s)", vm->config->name, why);
		running--;
		any = true;
	}
	return any;
}

uint64_t vm_start_first_entry_ticks(const struct vm *vm)
{
	uint64_t first = vm->vcpus[0]->first_entry_tsc;

	return first ? first - boot_information->entry_tsc : 0;
}

bool vm_start_any_running(void)
{
	return running != 0;
}
