#include "vmm/passthrough.h"

#include "arch/x86/log.h"
#include "arch/x86/mm/page_table_walk.h"
#include "drivers/iommu/iommu.h"
#include "drivers/pci/pci_owner.h"
#include "drivers/pci/pci_reset.h"
#include "drivers/pci/pci_sriov.h"
#include "lib/checked.h"
#include "vmm/vcpu_posting.h"
#include "vmm/vm.h"
#include "vmm/vm_flush.h"

static void log_function(const struct vm *vm, const struct pci_function *function, const char *what, enum status status)
{
	log_error("vm %s: pci " PCI_ADDRESS_FORMAT ": %s: %s", vm->config->name, PCI_ADDRESS_ARGUMENTS(function->address), what,
		  status_name(status));
}

/* ---- attaching ---- */

/* The RAM of the VM, which is all that its nested table holds in slots. */
static enum status map_slot(struct vm *vm, const struct guest_memory_slot *slot)
{
	struct page_table_leaf leaf;
	enum status status = STATUS_OK;

	for (uint64_t offset = 0; offset < slot->length && status == STATUS_OK; offset += leaf.page_size) {
		uint64_t input = slot->base.value + offset;

		status = page_table_lookup(&vm->memory.nested, input, &leaf);
		if (status == STATUS_OK)
			status = iommu_domain_map(vm->passthrough.domain, input, leaf.output, leaf.page_size, PAGE_READ | PAGE_WRITE);
	}
	return status;
}

static enum status create_domain(struct vm *vm)
{
	enum status status = iommu_domain_create(vm->config->name, &vm->passthrough.domain);

	if (status != STATUS_OK)
		vm->passthrough.domain = NULL;
	for (unsigned i = 0; i < vm->memory.slot_count && status == STATUS_OK; i++)
		status = map_slot(vm, &vm->memory.slots[i]);
	if (status != STATUS_OK)
		log_error("vm %s: no domain of the IOMMU for it: %s", vm->config->name, status_name(status));
	return status;
}

/* What cannot be reset was accepted by the configuration, or it would have been refused. */
static enum status reset(struct vm *vm, struct passthrough_function *function)
{
	enum status status = pci_reset_function(function->function, &function->reset);

	if (status == STATUS_OK)
		return STATUS_OK;
	function->reset = NULL;
	if (status == STATUS_NOT_FOUND)
		return STATUS_OK;
	log_function(vm, function->function, "its reset failed", status);
	return status;
}

static void log_receipt(const struct vm *vm, const struct passthrough_function *function, const char *what, uint64_t scrubbed)
{
	const struct pci_function *pci = function->function;

	log_info("vm %s: pci " PCI_ADDRESS_FORMAT " (%s): %s: %s%s, %llu MiB scrubbed", vm->config->name,
		 PCI_ADDRESS_ARGUMENTS(pci->address), pci_class_name(pci->class_code, pci->subclass), what,
		 function->reset != NULL ? "reset by " : "not reset", function->reset != NULL ? function->reset : "",
		 (unsigned long long)(scrubbed / MIB));
}

/* The VM's domain is the VM's memory and nothing else: firmware does without while the function is away. */
static void tell_reserved_memory(const struct vm *vm, const struct pci_function *function)
{
	uint64_t length;
	hpa_t base;

	for (uint32_t i = 0; iommu_reserved_memory(function, i, &base, &length); i++)
		log_warning("vm %s: pci " PCI_ADDRESS_FORMAT ": firmware cannot use 0x%llx..0x%llx by it (RMRR) until it is taken back",
			    vm->config->name, PCI_ADDRESS_ARGUMENTS(function->address), (unsigned long long)base.value,
			    (unsigned long long)(base.value + length - 1));
}

/* Only a wish: the function works without. */
static void enable_ats(const struct vm *vm, const struct pci_function *function)
{
	const char *why;

	if (iommu_enable_ats(function, &why) == STATUS_OK)
		log_info("vm %s: pci " PCI_ADDRESS_FORMAT ": keeps translations itself (ATS)", vm->config->name,
			 PCI_ADDRESS_ARGUMENTS(function->address));
	else
		log_warning("vm %s: pci " PCI_ADDRESS_FORMAT ": keeps no translations itself (ATS): %s", vm->config->name,
			    PCI_ADDRESS_ARGUMENTS(function->address), why);
}

static enum status attach_function(struct vm *vm, struct passthrough_function *function, const struct config_pci *wish)
{
	enum status status = reset(vm, function);

	if (status != STATUS_OK)
		return status;
	status = iommu_attach(vm->passthrough.domain, function->function);
	if (status != STATUS_OK) {
		log_function(vm, function->function, "not put into the VM's domain", status);
		return status;
	}
	function->attached = true;
	log_receipt(vm, function, "given to it", vm->memory.size);
	tell_reserved_memory(vm, function->function);
	if (wish->ats)
		enable_ats(vm, function->function);
	return STATUS_OK;
}

/* Functions are counted in as they are claimed, so that passthrough_detach() knows how far it went. */
static enum status claim_functions(struct vm *vm)
{
	struct passthrough *passthrough = &vm->passthrough;

	for (uint32_t i = 0; i < vm->config->pci_count; i++) {
		const struct config_pci *pci = &vm->config->pci[i];
		const struct pci_function *function = pci_find((struct pci_address){pci->segment, pci->bus, pci->device, pci->function});
		enum status status = function != NULL ? pci_claim(function, PCI_OWNER_VM, vm->config->name) : STATUS_NOT_FOUND;

		if (status != STATUS_OK)
			return status;
		passthrough->functions[passthrough->count++] = (struct passthrough_function){.function = function};
	}
	return STATUS_OK;
}

/* Only where the guest gets them without an exit: else posting would save nothing. */
static enum status create_posting(struct vm *vm)
{
	bool posts = false;

	for (uint32_t i = 0; i < vm->passthrough.count; i++)
		posts |= iommu_posts_interrupts(vm->passthrough.functions[i].function);
	return posts && virt_ops->apic_can_post() ? vcpu_posting_create(vm) : STATUS_OK;
}

enum status passthrough_attach(struct vm *vm)
{
	enum status status;

	vm->passthrough = (struct passthrough){.count = 0};
	if (vm->config->pci_count == 0)
		return STATUS_OK;
	status = passthrough_check(vm->config);
	if (status == STATUS_OK)
		status = claim_functions(vm);
	if (status == STATUS_OK)
		status = create_domain(vm);
	for (uint32_t i = 0; i < vm->passthrough.count && status == STATUS_OK; i++)
		status = attach_function(vm, &vm->passthrough.functions[i], &vm->config->pci[i]);
	if (status == STATUS_OK)
		status = create_posting(vm);
	if (status != STATUS_OK)
		passthrough_detach(vm);
	return status;
}

/* ---- taking back ---- */

static void stop(struct vm *vm, const struct passthrough_function *function)
{
	enum status status = pci_set_bus_master(function->function, false);

	if (status != STATUS_OK)
		log_function(vm, function->function, "still a bus master", status);
}

static void quiesce(struct vm *vm, struct passthrough_function *function)
{
	enum status status = iommu_detach(function->function);

	if (status != STATUS_OK)
		log_function(vm, function->function, "not put into quarantine in order", status);
	function->attached = false;
	/* A physical function whose virtual ones are other VMs' is reset before it is next given to a VM, as all are.
	 * What does not come back is kept from being a bus master, and from everybody, by drivers/pci. */
	if (pci_vf_in_use(function->function) == NULL)
		(void)reset(vm, function);
	else
		function->reset = NULL;
}

void passthrough_quiesce(struct vm *vm)
{
	struct passthrough *passthrough = &vm->passthrough;

	/* All before any: what is taken from one may be what another uses, where a bridge makes them look alike. */
	for (uint32_t i = 0; i < passthrough->count; i++)
		if (passthrough->functions[i].attached)
			stop(vm, &passthrough->functions[i]);
	for (uint32_t i = 0; i < passthrough->count; i++)
		if (passthrough->functions[i].attached)
			quiesce(vm, &passthrough->functions[i]);
}

static void give_back(struct vm *vm, const struct passthrough_function *function)
{
	pci_release(function->function);
	log_receipt(vm, function, "taken back", vm->memory.size);
}

void passthrough_detach(struct vm *vm)
{
	passthrough_quiesce(vm);
	for (uint32_t i = 0; i < vm->passthrough.count; i++)
		give_back(vm, &vm->passthrough.functions[i]);
	if (vm->passthrough.domain != NULL)
		iommu_domain_destroy(vm->passthrough.domain);
	vcpu_posting_destroy(vm);
	vm->passthrough = (struct passthrough){.count = 0};
}

/* ---- registers of functions in the guest's address space ---- */

enum status passthrough_map(struct vm *vm, gpa_t address, hpa_t registers, uint64_t length, uint32_t attributes)
{
	struct iommu_domain *domain = vm->passthrough.domain;
	enum status status = iommu_domain_map(domain, address.value, registers, length, attributes), undone;

	if (status == STATUS_OK)
		status = page_table_map(&vm->memory.nested, address.value, registers, length, attributes | PAGE_UNCACHED);
	else if (status != STATUS_TIMEOUT)
		return status;
	if (status == STATUS_OK)
		return STATUS_OK;
	undone = iommu_domain_unmap(domain, address.value, length);
	return undone == STATUS_OK ? status : undone;
}

void passthrough_unmap(struct vm *vm, gpa_t address, uint64_t length)
{
	enum status status = iommu_domain_unmap(vm->passthrough.domain, address.value, length);

	/* What was mapped as a whole is taken out as a whole, which needs no memory. */
	if (page_table_unmap_leaves(&vm->memory.nested, address.value, length) != STATUS_OK || status != STATUS_OK)
		(void)vm_crash(vm, "the IOMMU does not answer while registers at 0x%llx are moved", (unsigned long long)address.value);
	vm_flush_translations(vm);
}

static bool holds(const struct pci_bar *bar, hpa_t registers, uint64_t length)
{
	return (bar->kind == PCI_BAR_MEMORY_32 || bar->kind == PCI_BAR_MEMORY_64) && registers.value >= bar->address &&
	       range_within(registers.value - bar->address, length, bar->size);
}

bool passthrough_owns_registers(const struct vm *vm, hpa_t registers, uint64_t length)
{
	for (uint32_t i = 0; i < vm->passthrough.count; i++) {
		const struct pci_function *function = vm->passthrough.functions[i].function;

		if (holds(&function->rom, registers, length))
			return true;
		for (unsigned bar = 0; bar < PCI_MAX_BARS; bar++)
			if (holds(&function->bars[bar], registers, length))
				return true;
	}
	return false;
}
