#include <stdarg.h>

#include "lib/fmt.h"
#include "vmm/exit/exit_handlers.h"
#include "vmm/vm.h"

enum exit_action exit_crash(struct vcpu *vcpu, const char *format, ...)
{
	char why[VM_STOP_TEXT_SIZE];
	va_list arguments;

	va_start(arguments, format);
	fmt_vprint(why, sizeof(why), format, arguments);
	va_end(arguments);
	if (vm_crash(vcpu->vm, "%s", why))
		vcpu->vm->crashed_vcpu = vcpu;
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
