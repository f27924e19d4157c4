#include "arch/x86/cpu/gdt.h"
#include "arch/x86/cpu/stack.h"
#include "arch/x86/long_work.h"
#include "arch/x86/mm/host_paging.h"
#include "arch/x86/mm/page_table_walk.h"
#include "arch/x86/pcpu.h"
#include "arch/x86/physmap.h"
#include "drivers/iommu/iommu.h"
#include "vmm/audit_internal.h"
#include "vmm/vm.h"

extern const char __image_start[], __image_end[];

struct visitor {
	void (*visit)(void *context, const struct audit_claim *claim);
	void *context;
	struct audit_claim claim; /* what the next ones have in common */
};

static void claim(struct visitor *visitor, hpa_t page, uint64_t bytes)
{
	visitor->claim.page = page;
	visitor->claim.bytes = align_up(bytes, PAGE_SIZE);
	visitor->visit(visitor->context, &visitor->claim);
	long_work_step();
}

static void claim_table(hpa_t page, void *context)
{
	claim(context, page, PAGE_SIZE);
}

static void claim_pages(void *context, hpa_t page, uint64_t bytes)
{
	claim(context, page, bytes);
}

static void claim_tables(struct visitor *visitor, const struct page_table *table)
{
	visitor->claim.what = "page tables";
	visitor->claim.is_table = true;
	page_table_for_each_table(table, claim_table, visitor);
	visitor->claim.is_table = false;
}

/* The boot processor's stacks and tables lie in the image. */
static void claim_cpu(struct visitor *visitor, const struct pcpu *pcpu)
{
	const struct gdt_tables *tables = pcpu->descriptor_tables;

	if (pcpu->stack_top == 0 || tables == NULL)
		return;
	visitor->claim.what = "a CPU's stacks and descriptor tables";
	claim(visitor, physmap_address((const void *)(uintptr_t)(pcpu->stack_top - CPU_STACK_SIZE)), CPU_STACK_SIZE);
	claim(visitor, physmap_address(tables), sizeof(*tables));
	claim(visitor, physmap_address(tables->interrupt_stacks), GDT_STACK_COUNT * GDT_INTERRUPT_STACK_SIZE);
}

static void claim_hypervisor(struct visitor *visitor)
{
	const struct page_table table = {.format = &page_table_host_format, .root = host_paging_root()};
	struct page_table_leaf leaf;

	visitor->claim = (struct audit_claim){.what = "the hypervisor's image"};
	if (table.root.value != 0 && page_table_lookup(&table, (uintptr_t)__image_start, &leaf) == STATUS_OK)
		claim(visitor, leaf.output, (uintptr_t)__image_end - (uintptr_t)__image_start);
	claim_tables(visitor, &table);
	for (uint32_t i = 1; i < pcpu_count(); i++)
		claim_cpu(visitor, pcpu_get(i));
}

static void claim_iommu_page(void *context, hpa_t page)
{
	claim(context, page, PAGE_SIZE);
}

static bool is_of_a_vm(const struct iommu_domain *domain)
{
	for (uint32_t i = 0; i < vm_list_count; i++)
		if (vm_list[i]->passthrough.domain == domain)
			return true;
	return false;
}

/* Firmware's, and those that a unit may still read although their VM is gone. */
static void claim_domain(void *context, const struct iommu_domain *domain)
{
	if (!is_of_a_vm(domain))
		claim_tables(context, iommu_domain_table(domain));
}

/* What the units of the IOMMU read, but for the tables of domains that are their VMs'. */
static void claim_iommu(struct visitor *visitor)
{
	static const struct iommu_visitor pages = {.page = claim_iommu_page};
	static const struct iommu_visitor domains = {.domain = claim_domain};

	visitor->claim.what = "tables and queues of the IOMMU";
	iommu_audit(&pages, visitor);
	iommu_audit(&domains, visitor);
}

static bool is_apic_access_page(const struct vm *vm, uint64_t gpa_value, const struct page_table_leaf *leaf)
{
	return gpa_value == VIRT_APIC_BASE && leaf->page_size == PAGE_SIZE && leaf->output.value == vm->virt.apic_access_page.value;
}

static void claim_guest_memory(struct visitor *visitor, struct vm *vm)
{
	struct page_table_leaf leaf;

	for (uint64_t input = 0; page_table_next(&vm->memory.nested, &input, &leaf); input += leaf.page_size) {
		visitor->claim.gpa = input;
		if (is_apic_access_page(vm, input, &leaf))
			continue;
		visitor->claim.is_guest = !passthrough_owns_registers(vm, leaf.output, leaf.page_size);
		visitor->claim.what = visitor->claim.is_guest ? "guest memory" : "registers of a passed-through function";
		claim(visitor, leaf.output, leaf.page_size);
	}
	visitor->claim.is_guest = false;
}

static void claim_vm(struct visitor *visitor, struct vm *vm)
{
	visitor->claim = (struct audit_claim){.vm = vm, .what = "the VM's structures"};
	claim(visitor, physmap_address(vm), sizeof(*vm));
	virt_ops->inspect->vm_pages(&vm->virt, claim_pages, visitor);
	visitor->claim.what = "a vCPU's structures";
	for (uint32_t i = 0; i < vm->vcpu_count; i++) {
		claim(visitor, physmap_address(vm->vcpus[i]), sizeof(*vm->vcpus[i]));
		virt_ops->inspect->vcpu_pages(&vm->vcpus[i]->virt, claim_pages, visitor);
	}
	/* What a vCPU's own CPU changes while it runs, it changes with this lock held. */
	spinlock_lock(&vm->device_lock);
	claim_tables(visitor, &vm->memory.nested);
	if (vm->passthrough.domain != NULL)
		claim_tables(visitor, iommu_domain_table(vm->passthrough.domain));
	claim_guest_memory(visitor, vm);
	spinlock_unlock(&vm->device_lock);
}

void audit_each_claim(void (*visit)(void *context, const struct audit_claim *claim), void *context)
{
	struct visitor visitor = {visit, context, {.page = hpa(0)}};

	claim_hypervisor(&visitor);
	claim_iommu(&visitor);
	for (uint32_t i = 0; i < vm_list_count; i++)
		claim_vm(&visitor, vm_list[i]);
}
