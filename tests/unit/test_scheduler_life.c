/* vmm/sched: vCPUs that start, pause, get INIT and start-up IPIs, stop in any state, and change CPUs and policies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/scheduler_fixture.h"

static char why[SCHED_REFUSAL_SIZE];
static unsigned entries[2]; /* by the vCPU's index */
static uint32_t entered_on;

static int set_up_counts(void **state)
{
	memset(entries, 0, sizeof(entries));
	entered_on = UINT32_MAX;
	return set_up(state);
}

static void note(struct virt_vcpu *virt)
{
	entries[running(virt)->index]++;
	entered_on = pcpu_current()->index;
}

static void sleeping_guest(struct virt_vcpu *virt)
{
	note(virt);
	guest_halts(true);
}

static struct vm *add_pair(void)
{
	fixture_vcpus_per_vm = 2;
	struct vcpu *first = add_guest(0, 0, true);
	fixture_vcpus_per_vm = 1;
	scheduler_start(first->vm->vcpus[1]);
	fixture_guest = sleeping_guest;
	run_loop();
	return first->vm;
}

/* ---- pause ---- */

static void test_pause_of_a_sleeper(void **state)
{
	struct vcpu *vcpu = add_guest(0, 0, true);

	(void)state;
	fixture_guest = sleeping_guest;
	run_loop();
	scheduler_pause(vcpu);
	run_loop();
	assert_int_equal(vcpu->state, VCPU_PAUSED);
	/* What happens meanwhile waits. */
	vcpu_kick(vcpu, VCPU_REQUEST_NMI);
	run_loop();
	assert_int_equal(vcpu->state, VCPU_PAUSED);
	assert_int_equal(entries[0], 1);
	scheduler_unpause(vcpu);
	run_loop();
	assert_int_equal(entries[0], 2);
	/* Back in its HLT, not behind it. */
	scheduler_pause(vcpu);
	run_loop();
	scheduler_unpause(vcpu);
	run_loop();
	assert_int_equal(vcpu->state, VCPU_BLOCKED);
	assert_int_equal(entries[0], 2);
}

static void self_pausing_guest(struct virt_vcpu *virt)
{
	note(virt);
	if (entries[0] == 1)
		scheduler_pause(running(virt));
	if (entries[0] < 3)
		guest_exits(10);
	else
		guest_halts(true);
}

static void test_pause_of_a_running_one(void **state)
{
	struct vcpu *vcpu = add_guest(0, 0, true);

	(void)state;
	fixture_guest = self_pausing_guest;
	run_loop();
	assert_int_equal(vcpu->state, VCPU_PAUSED);
	assert_int_equal(entries[0], 1);
	scheduler_unpause(vcpu);
	run_loop();
	assert_int_equal(vcpu->state, VCPU_BLOCKED);
	assert_int_equal(entries[0], 3);
}

static void test_pause_taken_back(void **state)
{
	struct vcpu *vcpu = add_guest(0, 0, true);

	(void)state;
	fixture_guest = sleeping_guest;
	scheduler_pause(vcpu);
	scheduler_unpause(vcpu);
	run_loop();
	assert_int_equal(vcpu->state, VCPU_BLOCKED);
	assert_int_equal(entries[0], 1);
}

static void test_stop_of_a_paused_one(void **state)
{
	struct vcpu *vcpu = add_guest(0, 0, true);

	(void)state;
	fixture_guest = sleeping_guest;
	scheduler_pause(vcpu);
	run_loop();
	vm_stop(vcpu->vm, VM_STOP_DESTROYED, 0);
	run_loop();
	assert_int_equal(vcpu->state, VCPU_OFF);
	assert_int_equal(vcpu->vm->state, VM_STOPPED);
	assert_int_equal(entries[0], 0);
}

/* ---- INIT and start-up IPIs ---- */

static void test_second_waits_for_a_start_up_ipi(void **state)
{
	struct vm *vm = add_pair();
	struct vcpu *second = vm->vcpus[1];

	(void)state;
	assert_int_equal(second->state, VCPU_WAIT_SIPI);
	assert_int_equal(entries[1], 0);
	/* Neither interrupts nor NMIs start it. */
	vcpu_kick(second, VCPU_REQUEST_EVENT | VCPU_REQUEST_NMI);
	run_loop();
	assert_int_equal(second->state, VCPU_WAIT_SIPI);
	second->sipi_vector = 0x9a;
	vcpu_kick(second, VCPU_REQUEST_SIPI);
	run_loop();
	assert_int_equal(entries[1], 1);
	assert_int_equal(second->state, VCPU_BLOCKED);
	/* A second one has no effect. */
	vcpu_kick(second, VCPU_REQUEST_SIPI);
	run_loop();
	assert_int_equal(entries[1], 1);
	assert_int_equal(entries[0], 1);
}

static void test_init_sends_it_back_to_wait(void **state)
{
	struct vm *vm = add_pair();
	struct vcpu *second = vm->vcpus[1];

	(void)state;
	vcpu_kick(second, VCPU_REQUEST_SIPI);
	run_loop();
	vcpu_kick(second, VCPU_REQUEST_INIT);
	run_loop();
	assert_int_equal(second->state, VCPU_WAIT_SIPI);
	assert_int_equal(entries[1], 1);
	/* Both at once, to one that sleeps: neither is lost. */
	vcpu_kick(second, VCPU_REQUEST_SIPI);
	run_loop();
	assert_int_equal(second->state, VCPU_BLOCKED);
	vcpu_kick(second, VCPU_REQUEST_INIT);
	vcpu_kick(second, VCPU_REQUEST_SIPI);
	run_loop();
	assert_int_equal(second->state, VCPU_BLOCKED);
	assert_int_equal(entries[1], 3);
	/* The bootstrap vCPU does not wait. */
	vcpu_kick(vm->vcpus[0], VCPU_REQUEST_INIT);
	run_loop();
	assert_int_equal(entries[0], 2);
}

static void test_paused_when_the_start_up_ipi_comes(void **state)
{
	struct vm *vm = add_pair();
	struct vcpu *second = vm->vcpus[1];

	(void)state;
	scheduler_pause(second);
	run_loop();
	assert_int_equal(second->state, VCPU_WAIT_SIPI);
	vcpu_kick(second, VCPU_REQUEST_SIPI);
	run_loop();
	assert_int_equal(second->state, VCPU_PAUSED);
	scheduler_unpause(second);
	run_loop();
	assert_int_equal(entries[1], 1);
}

static void test_stop_while_it_waits(void **state)
{
	struct vm *vm = add_pair();

	(void)state;
	vm_stop(vm, VM_STOP_POWEROFF, 0);
	run_loop();
	assert_int_equal(vm->vcpus[1]->state, VCPU_OFF);
	assert_int_equal(vm->state, VM_STOPPED);
}

static void test_stop_before_the_start(void **state)
{
	struct vcpu *vcpu = add_guest(0, 0, false);

	(void)state;
	vm_stop(vcpu->vm, VM_STOP_DESTROYED, 0);
	run_loop();
	assert_int_equal(vcpu->vm->state, VM_STOPPED);
}

/* HLT with interrupts off: nothing maskable ends it. */
static void deaf_guest(struct virt_vcpu *virt)
{
	note(virt);
	guest_halts(entries[1] == 0);
}

static void test_flood_of_kicks_is_limited(void **state)
{
	struct vcpu *vcpu = add_guest(0, 0, true);
	struct scheduler_cpu *cpu = pcpu_get(0)->scheduler;
	unsigned looks = 0;

	(void)state;
	fixture_guest = deaf_guest;
	run_loop();
	/* Somebody else waits for the CPU. */
	cpu->queued++;
	for (unsigned i = 0; i < 1000; i++) {
		vcpu_kick(vcpu, VCPU_REQUEST_EVENT);
		if (!__atomic_exchange_n(&cpu->attention, false, __ATOMIC_RELAXED))
			continue;
		looks++;
		scheduler_look_around(cpu);
	}
	cpu->queued--;
	assert_in_range(looks, 2, 10);
	/* It is looked at when the time is over. */
	assert_true(cpu->blocked_deadline <= fake_tsc + clock_ticks_from_nanoseconds(1000000));
	assert_int_equal(vcpu->state, VCPU_BLOCKED);
}

/* ---- CPUs and policies ---- */

static void test_affinity(void **state)
{
	struct vcpu *vcpu = add_guest(0, 0, true);

	(void)state;
	fixture_guest = sleeping_guest;
	run_loop();
	assert_int_equal(entered_on, 0);
	assert_int_equal(scheduler_set_affinity(vcpu, BIT(1), why), STATUS_OK);
	assert_int_equal(vcpu->pcpu_index, 1);
	assert_int_equal(vcpu->sched.migrations, 1);
	vcpu_kick(vcpu, VCPU_REQUEST_NMI);
	run_loop();
	assert_int_equal(entries[0], 1);
	run_loop_on(1);
	assert_int_equal(entries[0], 2);
	assert_int_equal(entered_on, 1);
	assert_int_equal(vcpu->state, VCPU_BLOCKED);
	/* A CPU that does not exist: nothing changes. */
	pcpu_set_current(pcpu_get(1));
	assert_int_equal(scheduler_set_affinity(vcpu, BIT(5), why), STATUS_NOT_FOUND);
	pcpu_set_current(pcpu_get(0));
	assert_true(strlen(why) > 0);
	assert_int_equal(vcpu->pcpu_index, 1);
	assert_int_equal(vcpu->sched.affinity, BIT(1));
}

static void busy_guest(struct virt_vcpu *virt)
{
	note(virt);
	guest_computes();
	if (entries[0] >= 5)
		guest_halts(true);
}

static void test_idle_cpu_steals(void **state)
{
	struct vcpu *first = add_guest(0, 0, true), *second = add_guest(1, 0, true);

	(void)state;
	first->sched.affinity = second->sched.affinity = 3;
	fixture_guest = busy_guest;
	/* CPU 1 finds the one whose state is in no CPU. */
	run_loop_on(1);
	assert_int_equal(entered_on, 1);
	assert_int_equal(first->sched.migrations + second->sched.migrations, 2);
	assert_int_equal(first->state, VCPU_BLOCKED);
}

static void test_set_policy(void **state)
{
	struct vcpu *vcpu = add_guest(0, 0, true), *other = add_guest(1, 0, true);
	struct config_sched rt = {.policy = CONFIG_SCHED_RT, .budget = 2000, .period = 10000}, pinned = {.policy = CONFIG_SCHED_PINNED};

	(void)state;
	fixture_guest = sleeping_guest;
	run_loop();
	assert_int_equal(scheduler_set_policy(vcpu->vm, &rt, why), STATUS_OK);
	assert_ptr_equal(vcpu->sched.policy, &sched_policy_rt);
	assert_int_equal(vcpu->state, VCPU_BLOCKED);
	vcpu_kick(vcpu, VCPU_REQUEST_NMI);
	run_loop();
	assert_int_equal(vcpu->state, VCPU_BLOCKED);
	/* Refused: the CPU is not its own, and it stays what it was. */
	assert_int_equal(scheduler_set_policy(vcpu->vm, &pinned, why), STATUS_DENIED);
	assert_ptr_equal(vcpu->sched.policy, &sched_policy_rt);
	assert_int_equal(vcpu->vm->sched_settings.policy, CONFIG_SCHED_RT);
	assert_int_equal(vcpu->pcpu_index, 0);
	vcpu_kick(vcpu, VCPU_REQUEST_NMI);
	run_loop();
	assert_int_equal(entries[0], 4);
	(void)other;
}

static void test_times(void **state)
{
	struct scheduler_times before, after;

	(void)state;
	add_guest(0, 0, true);
	fixture_guest = busy_guest;
	scheduler_get_times(0, &before);
	run_loop();
	scheduler_get_times(0, &after);
	assert_true(after.guest > before.guest);
	assert_true(after.switches == before.switches + 1);
	assert_true(after.guest - before.guest <= after.total);
	assert_int_equal(fixture_vms[0]->vcpus[0]->sched.run_ticks, after.guest - before.guest);
}

static uint64_t housekeeping_time;

static bool note_housekeeping(void)
{
	housekeeping_time = fake_tsc;
	return false;
}

static void test_attention_at(void **state)
{
	uint64_t at = fake_tsc + 3 * clock_ticks_from_nanoseconds(1000000);

	(void)state;
	add_guest(0, 0, true);
	fixture_work = note_housekeeping;
	fixture_guest = busy_guest;
	scheduler_attention_at(at + 1000);
	scheduler_attention_at(at);
	run_loop();
	assert_in_range(housekeeping_time, at, at + 5000);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up_counts, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_pause_of_a_sleeper), TEST(test_pause_of_a_running_one), TEST(test_pause_taken_back), TEST(test_stop_of_a_paused_one),
		TEST(test_second_waits_for_a_start_up_ipi), TEST(test_init_sends_it_back_to_wait), TEST(test_paused_when_the_start_up_ipi_comes),
		TEST(test_stop_while_it_waits), TEST(test_stop_before_the_start), TEST(test_flood_of_kicks_is_limited), TEST(test_affinity),
		TEST(test_idle_cpu_steals), TEST(test_set_policy), TEST(test_times), TEST(test_attention_at),
	};

	return cmocka_run_group_tests(tests, set_up_scheduler, NULL);
}
