#include "vmm/machine_check_blame.h"

#include "arch/x86/cpu/machine_check.h"
#include "arch/x86/mm/page_table_walk.h"
#include "vmm/vm.h"

static bool owns(const struct vm *vm, uint64_t address)
{
	struct page_table_leaf leaf;

	if (vm->memory.nested.root.value == 0)
		return false;
	for (uint64_t input = 0; page_table_next(&vm->memory.nested, &input, &leaf); input += leaf.page_size)
		if (address - leaf.output.value < leaf.page_size)
			return true;
	return false;
}

static struct vm *find_owner(const struct machine_check *check)
{
	for (uint32_t i = 0; check->has_address && i < vm_list_count; i++)
		if (owns(vm_list[i], check->address.value))
			return vm_list[i];
	return NULL;
}

bool machine_check_blame(struct vm *running)
{
	struct machine_check check;
	struct vm *hit;

	machine_check_examine(&check);
	if (check.corrupt || (running == NULL && !check.restartable))
		return false;
	hit = check.found ? find_owner(&check) : NULL;
	if (hit == NULL)
		hit = running;
	/* Many processors tell all CPUs of a machine check; those that find none of their own only had to stop for a moment. */
	if (check.found && hit == NULL)
		return false;
	if (running != NULL && check.found)
		machine_check_report();
	if (check.found)
		vm_crash(hit, "machine check, bank %u: %s, status %llx, address %llx", check.bank,
			 machine_check_code_name((uint16_t)check.status), (unsigned long long)check.status,
			 (unsigned long long)check.address.value);
	machine_check_clear();
	return true;
}

static bool blame_in_hypervisor(void)
{
	return machine_check_blame(NULL);
}

void machine_check_blame_init(void)
{
	machine_check_set_handler(blame_in_hypervisor);
}
