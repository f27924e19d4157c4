/* vcpu-list, vcpu-pin: where vCPUs run and may run. */
#include "lib/string.h"
#include "vmm/config_text.h"
#include "vmm/sched/policy.h"
#include "vmm/sched/scheduler.h"
#include "vmm/shell/arguments.h"
#include "vmm/shell/figures.h"
#include "vmm/shell/shell.h"
#include "vmm/shell/vcpu_figures.h"
#include "vmm/vm.h"

#define CPU_LIST_SIZE 64u

static void print_vcpu(const struct vcpu *vcpu)
{
	char cpus[CPU_LIST_SIZE];

	shell_print("%-20s %2u %3u  %-14s %-7s %7llu.%llu %7llu.%llu %6u  %s\n", vcpu->vm->config->name, vcpu->index, vcpu->pcpu_index,
		    vcpu_state_name(vcpu->state), vcpu->sched.policy ? vcpu->sched.policy->name : "none",
		    FIGURES_TENTHS(figures_tenths(vcpu_run_ticks(vcpu))), FIGURES_TENTHS(figures_tenths(vcpu_wait_ticks(vcpu))),
		    vcpu->sched.migrations, figures_cpu_list(vcpu->sched.affinity, cpus, sizeof(cpus)));
}

static void print_vcpus(const struct vm *vm)
{
	for (uint32_t i = 0; i < vm->vcpu_count; i++)
		print_vcpu(vm->vcpus[i]);
}

static void run_vcpu_list(unsigned count, const char *const *arguments)
{
	const struct vm *vm = NULL;

	if (count > 1) {
		vm = arguments_vm(arguments[1]);
		if (vm == NULL)
			return;
	}
	shell_print("%-20s %2s %3s  %-14s %-7s %9s %9s %6s  %s\n", "Name", "V", "CPU", "State", "Policy", "Ran(s)", "Waited(s)", "Moves", "CPUs");
	if (vm != NULL) {
		print_vcpus(vm);
		return;
	}
	for (uint32_t i = 0; i < vm_list_count; i++)
		print_vcpus(vm_list[i]);
}

static bool read_cpus(const char *word, uint64_t *cpus)
{
	struct config_value value = {.text = {word, strlen(word)}};

	if (config_read_cpus(&value, cpus))
		return true;
	shell_print("%s: %s; expected %s\n", word, value.problem ? value.problem : "bad value", value.expected);
	return false;
}

static void run_vcpu_pin(unsigned count, const char *const *arguments)
{
	struct vcpu *vcpu = arguments_vcpu(count, arguments);
	char why[SCHED_REFUSAL_SIZE] = "", list[CPU_LIST_SIZE];
	uint64_t cpus;

	if (vcpu == NULL || !vcpu_is_admitted(vcpu) || !read_cpus(arguments[3], &cpus))
		return;
	enum status status = scheduler_set_affinity(vcpu, cpus, why);
	if (status != STATUS_OK)
		shell_print("%s, vCPU %u: refused: %s\n", vcpu->vm->config->name, vcpu->index, why[0] != '\0' ? why : status_name(status));
	else
		shell_print("%s, vCPU %u: CPUs %s\n", vcpu->vm->config->name, vcpu->index, figures_cpu_list(cpus, list, sizeof(list)));
}

const struct shell_command shell_vcpu_list_command = {
	.name = "vcpu-list",
	.arguments = "[NAME]",
	.summary = "show where vCPUs run, and for how long",
	.help = "  Waited is the time that it was runnable while others ran; Moves, from one CPU to another;\n"
		"  CPUs, where it may run.\n",
	.maximum_arguments = 1,
	.completion = SHELL_COMPLETE_VM,
	.run = run_vcpu_list,
};
SHELL_COMMAND(shell_vcpu_list_command);

const struct shell_command shell_vcpu_pin_command = {
	.name = "vcpu-pin",
	.arguments = "NAME V CPUS",
	.summary = "let vCPU V run on CPUS only: 0-2,5 or all",
	.help = "  Refused, with the reason, if its policy can not keep its promise there.\n",
	.minimum_arguments = 3,
	.maximum_arguments = 3,
	.completion = SHELL_COMPLETE_VM,
	.run = run_vcpu_pin,
};
SHELL_COMMAND(shell_vcpu_pin_command);
