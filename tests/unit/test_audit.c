/* The audit on two VMs: clean as they are, and every planted overlap is found and named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86/irq/interrupt.h"
#include "tests/unit/passthrough_fixture.h"
#include "vmm/audit.h"

#define FREE_PAGE (POOL_BASE + (POOL_PAGES - 1) * PAGE_SIZE) /* the last one that the pool would give */
#define FOREIGN_PAGE (8 * MIB)
#define HOLE 0xa0000u /* no VM has memory there */

static char output[16384];
static size_t output_length;
static struct vm_config second_config;
static struct vm *second;
/* This machine's own tables are not walked. */
hpa_t host_paging_root(void) { return hpa(0); }

enum page_pool_state page_pool_query(hpa_t page, uint64_t *extent)
{
	*extent = PAGE_SIZE;
	if (page.value < POOL_BASE || page.value >= POOL_BASE + POOL_PAGES * PAGE_SIZE)
		return PAGE_POOL_FOREIGN;
	return pool_state[(page.value - POOL_BASE) / PAGE_SIZE] ? PAGE_POOL_ALLOCATED : PAGE_POOL_FREE;
}

static void print(const char *format, ...) printf_like(1, 2);

static void print(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	output_length += (size_t)vsnprintf(output + output_length, sizeof(output) - output_length, format, arguments);
	va_end(arguments);
	assert_true(output_length < sizeof(output));
}

static unsigned run(void)
{
	output_length = 0;
	return audit_run(print);
}

static void assert_said(const char *text)
{
	if (strstr(output, text) == NULL)
		fail_msg("'%s' is not in:\n%s", text, output);
}

static int set_up(void **state)
{
	(void)state;
	fixture_passthrough_start(NULL);
	fixture_config.pci_count = 0;
	assert_int_equal(vm_create(&fixture_config, &fixture_vm), STATUS_OK);
	fixture_vcpu = fixture_vm->vcpus[0];
	second_config = fixture_config;
	strcpy(second_config.name, "second");
	second_config.vcpus = 2;
	assert_int_equal(vm_create(&second_config, &second), STATUS_OK);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	vm_destroy(second);
	fixture_destroy_vm();
	return 0;
}

static void plant_page(struct vm *vm, uint64_t gpa_value, uint64_t page)
{
	assert_int_equal(page_table_map(&vm->memory.nested, gpa_value, hpa(page), PAGE_SIZE, PAGE_RWX), STATUS_OK);
}

static void test_clean(void **state)
{
	unsigned used = pool_used;

	(void)state;
	assert_int_equal(run(), 0);
	assert_said("audit: clean\n");
	assert_said("guests       7936 KiB in use, 7936 KiB given out\n");
	assert_said("2 VMs, 3 vCPUs");
	assert_null(strstr(output, "fault:"));
	assert_int_equal(pool_used, used);
}

static void test_a_page_of_two_vms(void **state)
{
	uint64_t page = physmap_address(guest_memory_page(&fixture_vm->memory, gpa(0x5000))).value;
	char text[128];

	(void)state;
	plant_page(second, HOLE, page);
	assert_true(run() >= 2);
	snprintf(text, sizeof(text), "fault: page 0x%llx belongs to test (guest memory at 0x5000) ", (unsigned long long)page);
	assert_said(text);
	assert_said("and to second (guest memory at 0xa0000)\n");
	/* More is in use than was given out, and where it is no memory should be. */
	assert_said("fault: 4 KiB of guests are in use, but were never given out\n");
	assert_said("which has no memory there\n");
	assert_said(" faults\n");
}

static void test_a_page_that_a_vm_maps_twice(void **state)
{
	uint64_t page = physmap_address(guest_memory_page(&fixture_vm->memory, gpa(0x5000))).value;

	(void)state;
	plant_page(fixture_vm, HOLE, page);
	assert_true(run() >= 1);
	assert_said("and to test (guest memory at 0xa0000)\n");
}

static void test_a_free_page(void **state)
{
	char text[128];

	(void)state;
	plant_page(fixture_vm, HOLE, FREE_PAGE);
	assert_true(run() >= 1);
	snprintf(text, sizeof(text), "fault: page 0x%llx belongs to test (guest memory at 0xa0000), but is free\n",
		 (unsigned long long)FREE_PAGE);
	assert_said(text);
}

static void test_a_page_that_is_no_memory_of_the_pool(void **state)
{
	(void)state;
	plant_page(fixture_vm, HOLE, FOREIGN_PAGE);
	assert_true(run() >= 1);
	assert_said("but is no memory of the page pool\n");
}

static void test_pages_of_the_hypervisor(void **state)
{
	const struct { uint64_t page; const char *what; } cases[] = {
		{second->memory.nested.root.value, "second (page tables)"},
		{second->virt.backend->io_bitmaps.value, "second (the VM's structures)"},
		{physmap_address(second).value, "second (the VM's structures)"},
		{second->vcpus[1]->virt.backend->vmcs.value, "second (a vCPU's structures)"},
		{physmap_address(second->vcpus[1]).value, "second (a vCPU's structures)"},
	};

	(void)state;
	for (size_t i = 0; i < array_count(cases); i++) {
		plant_page(fixture_vm, HOLE, cases[i].page);
		assert_true(run() >= 1);
		assert_said(cases[i].what);
		assert_said("test (guest memory at 0xa0000)");
		assert_int_equal(page_table_unmap(&fixture_vm->memory.nested, HOLE, PAGE_SIZE), STATUS_OK);
	}
}

static void test_a_lost_page(void **state)
{
	hpa_t lost;

	(void)state;
	assert_int_equal(page_pool_allocate(PAGE_ORDER_4K, PAGE_OWNER_GUEST, &lost), STATUS_OK);
	assert_int_equal(run(), 1);
	assert_said("fault: 4 KiB of guests were given out and are lost\n");
	assert_said("audit: 1 faults\n");
	page_pool_free(lost, PAGE_ORDER_4K, PAGE_OWNER_GUEST);
	assert_int_equal(run(), 0);
}

static void test_the_apic_access_page_is_no_fault_of_its_own_vm_only(void **state)
{
	hpa_t page = fixture_vm->virt.apic_access_page;
	struct page_table_leaf leaf;

	(void)state;
	assert_int_equal(page_table_lookup(&fixture_vm->memory.nested, VIRT_APIC_BASE, &leaf), STATUS_OK);
	assert_int_equal(leaf.output.value, page.value);
	assert_int_equal(run(), 0);
	assert_int_equal(page_table_unmap(&second->memory.nested, VIRT_APIC_BASE, PAGE_SIZE), STATUS_OK);
	plant_page(second, VIRT_APIC_BASE, page.value);
	assert_true(run() >= 1);
	assert_said("belongs to test (the VM's structures) and to second (guest memory at 0xfee00000)\n");
}

static void test_an_open_port(void **state)
{
	(void)state;
	virt_ops->port_intercept(&fixture_vm->virt, 0xcf9, false);
	assert_int_equal(run(), 1);
	assert_said("fault: port 0xcf9 of the machine is open to test\n");
	virt_ops->port_intercept(&second->virt, 0xcf9, false);
	assert_int_equal(run(), 2);
	assert_said("fault: port 0xcf9 of the machine is open to second and to test\n");
}

static void test_many_open_ports_are_counted(void **state)
{
	(void)state;
	for (uint32_t port = 0; port < 0x10000; port++)
		virt_ops->port_intercept(&fixture_vm->virt, (uint16_t)port, false);
	assert_int_equal(run(), 0x10000);
	assert_said("audit: 65536 faults\n");
}

static void test_open_msrs(void **state)
{
	uint8_t *bitmaps = physmap_pointer(fixture_vm->virt.backend->msr_bitmaps);

	(void)state;
	virt_ops->msr_intercept(&fixture_vm->virt, 0xc0000080, true, false); /* EFER */
	assert_int_equal(run(), 2); /* in both bitmaps */
	assert_said("fault: MSR 0xc0000080 can be written by test, which no row of the policy allows\n");
	virt_ops->msr_intercept(&fixture_vm->virt, 0xc0000080, true, true);
	/* The interrupt command register: the hardware virtualizes no write of it. */
	bitmaps[PAGE_SIZE + 0x800 + 0x830 / 8] &= (uint8_t)~(1u << 0x830 % 8);
	assert_int_equal(run(), 1);
	assert_said("fault: MSR 0x830 can be written by test");
}

static void test_equal_vpids(void **state)
{
	uint16_t own = second->vcpus[0]->virt.backend->vpid;

	(void)state;
	second->vcpus[0]->virt.backend->vpid = fixture_vcpu->virt.backend->vpid;
	assert_int_equal(run(), 1);
	assert_said("belongs to test/0 and to second/0\n");
	second->vcpus[0]->virt.backend->vpid = second->vcpus[1]->virt.backend->vpid;
	assert_int_equal(run(), 1);
	assert_said("belongs to second/0 and to second/1\n");
	second->vcpus[0]->virt.backend->vpid = 0;
	assert_int_equal(run(), 1);
	assert_said("fault: second/0 has the hypervisor's VPID\n");
	second->vcpus[0]->virt.backend->vpid = own;
}

static void test_interrupts(void **state)
{
	(void)state;
	(void)!ioapic_route(1, INTERRUPT_VECTOR_SERIAL, 0, false, false);
	assert_int_equal(run(), 0);
	assert_said("24 I/O APIC inputs, 1 routed, 0 of them to guests");
	(void)!ioapic_route(3, INTERRUPT_VECTOR_SERIAL, 0, false, false);
	assert_int_equal(run(), 1);
	assert_said("(serial) belongs to I/O APIC inputs 1 and 3\n");
	(void)!ioapic_route(3, 0xef, 0, false, false);
	assert_int_equal(run(), 1);
	assert_said("I/O APIC input 3 raises vector 0xef, which is nobody's\n");
}

/* A third VM drives two functions; the audit follows what they reach. */
static struct vm *start_third(struct vm_config *config)
{
	struct vm *third;

	*config = fixture_config;
	strcpy(config->name, "third");
	config->pci_count = 2;
	assert_int_equal(vm_create(config, &third), STATUS_OK);
	assert_int_equal(passthrough_map(third, gpa(0xd0000000), hpa(REGISTERS), 0x2000, PAGE_READ | PAGE_WRITE), STATUS_OK);
	return third;
}

static void test_functions_of_vms(void **state)
{
	static struct vm_config config;
	struct vm *third = start_third(&config);
	unsigned used = pool_used;

	(void)state;
	if (run() != 0)
		fail_msg("%s", output);
	assert_said("24 I/O APIC inputs, 1 routed, 1 of them to guests\n");
	assert_said("2 PCI functions of VMs;");
	assert_int_equal(pool_used, used);
	/* What only devices reach, what only vCPUs reach, and who drives what. */
	assert_int_equal(iommu_domain_map(&domain, 0xd8000000, hpa(WIDE), PAGE_SIZE, PAGE_READ), STATUS_OK);
	assert_int_equal(run(), 1);
	assert_said("third: its devices alone reach 0xd8000000\n");
	assert_int_equal(iommu_domain_unmap(&domain, 0xd8000000, PAGE_SIZE), STATUS_OK);
	assert_int_equal(iommu_domain_unmap(&domain, 0x5000, PAGE_SIZE), STATUS_OK);
	assert_true(run() >= 1);
	assert_said("third: its vCPUs alone reach 0x5000\n");
	strcpy(functions[1].owner_name, "second");
	assert_true(run() >= 2);
	assert_said("pci 0000:03:01.0 is second's, but third has it\n");
	strcpy(functions[1].owner_name, "third");
	attached[2] = &functions[2];
	assert_true(run() >= 2);
	assert_said("pci 0000:03:02.0 reaches the memory of third\n");
	attached[2] = NULL;
	entry_vectors[9] = 0xd9;
	assert_true(run() >= 2);
	assert_said("interrupt entry 9 of IOMMU 0 lets 0x300 raise vector 0xd9, which is nobody's\n");
	entry_descriptors[9] = hpa(0x1234c0);
	assert_true(run() >= 2);
	assert_said("interrupt entry 9 of IOMMU 0 lets 0x300 write to 0x1234c0, which is no vCPU's\n");
	entry_descriptors[9] = hpa(0);
	entry_vectors[9] = 0;
	passthrough_unmap(third, gpa(0xd0000000), 0x2000);
	vm_destroy(third);
}

/* Ways to memory that no record explains. */
static void test_sources(void **state)
{
	static struct vm_config config;
	struct vm *third = start_third(&config);

	(void)state;
	strange_source = 0x999;
	strange_table = domain.table.root;
	assert_int_equal(run(), 1);
	assert_said("source 0x999 of segment 0 reaches the memory of third, which has no such function\n");
	strange_source = 0x300;
	strange_table = hpa(FOREIGN_PAGE);
	assert_int_equal(run(), 1);
	assert_said("source 0x300 of segment 0 reaches memory by tables of no domain, at 0x800000\n");
	strange_source = 0;
	passthrough_unmap(third, gpa(0xd0000000), 0x2000);
	vm_destroy(third);
}

/* As of firmware's memory: its tables are known all the same. */
static void test_domains_of_no_vm(void **state)
{
	struct iommu_domain *firmware;

	(void)state;
	assert_int_equal(iommu_domain_create("firmware", &firmware), STATUS_OK);
	assert_int_equal(iommu_domain_map(firmware, GIB, hpa(GIB), PAGE_SIZE, PAGE_READ), STATUS_OK);
	assert_int_equal(run(), 0);
	iommu_domain_destroy(firmware);
	assert_int_equal(run(), 0);
}

/* A neighbour's device registers are no less its own than its memory. */
static void test_registers_of_another(void **state)
{
	static struct vm_config config;
	struct vm *third = start_third(&config);

	(void)state;
	plant_page(second, HOLE, REGISTERS + 0x1000);
	assert_true(run() >= 1);
	assert_said("third (registers of a passed-through function)");
	assert_int_equal(page_table_unmap(&second->memory.nested, HOLE, PAGE_SIZE), STATUS_OK);
	passthrough_unmap(third, gpa(0xd0000000), 0x2000);
	vm_destroy(third);
}

static void test_no_memory_is_said(void **state)
{
	(void)state;
	pool_fail_at = 0;
	assert_true(run() >= 1);
	assert_said("fault: no memory to note which pages are in use");
	pool_fail_at = UINT32_MAX;
	assert_int_equal(run(), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_clean), TEST(test_a_page_of_two_vms), TEST(test_a_page_that_a_vm_maps_twice), TEST(test_a_free_page),
		TEST(test_a_page_that_is_no_memory_of_the_pool), TEST(test_pages_of_the_hypervisor), TEST(test_a_lost_page),
		TEST(test_the_apic_access_page_is_no_fault_of_its_own_vm_only), TEST(test_an_open_port),
		TEST(test_many_open_ports_are_counted), TEST(test_open_msrs), TEST(test_equal_vpids), TEST(test_interrupts),
		TEST(test_no_memory_is_said), TEST(test_functions_of_vms), TEST(test_registers_of_another),
		TEST(test_sources), TEST(test_domains_of_no_vm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
