/* regs, vmcs: what only the vCPU's own CPU can read. */
#include "lib/bits.h"
#include "vmm/sched/scheduler.h"
#include "vmm/shell/arguments.h"
#include "vmm/shell/capture.h"
#include "vmm/shell/shell.h"
#include "vmm/vm.h"

struct named_register { const char *name; enum virt_register number; };

static uint64_t read_register(struct vcpu *vcpu, enum virt_register number)
{
	return virt_ops->register_read(&vcpu->virt, number);
}

static void capture_general(struct vcpu *vcpu)
{
	static const char *const names[GPR_COUNT] = {
		"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
	};

	for (unsigned i = 0; i < GPR_COUNT; i++)
		capture_print("%-6s %016llx%s", names[i], (unsigned long long)vcpu_gpr_read(vcpu, i), i % 4 == 3 ? "\n" : "  ");
}

static void capture_state(struct vcpu *vcpu)
{
	static const struct named_register registers[] = {
		{"rip", VIRT_RIP}, {"rflags", VIRT_RFLAGS}, {"cr0", VIRT_CR0}, {"cr3", VIRT_CR3}, {"cr4", VIRT_CR4},
		{"efer", VIRT_EFER}, {"dr7", VIRT_DR7}, {"pat", VIRT_PAT}, {"gdtr", VIRT_GDTR_BASE}, {"limit", VIRT_GDTR_LIMIT},
		{"idtr", VIRT_IDTR_BASE}, {"limit", VIRT_IDTR_LIMIT},
	};

	for (unsigned i = 0; i < array_count(registers); i++)
		capture_print("%-6s %016llx%s", registers[i].name, (unsigned long long)read_register(vcpu, registers[i].number),
			      i % 4 == 3 ? "\n" : "  ");
	capture_print("%-6s %016llx  %-6s %016llx\n", "cr2", (unsigned long long)virt_ops->register_read(&vcpu->virt, VIRT_CR2), "xcr0",
		      (unsigned long long)vcpu->virt.xcr0);
}

static void capture_segments(struct vcpu *vcpu)
{
	static const char *const names[VIRT_SEGMENT_COUNT] = {"es", "cs", "ss", "ds", "fs", "gs", "ldtr", "tr"};

	for (unsigned i = 0; i < VIRT_SEGMENT_COUNT; i++) {
		struct virt_segment segment;

		virt_ops->segment_read(&vcpu->virt, (enum virt_segment_name)i, &segment);
		capture_print("%-6s %04x base %016llx limit %08x attributes %05x%s\n", names[i], segment.selector,
			      (unsigned long long)segment.base, segment.limit, segment.attributes,
			      segment.attributes & VIRT_SEGMENT_UNUSABLE ? " unusable" : "");
	}
}

static void capture_registers(struct vcpu *vcpu, void *argument)
{
	(void)argument;
	capture_print("%s, vCPU %u\n", vcpu->vm->config->name, vcpu->index);
	capture_general(vcpu);
	capture_state(vcpu);
	capture_segments(vcpu);
}

static void capture_dump(struct vcpu *vcpu, void *argument)
{
	(void)argument;
	virt_ops->dump(&vcpu->virt, capture_print);
}

static void show_on_its_cpu(struct vcpu *vcpu, void (*function)(struct vcpu *, void *))
{
	enum status status;

	if (vcpu == NULL || virt_ops == NULL)
		return;
	capture_start();
	status = scheduler_call(vcpu, function, NULL);
	if (status == STATUS_OK)
		capture_show();
	else
		shell_print("CPU %u did not answer: %s\n", vcpu->pcpu_index, status_name(status));
}

static void run_regs(unsigned count, const char *const *arguments)
{
	show_on_its_cpu(arguments_vcpu(count, arguments), capture_registers);
}

static void run_vmcs(unsigned count, const char *const *arguments)
{
	show_on_its_cpu(arguments_vcpu(count, arguments), capture_dump);
}

const struct shell_command shell_regs_command = {
	.name = "regs",
	.arguments = "NAME [V]",
	.summary = "show the registers of vCPU V (0)",
	.help = "  The vCPU is halted between two exits for a moment.\n",
	.minimum_arguments = 1,
	.maximum_arguments = 2,
	.completion = SHELL_COMPLETE_VM,
	.run = run_regs,
};
SHELL_COMMAND(shell_regs_command);

const struct shell_command shell_vmcs_command = {
	.name = "vmcs",
	.arguments = "NAME [V]",
	.summary = "show the VMCS, or VMCB, of vCPU V (0) in words",
	.help = "  Controls, guest state, the last exit, and entry checks that fail.\n",
	.minimum_arguments = 1,
	.maximum_arguments = 2,
	.completion = SHELL_COMPLETE_VM,
	.run = run_vmcs,
};
SHELL_COMMAND(shell_vmcs_command);
