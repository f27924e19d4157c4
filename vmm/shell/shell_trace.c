/* exits, trace: what made VMs exit, counted and one by one. */
#include "arch/x86/clock.h"
#include "arch/x86/log.h"
#include "vmm/exit_recorder.h"
#include "vmm/shell/arguments.h"
#include "vmm/shell/shell.h"
#include "vmm/vm.h"

#define TRACE_DEFAULT 16u
#define NANOSECONDS_PER_MILLISECOND 1000000u

static uint64_t exit_count(const struct vm *vm, uint32_t reason)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < vm->vcpu_count; i++)
		sum += vm->vcpus[i]->exit_counts[reason];
	return sum;
}

static uint64_t run_milliseconds(const struct vm *vm)
{
	uint64_t ticks = 0;

	for (uint32_t i = 0; i < vm->vcpu_count; i++)
		ticks += vcpu_run_ticks(vm->vcpus[i]);
	return clock_nanoseconds_from_ticks(ticks) / NANOSECONDS_PER_MILLISECOND;
}

static void print_exit_row(const struct vm *vm, uint32_t reason, const struct exit_cost *cost)
{
	const char *name = virt_ops != NULL ? virt_ops->reason_name(reason) : NULL;
	uint64_t sum = exit_count(vm, reason), milliseconds = run_milliseconds(vm);

	shell_print("%3u %-32s %14llu %12llu", reason, name != NULL ? name : "?", (unsigned long long)sum,
		    (unsigned long long)(milliseconds != 0 ? sum * 1000 / milliseconds : 0));
	if (cost->count != 0)
		shell_print(" %12llu", (unsigned long long)(cost->ticks / cost->count));
	shell_print("\n");
}

/* The most frequent reason of those not shown yet; VIRT_EXIT_REASON_MAX: none is left. */
static uint32_t most_frequent(const struct vm *vm, const bool *shown)
{
	uint32_t most = VIRT_EXIT_REASON_MAX;

	for (uint32_t reason = 0; reason < VIRT_EXIT_REASON_MAX; reason++) {
		if (shown[reason] || exit_count(vm, reason) == 0)
			continue;
		if (most == VIRT_EXIT_REASON_MAX || exit_count(vm, reason) > exit_count(vm, most))
			most = reason;
	}
	return most;
}

static void exits_of(const struct vm *vm)
{
	static struct exit_cost costs[VIRT_EXIT_REASON_MAX]; /* too large for the stack; one shell */
	bool shown[VIRT_EXIT_REASON_MAX] = {false};
	uint32_t reason;

	for (reason = 0; reason < VIRT_EXIT_REASON_MAX; reason++)
		costs[reason] = (struct exit_cost){0};
	for (uint32_t i = 0; i < vm->vcpu_count; i++)
		exit_recorder_sum(vm->vcpus[i], costs);
	shell_print("%s\n%3s %-32s %14s %12s %12s\n", vm->config->name, "", "exit reason", "count", "per second", "ticks each");
	while ((reason = most_frequent(vm, shown)) < VIRT_EXIT_REASON_MAX) {
		shown[reason] = true;
		print_exit_row(vm, reason, &costs[reason]);
	}
}

static void run_exits(unsigned count, const char *const *arguments)
{
	struct vm *vm;

	if (count > 1) {
		vm = arguments_vm(arguments[1]);
		if (vm != NULL)
			exits_of(vm);
		return;
	}
	for (uint32_t i = 0; i < vm_list_count; i++)
		exits_of(vm_list[i]);
}

static void run_trace(unsigned count, const char *const *arguments)
{
	/* The vCPU may exit more often than a line takes to be shown. */
	static struct exit_recorder snapshot;
	const struct vcpu *vcpu = arguments_vcpu(count, arguments);
	uint64_t most = TRACE_DEFAULT;

	if (vcpu == NULL || (count > 3 && !arguments_number(arguments[3], "N", 1, EXIT_RECORDER_SIZE, &most)))
		return;
	snapshot = *vcpu->recorder;
	shell_print("%-14s %-24s %-26s %-20s  %6s\n", "Time", "Exit", "About", "At", "Ticks");
	exit_recorder_print_records(&snapshot, (uint32_t)most, log_start_tsc(), shell_print);
}

const struct shell_command shell_exits_command = {
	.name = "exits",
	.arguments = "[NAME]",
	.summary = "count VM exits by reason",
	.help = "  The rate is per second that the VM's vCPUs have run. The mean cost [TSC ticks] is that of the last 256 exits of\n"
		"  each vCPU which went back into the guest, from exit to entry.\n",
	.maximum_arguments = 1,
	.completion = SHELL_COMPLETE_VM,
	.run = run_exits,
};
SHELL_COMMAND(shell_exits_command);

const struct shell_command shell_trace_command = {
	.name = "trace",
	.arguments = "NAME [V] [N]",
	.summary = "show the last N exits (16, at most 256) of vCPU V (0)",
	.help = "  When each was, why, what it was about, where, and the TSC ticks until the guest was entered again (-: it was not).\n",
	.minimum_arguments = 1,
	.maximum_arguments = 3,
	.completion = SHELL_COMPLETE_VM,
	.run = run_trace,
};
SHELL_COMMAND(shell_trace_command);
