/* Who is asked by NMI, and what it answers: CPUs that sleep, run guests or get on are well, one that hangs panics. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86/clock.h"
#include "arch/x86/cpu/watchdog.h"
#include "arch/x86/cr.h"
#include "arch/x86/irq/lapic.h"
#include "arch/x86/irq/lapic_performance.h"
#include "arch/x86/panic_hooks.h"
#include "fake_cpu.h"
#include "fake_panic.h"
#include "fake_pcpu.h"
#include "vmm/exit_recorder.h"
#include "vmm/vm.h"
#include "vmm/watchdog.h"

#define HZ 1000000ull

struct vm *vm_list[CONFIG_MAX_VMS];
uint32_t vm_list_count;

static unsigned nmis[PCPU_MAX], kicks[PCPU_MAX];
static uint64_t now;
static struct vm vm;
static struct vcpu vcpu;
static struct vm_exit last;
char boot_stack_guard[PAGE_SIZE], boot_stack_top[1];

bool panic_is_active(void) { return false; }
void panic_halt(void) { abort(); }
const struct vm_exit *exit_recorder_last(const struct vcpu *which) { assert_ptr_equal(which, &vcpu); return &last; }

void lapic_end_of_interrupt(void) {}
bool lapic_performance_nmi(void) { return false; }

enum status lapic_send_ipi(uint32_t apic_id, uint8_t vector)
{
	(void)vector;
	kicks[apic_id]++;
	return STATUS_OK;
}

enum status lapic_send_nmi(uint32_t apic_id)
{
	nmis[apic_id]++;
	return STATUS_OK;
}

/* On CPU @index at @now. */
static uint64_t look(uint32_t index)
{
	uint64_t again;

	pcpu_set_current(pcpu_get(index));
	again = watchdog_look(now);
	pcpu_set_current(pcpu_get(0));
	return again;
}

/* The NMI arrives where @frame stands. */
static bool answer(uint32_t index, uint64_t rflags)
{
	const struct idt_frame frame = {.rip = 0x1234, .rflags = rflags};
	bool mine;

	fake_tsc = now;
	pcpu_set_current(pcpu_get(index));
	mine = watchdog_answer(&frame);
	pcpu_set_current(pcpu_get(0));
	return mine;
}

static int set_up(void **state)
{
	static uint64_t epoch;

	(void)state;
	fake_cpu_reset();
	fake_pcpu_reset();
	fake_tsc_step = 0;
	clock_set_frequency(HZ);
	memset(nmis, 0, sizeof(nmis));
	memset(kicks, 0, sizeof(kicks));
	for (uint32_t id = 1; id < 3; id++)
		pcpu_add(id, id)->online = true;
	vm = (struct vm){.vcpu_count = 1, .vcpus = {&vcpu}};
	vcpu = (struct vcpu){.vm = &vm, .state = VCPU_RUNNING};
	last = (struct vm_exit){.time = 5, .cost = 0};
	vm_list[0] = &vm;
	vm_list_count = 1;
	/* What the module noted in earlier tests lies far back. */
	epoch += 1000 * HZ;
	now = epoch;
	for (uint32_t index = 0; index < 3; index++)
		pcpu_get(index)->progress = epoch;
	watchdog_start();
	for (uint32_t index = 3; index-- > 0;)
		look(index);
	for (uint32_t index = 0; index < 3; index++)
		answer(index, RFLAGS_IF);
	memset(nmis, 0, sizeof(nmis));
	return 0;
}

static void test_those_that_sleep_since_boot_are_woken(void **state)
{
	(void)state;
	assert_int_equal(kicks[0], 0);
	assert_true(kicks[1] == 1 && kicks[2] == 1);
}

static void test_cpus_that_sleep_are_not_disturbed(void **state)
{
	(void)state;
	pcpu_get(1)->idle = pcpu_get(2)->idle = true;
	for (unsigned i = 0; i < 20; i++) {
		assert_true(look(0) > now);
		now += HZ;
	}
	assert_int_equal(nmis[1] + nmis[2], 0);
}

static void test_cpus_that_get_on_are_not_disturbed(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		now += HZ;
		for (uint32_t index = 3; index-- > 0;)
			look(index);
	}
	assert_int_equal(nmis[0] + nmis[1] + nmis[2], 0);
}

static void test_a_cpu_in_its_guest_is_not_disturbed(void **state)
{
	(void)state;
	pcpu_get(1)->current_vcpu = &vcpu;
	pcpu_get(2)->idle = true;
	last.cost = 100;
	for (unsigned i = 0; i < 20; i++, now += HZ)
		look(0);
	assert_int_equal(nmis[1], 0);
	/* An exit that is handled for long is not the guest; one whose handlers come and go is. */
	last.cost = 0;
	look(0);
	assert_int_equal(nmis[1], 1);
	for (unsigned i = 0; i < 20; i++, now += HZ) {
		last.time++;
		look(0);
	}
	assert_int_equal(nmis[1], 1);
}

static void test_a_vcpu_that_is_gone_is_not_looked_at(void **state)
{
	(void)state;
	pcpu_get(1)->current_vcpu = (struct vcpu *)(uintptr_t)0xdead0000;
	pcpu_get(2)->idle = true;
	for (unsigned i = 0; i < 2; i++) {
		now += HZ;
		look(0);
	}
	assert_int_equal(nmis[1], 0);
	now += HZ;
	look(0);
	assert_int_equal(nmis[1], 1);
}

/* Nothing tells that it is in the guest: it has not left it since it passed by. */
static void test_a_guest_without_exits_between_two_passes_is_not_disturbed(void **state)
{
	(void)state;
	pcpu_get(1)->current_vcpu = &vcpu;
	pcpu_get(2)->idle = true;
	for (unsigned i = 0; i < 20; i++) {
		now += HZ;
		if (i % 2 == 0)
			look(1);
		look(0);
	}
	assert_int_equal(nmis[1], 0);
}

static void test_a_silent_cpu_is_asked_once_a_second(void **state)
{
	(void)state;
	pcpu_get(2)->idle = true;
	assert_int_equal(look(0), now + HZ);
	now += HZ / 2;
	look(0);
	for (unsigned i = 0; i < 2; i++) {
		now += HZ;
		look(0);
	}
	assert_int_equal(nmis[1], 0);
	for (unsigned i = 0; i < 3; i++) {
		now += HZ;
		assert_int_equal(look(0), now + HZ);
		assert_int_equal(nmis[1], i + 1);
	}
	assert_int_equal(nmis[2], 0);
}

static void test_others_look_after_the_boot_processor(void **state)
{
	(void)state;
	now += 3 * HZ;
	assert_int_equal(look(1), now + 2 * HZ);
	assert_int_equal(nmis[0], 0);
	now += 2 * HZ;
	look(1);
	assert_int_equal(nmis[0], 1);
	look(0);
	now += 3 * HZ;
	look(1);
	assert_int_equal(nmis[0], 1);
}

static void test_an_nmi_that_nobody_sent_is_not_for_the_watchdog(void **state)
{
	(void)state;
	assert_false(answer(1, 0));
}

/* Asks CPU 1 again and again for @seconds; true if it panicked. */
static bool panics(unsigned seconds, uint64_t rflags)
{
	fake_panic_expected = true;
	if (setjmp(fake_panic_jump) != 0) {
		pcpu_set_current(pcpu_get(0));
		return true;
	}
	for (unsigned i = 0; i < seconds; i++, now += HZ) {
		watchdog_ask(pcpu_get(1));
		assert_true(answer(1, rflags));
	}
	fake_panic_expected = false;
	return false;
}

static void test_a_cpu_that_hangs_panics_in_time(void **state)
{
	(void)state;
	assert_false(panics(WATCHDOG_LIMIT_SECONDS, 0));
	assert_true(panics(2, 0));
	assert_non_null(strstr(fake_panic_message, "CPU 1 hangs"));
	assert_non_null(strstr(fake_panic_message, "0x1234"));
}

static void test_a_cpu_that_sleeps_is_well(void **state)
{
	(void)state;
	assert_false(panics(30, RFLAGS_IF));
	pcpu_get(1)->idle = true;
	assert_false(panics(30, 0));
}

static void test_progress_and_exits_are_life(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 10; i++) {
		assert_false(panics(WATCHDOG_LIMIT_SECONDS, 0));
		pcpu_get(1)->progress++;
	}
	pcpu_get(1)->current_vcpu = &vcpu;
	for (unsigned i = 0; i < 10; i++) {
		assert_false(panics(WATCHDOG_LIMIT_SECONDS, 0));
		last.time++;
	}
}

static void test_a_provoked_panic(void **state)
{
	(void)state;
	watchdog_provoke(pcpu_get(2), WATCHDOG_PROVOKE_PANIC);
	look(0);
	look(1);
	fake_panic_expected = true;
	if (setjmp(fake_panic_jump) == 0) {
		look(2);
		fail();
	}
	pcpu_set_current(pcpu_get(0));
	assert_string_equal(fake_panic_message, "provoked on CPU 2");
	look(2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_those_that_sleep_since_boot_are_woken, set_up),
		cmocka_unit_test_setup(test_cpus_that_sleep_are_not_disturbed, set_up),
		cmocka_unit_test_setup(test_cpus_that_get_on_are_not_disturbed, set_up),
		cmocka_unit_test_setup(test_a_cpu_in_its_guest_is_not_disturbed, set_up),
		cmocka_unit_test_setup(test_a_vcpu_that_is_gone_is_not_looked_at, set_up),
		cmocka_unit_test_setup(test_a_guest_without_exits_between_two_passes_is_not_disturbed, set_up),
		cmocka_unit_test_setup(test_a_silent_cpu_is_asked_once_a_second, set_up),
		cmocka_unit_test_setup(test_others_look_after_the_boot_processor, set_up),
		cmocka_unit_test_setup(test_an_nmi_that_nobody_sent_is_not_for_the_watchdog, set_up),
		cmocka_unit_test_setup(test_a_cpu_that_hangs_panics_in_time, set_up),
		cmocka_unit_test_setup(test_a_cpu_that_sleeps_is_well, set_up),
		cmocka_unit_test_setup(test_progress_and_exits_are_life, set_up),
		cmocka_unit_test_setup(test_a_provoked_panic, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
