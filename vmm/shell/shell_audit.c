/* audit, debug */
#include "arch/x86/irq/ipi.h"
#include "arch/x86/pcpu.h"
#include "lib/string.h"
#include "vmm/audit.h"
#include "vmm/sched/scheduler.h"
#include "vmm/shell/arguments.h"
#include "vmm/shell/shell.h"
#include "vmm/vm.h"
#include "vmm/watchdog.h"

static void run_audit(unsigned count, const char *const *arguments)
{
	(void)count, (void)arguments;
	audit_run(shell_print);
}

static void do_nothing(struct vcpu *vcpu, void *argument)
{
	(void)vcpu, (void)argument;
}

/* A CPU comes by its scheduler's loop when something is asked of one of its vCPUs, and from its sleep. */
static void disturb(struct pcpu *pcpu)
{
	if (pcpu != pcpu_current())
		ipi_kick(pcpu);
	for (uint32_t i = 0; i < vm_list_count; i++)
		for (uint32_t v = 0; v < vm_list[i]->vcpu_count; v++)
			if (vm_list[i]->vcpus[v]->pcpu_index == pcpu->index &&
			    scheduler_call(vm_list[i]->vcpus[v], do_nothing, NULL) == STATUS_OK)
				return;
}

static void run_debug(unsigned count, const char *const *arguments)
{
	bool panics = strcmp(arguments[1], "panic") == 0;
	uint64_t index = 0;

	if (!panics && strcmp(arguments[1], "hang") != 0) {
		shell_print("debug %s: expected hang or panic\n", arguments[1]);
		return;
	}
	if (count > 2 && !arguments_number(arguments[2], "CPU", 0, pcpu_count() - 1, &index))
		return;
	if (!pcpu_get((uint32_t)index)->online) {
		shell_print("CPU %u is offline\n", (unsigned)index);
		return;
	}
	watchdog_provoke(pcpu_get((uint32_t)index), panics ? WATCHDOG_PROVOKE_PANIC : WATCHDOG_PROVOKE_HANG);
	disturb(pcpu_get((uint32_t)index));
}

const struct shell_command shell_audit_command = {
	.name = "audit",
	.arguments = "",
	.summary = "prove that no page, port, register or interrupt has two owners",
	.help = "  VMs go on meanwhile. The last line is `audit: clean` or `audit: N faults`.\n",
	.run = run_audit,
};
SHELL_COMMAND(shell_audit_command);

const struct shell_command shell_debug_command = {
	.name = "debug",
	.arguments = "hang|panic [CPU]",
	.summary = "have a CPU (0) hang or panic, to see what the machine does",
	.help = "  hang: the CPU stops in the hypervisor; the watchdog of the other CPUs must find it.\n"
		"  panic: as a fault of the hypervisor would. Both end all VMs.\n",
	.minimum_arguments = 1,
	.maximum_arguments = 2,
	.run = run_debug,
};
SHELL_COMMAND(shell_debug_command);
