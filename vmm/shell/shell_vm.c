/* list, info, console */
#include "arch/x86/clock.h"
#include "arch/x86/mm/page_pool.h"
#include "lib/fmt.h"
#include "lib/string.h"
#include "vmm/console_mux.h"
#include "vmm/io_device.h"
#include "vmm/sched/vm_life.h"
#include "vmm/shell/arguments.h"
#include "vmm/shell/capture.h"
#include "vmm/shell/shell.h"
#include "vmm/shell/vcpu_figures.h"
#include "vmm/vm.h"

#define STATE_SIZE (VM_STOP_TEXT_SIZE + 32u)

/* Of a running VM, what its most active vCPU does. */
static const char *activity_name(const struct vm *vm)
{
	static const enum vcpu_state order[] = {VCPU_RUNNING, VCPU_RUNNABLE, VCPU_BLOCKED, VCPU_PAUSED};

	for (unsigned i = 0; i < array_count(order); i++) {
		for (uint32_t v = 0; v < vm->vcpu_count; v++) {
			if (vm->vcpus[v]->state == order[i])
				return vcpu_state_name(order[i]);
		}
	}
	return vcpu_state_name(VCPU_OFF);
}

/* What is being done with a VM that has stopped, and why it did. */
static void describe_end(const struct vm *vm, const char *doing, char *text, size_t size)
{
	char why[VM_STOP_TEXT_SIZE + 16];

	vm_stop_describe(vm, why, sizeof(why));
	fmt_print(text, size, "%s (%s)", doing, why);
}

static void describe_state(const struct vm *vm, char *text, size_t size)
{
	switch (vm->state) {
	case VM_CREATED: string_copy(text, size, vm->paused ? "paused" : "created"); break;
	case VM_RUNNING: string_copy(text, size, vm->paused ? "paused" : activity_name(vm)); break;
	case VM_STOPPING: describe_end(vm, "stopping", text, size); break;
	case VM_RESTARTING: describe_end(vm, "restarting", text, size); break;
	case VM_DESTROYING: describe_end(vm, "destroying", text, size); break;
	default: vm_stop_describe(vm, text, size); break;
	}
}

static uint64_t run_milliseconds(const struct vm *vm)
{
	uint64_t ticks = 0;

	for (uint32_t i = 0; i < vm->vcpu_count; i++)
		ticks += vcpu_run_ticks(vm->vcpus[i]);
	return clock_nanoseconds_from_ticks(ticks) / 1000000;
}

/* Of the configuration, but there is none now. */
static void list_absent(const struct vm_config *config)
{
	const char *end = vm_life_last_end(config);
	char state[STATE_SIZE];

	if (vm_find(config->name) != NULL)
		return;
	fmt_print(state, sizeof(state), end != NULL ? "off (%s)" : "off", end);
	shell_print("%-31s %3s %8llu %5u  %-16s %10s\n", config->name, "-", (unsigned long long)(config->memory / MIB),
		    config->vcpus, state, "-");
}

static void run_list(unsigned count, const char *const *arguments)
{
	const struct config *config = vm_life_config();

	(void)count, (void)arguments;
	shell_print("%-31s %3s %8s %5s  %-16s %10s\n", "Name", "ID", "Mem(MiB)", "VCPUs", "State", "Time(s)");
	for (uint32_t i = 0; i < vm_list_count; i++) {
		const struct vm *vm = vm_list[i];
		uint64_t milliseconds = run_milliseconds(vm);
		char state[STATE_SIZE];

		describe_state(vm, state, sizeof(state));
		shell_print("%-31s %3u %8llu %5u  %-16s %8llu.%llu\n", vm->config->name, vm->id,
			    (unsigned long long)(vm->memory.size / MIB), vm->vcpu_count, state,
			    (unsigned long long)(milliseconds / 1000), (unsigned long long)(milliseconds / 100 % 10));
	}
	for (uint32_t i = 0; i < config->vm_count; i++)
		list_absent(&config->vms[i]);
	shell_print("free memory: %llu KiB of %llu MiB\n", (unsigned long long)(page_pool_free_bytes() / KIB),
		    (unsigned long long)(page_pool_total_bytes() / MIB));
}

static void info_memory(const struct vm *vm)
{
	shell_print("memory: %llu MiB, %llu KiB of nested page tables\n", (unsigned long long)(vm->memory.size / MIB),
		    (unsigned long long)(vm->memory.nested.table_pages * PAGE_SIZE / KIB));
	for (unsigned i = 0; i < vm->memory.slot_count; i++) {
		const struct guest_memory_slot *slot = &vm->memory.slots[i];

		shell_print("  0x%09llx-0x%09llx\n", (unsigned long long)slot->base.value,
			    (unsigned long long)(slot->base.value + slot->length - 1));
	}
}

static void info_vcpu(const struct vcpu *vcpu)
{
	shell_print("vCPU %u: %s on CPU %u, %llu ms, %llu exits\n", vcpu->index, vcpu_state_name(vcpu->state),
		    vcpu->pcpu_index, (unsigned long long)(clock_nanoseconds_from_ticks(vcpu_run_ticks(vcpu)) / 1000000),
		    (unsigned long long)vcpu_exit_count(vcpu));
}

static void info_devices(struct vm *vm)
{
	capture_start();
	spinlock_lock(&vm->device_lock);
	list_for_each(link, &vm->devices) {
		struct io_device *device = list_entry(link, struct io_device, link);

		if (device->class->describe != NULL)
			device->class->describe(device, capture_print);
	}
	spinlock_unlock(&vm->device_lock);
	capture_show();
}

static void run_info(unsigned count, const char *const *arguments)
{
	struct vm *vm = arguments_vm(arguments[1]);
	char state[STATE_SIZE];

	(void)count;
	if (vm == NULL)
		return;
	describe_state(vm, state, sizeof(state));
	shell_print("VM %u, %s: %s\n", vm->id, vm->config->name, state);
	shell_print("kernel: %s, ramdisk: %s\ncommand line: %s\n", vm->config->kernel,
		    vm->config->ramdisk[0] != '\0' ? vm->config->ramdisk : "none", vm->config->cmdline);
	info_memory(vm);
	shell_print("first entry %llu ticks after hand-off\n", (unsigned long long)vm_life_first_entry_ticks(vm));
	for (uint32_t i = 0; i < vm->vcpu_count; i++)
		info_vcpu(vm->vcpus[i]);
	shell_print("console: %llu bytes sent\n", (unsigned long long)vm->console.output_total);
	info_devices(vm);
}

static void run_console(unsigned count, const char *const *arguments)
{
	struct vm *vm = arguments_vm(arguments[1]);

	(void)count;
	if (vm == NULL)
		return;
	if (vm->state == VM_STOPPED || vm->state == VM_DESTROYING) {
		shell_print("%s has stopped\n", vm->config->name);
		return;
	}
	shell_print("connected to %s; Ctrl-] comes back\n", vm->config->name);
	if (console_mux_attach(vm) != STATUS_OK)
		shell_print("this machine has no serial console to connect with\n");
}

const struct shell_command shell_list_command = {
	.name = "list",
	.arguments = "",
	.summary = "show all VMs",
	.help = "  Time is what the VM's vCPUs have run, together.\n",
	.run = run_list,
};
SHELL_COMMAND(shell_list_command);

const struct shell_command shell_info_command = {
	.name = "info",
	.arguments = "NAME",
	.summary = "show a VM's memory, vCPUs and devices",
	.help = "",
	.minimum_arguments = 1,
	.maximum_arguments = 1,
	.completion = SHELL_COMPLETE_VM,
	.run = run_info,
};
SHELL_COMMAND(shell_info_command);

const struct shell_command shell_console_command = {
	.name = "console",
	.arguments = "NAME",
	.summary = "connect to a VM's COM1; Ctrl-] comes back",
	.help = "  While connected, other VMs' output goes on in whole lines, (NAME) before them.\n",
	.minimum_arguments = 1,
	.maximum_arguments = 1,
	.completion = SHELL_COMPLETE_VM,
	.run = run_console,
};
SHELL_COMMAND(shell_console_command);
