/* vmm/sched/vm_start.c: a VM from its section to its first entry and to the line about its end; failures leave nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/scheduler_fixture.h"
#include "vmm/guest/guest_boot.h"
#include "vmm/sched/vm_start.h"

static struct boot_info information;
static struct vm_config configs[4];
static enum status load_status;
static unsigned loads;
static uint32_t loaded_on;

enum status guest_boot_load(struct vm *vm, const struct boot_info *info)
{
	assert_ptr_equal(info, &information);
	assert_ptr_equal(pcpu_current()->current_vcpu, vm->vcpus[0]);
	loads++;
	loaded_on = pcpu_current()->index;
	return load_status;
}

static enum status start(const struct vm_config *config)
{
	struct vm *vm = NULL;
	enum status status = vm_start_prepare(config, &vm);

	assert_int_equal(vm != NULL, status == STATUS_OK);
	if (status == STATUS_OK)
		vm_start_run(vm);
	return status;
}

static void other_cpu_runs(void)
{
	run_loop_on(1);
}

static int set_up_start(void **state)
{
	int result = set_up(state);

	for (unsigned i = 0; i < array_count(configs); i++) {
		configs[i] = (struct vm_config){.valid = true, .memory = 2 * MIB, .vcpus = 1};
		memcpy(configs[i].name, "vmA", 4);
		configs[i].name[2] = (char)('A' + i);
	}
	information.entry_tsc = 1;
	load_status = STATUS_OK;
	loads = 0;
	vm_start_init(&information, 1);
	return result;
}

static int tear_down_start(void **state)
{
	fake_pause_hook = NULL;
	while (vm_list_count) {
		struct vm *vm = vm_list[0];

		vm_stop(vm, VM_STOP_DESTROYED, 0);
		run_loop();
		run_loop_on(1);
		assert_int_equal(vm->state, VM_STOPPED);
		vm_start_announce_stopped();
		pcpu_set_current(pcpu_get(vm->vcpus[0]->pcpu_index));
		assert_int_equal(scheduler_remove(vm->vcpus[0]), STATUS_OK);
		pcpu_set_current(pcpu_get(0));
		vm_destroy(vm);
	}
	assert_false(vm_start_any_running());
	return tear_down(state);
}

static void halting_guest(struct virt_vcpu *virt)
{
	(void)virt;
	guest_halts(true);
}

static void test_start(void **state)
{
	(void)state;
	fixture_guest = halting_guest;
	assert_false(vm_start_any_running());
	assert_int_equal(start(&configs[0]), STATUS_OK);
	assert_int_equal(loads, 1);
	assert_true(fixture_logged("vm vmA: started"));
	assert_true(vm_start_any_running());
	assert_int_equal(vm_list[0]->state, VM_RUNNING);
	assert_int_equal(vm_list[0]->vcpus[0]->state, VCPU_RUNNABLE);
	assert_int_equal(vm_start_first_entry_ticks(vm_list[0]), 0);
	run_loop();
	assert_int_equal(vm_list[0]->vcpus[0]->state, VCPU_BLOCKED);
	assert_true(vm_start_first_entry_ticks(vm_list[0]) > 0);
}

/* A VM that is only prepared does not run yet, nor does it count as running. */
static void test_prepared(void **state)
{
	struct vm *vm = NULL;

	(void)state;
	fixture_guest = halting_guest;
	assert_int_equal(vm_start_prepare(&configs[0], &vm), STATUS_OK);
	assert_int_equal(loads, 1);
	run_loop();
	assert_int_equal(fixture_entries, 0);
	assert_int_equal(vm->state, VM_CREATED);
	assert_false(vm_start_any_running());
	assert_false(fixture_logged("started"));
	vm_start_run(vm);
	run_loop();
	assert_int_equal(fixture_entries, 1);
	assert_true(vm_start_any_running());
}

static void leaving_guest(struct virt_vcpu *virt)
{
	vm_stop(running(virt)->vm, VM_STOP_EXIT, 5);
	guest_exits(10);
}

static void test_end_is_announced_once(void **state)
{
	(void)state;
	fixture_guest = leaving_guest;
	assert_int_equal(start(&configs[0]), STATUS_OK);
	assert_false(vm_start_announce_stopped());
	run_loop();
	assert_true(vm_start_announce_stopped());
	assert_true(fixture_logged("vm vmA: stopped (exit 5)"));
	assert_false(vm_start_any_running());
	fixture_log_clear();
	assert_false(vm_start_announce_stopped());
	assert_false(fixture_logged("stopped"));
}

/* The boot processor comes last. */
static void test_cpus_in_turn(void **state)
{
	static const uint32_t expected[] = {1, 0, 1};

	(void)state;
	fixture_guest = halting_guest;
	fake_pause_hook = other_cpu_runs;
	vm_start_init(&information, 3);
	for (unsigned i = 0; i < array_count(expected); i++) {
		assert_int_equal(start(&configs[i]), STATUS_OK);
		assert_int_equal(vm_list[i]->vcpus[0]->pcpu_index, expected[i]);
		assert_int_equal(loaded_on, expected[i]);
	}
}

static void test_only_usable_cpus(void **state)
{
	(void)state;
	fixture_guest = halting_guest;
	vm_start_init(&information, 3);
	pcpu_get(1)->virtualization_on = false;
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(start(&configs[i]), STATUS_OK);
		assert_int_equal(vm_list[i]->vcpus[0]->pcpu_index, 0);
	}
	pcpu_get(1)->virtualization_on = true;
}

static void test_no_usable_cpu(void **state)
{
	unsigned before = pool_used;

	(void)state;
	vm_start_init(&information, 4);
	assert_int_equal(start(&configs[0]), STATUS_UNSUPPORTED);
	assert_true(fixture_logged("none of the CPUs"));
	assert_int_equal(pool_used, before);
	assert_false(vm_start_any_running());
}

static void test_guest_cannot_be_loaded(void **state)
{
	unsigned before = pool_used;

	(void)state;
	load_status = STATUS_NOT_FOUND;
	assert_int_equal(start(&configs[0]), STATUS_NOT_FOUND);
	assert_int_equal(pool_used, before);
	assert_int_equal(vm_list_count, 0);
	assert_false(vm_start_any_running());
	assert_false(fixture_logged("started"));
	/* Nobody looks at the vCPU that is gone. */
	run_loop();
}

static void test_no_memory(void **state)
{
	unsigned before = pool_used;

	(void)state;
	pool_fail_at = 0;
	assert_int_equal(start(&configs[0]), STATUS_NO_MEMORY);
	pool_fail_at = UINT32_MAX;
	assert_int_equal(pool_used, before);
	assert_true(fixture_logged("vm vmA: not created"));
	assert_int_equal(loads, 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up_start, tear_down_start)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_start), TEST(test_prepared), TEST(test_end_is_announced_once), TEST(test_cpus_in_turn), TEST(test_only_usable_cpus), TEST(test_no_usable_cpu),
		TEST(test_guest_cannot_be_loaded), TEST(test_no_memory),
	};

	return cmocka_run_group_tests(tests, set_up_scheduler, NULL);
}
