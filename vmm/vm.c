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

#define RECORDER_PAGES ((unsigned)(align_up(sizeof(struct exit_recorder), PAGE_SIZE) / PAGE_SIZE))
#define BACKEND_PAGES 6u  /* VMCS, APIC page, XSAVE area and the like, of a vCPU */
#define MACHINE_PAGES 40u /* bitmaps and device models */
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

static void destroy_vcpu(struct vcpu *vcpu)
{
	exit_recorder_destroy(vcpu);
	virt_ops->vcpu_destroy(&vcpu->virt);
	page_pool_free_pointer(vcpu);
}

static enum status create_vcpu(struct vm *vm, uint32_t index)
{
	struct vcpu *vcpu = page_pool_allocate_pointer();

	if (!vcpu)
		return STATUS_NO_MEMORY;
	vcpu->vm = vm;
	vcpu->index = index;
	vcpu->state = VCPU_OFF;
	vcpu->sched.affinity = vm->config->cpus;
	list_init(&vcpu->sched.link);
	list_init(&vcpu->timers);
	vcpu->virt.tsc_offset = index == 0 ? (uint64_t)0 - clock_now() : vm->vcpus[0]->virt.tsc_offset;
	enum status status = virt_ops->vcpu_create(&vcpu->virt, &vm->virt);
	if (status != STATUS_OK) {
		page_pool_free_pointer(vcpu);
		return status;
	}
	vcpu->recorder = exit_recorder_create(vcpu);
	if (!vcpu->recorder) {
		destroy_vcpu(vcpu);
		return STATUS_NO_MEMORY;
	}
	vm->vcpus[index] = vcpu;
	vm->vcpu_count = index + 1;
	return STATUS_OK;
}

static void destroy_vcpus(struct vm *vm)
{
	while (vm->vcpu_count) {
		vm->vcpu_count--;
		destroy_vcpu(vm->vcpus[vm->vcpu_count]);
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

/* Everything but the guest's RAM, rather too much than too little. */
static uint64_t estimate_overhead(const struct vm_config *config)
{
	uint64_t pages = VM_PAGES + MACHINE_PAGES + (uint64_t)config->vcpus * (1 + RECORDER_PAGES + BACKEND_PAGES);

	return guest_memory_overhead(config->memory, virt_ops->nested_format()) + pages * PAGE_SIZE;
}

static unsigned long long mib_of(uint64_t bytes)
{
	return (bytes + MIB - 1) / MIB;
}

/* Nothing of the VM is there any more. @what could not be had though there may be enough: then it lies in too small pieces. */
static void log_no_memory(const struct vm_config *config, const char *what)
{
	uint64_t free_bytes = page_pool_free_bytes(), overhead = estimate_overhead(config);
	uint64_t needed = config->memory + overhead;

	if (needed <= free_bytes) {
		log_error("vm %s: not created: no memory for %s, though %llu MiB are free", config->name, what,
			  (unsigned long long)(free_bytes / MIB));
		return;
	}
	log_error("vm %s: not created: needs %llu MiB of memory and %llu KiB for tables and vCPUs, %llu MiB are free (%llu MiB missing)",
		  config->name, (unsigned long long)(config->memory / MIB), (unsigned long long)(overhead / KIB),
		  (unsigned long long)(free_bytes / MIB), mib_of(needed - free_bytes));
}

static void explain(const struct vm_config *config, const char *what, enum status status)
{
	if (status == STATUS_NO_MEMORY)
		log_no_memory(config, what);
	else
		log_failure(config, what, status);
}

/* What a reset makes anew. On failure nothing of it is left and *@what names the part. */
static enum status create_machine(struct vm *vm, const char **what)
{
	*what = "bitmaps";
	enum status status = virt_ops->vm_create(&vm->virt, &vm->memory.nested);
	if (status != STATUS_OK)
		return status;
	msr_policy_apply(&vm->virt);
	*what = "vCPUs";
	status = create_vcpus(vm);
	if (status == STATUS_OK) {
		*what = "passed-through devices";
		status = passthrough_attach(vm);
	}
	if (status == STATUS_OK) {
		*what = "devices";
		status = io_devices_create(vm);
	}
	if (status != STATUS_OK) {
		passthrough_detach(vm);
		destroy_vcpus(vm);
		virt_ops->vm_destroy(&vm->virt);
		vm->virt = (struct virt_vm){0};
		return status;
	}
	io_devices_reset(vm);
	return STATUS_OK;
}

static void destroy_machine(struct vm *vm)
{
	if (!vm->virt.backend)
		return;
	io_devices_destroy(vm);
	passthrough_detach(vm);
	destroy_vcpus(vm);
	virt_ops->vm_destroy(&vm->virt);
	vm->virt = (struct virt_vm){0};
	vm->irq = (struct irq_routing){0};
}

static struct vm *allocate_vm(const struct vm_config *config)
{
	struct vm *vm = page_pool_allocate_contiguous(VM_PAGES);

	if (!vm)
		return NULL;
	vm->own_config = *config;
	vm->config = &vm->own_config;
	vm->sched_settings = config->sched;
	list_init(&vm->devices);
	vm_console_init(&vm->console);
	return vm;
}

static enum status create_parts(struct vm *vm, const char **what)
{
	*what = "RAM";
	enum status status = guest_memory_create(&vm->memory, vm->config->memory, virt_ops->nested_format());
	if (status != STATUS_OK)
		return status;
	status = create_machine(vm, what);
	if (status != STATUS_OK)
		guest_memory_destroy(&vm->memory);
	return status;
}

enum status vm_create(const struct vm_config *config, struct vm **out)
{
	const char *what = "its own structure";
	enum status status = STATUS_NO_MEMORY;

	if (!virt_ops) {
		log_error("vm %s: not created: %s", config->name, virt_missing_reason());
		return STATUS_UNSUPPORTED;
	}
	if (vm_list_count == CONFIG_MAX_VMS || config->vcpus > VM_MAX_VCPUS) {
		log_error("vm %s: not created: more than %u VMs, or %u vCPUs of one", config->name, CONFIG_MAX_VMS, VM_MAX_VCPUS);
		return STATUS_OUT_OF_RANGE;
	}
	if (passthrough_check(config) != STATUS_OK) {
		log_failure(config, "passed-through devices", STATUS_DENIED);
		return STATUS_DENIED;
	}
	struct vm *vm = allocate_vm(config);
	if (vm)
		status = create_parts(vm, &what);
	if (status != STATUS_OK) {
		if (vm)
			page_pool_free_contiguous(vm, VM_PAGES);
		explain(config, what, status);
		return status;
	}
	vm->id = ++last_id;
	vm->state = VM_CREATED;
	vm_list[vm_list_count++] = vm;
	*out = vm;
	return STATUS_OK;
}

static void forget_end(struct vm *vm)
{
	vm->stop_kind = VM_STOP_NONE;
	vm->crashed_vcpu = NULL;
	vm->stop_announced = false;
	vm->paused = false;
	vm->state = VM_CREATED;
}

enum status vm_reset(struct vm *vm)
{
	uint64_t affinity[VM_MAX_VCPUS];
	const char *what;

	for (uint32_t i = 0; i < vm->vcpu_count; i++)
		affinity[i] = vm->vcpus[i]->sched.affinity;
	destroy_machine(vm);
	guest_memory_reuse(&vm->memory);
	/* The page in which the hardware kept the local APICs is gone. */
	what = "nested page tables";
	enum status status = page_table_unmap(&vm->memory.nested, VIRT_APIC_BASE, PAGE_SIZE);
	if (status == STATUS_OK)
		status = create_machine(vm, &what);
	if (status != STATUS_OK) {
		explain(vm->config, what, status);
		return status;
	}
	for (uint32_t i = 0; i < vm->vcpu_count; i++)
		vm->vcpus[i]->sched.affinity = affinity[i];
	forget_end(vm);
	return STATUS_OK;
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
	destroy_machine(vm);
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

bool vm_crash(struct vm *vm, const char *format, ...)
{
	va_list arguments;

	if (!claim_stop(vm, VM_STOP_CRASH))
		return false;
	va_start(arguments, format);
	fmt_vprint(vm->stop_text, sizeof(vm->stop_text), format, arguments);
	va_end(arguments);
	stop_vcpus(vm);
	return true;
}

bool vm_press_power_button(struct vm *vm)
{
	if (!vm->press_power_button)
		return false;
	spinlock_lock(&vm->device_lock);
	vm->press_power_button(vm->power_button);
	spinlock_unlock(&vm->device_lock);
	return true;
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
