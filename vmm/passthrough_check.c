#include "arch/x86/log.h"
#include "drivers/iommu/iommu.h"
#include "drivers/pci/pci_groups.h"
#include "drivers/pci/pci_owner.h"
#include "drivers/pci/pci_reset.h"
#include "drivers/pci/pci_sriov.h"
#include "lib/fmt.h"
#include "vmm/passthrough.h"

/* Why a function cannot be given to a VM: a table of questions, asked in order. */

#define REASON_SIZE 160u
#define HEADER_ENDPOINT 0u

struct candidate {
	const struct vm_config *vm;
	const struct config_pci *wish;
	const struct pci_function *function;
	char reason[REASON_SIZE]; /* out: for people */
};

static bool is_wanted(const struct vm_config *vm, const struct pci_function *function)
{
	const struct pci_address *address = &function->address;

	for (uint32_t i = 0; i < vm->pci_count; i++) {
		const struct config_pci *pci = &vm->pci[i];

		if (pci->segment == address->segment && pci->bus == address->bus && pci->device == address->device &&
		    pci->function == address->function)
			return true;
	}
	return false;
}

static bool is_kept_back(struct candidate *candidate)
{
	if (candidate->function->owner != PCI_OWNER_HYPERVISOR)
		return false;
	fmt_print(candidate->reason, REASON_SIZE, "the machine or the console needs it");
	return true;
}

static bool is_in_use(struct candidate *candidate)
{
	if (candidate->function->owner != PCI_OWNER_VM)
		return false;
	fmt_print(candidate->reason, REASON_SIZE, "it belongs to vm %s", candidate->function->owner_name);
	return true;
}

static bool is_dead(struct candidate *candidate)
{
	if (!candidate->function->dead)
		return false;
	fmt_print(candidate->reason, REASON_SIZE, "it did not come back from its last reset");
	return true;
}

static bool is_no_endpoint(struct candidate *candidate)
{
	if (candidate->function->header_type == HEADER_ENDPOINT)
		return false;
	fmt_print(candidate->reason, REASON_SIZE, "it is a bridge");
	return true;
}

/* It would be reset with them, and reach what they do: see below. */
static bool has_virtual_functions_in_use(struct candidate *candidate)
{
	const struct pci_function *virtual = pci_vf_in_use(candidate->function);

	if (virtual == NULL)
		return false;
	fmt_print(candidate->reason, REASON_SIZE, "its virtual function " PCI_ADDRESS_FORMAT " belongs to vm %s",
		  PCI_ADDRESS_ARGUMENTS(virtual->address), virtual->owner_name);
	return true;
}

/* Each would undo the other's reset. */
static bool is_wanted_twice(struct candidate *candidate)
{
	if (candidate->function->physical == NULL || !is_wanted(candidate->vm, candidate->function->physical))
		return false;
	fmt_print(candidate->reason, REASON_SIZE, "this VM is to have its physical function as well");
	return true;
}

/* The registers of a physical function reach the queues of its virtual ones, and so the memory that those may reach. */
static bool is_ruled_by_another(struct candidate *candidate)
{
	const struct pci_function *physical = candidate->function->physical;

	if (candidate->wish->permissive || physical == NULL || physical->owner != PCI_OWNER_VM)
		return false;
	fmt_print(candidate->reason, REASON_SIZE,
		  "vm %s has its physical function and could reach this VM by it; ',permissive' behind its address accepts that",
		  physical->owner_name);
	return true;
}

static bool is_not_translated(struct candidate *candidate)
{
	const char *why = "";

	if (iommu_is_available(&why) && iommu_covers(candidate->function, &why))
		return false;
	fmt_print(candidate->reason, REASON_SIZE, "nothing would confine its DMA: %s", why);
	return true;
}

static bool interrupts_are_not_remapped(struct candidate *candidate)
{
	const char *why = "";

	if (iommu_isolates_interrupts(&why))
		return false;
	fmt_print(candidate->reason, REASON_SIZE, "nothing would confine its interrupts: %s", why);
	return true;
}

/* Bridges carry what members send and send nothing by themselves. */
static void look_at_member(const struct pci_function *member, void *context)
{
	struct candidate *candidate = context;

	if (pci_is_bridge(member) || is_wanted(candidate->vm, member))
		return;
	fmt_print(candidate->reason, REASON_SIZE, "it cannot be isolated from " PCI_ADDRESS_FORMAT " (%s), which this VM does not have",
		  PCI_ADDRESS_ARGUMENTS(member->address), pci_class_name(member->class_code, member->subclass));
}

static bool shares_its_group(struct candidate *candidate)
{
	candidate->reason[0] = '\0';
	pci_group_members(candidate->function, look_at_member, candidate);
	return candidate->reason[0] != '\0';
}

static bool is_used_by_firmware(struct candidate *candidate)
{
	uint64_t length;
	hpa_t base;

	if (candidate->wish->permissive || !iommu_reserved_memory(candidate->function, 0, &base, &length))
		return false;
	fmt_print(candidate->reason, REASON_SIZE, "firmware uses memory at 0x%llx by it (RMRR); ',permissive' behind its address accepts that",
		  (unsigned long long)base.value);
	return true;
}

static bool cannot_be_reset(struct candidate *candidate)
{
	if (candidate->wish->permissive || pci_reset_way(candidate->function) != PCI_RESET_NONE)
		return false;
	fmt_print(candidate->reason, REASON_SIZE, "there is no way to reset it; ',permissive' behind its address accepts that");
	return true;
}

static bool has_no_address(struct candidate *candidate)
{
	for (unsigned i = 0; i < PCI_MAX_BARS; i++) {
		const struct pci_bar *bar = &candidate->function->bars[i];

		if (bar->kind == PCI_BAR_NONE || bar->address != 0 || bar->size == 0)
			continue;
		fmt_print(candidate->reason, REASON_SIZE, "firmware gave its base address register %u no address", i);
		return true;
	}
	return false;
}

static bool (*const refusals[])(struct candidate *candidate) = {
	is_kept_back, is_in_use, is_dead, is_no_endpoint, has_virtual_functions_in_use, is_not_translated, interrupts_are_not_remapped,
	is_wanted_twice, is_ruled_by_another, shares_its_group, is_used_by_firmware, cannot_be_reset, has_no_address,
};

static bool is_refused(struct candidate *candidate)
{
	const struct config_pci *wish = candidate->wish;

	candidate->function = pci_find((struct pci_address){wish->segment, wish->bus, wish->device, wish->function});
	if (candidate->function == NULL) {
		fmt_print(candidate->reason, REASON_SIZE, "this machine has no such function");
		return true;
	}
	for (unsigned i = 0; i < array_count(refusals); i++)
		if (refusals[i](candidate))
			return true;
	return false;
}

enum status passthrough_check(const struct vm_config *config)
{
	enum status status = STATUS_OK;

	for (uint32_t i = 0; i < config->pci_count; i++) {
		struct candidate candidate = {.vm = config, .wish = &config->pci[i]};

		if (!is_refused(&candidate))
			continue;
		log_error("vm %s: pci " PCI_ADDRESS_FORMAT ": refused: %s", config->name, PCI_ADDRESS_ARGUMENTS(config->pci[i]),
			  candidate.reason);
		status = STATUS_DENIED;
	}
	return status;
}
