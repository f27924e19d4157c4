/* sched: which policy each VM has, with what settings, and what it got by it. */
#include <stdarg.h>

#include "arch/x86/clock.h"
#include "lib/fmt.h"
#include "lib/string.h"
#include "vmm/config_values.h"
#include "vmm/sched/policy.h"
#include "vmm/sched/scheduler.h"
#include "vmm/shell/arguments.h"
#include "vmm/shell/figures.h"
#include "vmm/shell/shell.h"
#include "vmm/shell/vcpu_figures.h"
#include "vmm/vm.h"

#define SETTINGS_SIZE 256u

struct text { char *start; size_t size, length; };

static void add(struct text *text, const char *format, ...) printf_like(2, 3);

static void add(struct text *text, const char *format, ...)
{
	va_list arguments;

	if (text->length >= text->size)
		return;
	va_start(arguments, format);
	text->length += fmt_vprint(text->start + text->length, text->size - text->length, format, arguments);
	va_end(arguments);
}

static void add_duration(struct text *text, const char *name, uint32_t microseconds)
{
	if (microseconds % 1000 == 0)
		add(text, "%s%ums", name, microseconds / 1000);
	else
		add(text, "%s%uus", name, microseconds);
}

/* As the configuration writes them. */
static void add_settings(struct text *text, const struct config_sched *settings)
{
	switch (settings->policy) {
	case CONFIG_SCHED_CREDIT:
		add(text, "weight=%u", settings->weight);
		if (settings->cap)
			add(text, " cap=%u", settings->cap);
		break;
	case CONFIG_SCHED_RT:
		add_duration(text, "budget=", settings->budget);
		add_duration(text, " period=", settings->period);
		break;
	case CONFIG_SCHED_CYCLIC:
		add_duration(text, "frame=", settings->frame);
		for (uint32_t i = 0; i < settings->window_count; i++) {
			add_duration(text, " window=", settings->windows[i].start);
			add_duration(text, "+", settings->windows[i].length);
		}
		break;
	default:
		break;
	}
}

/* What else a policy promises of a vCPU, and whether it was kept. */
static void print_promise(const struct vcpu *vcpu)
{
	if (vcpu->sched.policy == &sched_policy_rt)
		shell_print(", %llu us of budget left, %llu periods missed",
			    (unsigned long long)(clock_nanoseconds_from_ticks(vcpu->sched.rt.budget_left) / 1000),
			    (unsigned long long)vcpu->sched.rt.missed);
	if (vcpu->sched.policy == &sched_policy_cyclic)
		shell_print(", windows begin at most %llu us late",
			    (unsigned long long)((clock_nanoseconds_from_ticks(vcpu->sched.cyclic.late_max) + 999) / 1000));
}

static void print_vcpu(const struct vcpu *vcpu)
{
	shell_print("  vCPU %u on CPU %u: ran %llu.%llu s, waited %llu.%llu s", vcpu->index, vcpu->pcpu_index,
		    FIGURES_TENTHS(figures_tenths(vcpu_run_ticks(vcpu))), FIGURES_TENTHS(figures_tenths(vcpu_wait_ticks(vcpu))));
	print_promise(vcpu);
	shell_print("\n");
}

static void print_heading(void)
{
	shell_print("%-20s %-7s %9s %9s %7s  %s\n", "Name", "Policy", "Ran(s)", "Waited(s)", "Got(%)", "Settings");
}

static void print_vm(const struct vm *vm)
{
	char settings[SETTINGS_SIZE] = "";
	struct text text = {settings, sizeof(settings), 0};
	uint64_t ran = 0, waited = 0;

	for (uint32_t i = 0; i < vm->vcpu_count; i++) {
		ran += vcpu_run_ticks(vm->vcpus[i]);
		waited += vcpu_wait_ticks(vm->vcpus[i]);
	}
	add_settings(&text, &vm->sched_settings);
	shell_print("%-20s %-7s %7llu.%llu %7llu.%llu %5llu.%llu  %s\n", vm->config->name,
		    sched_policy_of(vm->sched_settings.policy)->name, FIGURES_TENTHS(figures_tenths(ran)),
		    FIGURES_TENTHS(figures_tenths(waited)), FIGURES_TENTHS(figures_permille(ran, ran + waited)), settings);
}

static void show_vm(const struct vm *vm)
{
	print_heading();
	print_vm(vm);
	for (uint32_t i = 0; i < vm->vcpu_count; i++)
		print_vcpu(vm->vcpus[i]);
}

static void show_all(void)
{
	print_heading();
	for (uint32_t i = 0; i < vm_list_count; i++)
		print_vm(vm_list[i]);
}

/* The same text and the same rules as behind `sched =` in the configuration. */
static bool read_settings(const struct vm *vm, unsigned count, const char *const *words, struct config_sched *settings)
{
	char line[SHELL_LINE_SIZE];
	struct text text = {line, sizeof(line), 0};
	struct config_value value = {.text = {line, 0}};

	for (unsigned i = 0; i < count; i++)
		add(&text, "%s%s", i ? " " : "", words[i]);
	value.text.length = string_length_bounded(line, sizeof(line));
	if (!config_parse_sched_settings(&value, settings)) {
		shell_print("%s: %s; expected %s", value.fault_offset < value.text.length ? line + value.fault_offset : line,
			    value.problem ? value.problem : "bad value", value.expected);
		shell_print(value.suggestion ? "; did you mean '%s'?\n" : "\n", value.suggestion);
		return false;
	}
	if (settings->cap > 100 * vm->vcpu_count) {
		shell_print("cap=%u: %s has %u vCPUs, which can use %u%% of one CPU at most\n", settings->cap, vm->config->name, vm->vcpu_count,
			    100 * vm->vcpu_count);
		return false;
	}
	return true;
}

static bool all_admitted(const struct vm *vm)
{
	for (uint32_t i = 0; i < vm->vcpu_count; i++) {
		if (!vcpu_is_admitted(vm->vcpus[i]))
			return false;
	}
	return true;
}

static void run_sched(unsigned count, const char *const *arguments)
{
	struct config_sched settings;
	char why[SCHED_REFUSAL_SIZE] = "";

	if (count == 1) {
		show_all();
		return;
	}
	struct vm *vm = arguments_vm(arguments[1]);
	if (vm == NULL)
		return;
	if (count > 2) {
		if (!all_admitted(vm) || !read_settings(vm, count - 2, arguments + 2, &settings))
			return;
		enum status status = scheduler_set_policy(vm, &settings, why);
		if (status != STATUS_OK) {
			shell_print("%s: refused: %s\n", vm->config->name, why[0] != '\0' ? why : status_name(status));
			return;
		}
	}
	show_vm(vm);
}

const struct shell_command shell_sched_command = {
	.name = "sched",
	.arguments = "[NAME [POLICY SETTING=VALUE ...]]",
	.summary = "show or change how VMs are scheduled",
	.help = "  POLICY and SETTINGs as behind `sched =` in trivet.conf:\n"
		"    credit weight=256 cap=50           a share by weight, at most 50% of one CPU\n"
		"    rt budget=2ms period=10ms          2 ms of every 10 ms for each vCPU\n"
		"    cyclic frame=20ms window=0ms+5ms   a timetable; several windows are allowed\n"
		"    pinned                             a CPU for each vCPU alone\n"
		"  Got: the time that it ran, of the time that it wanted to.\n",
	.maximum_arguments = SHELL_MAX_ARGUMENTS - 1,
	.completion = SHELL_COMPLETE_VM,
	.run = run_sched,
};
SHELL_COMMAND(shell_sched_command);
