#include "arch/x86/irq/interrupt.h"
#include "arch/x86/mm/page_table_walk.h"
#include "drivers/iommu/iommu.h"
#include "lib/string.h"
#include "vmm/audit_internal.h"
#include "vmm/vcpu_posting.h"
#include "vmm/vm.h"

struct device_check {
	struct audit *audit;
	unsigned functions, contexts, interrupts;
};

static const struct vm *owner_of(const struct pci_function *function)
{
	for (uint32_t i = 0; i < vm_list_count; i++)
		for (uint32_t f = 0; f < vm_list[i]->passthrough.count; f++)
			if (vm_list[i]->passthrough.functions[f].function == function)
				return vm_list[i];
	return NULL;
}

/* The three records of who has a function say the same: its owner, the VM's list, and the domain that it is in. */
static void check_function(struct device_check *check, const struct pci_function *function)
{
	const struct vm *vm = owner_of(function);
	const struct iommu_domain *domain = iommu_domain_of(function);
	bool is_owner = vm != NULL && function->owner == PCI_OWNER_VM && strcmp(function->owner_name, vm->config->name) == 0;

	if ((vm != NULL || function->owner == PCI_OWNER_VM) && !is_owner)
		audit_fault(check->audit, "pci " PCI_ADDRESS_FORMAT " is %s's, but %s has it", PCI_ADDRESS_ARGUMENTS(function->address),
			    function->owner == PCI_OWNER_VM ? function->owner_name : "no VM", vm != NULL ? vm->config->name : "no VM");
	if (domain != NULL && (vm == NULL || domain != vm->passthrough.domain))
		audit_fault(check->audit, "pci " PCI_ADDRESS_FORMAT " reaches the memory of %s", PCI_ADDRESS_ARGUMENTS(function->address),
			    iommu_domain_name(domain));
	check->functions += vm != NULL;
}

/* Whatever @from maps, @to maps to the same place. */
static void compare_tables(struct device_check *check, const struct vm *vm, const struct page_table *from, const struct page_table *to,
			   const char *who)
{
	struct page_table_leaf leaf, other;
	uint64_t step;

	for (uint64_t input = 0; page_table_next(from, &input, &leaf); input += step) {
		enum status status = page_table_lookup(to, input, &other);

		step = leaf.page_size - input % leaf.page_size;
		if (status == STATUS_OK)
			step = min_u64(step, other.page_size - input % other.page_size);
		/* The page in which hardware keeps local APICs is for vCPUs only. */
		if (input == VIRT_APIC_BASE || (status == STATUS_OK && other.output.value == leaf.output.value))
			continue;
		audit_fault(check->audit, "%s: %s alone reach 0x%llx", vm->config->name, who, (unsigned long long)input);
		return;
	}
}

static void check_domain(struct device_check *check, struct vm *vm)
{
	const struct page_table *domain;

	if (vm->passthrough.domain == NULL)
		return;
	spinlock_lock(&vm->device_lock);
	domain = iommu_domain_table(vm->passthrough.domain);
	compare_tables(check, vm, domain, &vm->memory.nested, "its devices");
	compare_tables(check, vm, &vm->memory.nested, domain, "its vCPUs");
	spinlock_unlock(&vm->device_lock);
}

/* A source is led to the tables of a domain, and that has a function which shows it. */
static void check_context(void *context, uint16_t segment, uint16_t requester, hpa_t table, const struct iommu_domain *domain)
{
	struct device_check *check = context;

	check->contexts++;
	if (domain == NULL || iommu_domain_table(domain)->root.value != table.value)
		audit_fault(check->audit, "source 0x%x of segment %u reaches memory by tables of no domain, at 0x%llx", requester, segment,
			    (unsigned long long)table.value);
	else if (!iommu_domain_has_source(domain, segment, requester))
		audit_fault(check->audit, "source 0x%x of segment %u reaches the memory of %s, which has no such function", requester,
			    segment, iommu_domain_name(domain));
}

/* Of all VMs: the entry's verified source tells which function it is, but not through which bridges that was found. */
static bool is_descriptor(hpa_t descriptor)
{
	for (uint32_t i = 0; i < vm_list_count; i++)
		if (vcpu_posting_holds(vm_list[i], descriptor))
			return true;
	return false;
}

static void check_interrupt(void *context, uint16_t unit, uint16_t index, uint16_t requester, uint8_t vector, uint32_t apic_id,
			    hpa_t descriptor)
{
	struct device_check *check = context;
	bool posted = descriptor.value != 0;

	(void)apic_id;
	check->interrupts++;
	if (!posted && interrupt_name(vector) == NULL)
		audit_fault(check->audit, "interrupt entry %u of IOMMU %u lets 0x%x raise vector 0x%x, which is nobody's", index, unit,
			    requester, vector);
	if (posted && !is_descriptor(descriptor))
		audit_fault(check->audit, "interrupt entry %u of IOMMU %u lets 0x%x write to 0x%llx, which is no vCPU's", index, unit,
			    requester, (unsigned long long)descriptor.value);
}

void audit_devices(struct audit *audit)
{
	static const struct iommu_visitor visitor = {.context_entry = check_context, .interrupt_entry = check_interrupt};
	struct device_check check = {.audit = audit};

	for (uint32_t i = 0; i < pci_count(); i++)
		check_function(&check, pci_get(i));
	for (uint32_t i = 0; i < vm_list_count; i++)
		check_domain(&check, vm_list[i]);
	iommu_audit(&visitor, &check);
	audit->print("%-12s %u PCI functions of VMs; %u ways to memory, %u to interrupts\n", "devices", check.functions, check.contexts,
		     check.interrupts);
}
