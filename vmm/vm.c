#include "vmm/vm.h"

#include <stdarg.h>

#include "arch/x86/clock.h"
#include "arch/x86/mm/page_pool.h"
#include "lib/fmt.h"
#include "lib/string.h"
#include "vmm/io_device.h"
#include "vmm/msr_policy.h"

struct vm *vm_list[CONFIG_MAX_VMS];
uint32_t vm_list_count;
static uint32_t last_id;

#define VM_PAGES ((unsigned)(align_up(sizeof(struct vm), PAGE_SIZE) / PAGE_SIZE))
_Static_assert(sizeof(struct vcpu) <= PAGE_SIZE, "a vCPU takes one page");

struct vm *vm_find(const char *name)
{
	for (uint32_t i = 0; i < vm_list_count; i++) {
		if (strcmp(vm_list[i]->config->name, name) == 0)
			return vm_list[i];
	}
	return NULL;
}

static enum status create_vcpu(struct vm *vm, uint32_t index)
{
	struct vcpu *vcpu = page_pool_allocate_pointer();

	if (!vcpu)
		return STATUS_NO_MEMORY;
	vcpu->vm = vm;
	vcpu->index = index;
	vcpu->state = VCPU_OFF;
	list_init(&vcpu->run_link);
	list_init(&vcpu->timers);
	vcpu->virt.tsc_offset = (uint64_t)0 - clock_now();
	enum status status = virt_ops->vcpu_create(&vcpu->virt, &vm->virt);
	if (status != STATUS_OK) {
		page_pool_free_pointer(vcpu);
		return status;
	}
	vm->vcpus[index] = vcpu;
	vm->vcpu_count = index + 1;
	return STATUS_OK;
}

static void destroy_vcpus(struct vm *vm)
{
	while (vm->vcpu_count) {
		struct vcpu *vcpu = vm->vcpus[--vm->vcpu_count];
		virt_ops->vcpu_destroy(&vcpu->virt);
		page_pool_free_pointer(vcpu);
	}
}

static enum status create_vcpus(struct vm *vm)
{
	for (uint32_t index = 0; index < vm->config->vcpus; index++) {
		enum status status = create_vcpu(vm, index);
		if (status != STATUS_OK) {
			destroy_vcpus(vm);
			return status;
		}
	}
	return STATUS_OK;
}

static void log_failure(const struct vm_config *config, const char *what, enum status status)
{
	log_error("vm %s: not created: %s: %s", config->name, what, status_name(status));
}

static void log_no_memory(const struct vm_config *config)
{
	uint64_t free_bytes = page_pool_free_bytes();
	uint64_t missing = config->memory > free_bytes ? config->memory - free_bytes : 0;

	log_error("vm %s: not created: needs %llu MiB of memory, %llu MiB are free (%llu MiB missing)", config->name,
		  (unsigned long long)(config->memory / MIB), (unsigned long long)(free_bytes / MIB), (unsigned long long)((missing + MIB - 1) / MIB));
}

enum status vm_create(const struct vm_config *config, struct vm **out)
{
	struct vm *vm;
	enum status status;

	if (!virt_ops) {
		log_error("vm %s: not created: %s", config->name, virt_missing_reason());
		return STATUS_UNSUPPORTED;
	}
	if (vm_list_count == CONFIG_MAX_VMS || config->vcpus > VM_MAX_VCPUS)
		return STATUS_OUT_OF_RANGE;
	vm = page_pool_allocate_contiguous(VM_PAGES);
	if (!vm) {
		log_failure(config, "its own structure", STATUS_NO_MEMORY);
		return STATUS_NO_MEMORY;
	}
	vm->config = config;
	list_init(&vm->devices);
	vm_console_init(&vm->console);

	status = guest_memory_create(&vm->memory, config->memory, virt_ops->nested_format());
	if (status != STATUS_OK) {
		log_no_memory(config);
		goto free_vm;
	}
	status = virt_ops->vm_create(&vm->virt, &vm->memory.nested);
	if (status != STATUS_OK) {
		log_failure(config, "bitmaps", status);
		goto destroy_memory;
	}
	msr_policy_apply(&vm->virt);
	status = create_vcpus(vm);
	if (status != STATUS_OK) {
		log_failure(config, "vCPUs", status);
		goto destroy_virt;
	}
	status = io_devices_create(vm);
	if (status != STATUS_OK) {
		log_failure(config, "devices", status);
		goto destroy_vcpus;
	}
	io_devices_reset(vm);
	vm->id = ++last_id;
	vm->state = VM_CREATED;
	vm_list[vm_list_count++] = vm;
	*out = vm;
	return STATUS_OK;

destroy_vcpus:
	destroy_vcpus(vm);
destroy_virt:
	virt_ops->vm_destroy(&vm->virt);
destroy_memory:
	guest_memory_destroy(&vm->memory);
free_vm:
	page_pool_free_contiguous(vm, VM_PAGES);
	return status;
}

static void remove_from_list(const struct vm *vm)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < vm_list_count; i++) {
		if (vm_list[i] != vm)
			vm_list[kept++] = vm_list[i];
	}
	vm_list_count = kept;
}

void vm_destroy(struct vm *vm)
{
	remove_from_list(vm);
	io_devices_destroy(vm);
	destroy_vcpus(vm);
	virt_ops->vm_destroy(&vm->virt);
	guest_memory_destroy(&vm->memory);
	page_pool_free_contiguous(vm, VM_PAGES);
}

/* Claims the VM's end for the caller: of several reasons the first counts. */
static bool claim_stop(struct vm *vm, enum vm_stop_kind kind)
{
	enum vm_stop_kind none = VM_STOP_NONE;

	return __atomic_compare_exchange_n(&vm->stop_kind, &none, kind, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

static void stop_vcpus(struct vm *vm)
{
	__atomic_store_n(&vm->state, VM_STOPPING, __ATOMIC_RELEASE);
	for (uint32_t i = 0; i < vm->vcpu_count; i++)
		vcpu_kick(vm->vcpus[i], VCPU_REQUEST_STOP);
}

void vm_stop(struct vm *vm, enum vm_stop_kind kind, uint32_t exit_code)
{
	if (!claim_stop(vm, kind))
		return;
	vm->exit_code = exit_code;
	stop_vcpus(vm);
}

void vm_crash(struct vm *vm, const char *format, ...)
{
	va_list arguments;

	if (!claim_stop(vm, VM_STOP_CRASH))
		return;
	va_start(arguments, format);
	fmt_vprint(vm->stop_text, sizeof(vm->stop_text), format, arguments);
	va_end(arguments);
	stop_vcpus(vm);
}

size_t vm_stop_describe(const struct vm *vm, char *buffer, size_t size)
{
	switch (vm->stop_kind) {
	case VM_STOP_POWEROFF:
		return fmt_print(buffer, size, "poweroff");
	case VM_STOP_REBOOT:
		return fmt_print(buffer, size, "reboot");
	case VM_STOP_CRASH:
		return fmt_print(buffer, size, "crash: %s", vm->stop_text);
	case VM_STOP_EXIT:
		return fmt_print(buffer, size, "exit %u", vm->exit_code);
	case VM_STOP_DESTROYED:
		return fmt_print(buffer, size, "destroyed");
	default:
		return fmt_print(buffer, size, "running");
	}
}
