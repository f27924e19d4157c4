/* create, destroy, pause, unpause, reboot, shutdown, reset */
#include "vmm/sched/vm_life.h"
#include "vmm/shell/arguments.h"
#include "vmm/shell/shell.h"
#include "vmm/vm.h"

static void run_create(unsigned count, const char *const *arguments)
{
	(void)count;
	/* Why not is in the log, and so on the screen. */
	if (vm_life_create_by_name(arguments[1]) != STATUS_OK)
		shell_print("create: %s: failed\n", arguments[1]);
}

static bool is_running(const struct vm *vm)
{
	if (vm->state == VM_RUNNING)
		return true;
	shell_print("%s: does not run\n", vm->config->name);
	return false;
}

static void run_destroy(unsigned count, const char *const *arguments)
{
	struct vm *vm = arguments_vm(arguments[1]);

	(void)count;
	if (vm != NULL)
		vm_life_destroy(vm);
}

static void run_pause(unsigned count, const char *const *arguments)
{
	struct vm *vm = arguments_vm(arguments[1]);

	(void)count;
	if (vm == NULL || !is_running(vm))
		return;
	if (vm->paused)
		shell_print("%s: is paused already\n", vm->config->name);
	vm_life_pause(vm);
}

static void run_unpause(unsigned count, const char *const *arguments)
{
	struct vm *vm = arguments_vm(arguments[1]);

	(void)count;
	if (vm == NULL)
		return;
	if (!vm->paused)
		shell_print("%s: is not paused\n", vm->config->name);
	vm_life_unpause(vm);
}

static void press_button(const char *name, bool reboot)
{
	struct vm *vm = arguments_vm(name);

	if (vm == NULL || !is_running(vm))
		return;
	vm_life_shutdown(vm, reboot);
	if (vm->paused)
		shell_print("%s: is paused; it will hear of it when it goes on\n", vm->config->name);
}

static void run_shutdown(unsigned count, const char *const *arguments)
{
	(void)count;
	press_button(arguments[1], false);
}

static void run_reboot(unsigned count, const char *const *arguments)
{
	(void)count;
	press_button(arguments[1], true);
}

static void run_reset(unsigned count, const char *const *arguments)
{
	struct vm *vm = arguments_vm(arguments[1]);

	(void)count;
	if (vm == NULL)
		return;
	if (vm->state == VM_CREATED || vm->state == VM_DESTROYING)
		shell_print("%s: does not run\n", vm->config->name);
	vm_life_reset(vm);
}

const struct shell_command shell_create_command = {
	.name = "create",
	.arguments = "NAME|FILE",
	.summary = "start a VM that does not exist now",
	.help = "  NAME is a VM of trivet.conf, FILE another configuration file of the boot medium, all of whose VMs are started.\n"
		"  A VM of that name that has stopped and was preserved is destroyed first.\n",
	.minimum_arguments = 1,
	.maximum_arguments = 1,
	.completion = SHELL_COMPLETE_CREATABLE,
	.run = run_create,
};
SHELL_COMMAND(shell_create_command);

#define VM_COMMAND(command, its_summary, its_help)                                                                             \
	const struct shell_command shell_##command##_command = {                                                                   \
		.name = #command,                                                                                                  \
		.arguments = "NAME",                                                                                               \
		.summary = its_summary,                                                                                            \
		.help = its_help,                                                                                                  \
		.minimum_arguments = 1,                                                                                            \
		.maximum_arguments = 1,                                                                                            \
		.completion = SHELL_COMPLETE_VM,                                                                                   \
		.run = run_##command,                                                                                              \
	}

VM_COMMAND(destroy, "end a VM at once and give back all it has",
	   "  As pulling the plug. `vm NAME: stopped (destroyed)` in the log says that it is done.\n");
SHELL_COMMAND(shell_destroy_command);

VM_COMMAND(pause, "keep a VM from running until `unpause`", "  Its clock goes on.\n");
SHELL_COMMAND(shell_pause_command);

VM_COMMAND(unpause, "let a paused VM go on", "");
SHELL_COMMAND(shell_unpause_command);

VM_COMMAND(shutdown, "ask a VM's guest to power off, by its ACPI power button", "  A guest that does not listen to the button goes on. What follows is as on_poweroff says.\n");
SHELL_COMMAND(shell_shutdown_command);

VM_COMMAND(reboot, "ask a VM's guest to power off, and start it again then", "");
SHELL_COMMAND(shell_reboot_command);

VM_COMMAND(reset, "start a VM anew at once, whatever it does", "  As pressing the reset button: its memory is cleared, its devices begin anew.\n");
SHELL_COMMAND(shell_reset_command);
