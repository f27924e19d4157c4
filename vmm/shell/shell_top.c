/* top: who uses the CPUs. */
#include "arch/x86/clock.h"
#include "arch/x86/pcpu.h"
#include "lib/fmt.h"
#include "vmm/sched/scheduler.h"
#include "vmm/shell/figures.h"
#include "vmm/shell/shell.h"
#include "vmm/shell/vcpu_figures.h"
#include "vmm/vm.h"

/* What the last `top` found. */
struct vm_sample {
	uint32_t id; /* of the VM; 0: none */
	uint64_t run[VM_MAX_VCPUS], exits[VM_MAX_VCPUS];
};

static struct vm_sample vm_samples[CONFIG_MAX_VMS];
static struct scheduler_times cpu_samples[PCPU_MAX];
static uint64_t sampled_at; /* host TSC; 0: never */

static const struct vm_sample *find_sample(const struct vm *vm)
{
	static const struct vm_sample none;

	for (uint32_t i = 0; i < CONFIG_MAX_VMS; i++) {
		if (vm_samples[i].id == vm->id)
			return &vm_samples[i];
	}
	return &none;
}

static void take_sample(const struct vm *vm, struct vm_sample *sample)
{
	*sample = (struct vm_sample){.id = vm->id};
	for (uint32_t i = 0; i < vm->vcpu_count; i++) {
		sample->run[i] = vcpu_run_ticks(vm->vcpus[i]);
		sample->exits[i] = vcpu_exit_count(vm->vcpus[i]);
	}
}

/* A run that ends between two readings may make the later one a little smaller. */
static uint64_t grown(uint64_t now, uint64_t before)
{
	return now > before ? now - before : 0;
}

static void show_cpu(uint32_t index)
{
	const struct scheduler_times *before = &cpu_samples[index];
	struct scheduler_times times;

	scheduler_get_times(index, &times);
	uint64_t total = grown(times.total, before->total);
	uint64_t guest = figures_permille(grown(times.guest, before->guest), total);
	uint64_t idle = figures_permille(grown(times.idle, before->idle), total);
	shell_print("CPU %-3u guests %5llu.%llu%%, idle %5llu.%llu%%, Trivet %5llu.%llu%%, %llu switches/s\n", index, FIGURES_TENTHS(guest),
		    FIGURES_TENTHS(idle), FIGURES_TENTHS(grown(1000, guest + idle)),
		    (unsigned long long)figures_per_second(grown(times.switches, before->switches), total));
	cpu_samples[index] = times;
}

static void print_row(const char *name, const char *vcpu, const char *cpu, uint64_t run, uint64_t exits, uint64_t period)
{
	shell_print("%-20s %2s %3s %6llu.%llu %12llu\n", name, vcpu, cpu, FIGURES_TENTHS(figures_permille(run, period)),
		    (unsigned long long)figures_per_second(exits, period));
}

static void show_vm(const struct vm *vm, uint64_t now)
{
	const struct vm_sample *before = find_sample(vm);
	uint64_t period = grown(now, before->id ? sampled_at : vm->started_tsc), run = 0, exits = 0;
	struct vm_sample sample;

	take_sample(vm, &sample);
	for (uint32_t i = 0; i < vm->vcpu_count; i++) {
		run += grown(sample.run[i], before->run[i]);
		exits += grown(sample.exits[i], before->exits[i]);
	}
	print_row(vm->config->name, "", "", run, exits, period);
	for (uint32_t i = 0; i < vm->vcpu_count; i++) {
		char vcpu[8], cpu[8];

		fmt_print(vcpu, sizeof(vcpu), "%u", i);
		fmt_print(cpu, sizeof(cpu), "%u", vm->vcpus[i]->pcpu_index);
		print_row("", vcpu, cpu, grown(sample.run[i], before->run[i]), grown(sample.exits[i], before->exits[i]), period);
	}
}

static void remember_vms(uint64_t now)
{
	for (uint32_t i = 0; i < CONFIG_MAX_VMS; i++) {
		if (i < vm_list_count)
			take_sample(vm_list[i], &vm_samples[i]);
		else
			vm_samples[i].id = 0;
	}
	sampled_at = now;
}

static void run_top(unsigned count, const char *const *arguments)
{
	uint64_t now = clock_now();

	(void)count, (void)arguments;
	if (sampled_at != 0)
		shell_print("in the last %llu.%llu s:\n", FIGURES_TENTHS(figures_tenths(now - sampled_at)));
	else
		shell_print("since the start of each:\n");
	for (uint32_t i = 0; i < pcpu_count(); i++) {
		if (pcpu_get(i)->online)
			show_cpu(i);
	}
	shell_print("%-20s %2s %3s %8s %12s\n", "Name", "V", "CPU", "CPU(%)", "Exits/s");
	for (uint32_t i = 0; i < vm_list_count; i++)
		show_vm(vm_list[i], now);
	remember_vms(now);
}

const struct shell_command shell_top_command = {
	.name = "top",
	.arguments = "",
	.summary = "show who uses the CPUs",
	.help = "  Shares are of the time since the last `top`, the first time since CPU and VM started: call it twice.\n"
		"  100% is one CPU, so a VM with several vCPUs may have more.\n",
	.run = run_top,
};
SHELL_COMMAND(shell_top_command);
