/* Panic: one CPU prints, its hooks run by stage, a panic inside of a hook goes on behind it, other CPUs stop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86/clock.h"
#include "arch/x86/log.h"
#include "fake_cpu.h"

/* The host's own panic.c cannot be linked (its place is taken by tests/fake), so it is built into this test. */
#include "arch/x86/panic.c"

static jmp_buf halted;
static char text[4096];
static char order[16];
static bool hook_panics;

static void on_halt(void) { longjmp(halted, 1); }

static void note(char which)
{
	size_t length = strlen(order);

	order[length] = which;
	order[length + 1] = '\0';
}

static void stop_hook_run(void) { note('s'); }
static void backtrace_hook_run(void) { note('b'); }

static void registers_hook_run(void)
{
	note('r');
	if (hook_panics)
		panic("in a hook");
}

static const struct panic_hook backtrace_hook = {PANIC_STAGE_BACKTRACE, backtrace_hook_run};
static const struct panic_hook stop_hook = {PANIC_STAGE_STOP_CPUS, stop_hook_run};
static const struct panic_hook registers_hook = {PANIC_STAGE_REGISTERS, registers_hook_run};
PANIC_HOOK(backtrace_hook);
PANIC_HOOK(stop_hook);
PANIC_HOOK(registers_hook);

static void sink_write(const char *bytes, size_t size, bool synchronous)
{
	size_t length = strlen(text);

	assert_true(length + size < sizeof(text));
	assert_true(synchronous);
	memcpy(text + length, bytes, size);
	text[length + size] = '\0';
}

static struct log_sink sink = {.name = "test", .write = sink_write};

static int set_up(void **state)
{
	(void)state;
	fake_cpu_reset();
	fake_halt_hook = on_halt;
	fake_interrupts_enabled = true;
	panic_owner = 0;
	panic_stage = 0;
	text[0] = order[0] = '\0';
	hook_panics = false;
	panic_set_reboot(0, NULL);
	return 0;
}

static void test_prints_and_halts(void **state)
{
	(void)state;
	assert_false(panic_is_active());
	if (setjmp(halted) == 0)
		panic("broken %d", 42);
	log_add_sink(&sink);
	assert_non_null(strstr(text, "trivet: panic: broken 42\n"));
	assert_string_equal(order, "srb");
	assert_true(panic_is_active());
	assert_false(fake_interrupts_enabled);
	assert_int_equal(fake_halt_count, 1);
}

static void test_panic_in_hook_goes_on_behind_it(void **state)
{
	(void)state;
	hook_panics = true;
	if (setjmp(halted) == 0)
		panic("outer");
	assert_string_equal(order, "srb");
	assert_non_null(strstr(text, "trivet: panic: outer\n"));
	assert_non_null(strstr(text, "trivet: panic: while panicking: in a hook\n"));
	assert_int_equal(fake_halt_count, 1);
}

static unsigned reboots;
static uint64_t rebooted_at;

static enum status reboot(void)
{
	reboots++;
	rebooted_at = fake_tsc;
	return STATUS_TIMEOUT;
}

static void test_the_machine_restarts_in_time(void **state)
{
	uint64_t begun = fake_tsc;

	(void)state;
	clock_set_frequency(1000000);
	reboots = 0;
	panic_set_reboot(7, reboot);
	if (setjmp(halted) == 0)
		panic("restarts");
	assert_non_null(strstr(text, "trivet: panic: restarts\n"));
	assert_non_null(strstr(text, "the machine restarts in 7 seconds\n"));
	assert_string_equal(order, "srb");
	assert_int_equal(reboots, 1);
	assert_in_range(rebooted_at - begun, 7000000, 7100000);
	assert_int_equal(fake_halt_count, 1); /* it failed, so the CPU stays */
}

static void test_the_machine_stays(void **state)
{
	(void)state;
	reboots = 0;
	panic_set_reboot(0, reboot);
	if (setjmp(halted) == 0)
		panic("stays");
	assert_null(strstr(text, "restarts in"));
	assert_int_equal(reboots, 0);
}

static enum status reboot_that_panics(void)
{
	reboots++;
	panic("on the way out");
}

static void test_a_panic_on_the_way_out_ends(void **state)
{
	(void)state;
	clock_set_frequency(1000000);
	reboots = 0;
	panic_set_reboot(1, reboot_that_panics);
	if (setjmp(halted) == 0)
		panic("first");
	assert_int_equal(reboots, 1);
	assert_non_null(strstr(text, "while panicking: on the way out\n"));
	assert_int_equal(fake_halt_count, 1);
}

static void test_other_cpu_stops_silently(void **state)
{
	(void)state;
	if (setjmp(halted) == 0)
		panic("first");
	text[0] = order[0] = '\0';
	fake_cpuid_set(1, 0, 0, 5u << 24, 0, 0);
	if (setjmp(halted) == 0)
		panic("second");
	assert_string_equal(text, "");
	assert_string_equal(order, "");
	assert_int_equal(fake_halt_count, 2);
}

static void test_x2apic_ids_tell_cpus_apart(void **state)
{
	(void)state;
	fake_cpuid_set(0, 0, 0xb, 0, 0, 0);
	fake_cpuid_set(0xb, 0, 0, 1, 0, 0x100);
	if (setjmp(halted) == 0)
		panic("first");
	text[0] = '\0';
	fake_cpuid_set(0xb, 0, 0, 1, 0, 0x200);
	if (setjmp(halted) == 0)
		panic("second");
	assert_string_equal(text, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_prints_and_halts, set_up),
		cmocka_unit_test_setup(test_panic_in_hook_goes_on_behind_it, set_up),
		cmocka_unit_test_setup(test_the_machine_restarts_in_time, set_up),
		cmocka_unit_test_setup(test_the_machine_stays, set_up),
		cmocka_unit_test_setup(test_a_panic_on_the_way_out_ends, set_up),
		cmocka_unit_test_setup(test_other_cpu_stops_silently, set_up),
		cmocka_unit_test_setup(test_x2apic_ids_tell_cpus_apart, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
