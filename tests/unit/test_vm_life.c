/*
 * vmm/sched/vm_life.c and its folder's vm_life_create.c and vm_launch.c: a VM from its section to its first entry, through
 * pauses, resets and restarts, to its end; nothing is left of it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "tests/unit/scheduler_fixture.h"
#include "vmm/console_mux.h"
#include "vmm/exit/exit_handlers.h"
#include "vmm/guest/guest_boot.h"
#include "vmm/platform.h"
#include "vmm/sched/vm_life.h"

#define SECOND 1000000000ull /* [nanoseconds] */
#define FILE_ADDRESS 0x3000u

static struct boot_info information;
static struct config config;
static enum status load_status;
static unsigned loads;
static unsigned pages_before;

enum status guest_boot_load(struct vm *vm, const struct boot_info *info)
{
	assert_ptr_equal(info, &information);
	assert_ptr_equal(pcpu_current()->current_vcpu, vm->vcpus[0]);
	loads++;
	return load_status;
}

static struct vm_config *section(unsigned index) { return &config.vms[index]; }
static struct vm *vm_a(void) { return vm_find("vmA"); }

static enum status start(unsigned index)
{
	return vm_life_create(section(index), false);
}

/* Timers come while a CPU sleeps; the end of all sleep is when none is armed. */
static bool time_passes(void)
{
	uint64_t deadline = fake_msr_get(MSR_TSC_DEADLINE);

	fake_msr_set(MSR_TSC_DEADLINE, 0);
	if (deadline > fake_tsc)
		fake_tsc = deadline;
	return deadline != 0;
}

/* What is to be done now and what comes of it, without waiting for timers. */
static void settle(void)
{
	fixture_idle = NULL;
	scheduler_attention();
	run_loop();
}

/* All that will ever happen. */
static void wait_for_end(void)
{
	fixture_idle = time_passes;
	scheduler_attention();
	run_loop();
	fixture_idle = NULL;
}

static void halting_guest(struct virt_vcpu *virt)
{
	(void)virt;
	guest_halts(true);
}

static enum vm_stop_kind end_kind;

static void ending_guest(struct virt_vcpu *virt)
{
	struct vm *vm = running(virt)->vm;

	if (end_kind == VM_STOP_CRASH)
		vm_crash(vm, "it fell over");
	else
		vm_stop(vm, end_kind, 5);
	guest_exits(10);
}

static void end_all(void)
{
	pcpu_get(1)->virtualization_on = true;
	for (uint32_t i = 0; i < vm_list_count; i++)
		vm_life_destroy(vm_list[i]);
	wait_for_end();
	assert_int_equal(vm_list_count, 0);
}

static int set_up_life(void **state)
{
	int result = set_up(state);

	memset(&config, 0, sizeof(config));
	memset(&information, 0, sizeof(information));
	config.vm_count = 4;
	for (unsigned i = 0; i < config.vm_count; i++) {
		*section(i) = (struct vm_config){.valid = true, .memory = 4 * MIB, .vcpus = 1, .cpus = 1, .autostart = true, .line = 10 + i,
						 .on_poweroff = CONFIG_ON_STOP_DESTROY, .on_reboot = CONFIG_ON_STOP_RESTART,
						 .on_crash = CONFIG_ON_STOP_PRESERVE, .sched = {.weight = 256}};
		memcpy(section(i)->name, "vmA", 4);
		section(i)->name[2] = (char)('A' + i);
	}
	information.entry_tsc = 1;
	load_status = STATUS_OK;
	loads = 0;
	fixture_guest = halting_guest;
	fixture_work = vm_life_work;
	vm_life_init(&information, &config);
	pages_before = pool_used;
	return result;
}

static int tear_down_life(void **state)
{
	fake_pause_hook = NULL;
	pool_fail_at = UINT32_MAX;
	end_all();
	assert_int_equal(vm_life_count_alive(), 0);
	assert_int_equal(pool_used, pages_before);
	fixture_work = NULL;
	return tear_down(state);
}

/* ---- starting ---- */

static void test_start(void **state)
{
	(void)state;
	assert_int_equal(vm_life_count_alive(), 0);
	assert_int_equal(start(0), STATUS_OK);
	assert_int_equal(loads, 1);
	assert_true(fixture_logged("vm vmA: started"));
	assert_int_equal(vm_life_count_alive(), 1);
	assert_int_equal(vm_a()->state, VM_RUNNING);
	assert_int_equal(vm_life_first_entry_ticks(vm_a()), 0);
	settle();
	assert_int_equal(vm_a()->vcpus[0]->state, VCPU_BLOCKED);
	assert_true(vm_life_first_entry_ticks(vm_a()) > 0);
}

static void test_created_paused(void **state)
{
	(void)state;
	assert_int_equal(vm_life_create(section(0), true), STATUS_OK);
	settle();
	assert_int_equal(fixture_entries, 0);
	assert_int_equal(vm_a()->state, VM_CREATED);
	assert_int_equal(vm_life_count_alive(), 1);
	assert_false(fixture_logged(": started"));
	vm_life_reset(vm_a());
	vm_life_pause(vm_a());
	vm_life_unpause(vm_a());
	settle();
	assert_true(fixture_logged("vm vmA: started"));
	assert_int_equal(fixture_entries, 1);
}

static void test_all_vcpus_start(void **state)
{
	(void)state;
	section(0)->vcpus = 3;
	assert_int_equal(start(0), STATUS_OK);
	settle();
	assert_int_equal(vm_a()->vcpus[0]->state, VCPU_BLOCKED);
	assert_int_equal(vm_a()->vcpus[1]->state, VCPU_WAIT_SIPI);
	assert_int_equal(vm_a()->vcpus[2]->state, VCPU_WAIT_SIPI);
}

static bool b_was_loaded;

static void checking_guest(struct virt_vcpu *virt)
{
	b_was_loaded = vm_find("vmB") != NULL && loads == 3;
	halting_guest(virt);
}

static void test_autostart(void **state)
{
	(void)state;
	section(1)->valid = false;
	section(2)->autostart = false;
	config.vm_count = 4;
	vm_life_autostart();
	assert_int_equal(vm_list_count, 2);
	assert_non_null(vm_find("vmA"));
	assert_non_null(vm_find("vmD"));
	assert_true(fixture_logged("vm vmB: not started: its section of trivet.conf (line 11) has faults"));
	assert_false(fixture_logged("vm vmC"));
}

static void test_all_are_loaded_before_any_runs(void **state)
{
	(void)state;
	config.vm_count = 3;
	fixture_guest = checking_guest;
	b_was_loaded = false;
	vm_life_autostart();
	assert_int_equal(fixture_entries, 0);
	settle();
	assert_true(b_was_loaded);
}

/* A VM whose policy goes first chooses its CPU first, wherever its section stands. */
static void test_order_of_policies(void **state)
{
	(void)state;
	section(2)->sched = (struct config_sched){.policy = CONFIG_SCHED_RT, .budget = 1000, .period = 10000};
	config.vm_count = 3;
	vm_life_autostart();
	assert_int_equal(vm_list_count, 3);
	assert_true(vm_find("vmC")->id < vm_find("vmA")->id);
	assert_true(vm_find("vmA")->id < vm_find("vmB")->id);
}

static void test_name_lives_already(void **state)
{
	(void)state;
	assert_int_equal(start(0), STATUS_OK);
	assert_int_equal(start(0), STATUS_EXISTS);
	assert_true(fixture_logged("vm vmA: not created: one of that name exists"));
	assert_int_equal(vm_list_count, 1);
}

static void test_guest_cannot_be_loaded(void **state)
{
	(void)state;
	load_status = STATUS_NOT_FOUND;
	assert_int_equal(start(0), STATUS_NOT_FOUND);
	assert_int_equal(pool_used, pages_before);
	assert_int_equal(vm_list_count, 0);
	assert_int_equal(vm_life_count_alive(), 0);
	assert_false(fixture_logged(": started"));
	/* Nobody looks at the vCPU that is gone. */
	settle();
}

static void test_not_admitted(void **state)
{
	(void)state;
	section(0)->cpus = 4; /* this machine has two */
	section(0)->vcpus = 2;
	assert_int_equal(start(0), STATUS_NOT_FOUND);
	assert_true(fixture_logged("vm vmA: vCPU 0 is not admitted: "));
	assert_int_equal(pool_used, pages_before);
	assert_int_equal(vm_list_count, 0);
}

static void test_no_memory_at_each_step(void **state)
{
	unsigned failures = 0;

	(void)state;
	section(0)->vcpus = 2;
	for (unsigned step = 0;; step++) {
		pool_fail_at = step;
		fixture_log_clear();
		enum status status = start(0);
		bool none_failed = pool_fail_at <= step;
		pool_fail_at = UINT32_MAX;
		if (status == STATUS_OK) {
			vm_life_destroy(vm_a());
			wait_for_end();
		} else {
			failures++;
			assert_int_equal(status, STATUS_NO_MEMORY);
			assert_true(fixture_logged("vm vmA: not created"));
			assert_int_equal(vm_list_count, 0);
		}
		assert_int_equal(pool_used, pages_before);
		if (none_failed)
			break;
		assert_true(step < 10000);
	}
	assert_in_range(failures, 20, 10000);
}

/* ---- the end ---- */

static void test_poweroff_destroys(void **state)
{
	(void)state;
	fixture_guest = ending_guest;
	end_kind = VM_STOP_POWEROFF;
	assert_int_equal(start(0), STATUS_OK);
	assert_null(vm_life_last_end(section(0)));
	wait_for_end();
	assert_true(fixture_logged("vm vmA: stopped (poweroff)"));
	assert_false(fixture_logged("destroyed"));
	assert_null(vm_a());
	assert_int_equal(vm_life_count_alive(), 0);
	assert_int_equal(pool_used, pages_before);
	assert_string_equal(vm_life_last_end(section(0)), "poweroff");
	fixture_guest = halting_guest;
	assert_int_equal(start(0), STATUS_OK);
	assert_null(vm_life_last_end(section(0)));
}

static void test_exit_goes_by_on_poweroff(void **state)
{
	(void)state;
	fixture_guest = ending_guest;
	end_kind = VM_STOP_EXIT;
	section(0)->on_poweroff = CONFIG_ON_STOP_PRESERVE;
	assert_int_equal(start(0), STATUS_OK);
	wait_for_end();
	assert_true(fixture_logged("vm vmA: stopped (exit 5)"));
	assert_int_equal(vm_a()->state, VM_STOPPED);
	assert_int_equal(vm_life_count_alive(), 0);
	fixture_log_clear();
	wait_for_end();
	assert_false(fixture_logged("stopped"));
}

static void expect_loaded(struct vcpu *vcpu, void *unused)
{
	(void)unused;
	assert_ptr_equal(pcpu_current()->current_vcpu, vcpu);
}

static void crashing_guest(struct virt_vcpu *virt)
{
	assert_int_equal(exit_crash(running(virt), "it fell over"), EXIT_STOP);
	assert_false(fixture_logged("it fell over"));
	guest_exits(10);
}

/* The dump takes long, and comes from the boot processor; the vCPU is back on its own CPU then, to be looked at. */
static void test_dump_of_a_crash(void **state)
{
	(void)state;
	fixture_guest = crashing_guest;
	assert_int_equal(start(0), STATUS_OK);
	settle();
	assert_true(fixture_logged("error: vm vmA vcpu 0: it fell over"));
	assert_true(fixture_logged("last exits"));
	assert_true(fixture_logged("vm vmA: stopped (crash: it fell over)"));
	assert_null(pcpu_current()->current_vcpu);
	assert_int_equal(scheduler_call(vm_a()->vcpus[0], expect_loaded, NULL), STATUS_OK);
	/* The next life begins without. */
	vm_life_reset(vm_a());
	fixture_guest = halting_guest;
	wait_for_end();
	assert_int_equal(vm_a()->state, VM_RUNNING);
	assert_null(vm_a()->crashed_vcpu);
}

static void test_preserved_makes_room(void **state)
{
	(void)state;
	fixture_guest = ending_guest;
	end_kind = VM_STOP_CRASH;
	assert_int_equal(start(0), STATUS_OK);
	wait_for_end();
	assert_true(fixture_logged("vm vmA: stopped (crash: it fell over)"));
	uint32_t first_id = vm_a()->id;
	fixture_guest = halting_guest;
	assert_int_equal(start(0), STATUS_OK);
	assert_int_equal(vm_list_count, 1);
	assert_true(vm_a()->id > first_id);
	settle();
	assert_int_equal(vm_a()->state, VM_RUNNING);
}

/* ---- starting again ---- */

static unsigned entries_until_end;

static void living_guest(struct virt_vcpu *virt)
{
	if (entries_until_end-- == 1)
		ending_guest(virt);
	else
		halting_guest(virt);
}

static void test_reboot_restarts(void **state)
{
	uint64_t secret = 0x5ec4e7, found = 1;

	(void)state;
	fixture_guest = living_guest;
	entries_until_end = 1;
	end_kind = VM_STOP_REBOOT;
	section(0)->vcpus = 2;
	assert_int_equal(start(0), STATUS_OK);
	uint32_t id = vm_a()->id;
	unsigned pages = pool_used;
	vm_a()->sched_settings.weight = 77;
	assert_int_equal(guest_memory_write(&vm_a()->memory, gpa(0x234567), &secret, 8), STATUS_OK);
	wait_for_end();
	assert_true(fixture_logged("vm vmA: stopped (reboot)"));
	assert_int_equal(loads, 2);
	assert_int_equal(vm_a()->state, VM_RUNNING);
	assert_int_equal(vm_a()->stop_kind, VM_STOP_NONE);
	assert_int_equal(vm_a()->vcpus[0]->state, VCPU_BLOCKED);
	assert_int_equal(vm_a()->vcpus[1]->state, VCPU_WAIT_SIPI);
	assert_int_equal(vm_a()->id, id);
	assert_int_equal(vm_a()->sched_settings.weight, 77);
	assert_int_equal(pool_used, pages);
	assert_int_equal(guest_memory_read(&vm_a()->memory, gpa(0x234567), &found, 8), STATUS_OK);
	assert_int_equal(found, 0);
	assert_null(vm_life_last_end(section(0)));
}

/* One after the other the delays double up to 10 s, and each is said once. */
static void test_restarts_are_slowed(void **state)
{
	static const unsigned expected[] = {0, 100, 200, 400, 800, 1600, 3200, 6400, 10000, 10000, 10000};
	uint64_t last_start = 0;

	(void)state;
	fixture_guest = ending_guest;
	end_kind = VM_STOP_CRASH;
	section(0)->on_crash = CONFIG_ON_STOP_RESTART;
	assert_int_equal(start(0), STATUS_OK);
	for (unsigned i = 0; i < array_count(expected); i++) {
		char line[64];
		unsigned count = loads;

		last_start = vm_a()->started_tsc;
		fixture_log_clear();
		for (unsigned sleeps = 0; loads == count; sleeps++) {
			assert_true(sleeps < 100);
			settle();
			assert_int_equal(vm_life_count_alive(), 1);
			if (loads == count)
				assert_true(time_passes());
		}
		uint64_t delay = clock_nanoseconds_from_ticks(vm_a()->started_tsc - last_start);
		assert_in_range(delay / (SECOND / 1000), expected[i], expected[i] + 40);
		if (i + 1 == array_count(expected))
			break;
		/* It has ended again already. */
		snprintf(line, sizeof(line), "starts again in %u ms", expected[i + 1]);
		assert_int_equal(fixture_logged(line), i + 1 < 9);
	}
}

static void test_long_life_restarts_at_once(void **state)
{
	(void)state;
	fixture_guest = ending_guest;
	end_kind = VM_STOP_REBOOT;
	assert_int_equal(start(0), STATUS_OK);
	vm_a()->life.delay = 5 * SECOND;
	vm_a()->started_tsc = clock_now() - clock_ticks_from_nanoseconds(11 * SECOND);
	fixture_guest = living_guest;
	entries_until_end = 1;
	wait_for_end();
	assert_int_equal(loads, 2);
	assert_false(fixture_logged("starts again in"));
	assert_int_equal(vm_a()->life.delay, SECOND / 10);
}

static void test_restart_without_memory_destroys(void **state)
{
	(void)state;
	fixture_guest = ending_guest;
	end_kind = VM_STOP_REBOOT;
	assert_int_equal(start(0), STATUS_OK);
	pool_fail_at = 3;
	wait_for_end();
	pool_fail_at = UINT32_MAX;
	assert_true(fixture_logged("vm vmA: not started again"));
	assert_null(vm_a());
	assert_int_equal(pool_used, pages_before);
	assert_int_equal(vm_life_count_alive(), 0);
	assert_string_equal(vm_life_last_end(section(0)), "reboot");
}

static void test_restart_whose_guest_cannot_be_loaded(void **state)
{
	(void)state;
	fixture_guest = ending_guest;
	end_kind = VM_STOP_REBOOT;
	assert_int_equal(start(0), STATUS_OK);
	load_status = STATUS_NOT_FOUND;
	wait_for_end();
	assert_true(fixture_logged("vm vmA: not started again"));
	assert_null(vm_a());
	assert_int_equal(pool_used, pages_before);
}

/* ---- what the user asks for ---- */

static void test_destroy(void **state)
{
	(void)state;
	section(0)->on_reboot = section(0)->on_crash = section(0)->on_poweroff = CONFIG_ON_STOP_RESTART;
	assert_int_equal(start(0), STATUS_OK);
	settle();
	vm_life_destroy(vm_a());
	assert_int_equal(vm_life_count_alive(), 1);
	wait_for_end();
	assert_true(fixture_logged("vm vmA: stopped (destroyed)"));
	assert_null(vm_a());
	assert_int_equal(pool_used, pages_before);
	assert_string_equal(vm_life_last_end(section(0)), "destroyed");
}

static void destroy_in(enum vm_state state)
{
	assert_int_equal(vm_a()->state, state);
	fixture_log_clear();
	vm_life_destroy(vm_a());
	vm_life_destroy(vm_a());
	wait_for_end();
	assert_true(fixture_logged("vm vmA: stopped (destroyed)"));
	assert_null(vm_a());
	assert_int_equal(pool_used, pages_before);
}

static void test_destroy_in_every_state(void **state)
{
	(void)state;
	assert_int_equal(vm_life_create(section(0), true), STATUS_OK);
	destroy_in(VM_CREATED);

	assert_int_equal(start(0), STATUS_OK);
	destroy_in(VM_RUNNING);

	assert_int_equal(start(0), STATUS_OK);
	vm_life_pause(vm_a());
	settle();
	assert_int_equal(vm_a()->vcpus[0]->state, VCPU_PAUSED);
	destroy_in(VM_RUNNING);

	assert_int_equal(start(0), STATUS_OK);
	vm_stop(vm_a(), VM_STOP_POWEROFF, 0);
	destroy_in(VM_STOPPING);

	fixture_guest = ending_guest;
	end_kind = VM_STOP_CRASH;
	assert_int_equal(start(0), STATUS_OK);
	settle();
	destroy_in(VM_STOPPED);
	assert_string_equal(vm_life_last_end(section(0)), "crash: it fell over");

	section(0)->on_crash = CONFIG_ON_STOP_RESTART;
	assert_int_equal(start(0), STATUS_OK);
	settle();
	destroy_in(VM_RESTARTING);
}

static void test_reset(void **state)
{
	(void)state;
	section(0)->on_reboot = CONFIG_ON_STOP_DESTROY;
	assert_int_equal(start(0), STATUS_OK);
	settle();
	uint32_t id = vm_a()->id;
	vm_life_reset(vm_a());
	wait_for_end();
	assert_true(fixture_logged("vm vmA: stopped (reboot)"));
	assert_int_equal(loads, 2);
	assert_int_equal(vm_a()->id, id);
	assert_int_equal(vm_a()->state, VM_RUNNING);
	/* The wish was for that time only. */
	vm_stop(vm_a(), VM_STOP_REBOOT, 0);
	wait_for_end();
	assert_null(vm_a());
}

static void test_reset_of_one_that_has_stopped(void **state)
{
	(void)state;
	fixture_guest = living_guest;
	entries_until_end = 1;
	end_kind = VM_STOP_CRASH;
	assert_int_equal(start(0), STATUS_OK);
	wait_for_end();
	assert_int_equal(vm_a()->state, VM_STOPPED);
	vm_life_reset(vm_a());
	wait_for_end();
	assert_int_equal(vm_a()->state, VM_RUNNING);
	assert_int_equal(vm_a()->vcpus[0]->state, VCPU_BLOCKED);
}

/* It does not wait for its delay any more. */
static void test_reset_of_one_that_waits(void **state)
{
	(void)state;
	fixture_guest = ending_guest;
	end_kind = VM_STOP_REBOOT;
	assert_int_equal(start(0), STATUS_OK);
	vm_a()->life.delay = 10 * SECOND;
	settle();
	for (unsigned i = 0; i < 10 && vm_a()->memory.scrubbed < 4 * MIB - 0x20000; i++) {
		assert_true(time_passes());
		settle();
	}
	assert_int_equal(vm_a()->state, VM_RESTARTING);
	assert_int_equal(loads, 1);
	fixture_guest = halting_guest;
	vm_life_reset(vm_a());
	settle();
	assert_int_equal(loads, 2);
}

static void test_pause(void **state)
{
	(void)state;
	assert_int_equal(start(0), STATUS_OK);
	vm_life_pause(vm_a());
	vm_life_pause(vm_a());
	settle();
	assert_int_equal(fixture_entries, 0);
	assert_true(vm_a()->paused);
	assert_int_equal(vm_a()->vcpus[0]->state, VCPU_PAUSED);
	assert_int_equal(vm_life_count_alive(), 1);
	vm_life_unpause(vm_a());
	settle();
	assert_false(vm_a()->paused);
	assert_int_equal(fixture_entries, 1);
	vm_life_unpause(vm_a());
	settle();
	assert_int_equal(fixture_entries, 1);
}

static uint16_t pm1_status(struct vm *vm)
{
	uint64_t value = 0;

	assert_int_equal(io_bus_read(&vm->buses[IO_SPACE_PORT], vm->vcpus[0], PLATFORM_PM1A_EVENT_PORT, 2, &value), STATUS_OK);
	return (uint16_t)value;
}

static void test_shutdown(void **state)
{
	(void)state;
	section(0)->on_poweroff = CONFIG_ON_STOP_DESTROY;
	assert_int_equal(start(0), STATUS_OK);
	settle();
	assert_int_equal(pm1_status(vm_a()) & 0x100, 0);
	vm_life_shutdown(vm_a(), false);
	assert_int_equal(pm1_status(vm_a()) & 0x100, 0x100);
	assert_int_equal(vm_a()->state, VM_RUNNING);
	vm_stop(vm_a(), VM_STOP_POWEROFF, 0);
	wait_for_end();
	assert_null(vm_a());
	assert_true(fixture_logged("vm vmA: stopped (poweroff)"));
}

static void test_reboot_by_the_user(void **state)
{
	(void)state;
	assert_int_equal(start(0), STATUS_OK);
	settle();
	vm_life_shutdown(vm_a(), true);
	vm_stop(vm_a(), VM_STOP_POWEROFF, 0);
	wait_for_end();
	assert_true(fixture_logged("vm vmA: stopped (reboot)"));
	assert_int_equal(vm_a()->state, VM_RUNNING);
	assert_int_equal(loads, 2);
	/* The button is not pressed any more, and counts no more. */
	assert_int_equal(pm1_status(vm_a()) & 0x100, 0);
	vm_stop(vm_a(), VM_STOP_POWEROFF, 0);
	wait_for_end();
	assert_null(vm_a());
}

/* ---- bounded pieces, thousand times ---- */

static uint64_t scrubbed_before;
static unsigned pieces;

static bool counted_work(void)
{
	struct vm *vm = vm_a();
	uint64_t before = vm ? vm->memory.scrubbed : 0;
	bool more = vm_life_work();

	if (!vm_a())
		return more;
	assert_in_range(vm->memory.scrubbed - before, 0, 2 * MIB);
	pieces += vm->memory.scrubbed != before;
	scrubbed_before = vm->memory.scrubbed;
	return more;
}

static void test_destroyed_in_pieces(void **state)
{
	(void)state;
	section(0)->memory = 32 * MIB;
	assert_int_equal(start(0), STATUS_OK);
	settle();
	fixture_work = counted_work;
	pieces = 0;
	vm_life_destroy(vm_a());
	settle();
	assert_int_equal(pieces, 1);
	assert_int_equal(vm_a()->state, VM_DESTROYING);
	wait_for_end();
	assert_null(vm_a());
	assert_in_range(pieces, 15, 17);
	assert_int_equal(pool_used, pages_before);
}

static void test_a_thousand_times(void **state)
{
	uint32_t last_id = 0;

	(void)state;
	section(0)->vcpus = 2;
	section(0)->memory = 2 * MIB;
	for (unsigned i = 0; i < 1000; i++) {
		assert_int_equal(start(0), STATUS_OK);
		assert_true(vm_a()->id > last_id);
		last_id = vm_a()->id;
		settle();
		vm_life_destroy(vm_a());
		wait_for_end();
		fixture_idles = 0;
		assert_null(vm_a());
		assert_int_equal(pool_used, pages_before);
	}
}

static void time_flies(void)
{
	fake_tsc += clock_ticks_from_nanoseconds(SECOND / 10);
}

static void other_cpu_answers(void)
{
	run_loop_on(1);
}

static void test_cpu_that_does_not_answer(void **state)
{
	(void)state;
	section(0)->cpus = 2;
	fake_pause_hook = time_flies;
	assert_int_equal(start(0), STATUS_TIMEOUT);
	assert_true(fixture_logged("CPU 1 does not answer"));
	assert_int_equal(vm_a()->state, VM_DESTROYING);
	assert_int_equal(vm_life_count_alive(), 0);
	assert_true(pool_used > pages_before);
	fixture_log_clear();
	settle();
	assert_non_null(vm_a());
	assert_false(fixture_logged("does not answer"));
	/* It is asked again later, and answers. */
	fake_pause_hook = other_cpu_answers;
	wait_for_end();
	assert_null(vm_a());
	assert_int_equal(pool_used, pages_before);
}

/* ---- by name ---- */

static void add_file(const char *path, const char *text)
{
	struct boot_file *file = &information.files[information.file_count++];

	strcpy(file->path, path);
	file->base = FILE_ADDRESS;
	file->size = strlen(text);
	memcpy(physmap_pointer(hpa(FILE_ADDRESS)), text, file->size);
}

static void test_create_by_name(void **state)
{
	(void)state;
	assert_int_equal(vm_life_create_by_name("vmB"), STATUS_OK);
	assert_non_null(vm_find("vmB"));
	assert_int_equal(vm_life_create_by_name("vmB"), STATUS_EXISTS);
	assert_int_equal(vm_life_create_by_name("vmX"), STATUS_NOT_FOUND);
	assert_true(fixture_logged("create: vmX: neither a VM"));
	add_file("guests/kernel", "no configuration");
	assert_int_equal(vm_life_create_by_name("guests/kernel"), STATUS_NOT_FOUND);
	assert_int_equal(vm_life_create_by_name("missing.conf"), STATUS_NOT_FOUND);
}

static void test_create_from_file(void **state)
{
	(void)state;
	add_file("more.conf", "[host]\nversion = 1\n[vm one]\nmemory = 2M\nboot = multiboot\nkernel = k\ncpus = 0\n"
			      "[vm bad]\nmemory = x\n[vm two]\nmemory = 2M\nboot = multiboot\nkernel = k\ncpus = 0\nautostart = no\n");
	assert_int_equal(vm_life_create_by_name("more.conf"), STATUS_INVALID);
	assert_true(fixture_logged("more.conf:9:10: "));
	assert_true(fixture_logged("vm one: started"));
	assert_true(fixture_logged("vm two: started"));
	assert_null(vm_find("bad"));
	assert_string_equal(vm_find("one")->config->kernel, "k");
	/* The configuration that was parsed is gone; the VMs have theirs. */
	unsigned pages = pool_used;
	vm_life_destroy(vm_find("two"));
	wait_for_end();
	assert_true(pool_used < pages);
	vm_life_destroy(vm_find("one"));
	wait_for_end();
	assert_int_equal(pool_used, pages_before);
}

static void test_create_from_empty_file(void **state)
{
	(void)state;
	add_file("more.conf", "[host]\nversion = 1\n");
	assert_int_equal(vm_life_create_by_name("more.conf"), STATUS_NOT_FOUND);
	assert_true(fixture_logged("more.conf: no VM is described in it"));
	pool_fail_at = 0;
	assert_int_equal(vm_life_create_by_name("more.conf"), STATUS_NO_MEMORY);
}

static void test_creatable(void **state)
{
	(void)state;
	config.vm_count = 2;
	add_file("trivet.conf", "");
	add_file("more.conf", "");
	add_file("vmlinuz", "");
	assert_int_equal(start(0), STATUS_OK);
	assert_string_equal(vm_life_creatable(0), "vmB");
	assert_string_equal(vm_life_creatable(1), "more.conf");
	assert_null(vm_life_creatable(2));
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up_life, tear_down_life)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_start), TEST(test_created_paused), TEST(test_all_vcpus_start), TEST(test_autostart), TEST(test_all_are_loaded_before_any_runs),
		TEST(test_order_of_policies), TEST(test_name_lives_already), TEST(test_guest_cannot_be_loaded), TEST(test_not_admitted),
		TEST(test_no_memory_at_each_step), TEST(test_poweroff_destroys), TEST(test_exit_goes_by_on_poweroff),
		TEST(test_dump_of_a_crash), TEST(test_preserved_makes_room),
		TEST(test_reboot_restarts), TEST(test_restarts_are_slowed), TEST(test_long_life_restarts_at_once), TEST(test_restart_without_memory_destroys),
		TEST(test_restart_whose_guest_cannot_be_loaded), TEST(test_destroy), TEST(test_destroy_in_every_state), TEST(test_reset),
		TEST(test_reset_of_one_that_has_stopped), TEST(test_reset_of_one_that_waits), TEST(test_pause), TEST(test_shutdown),
		TEST(test_reboot_by_the_user), TEST(test_destroyed_in_pieces), TEST(test_a_thousand_times), TEST(test_cpu_that_does_not_answer),
		TEST(test_create_by_name), TEST(test_create_from_file), TEST(test_create_from_empty_file), TEST(test_creatable),
	};

	return cmocka_run_group_tests(tests, set_up_scheduler, NULL);
}
