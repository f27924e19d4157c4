/* cpu, report, poweroff, reboot-host */
#include "arch/x86/cpu/features.h"
#include "arch/x86/pcpu.h"
#include "drivers/power/power.h"
#include "drivers/serial/uart16550.h"
#include "lib/fmt.h"
#include "vmm/report.h"
#include "vmm/shell/shell.h"
#include "vmm/vm.h"

#define VCPU_NAME_SIZE (CONFIG_NAME_SIZE + 12u)

/* The vCPU whose state @pcpu holds, as NAME/V. Found among the VMs, since the pointer may go away meanwhile. */
static void name_current_vcpu(const struct pcpu *pcpu, char text[VCPU_NAME_SIZE])
{
	const struct vcpu *current = __atomic_load_n(&pcpu->current_vcpu, __ATOMIC_RELAXED);

	fmt_print(text, VCPU_NAME_SIZE, "-");
	for (uint32_t i = 0; current != NULL && i < vm_list_count; i++) {
		for (uint32_t v = 0; v < vm_list[i]->vcpu_count; v++) {
			if (vm_list[i]->vcpus[v] == current)
				fmt_print(text, VCPU_NAME_SIZE, "%s/%u", vm_list[i]->config->name, v);
		}
	}
}

static void run_cpu(unsigned count, const char *const *arguments)
{
	const struct cpu_identity *identity = features_identity();

	(void)count, (void)arguments;
	shell_print("%s, family 0x%x, model 0x%x, stepping %u\n",
		    identity->brand[0] != '\0' ? identity->brand : identity->vendor_name, identity->family, identity->model,
		    identity->stepping);
	shell_print("%3s %8s %-8s %-14s %-24s %s\n", "CPU", "APIC id", "State", "Virtualization", "vCPU", "Activity");
	for (uint32_t i = 0; i < pcpu_count(); i++) {
		const struct pcpu *pcpu = pcpu_get(i);
		char vcpu[VCPU_NAME_SIZE];

		name_current_vcpu(pcpu, vcpu);
		shell_print("%3u %8u %-8s %-14s %-24s %s\n", pcpu->index, pcpu->apic_id, pcpu->online ? "online" : "offline",
			    pcpu->virtualization_on ? "on" : "off", vcpu, pcpu->activity != NULL ? pcpu->activity : "");
	}
}

static void run_report(unsigned count, const char *const *arguments)
{
	(void)count, (void)arguments;
	report_all(shell_print);
}

static void run_poweroff(unsigned count, const char *const *arguments)
{
	(void)count, (void)arguments;
	shell_print("turning the machine off\n");
	uart16550_flush();
	shell_print("the machine stays on: %s\n", status_name(power_off()));
}

static void run_reboot_host(unsigned count, const char *const *arguments)
{
	(void)count, (void)arguments;
	shell_print("restarting the machine\n");
	uart16550_flush();
	shell_print("the machine does not restart: %s\n", status_name(power_reboot()));
}

const struct shell_command shell_cpu_command = {
	.name = "cpu",
	.arguments = "",
	.summary = "show the machine's CPUs and what they do",
	.help = "",
	.run = run_cpu,
};
SHELL_COMMAND(shell_cpu_command);

const struct shell_command shell_report_command = {
	.name = "report",
	.arguments = "",
	.summary = "show what this machine offers, what is missing and what that costs",
	.help = "",
	.run = run_report,
};
SHELL_COMMAND(shell_report_command);

const struct shell_command shell_poweroff_command = {
	.name = "poweroff",
	.arguments = "",
	.summary = "turn the machine off, running VMs or not",
	.help = "",
	.run = run_poweroff,
};
SHELL_COMMAND(shell_poweroff_command);

const struct shell_command shell_reboot_host_command = {
	.name = "reboot-host",
	.arguments = "",
	.summary = "restart the machine, running VMs or not",
	.help = "",
	.run = run_reboot_host,
};
SHELL_COMMAND(shell_reboot_host_command);
