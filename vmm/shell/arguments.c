#include "vmm/shell/arguments.h"

#include "vmm/shell/parser.h"
#include "vmm/shell/shell.h"
#include "vmm/vm.h"

struct vm *arguments_vm(const char *name)
{
	struct vm *vm = vm_find(name);

	if (vm == NULL)
		shell_print("%s: no such VM; `list` shows them\n", name);
	return vm;
}

bool arguments_number(const char *word, const char *what, uint64_t minimum, uint64_t maximum, uint64_t *number)
{
	if (parser_read_number(word, number) == STATUS_OK && *number >= minimum && *number <= maximum)
		return true;
	shell_print("%s: %s is a number from %llu to 0x%llx\n", word, what, (unsigned long long)minimum,
		    (unsigned long long)maximum);
	return false;
}

struct vcpu *arguments_vcpu(unsigned count, const char *const *words)
{
	struct vm *vm = arguments_vm(words[1]);
	uint64_t index = 0;

	if (vm == NULL)
		return NULL;
	if (vm->vcpu_count == 0) {
		shell_print("%s: has no vCPUs\n", words[1]);
		return NULL;
	}
	if (count > 2 && !arguments_number(words[2], "V", 0, vm->vcpu_count - 1, &index))
		return NULL;
	return vm->vcpus[index];
}
