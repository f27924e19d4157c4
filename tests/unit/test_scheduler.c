/* vmm/sched: CPUs that run vCPUs in turns, sleep and wake, carry out calls of others, and end VMs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/scheduler_fixture.h"

static char order[64]; /* the digit of each VM that was entered, without repeats */
static unsigned entered[GUESTS];
static unsigned limit;

static void note(struct vcpu *vcpu)
{
	char digit = vcpu->vm->config->name[2];
	size_t length = strlen(order);

	entered[digit - '0']++;
	if ((length == 0 || order[length - 1] != digit) && length < sizeof(order) - 1)
		order[length] = digit;
}

static int set_up_notes(void **state)
{
	memset(order, 0, sizeof(order));
	memset(entered, 0, sizeof(entered));
	limit = 0;
	return set_up(state);
}

/* ---- sleeping ---- */

static void sleeping_guest(struct virt_vcpu *virt)
{
	note(running(virt));
	guest_halts(true);
}

static void test_no_guest(void **state)
{
	(void)state;
	run_loop();
	assert_int_equal(fixture_idles, 1);
	assert_int_equal(fixture_housekeepings, 0);
}

static void test_halt_blocks(void **state)
{
	struct vcpu *vcpu = add_guest(0, 0, true);

	(void)state;
	fixture_guest = sleeping_guest;
	run_loop();
	assert_int_equal(vcpu->state, VCPU_BLOCKED);
	assert_int_equal(entered[0], 1);
	assert_true(vcpu->sched.run_ticks > 0);
	assert_true(vcpu->first_entry_tsc != 0);
	/* RIP is behind the HLT. */
	assert_int_equal(fake_vmcs_get(VMCS_GUEST_RIP), 0xfff2);
	run_loop();
	assert_int_equal(entered[0], 1);
}

static struct vcpu_timer alarm;
static unsigned alarms, wanted_alarms;
static uint64_t slept_until;

static void ring(struct vcpu_timer *timer)
{
	alarms++;
	vcpu_kick(timer->vcpu, VCPU_REQUEST_NMI);
}

static void only_ring(struct vcpu_timer *timer)
{
	if (++alarms < wanted_alarms)
		vcpu_timer_arm(timer, timer->deadline + 1000000);
}

static bool sleep_until_deadline(void)
{
	slept_until = fake_msr_get(MSR_TSC_DEADLINE);
	if (slept_until <= fake_tsc || alarms == wanted_alarms)
		return false;
	fake_tsc = slept_until;
	interrupt_dispatch(INTERRUPT_VECTOR_TIMER);
	return true;
}

static uint32_t events[4];
static unsigned event_count;

static void listening_guest(struct virt_vcpu *virt)
{
	note(running(virt));
	if (fixture_event() & INTERRUPTION_VALID && event_count < array_count(events))
		events[event_count++] = fixture_event();
	guest_halts(true);
}

static struct vcpu *start_with_alarm(vcpu_timer_expire expire, uint64_t deadline)
{
	struct vcpu *vcpu = add_guest(0, 0, true);

	alarms = event_count = 0;
	wanted_alarms = 1;
	vcpu_timer_init(&alarm, vcpu, expire);
	vcpu_timer_arm(&alarm, deadline);
	fixture_guest = listening_guest;
	fixture_idle = sleep_until_deadline;
	return vcpu;
}

static void test_timer_wakes(void **state)
{
	uint64_t deadline = fake_tsc + 50000000;

	(void)state;
	start_with_alarm(ring, deadline);
	run_loop();
	assert_int_equal(slept_until, deadline);
	assert_int_equal(alarms, 1);
	assert_int_equal(entered[0], 2);
	assert_int_equal(event_count, 1);
	assert_int_equal(events[0], EVENT(INTERRUPTION_NMI, EXCEPTION_NMI));
}

/* A timer that gives the guest nothing to do does not end its sleep, not even one that is armed again. */
static void test_timer_without_event(void **state)
{
	struct vcpu *vcpu = start_with_alarm(only_ring, fake_tsc + 50000000);

	(void)state;
	wanted_alarms = 3;
	run_loop();
	assert_int_equal(alarms, 3);
	assert_int_equal(entered[0], 1);
	assert_int_equal(vcpu->state, VCPU_BLOCKED);
}

/* The guest runs; its deadline is the preemption timer's. */
static void computing_guest(struct virt_vcpu *virt)
{
	note(running(virt));
	if (alarms || entered[0] > 1000)
		guest_halts(true);
	else
		guest_computes();
}

static void test_timer_while_running(void **state)
{
	uint64_t deadline = fake_tsc + 50000000;

	(void)state;
	start_with_alarm(only_ring, deadline);
	fixture_guest = computing_guest;
	run_loop();
	assert_int_equal(alarms, 1);
	assert_in_range(fake_tsc, deadline, deadline + 10000);
	/* Not before, and with few exits. */
	assert_in_range(entered[0], 2, 4);
}

/* ---- turns ---- */

static uint64_t turn_started, shortest_turn, longest_turn;
static char turn_of;

static void busy_guest(struct virt_vcpu *virt)
{
	struct vcpu *vcpu = running(virt);

	if (turn_of != vcpu->vm->config->name[2]) {
		uint64_t turn = fake_tsc - turn_started;

		if (turn_of) {
			shortest_turn = min_u64(shortest_turn, turn);
			longest_turn = max_u64(longest_turn, turn);
		}
		turn_started = fake_tsc;
		turn_of = vcpu->vm->config->name[2];
	}
	note(vcpu);
	if (strlen(order) >= limit)
		vm_stop(vcpu->vm, VM_STOP_POWEROFF, 0);
	guest_computes();
}

static void test_two_take_turns(void **state)
{
	const uint64_t slice = clock_ticks_from_nanoseconds(10000000);

	(void)state;
	turn_of = 0;
	shortest_turn = UINT64_MAX;
	longest_turn = 0;
	limit = 8;
	add_guest(0, 0, true);
	add_guest(1, 0, true);
	fixture_guest = busy_guest;
	run_loop();
	assert_memory_equal(order, "01010101", 8);
	assert_in_range(shortest_turn, slice, slice * 11 / 10);
	assert_in_range(longest_turn, slice, slice * 11 / 10);
}

static void test_three_take_turns(void **state)
{
	(void)state;
	limit = 7;
	for (unsigned i = 0; i < 3; i++)
		add_guest(i, 0, true);
	fixture_guest = busy_guest;
	run_loop();
	assert_memory_equal(order, "0120120", 7);
}

/* Alone on its CPU a vCPU has no slice: the timer is as far off as it can be. */
static void lonely_guest(struct virt_vcpu *virt)
{
	note(running(virt));
	assert_true(fake_vmcs_get(VMCS_GUEST_PREEMPTION_TIMER) >= 0x40000000);
	guest_halts(true);
}

static void test_one_has_no_slice(void **state)
{
	(void)state;
	add_guest(0, 0, true);
	fixture_guest = lonely_guest;
	run_loop();
	assert_int_equal(entered[0], 1);
}

static void pausing_guest(struct virt_vcpu *virt)
{
	struct vcpu *vcpu = running(virt);

	note(vcpu);
	if (entered[0] + entered[1] >= 6)
		guest_halts(true);
	else
		guest_exits(40);
}

static void test_pause_yields(void **state)
{
	(void)state;
	add_guest(0, 0, true);
	add_guest(1, 0, true);
	fixture_guest = pausing_guest;
	run_loop();
	assert_memory_equal(order, "010101", 6);
}

/* ---- the end of a VM ---- */

static void stopping_guest(struct virt_vcpu *virt)
{
	note(running(virt));
	vm_stop(running(virt)->vm, VM_STOP_EXIT, 3);
	guest_exits(10);
}

static void test_stop(void **state)
{
	struct vcpu *vcpu = add_guest(0, 0, true);

	(void)state;
	fixture_guest = stopping_guest;
	run_loop();
	assert_int_equal(entered[0], 1);
	assert_int_equal(vcpu->state, VCPU_OFF);
	assert_int_equal(vcpu->vm->state, VM_STOPPED);
	assert_true(fixture_housekeepings >= 1);
}

static void faulting_guest(struct virt_vcpu *virt)
{
	note(running(virt));
	guest_exits(2);
}

static void test_crash(void **state)
{
	struct vcpu *vcpu = add_guest(0, 0, true);

	(void)state;
	fixture_guest = faulting_guest;
	run_loop();
	assert_int_equal(vcpu->state, VCPU_OFF);
	assert_int_equal(vcpu->vm->state, VM_STOPPED);
	assert_int_equal(vcpu->vm->stop_kind, VM_STOP_CRASH);
	assert_int_equal(entered[0], 1);
	assert_true(fixture_housekeepings >= 1);
}

static void test_stop_of_a_sleeper(void **state)
{
	struct vcpu *vcpu = add_guest(0, 0, true);

	(void)state;
	fixture_guest = sleeping_guest;
	run_loop();
	vm_stop(vcpu->vm, VM_STOP_DESTROYED, 0);
	run_loop();
	assert_int_equal(vcpu->state, VCPU_OFF);
	assert_int_equal(vcpu->vm->state, VM_STOPPED);
	assert_int_equal(entered[0], 1);
}

static void test_failed_entry(void **state)
{
	struct vcpu *vcpu = add_guest(0, 0, true);

	(void)state;
	fixture_entry_fails = true;
	fake_vmcs_set(VMCS_DATA_INSTRUCTION_ERROR, 7);
	run_loop();
	assert_int_equal(vcpu->vm->stop_kind, VM_STOP_CRASH);
	assert_non_null(strstr(vcpu->vm->stop_text, "(code 7)"));
	assert_int_equal(vcpu->vm->state, VM_STOPPED);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up_notes, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_no_guest), TEST(test_halt_blocks), TEST(test_timer_wakes), TEST(test_timer_without_event), TEST(test_timer_while_running),
		TEST(test_two_take_turns), TEST(test_three_take_turns), TEST(test_one_has_no_slice), TEST(test_pause_yields), TEST(test_stop),
		TEST(test_crash), TEST(test_stop_of_a_sleeper), TEST(test_failed_entry),
	};

	return cmocka_run_group_tests(tests, set_up_scheduler, NULL);
}
