#include <stdarg.h>

#include "arch/x86/cr.h"
#include "lib/fmt.h"
#include "vmm/exit/exit_handlers.h"
#include "vmm/vm.h"

#define CRASH_EXITS 16u

/* A dump is some 60 lines and only one per VM's life, so it needs no rate limit. */
static void print_to_log(const char *format, ...)
{
	static char line[256];
	static size_t used;
	va_list arguments;

	va_start(arguments, format);
	used += fmt_vprint(line + used, sizeof(line) - used, format, arguments);
	va_end(arguments);
	if (used >= sizeof(line))
		used = sizeof(line) - 1;
	if (used == 0 || (line[used - 1] != '\n' && used < sizeof(line) - 1))
		return;
	if (line[used - 1] == '\n')
		line[used - 1] = '\0';
	log_error("%s", line);
	used = 0;
}

static void dump_instruction(struct vcpu *vcpu)
{
	uint64_t rip = virt_ops->register_read(&vcpu->virt, VIRT_RIP);
	struct virt_segment cs;

	virt_ops->segment_read(&vcpu->virt, VIRT_CS, &cs);
	if (!(virt_ops->register_read(&vcpu->virt, VIRT_CR0) & CR0_PG)) {
		uint8_t bytes[16] = {0};
		gpa_t address = gpa(cs.base + rip);
		if (guest_memory_read(&vcpu->vm->memory, address, bytes, sizeof(bytes)) == STATUS_OK)
			print_to_log("  bytes at CS:RIP: %02x %02x %02x %02x %02x %02x %02x %02x %02x %02x %02x %02x\n", bytes[0], bytes[1], bytes[2],
				     bytes[3], bytes[4], bytes[5], bytes[6], bytes[7], bytes[8], bytes[9], bytes[10], bytes[11]);
	}
}

enum exit_action exit_crash(struct vcpu *vcpu, const char *format, ...)
{
	static struct spinlock dump_lock = SPINLOCK_INITIALIZER; /* keeps two dumps apart, and protects print_to_log()'s line */
	struct vm *vm = vcpu->vm;
	char why[VM_STOP_TEXT_SIZE];
	va_list arguments;

	va_start(arguments, format);
	fmt_vprint(why, sizeof(why), format, arguments);
	va_end(arguments);
	spinlock_lock(&dump_lock);
	log_error("vm %s vcpu %u: %s", vm->config->name, vcpu->index, why);
	virt_ops->dump(&vcpu->virt, print_to_log);
	dump_instruction(vcpu);
	print_to_log("  last exits (time, reason, subject, rip, cost in TSC ticks):\n");
	exit_recorder_print(vcpu, CRASH_EXITS, print_to_log);
	spinlock_unlock(&dump_lock);
	vm_crash(vm, "%s", why);
	return EXIT_STOP;
}

enum exit_action exit_triple_fault(struct vcpu *vcpu, const struct vm_exit *exit)
{
	return exit_crash(vcpu, "triple fault at rip 0x%llx", (unsigned long long)exit->rip);
}

enum exit_action exit_task_switch(struct vcpu *vcpu, const struct vm_exit *exit)
{
	return exit_crash(vcpu, "hardware task switch at rip 0x%llx is not supported", (unsigned long long)exit->rip);
}

enum exit_action exit_entry_failed(struct vcpu *vcpu, const struct vm_exit *exit)
{
	const char *name = virt_ops->reason_name(exit->reason);

	return exit_crash(vcpu, "%s (code %llu)", name ? name : "VM entry failed", (unsigned long long)exit->qualification);
}

enum exit_action exit_unexpected(struct vcpu *vcpu, const struct vm_exit *exit)
{
	const char *name = virt_ops->reason_name(exit->reason);

	return exit_crash(vcpu, "unexpected exit %u (%s) at rip 0x%llx", exit->reason, name ? name : "unknown", (unsigned long long)exit->rip);
}
