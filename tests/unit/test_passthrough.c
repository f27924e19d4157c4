/* vmm/passthrough*.c: what is refused and why, all or nothing, order of giving and taking back, and interrupts that come late. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "tests/unit/passthrough_fixture.h"
#include "vmm/passthrough_interrupt.h"

static void expect_refused(const char *reason)
{
	struct vm *vm;
	unsigned before = pool_used;

	fixture_log_clear();
	assert_int_equal(vm_create(&fixture_config, &vm), STATUS_DENIED);
	if (!fixture_logged(reason))
		print_error("%s", fixture_log);
	assert_true(fixture_logged(reason));
	assert_true(fixture_logged("not created"));
	assert_int_equal(pool_used, before);
	assert_string_equal(events, "");
}

static void test_refusals(void **state)
{
	static struct pci_function bridge = {.header_type = 1, .owner = PCI_OWNER_HYPERVISOR};

	(void)state;
	fixture_config.pci[0].device = FUNCTIONS;
	expect_refused("vm test: pci 0000:03:03.0: refused: this machine has no such function");
	fixture_config.pci[0].device = 0;
	functions[0].owner = PCI_OWNER_HYPERVISOR;
	expect_refused("pci 0000:03:00.0: refused: the machine or the console needs it");
	functions[0].owner = PCI_OWNER_VM;
	strcpy(functions[0].owner_name, "other");
	expect_refused("it belongs to vm other");
	functions[0].owner = PCI_OWNER_QUARANTINE;
	functions[0].dead = true;
	expect_refused("did not come back from its last reset");
	functions[0].dead = false;
	functions[0].header_type = 1;
	expect_refused("it is a bridge");
	functions[0].header_type = 0;
	iommu_missing = "no unit";
	expect_refused("nothing would confine its DMA: no unit");
	iommu_missing = NULL;
	remapping_missing = "no remapping";
	expect_refused("nothing would confine its interrupts: no remapping");
	remapping_missing = NULL;
	group_member = &functions[2];
	expect_refused("cannot be isolated from 0000:03:02.0");
	rmrr = true;
	group_member = &bridge; /* carries only what others send */
	expect_refused("firmware uses memory at 0xdead000 by it (RMRR)");
	rmrr = false;
	reset_way = PCI_RESET_NONE;
	expect_refused("there is no way to reset it");
	reset_way = PCI_RESET_FLR;
	functions[1].bars[0].address = 0;
	expect_refused("pci 0000:03:01.0: refused: firmware gave its base address register 0 no address");
}

/* Who has the physical function reaches what the virtual ones do. */
static void test_virtual_functions(void **state)
{
	(void)state;
	functions[2].physical = &functions[0];
	functions[2].owner = PCI_OWNER_VM;
	strcpy(functions[2].owner_name, "other");
	expect_refused("pci 0000:03:00.0: refused: its virtual function 0000:03:02.0 belongs to vm other");
	functions[2].owner = PCI_OWNER_QUARANTINE;
	functions[2].physical = NULL;
	functions[1].physical = &functions[0];
	expect_refused("pci 0000:03:01.0: refused: this VM is to have its physical function as well");
	functions[1].physical = &functions[2];
	functions[2].owner = PCI_OWNER_VM;
	expect_refused("pci 0000:03:01.0: refused: vm other has its physical function");
	fixture_config.pci[1].permissive = true;
	assert_int_equal(vm_create(&fixture_config, &fixture_vm), STATUS_OK);
}

/* Other VMs go on with the virtual ones. */
static void test_physical_function_taken_back_alone(void **state)
{
	(void)state;
	assert_int_equal(vm_create(&fixture_config, &fixture_vm), STATUS_OK);
	functions[2].physical = &functions[0];
	functions[2].owner = PCI_OWNER_VM;
	events[0] = '\0';
	fixture_destroy_vm();
	assert_non_null(strstr(events, "slave0 "));
	assert_non_null(strstr(events, "detach0 "));
	assert_null(strstr(events, "reset0"));
	assert_non_null(strstr(events, "reset1 "));
	assert_true(fixture_logged("taken back: not reset"));
	assert_int_equal(functions[0].owner, PCI_OWNER_QUARANTINE);
}

static void test_permissive(void **state)
{
	(void)state;
	rmrr = true;
	reset_way = PCI_RESET_NONE;
	fixture_config.pci[0].permissive = fixture_config.pci[1].permissive = true;
	assert_int_equal(vm_create(&fixture_config, &fixture_vm), STATUS_OK);
	assert_true(fixture_logged("given to it: not reset"));
	assert_true(fixture_logged("firmware cannot use 0xdead000..0xdeadfff by it (RMRR) until it is taken back"));
	/* But never this. */
	fixture_destroy_vm();
	events[0] = '\0';
	iommu_missing = "gone";
	expect_refused("nothing would confine its DMA");
}

/* A wish: without it the VM runs as well. */
static void test_ats(void **state)
{
	(void)state;
	fixture_config.pci[1].ats = true;
	assert_int_equal(vm_create(&fixture_config, &fixture_vm), STATUS_OK);
	assert_non_null(strstr(events, "reset0 attach0 reset1 attach1 ats1 "));
	assert_true(fixture_logged("pci 0000:03:01.0: keeps translations itself (ATS)"));
	fixture_destroy_vm();
	fixture_log_clear();
	ats_status = STATUS_UNSUPPORTED;
	assert_int_equal(vm_create(&fixture_config, &fixture_vm), STATUS_OK);
	assert_true(fixture_logged("pci 0000:03:01.0: keeps no translations itself (ATS): its unit is old"));
}

/* What cannot be kept apart is fit for one VM that has all of it. */
static void test_whole_group(void **state)
{
	(void)state;
	group_member = &functions[1];
	assert_int_equal(vm_create(&fixture_config, &fixture_vm), STATUS_OK);
	assert_ptr_equal(attached[0], &functions[0]);
	assert_ptr_equal(attached[1], &functions[1]);
}

/* Reset before it reaches anything; in quarantine and reset again before it is anybody else's. */
static void test_order(void **state)
{
	(void)state;
	assert_int_equal(vm_create(&fixture_config, &fixture_vm), STATUS_OK);
	assert_non_null(strstr(events, "claim0 claim1 reset0 attach0 reset1 attach1 "));
	assert_true(fixture_logged("vm test: pci 0000:03:00.0 (NVMe controller): given to it: reset by FLR, 4 MiB scrubbed") ||
		    fixture_logged("given to it: reset by FLR, 4 MiB scrubbed"));
	events[0] = '\0';
	passthrough_quiesce(fixture_vm);
	assert_string_equal(events, "slave0 slave1 detach0 reset0 detach1 reset1 ");
	passthrough_quiesce(fixture_vm);
	assert_string_equal(events, "slave0 slave1 detach0 reset0 detach1 reset1 ");
	assert_int_equal(functions[0].owner, PCI_OWNER_VM);
	events[0] = '\0';
	fixture_destroy_vm();
	assert_non_null(strstr(events, "release0 release1 domain0 "));
	assert_null(strstr(events, "reset"));
	assert_int_equal(functions[0].owner, PCI_OWNER_QUARANTINE);
	assert_true(fixture_logged("taken back: reset by FLR, 4 MiB scrubbed"));
}

static void test_domain_is_the_guests_ram(void **state)
{
	(void)state;
	assert_true(guest_sees(0) != 0);
	assert_true(guest_sees(0x9f000) != 0);
	assert_true(guest_sees(0xa0000) == 0);
	assert_true(guest_sees(4 * MIB - PAGE_SIZE) != 0);
	assert_true(guest_sees(4 * MIB) == 0);
}

/* Whatever fails, at whichever allocation: nothing is left. */
static void test_creation_fails_as_a_whole(void **state)
{
	static enum status *const places[] = {&claim_status, &attach_status, &domain_map_status, &reset_status};
	unsigned before = pool_used;
	struct vm *vm;

	(void)state;
	for (unsigned i = 0; i < array_count(places); i++) {
		*places[i] = STATUS_TIMEOUT;
		assert_int_equal(vm_create(&fixture_config, &vm), STATUS_TIMEOUT);
		*places[i] = STATUS_OK;
		assert_int_equal(pool_used, before);
		assert_int_equal(functions[0].owner, PCI_OWNER_QUARANTINE);
		assert_false(domain.used);
	}
	for (unsigned fail = 0, left = UINT32_MAX; left > fail; fail++) {
		enum status status;

		pool_fail_at = fail;
		status = vm_create(&fixture_config, &vm);
		left = pool_fail_at; /* wrapped round when it failed */
		pool_fail_at = UINT32_MAX;
		if (status == STATUS_OK)
			vm_destroy(vm);
		assert_int_equal(pool_used, before);
		assert_int_equal(functions[1].owner, PCI_OWNER_QUARANTINE);
		assert_false(domain.used);
		assert_int_equal(entries_used, 0);
	}
}

static void test_both_or_neither(void **state)
{
	struct vm *vm = fixture_vm;

	(void)state;
	assert_int_equal(passthrough_map(vm, gpa(0xd0000000), hpa(WIDE), 2 * MIB, PAGE_READ | PAGE_WRITE), STATUS_OK);
	assert_int_equal(guest_sees(0xd0000000 + 0x5000), WIDE + 0x5000);
	passthrough_unmap(vm, gpa(0xd0000000), 2 * MIB);
	assert_int_equal(guest_sees(0xd0000000), 0);
	domain_map_status = STATUS_NO_MEMORY;
	assert_int_equal(passthrough_map(vm, gpa(0xd0000000), hpa(WIDE), PAGE_SIZE, PAGE_READ), STATUS_NO_MEMORY);
	assert_int_equal(guest_sees(0xd0000000), 0);
	domain_map_status = STATUS_OK;
	/* The nested table refuses, since something is there. */
	assert_int_equal(page_table_map(&vm->memory.nested, 0xd0000000, hpa(OTHER), PAGE_SIZE, PAGE_READ), STATUS_OK);
	assert_int_equal(passthrough_map(vm, gpa(0xd0000000), hpa(WIDE), PAGE_SIZE, PAGE_READ), STATUS_EXISTS);
	assert_int_equal(page_table_unmap(&vm->memory.nested, 0xd0000000, PAGE_SIZE), STATUS_OK);
	assert_int_equal(guest_sees(0xd0000000), 0);
	/* A unit that does not answer ends the VM. */
	assert_int_equal(passthrough_map(vm, gpa(0xd0000000), hpa(WIDE), PAGE_SIZE, PAGE_READ), STATUS_OK);
	domain_unmap_status = STATUS_TIMEOUT;
	passthrough_unmap(vm, gpa(0xd0000000), PAGE_SIZE);
	assert_int_equal(vm->stop_kind, VM_STOP_CRASH);
	assert_int_equal(guest_sees(0xd0000000), 0);
}

static unsigned delivered;

static bool count_delivery(struct passthrough_interrupt *interrupt)
{
	assert_ptr_equal(interrupt->vm, fixture_vm);
	delivered++;
	return true;
}

static enum status bind(struct passthrough_interrupt *interrupt)
{
	enum status status = passthrough_interrupt_bind(interrupt, &functions[0]);

	if (status != STATUS_OK)
		return status;
	status = passthrough_interrupt_aim(interrupt, fixture_vcpu, 0);
	if (status != STATUS_OK)
		passthrough_interrupt_unbind(interrupt);
	return status;
}

static void test_vectors(void **state)
{
	static struct passthrough_interrupt interrupts[200];
	unsigned count = 0;
	uint8_t vector;

	(void)state;
	for (unsigned i = 0; i < array_count(interrupts); i++) {
		interrupts[i] = (struct passthrough_interrupt){.vm = fixture_vm, .deliver = count_delivery};
		if (bind(&interrupts[i]) != STATUS_OK)
			break;
		count++;
	}
	assert_true(count >= 100 && count <= INTERRUPT_VECTOR_DEVICES_END - INTERRUPT_VECTOR_DEVICES);
	assert_int_equal(bind(&interrupts[count]), STATUS_NO_MEMORY);
	assert_int_equal(entries_used, count);
	delivered = 0;
	vector = interrupts[7].vector;
	interrupt_dispatch(vector);
	assert_int_equal(delivered, 1);
	for (unsigned i = 0; i < count; i++)
		passthrough_interrupt_unbind(&interrupts[i]);
	/* One that a CPU had accepted already. */
	interrupt_dispatch(vector);
	assert_int_equal(delivered, 1);
	passthrough_interrupt_unbind(&interrupts[0]);
	entry_status = STATUS_NO_MEMORY;
	assert_int_equal(bind(&interrupts[0]), STATUS_NO_MEMORY);
}

/* The owner's lock is held by who takes the interrupt away: the handler sees that it has gone instead of waiting for ever. */
static struct passthrough_interrupt contended;

static void take_away_on_pause(void)
{
	static unsigned pauses;

	if (++pauses != 3)
		return;
	fake_pause_hook = NULL;
	/* What passthrough_interrupt_unbind() does first; then it would wait for this CPU. */
	contended.deliver = NULL;
	spinlock_unlock(&fixture_vm->device_lock);
	contended.deliver = count_delivery;
}

static void test_busy_lock(void **state)
{
	(void)state;
	contended = (struct passthrough_interrupt){.vm = fixture_vm, .deliver = count_delivery};
	assert_int_equal(bind(&contended), STATUS_OK);
	delivered = 0;
	spinlock_lock(&fixture_vm->device_lock);
	fake_pause_hook = take_away_on_pause;
	interrupt_dispatch(contended.vector);
	assert_int_equal(delivered, 1);
	passthrough_interrupt_unbind(&contended);
}

static bool claim_it;

static bool answer(struct passthrough_interrupt *interrupt)
{
	(void)interrupt;
	delivered++;
	return claim_it;
}

/* Two share a line; one that nobody silences is switched off. */
static void test_shared_line(void **state)
{
	struct passthrough_interrupt first = {.vm = fixture_vm, .deliver = answer}, second = first;
	uint32_t gsi;

	(void)state;
	assert_false(passthrough_interrupt_line(&functions[2], &gsi));
	functions[2].interrupt_pin = 1;
	functions[2].interrupt_line = 5;
	assert_true(passthrough_interrupt_line(&functions[2], &gsi));
	assert_int_equal(gsi, 5);
	assert_int_equal(passthrough_interrupt_bind_line(&first, gsi), STATUS_OK);
	assert_true(passthrough_interrupt_line(&functions[2], &gsi));
	assert_int_equal(passthrough_interrupt_bind_line(&second, gsi), STATUS_OK);
	assert_int_equal(first.vector, second.vector);
	assert_int_equal(ioapic_inputs[5].vector, first.vector);
	assert_true(ioapic_inputs[5].level && !ioapic_inputs[5].masked);
	delivered = 0;
	claim_it = true;
	interrupt_dispatch(first.vector);
	assert_int_equal(delivered, 2);
	claim_it = false;
	for (unsigned i = 0; i < 1000; i++)
		interrupt_dispatch(first.vector);
	assert_true(ioapic_inputs[5].masked);
	passthrough_interrupt_unbind(&second);
	assert_int_equal(passthrough_interrupt_bind_line(&second, gsi), STATUS_OK);
	assert_false(ioapic_inputs[5].masked);
	passthrough_interrupt_unbind(&first);
	assert_false(ioapic_inputs[5].masked);
	passthrough_interrupt_unbind(&second);
	assert_true(ioapic_inputs[5].masked);
	/* An input that the hypervisor uses is nobody else's. */
	ioapic_inputs[6].masked = false;
	functions[2].interrupt_line = 6;
	assert_false(passthrough_interrupt_line(&functions[2], &gsi));
}

#define WITH_VM(test) cmocka_unit_test_setup_teardown(test, fixture_passthrough_vm, fixture_passthrough_end)
#define WITHOUT_VM(test) cmocka_unit_test_setup_teardown(test, fixture_passthrough_start, fixture_passthrough_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITHOUT_VM(test_refusals), WITHOUT_VM(test_virtual_functions), WITHOUT_VM(test_physical_function_taken_back_alone),
		WITHOUT_VM(test_permissive), WITHOUT_VM(test_ats), WITHOUT_VM(test_whole_group), WITHOUT_VM(test_order),
		WITHOUT_VM(test_creation_fails_as_a_whole),
		WITH_VM(test_domain_is_the_guests_ram), WITH_VM(test_both_or_neither), WITH_VM(test_vectors), WITH_VM(test_busy_lock),
		WITH_VM(test_shared_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
