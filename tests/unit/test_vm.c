/* vmm/vm.c: a VM takes what it needs, gives every page back, leaves nothing behind when it cannot be made, and ends once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/vm_fixture.h"

static int set_up(void **state)
{
	(void)state;
	fixture_start_machine();
	return 0;
}

static int set_up_vm(void **state)
{
	(void)state;
	fixture_start_vm();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	pool_fail_at = UINT32_MAX;
	fixture_destroy_vm();
	return 0;
}

static void test_create_and_destroy(void **state)
{
	const unsigned before = pool_used;
	struct vm *vm = NULL;

	(void)state;
	assert_int_equal(vm_create(&fixture_config, &vm), STATUS_OK);
	assert_true(page_pool_owned_bytes(PAGE_OWNER_GUEST) == 4 * MIB - 0x20000);
	assert_int_equal(vm->state, VM_CREATED);
	assert_int_equal(vm->vcpu_count, 1);
	assert_int_equal(vm->vcpus[0]->state, VCPU_OFF);
	assert_ptr_equal(vm->vcpus[0]->vm, vm);
	assert_ptr_equal(vm_find("test"), vm);
	assert_null(vm_find("tes"));
	assert_int_equal(vm->stop_kind, VM_STOP_NONE);
	assert_non_null(vm->irq.local);
	vm_destroy(vm);
	assert_int_equal(pool_used, before);
	assert_int_equal(page_pool_owned_bytes(PAGE_OWNER_GUEST) + page_pool_owned_bytes(PAGE_OWNER_TABLE), 0);
	assert_int_equal(vm_list_count, 0);
	assert_null(vm_find("test"));
}

/* What one guest wrote is not there for the next one. */
static void test_memory_is_scrubbed(void **state)
{
	uint64_t secret = 0x5ec4e7, found = 1;
	struct vm *vm;

	(void)state;
	assert_int_equal(vm_create(&fixture_config, &vm), STATUS_OK);
	assert_int_equal(guest_memory_write(&vm->memory, gpa(0x123456), &secret, 8), STATUS_OK);
	vm_destroy(vm);
	assert_int_equal(vm_create(&fixture_config, &vm), STATUS_OK);
	assert_int_equal(guest_memory_read(&vm->memory, gpa(0x123456), &found, 8), STATUS_OK);
	assert_int_equal(found, 0);
	vm_destroy(vm);
}

static void test_all_vcpus(void **state)
{
	const unsigned before = pool_used;
	struct vm *vm;

	(void)state;
	fixture_config.vcpus = VM_MAX_VCPUS;
	assert_int_equal(vm_create(&fixture_config, &vm), STATUS_OK);
	assert_int_equal(vm->vcpu_count, VM_MAX_VCPUS);
	for (uint32_t i = 0; i < VM_MAX_VCPUS; i++) {
		assert_int_equal(vm->vcpus[i]->index, i);
		/* The guest's TSC starts near 0, the same for all. */
		assert_true(vcpu_guest_tsc(vm->vcpus[i]) < 1000000);
	}
	vm_destroy(vm);
	assert_int_equal(pool_used, before);
	fixture_config.vcpus = VM_MAX_VCPUS + 1;
	assert_int_equal(vm_create(&fixture_config, &vm), STATUS_OUT_OF_RANGE);
	assert_int_equal(pool_used, before);
}

/* Every allocation in turn fails. */
static void test_no_memory_at_each_step(void **state)
{
	const unsigned before = pool_used;
	unsigned step = 0;
	struct vm *vm;

	(void)state;
	fixture_config.vcpus = 2;
	for (;; step++) {
		fixture_log_clear();
		pool_fail_at = step;
		enum status status = vm_create(&fixture_config, &vm);
		if (pool_fail_at <= step) /* none failed */
			break;
		/* The short way out of a larger page is a smaller one, so one failure need not be the VM's. */
		if (status == STATUS_OK) {
			vm_destroy(vm);
		} else {
			assert_int_equal(status, STATUS_NO_MEMORY);
			assert_true(fixture_logged("vm test: not created"));
		}
		assert_int_equal(pool_used, before);
		assert_int_equal(vm_list_count, 0);
		assert_true(step < 10000);
	}
	pool_fail_at = UINT32_MAX;
	vm_destroy(vm);
	assert_int_equal(pool_used, before);
	assert_in_range(step, 500, 10000);
}

static void test_too_little_memory_says_how_much(void **state)
{
	struct vm *vm;

	(void)state;
	fixture_config.memory = 160 * MIB;
	assert_int_equal(vm_create(&fixture_config, &vm), STATUS_NO_MEMORY);
	assert_true(fixture_logged("needs 160 MiB"));
	assert_true(fixture_logged("(33 MiB missing)") || fixture_logged("(32 MiB missing)"));
}

/* Tables and vCPUs count too: a VM as large as the free memory lacks those. */
static void test_overhead_counts(void **state)
{
	unsigned rest = (unsigned)(page_pool_free_bytes() % (2 * MIB) / PAGE_SIZE);
	void *taken = page_pool_allocate_contiguous(rest);
	unsigned before = pool_used;
	struct vm *vm;

	(void)state;
	fixture_config.vcpus = VM_MAX_VCPUS;
	fixture_config.memory = align_down(page_pool_free_bytes(), 2 * MIB);
	assert_int_equal(vm_create(&fixture_config, &vm), STATUS_NO_MEMORY);
	assert_true(fixture_logged(" KiB for tables and vCPUs"));
	assert_true(fixture_logged("(1 MiB missing)"));
	assert_int_equal(pool_used, before);
	page_pool_free_contiguous(taken, rest);
}

static void test_config_is_copied(void **state)
{
	struct vm *vm;

	(void)state;
	assert_int_equal(vm_create(&fixture_config, &vm), STATUS_OK);
	memcpy(fixture_config.name, "gone", 5);
	assert_string_equal(vm->config->name, "test");
	assert_ptr_equal(vm_find("test"), vm);
	vm_destroy(vm);
}

/* A reset makes all anew but memory, id, and what the user has set. */
static void test_reset(void **state)
{
	unsigned before = pool_used, pages;
	struct vm *vm;

	(void)state;
	fixture_config.vcpus = 2;
	assert_int_equal(vm_create(&fixture_config, &vm), STATUS_OK);
	pages = pool_used;
	uint32_t id = vm->id;
	uint64_t tables = vm->memory.nested.table_pages;
	for (unsigned i = 0; i < 100; i++) {
		vm->vcpus[1]->sched.affinity = 2;
		vm->vcpus[0]->exit_counts[1] = 7;
		vm_stop(vm, VM_STOP_REBOOT, 0);
		while (guest_memory_scrub(&vm->memory, MIB))
			;
		assert_int_equal(vm_reset(vm), STATUS_OK);
		assert_int_equal(pool_used, pages);
		assert_int_equal(vm->memory.nested.table_pages, tables);
	}
	assert_int_equal(vm->id, id);
	assert_int_equal(vm->state, VM_CREATED);
	assert_int_equal(vm->stop_kind, VM_STOP_NONE);
	assert_int_equal(vm->vcpu_count, 2);
	assert_int_equal(vm->vcpus[1]->sched.affinity, 2);
	assert_int_equal(vm->vcpus[0]->exit_counts[1], 0);
	assert_int_equal(vm->irq.pin_controllers, 2);
	assert_int_equal(vm->memory.scrubbed, 0);
	assert_true(vm_press_power_button(vm));
	vm_destroy(vm);
	assert_int_equal(pool_used, before);
}

static void test_reset_without_memory(void **state)
{
	const unsigned before = pool_used;
	struct vm *vm;

	(void)state;
	for (unsigned step = 0;; step++) {
		assert_int_equal(vm_create(&fixture_config, &vm), STATUS_OK);
		pool_fail_at = step;
		enum status status = vm_reset(vm);
		bool none_failed = pool_fail_at <= step;
		pool_fail_at = UINT32_MAX;
		if (status != STATUS_OK)
			assert_int_equal(vm->vcpu_count, 0);
		assert_false(status != STATUS_OK && vm_press_power_button(vm));
		vm_destroy(vm);
		assert_int_equal(pool_used, before);
		if (none_failed)
			break;
		assert_true(step < 1000);
	}
}

/* Nothing is lost in a thousand lives: no page, no VPID; and no id comes twice. */
static void test_a_thousand_lives(void **state)
{
	const unsigned before = pool_used;
	uint32_t last_id = 0;
	struct vm *vm;

	(void)state;
	fixture_config.memory = 2 * MIB;
	fixture_config.vcpus = 3;
	for (unsigned i = 0; i < 1000; i++) {
		assert_int_equal(vm_create(&fixture_config, &vm), STATUS_OK);
		assert_true(vm->id > last_id);
		last_id = vm->id;
		for (uint32_t v = 0; v < 3; v++)
			assert_in_range(vm->vcpus[v]->virt.backend->vpid, 1, 3);
		vm_destroy(vm);
		assert_int_equal(pool_used, before);
	}
}

static void test_no_virtualization(void **state)
{
	struct vm *vm;

	(void)state;
	virt_set_missing("this CPU has no VMX");
	assert_int_equal(vm_create(&fixture_config, &vm), STATUS_UNSUPPORTED);
	assert_true(fixture_logged("not created: this CPU has no VMX"));
}

static void test_list_is_bounded(void **state)
{
	struct vm *vms[CONFIG_MAX_VMS], *one_more;
	const unsigned before = pool_used;
	uint32_t last_id = 0;

	(void)state;
	fixture_config.memory = 2 * MIB;
	for (unsigned i = 0; i < CONFIG_MAX_VMS; i++) {
		assert_int_equal(vm_create(&fixture_config, &vms[i]), STATUS_OK);
		assert_true(vms[i]->id > last_id);
		last_id = vms[i]->id;
	}
	assert_int_equal(vm_create(&fixture_config, &one_more), STATUS_OUT_OF_RANGE);
	vm_destroy(vms[3]);
	assert_int_equal(vm_list_count, CONFIG_MAX_VMS - 1);
	assert_ptr_equal(vm_list[3], vms[4]);
	assert_int_equal(vm_create(&fixture_config, &vms[3]), STATUS_OK);
	assert_int_equal(vms[3]->id, last_id + 1);
	for (unsigned i = 0; i < CONFIG_MAX_VMS; i++)
		vm_destroy(vms[i]);
	assert_int_equal(pool_used, before);
}

static const char *described(void)
{
	static char text[VM_STOP_TEXT_SIZE + 16];

	size_t length = vm_stop_describe(fixture_vm, text, sizeof(text));
	assert_int_equal(length, strlen(text));
	return text;
}

static void test_first_reason_counts(void **state)
{
	(void)state;
	assert_string_equal(described(), "running");
	vm_stop(fixture_vm, VM_STOP_EXIT, 7);
	vm_stop(fixture_vm, VM_STOP_REBOOT, 0);
	vm_crash(fixture_vm, "too late");
	assert_string_equal(described(), "exit 7");
	assert_int_equal(fixture_vm->state, VM_STOPPING);
	assert_true(fixture_vcpu->requests & VCPU_REQUEST_STOP);
}

static void test_crash_text_is_cut(void **state)
{
	char expected[VM_STOP_TEXT_SIZE];

	(void)state;
	vm_crash(fixture_vm, "%0200u", 5u);
	memset(expected, '0', sizeof(expected) - 1);
	expected[sizeof(expected) - 1] = '\0';
	assert_true(strncmp(described(), "crash: ", 7) == 0);
	assert_string_equal(described() + 7, expected);
}

static void test_stop_names(void **state)
{
	static const struct { enum vm_stop_kind kind; const char *name; } names[] = {
		{VM_STOP_POWEROFF, "poweroff"}, {VM_STOP_REBOOT, "reboot"}, {VM_STOP_DESTROYED, "destroyed"}, {VM_STOP_NONE, "running"},
	};

	(void)state;
	for (size_t i = 0; i < array_count(names); i++) {
		fixture_vm->stop_kind = VM_STOP_NONE;
		vm_stop(fixture_vm, names[i].kind, 0);
		assert_string_equal(described(), names[i].name);
	}
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
#define TEST_VM(function) cmocka_unit_test_setup_teardown(function, set_up_vm, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_create_and_destroy), TEST(test_memory_is_scrubbed), TEST(test_all_vcpus), TEST(test_no_memory_at_each_step),
		TEST(test_too_little_memory_says_how_much), TEST(test_overhead_counts), TEST(test_config_is_copied), TEST(test_reset),
		TEST(test_reset_without_memory), TEST(test_a_thousand_lives), TEST(test_no_virtualization), TEST(test_list_is_bounded),
		TEST_VM(test_first_reason_counts), TEST_VM(test_crash_text_is_cut), TEST_VM(test_stop_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
