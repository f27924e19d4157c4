/* vmm/exit/events.c and crash.c: exceptions given back, the host's interrupts, HLT, windows, timers, and how a VM ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "arch/x86/irq/interrupt.h"
#include "tests/unit/vm_fixture.h"

static int set_up(void **state)
{
	(void)state;
	fixture_start_vm();
	fixture_enter_protected_mode();
	fixture_nmis = 0;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	fixture_destroy_vm();
	return 0;
}

static struct vm_exit exception(uint8_t vector, bool has_error_code, uint32_t error_code, uint64_t qualification)
{
	struct vm_exit exit = {.kind = VM_EXIT_EXCEPTION, .qualification = qualification, .rip = 0x1000};

	exit.exception.vector = vector;
	exit.exception.has_error_code = has_error_code;
	exit.exception.error_code = error_code;
	return exit;
}

static void test_alignment_check_is_given_back(void **state)
{
	struct vm_exit exit = exception(EXCEPTION_AC, true, 0, 0);

	(void)state;
	fake_dr[6] = DR6_FIXED;
	assert_int_equal(handle(&exit), EXIT_INJECT);
	assert_int_equal(fixture_event(), EVENT_EXCEPTION_CODE(EXCEPTION_AC));
	assert_int_equal(fake_dr[6], DR6_FIXED);
}

/* The exit leaves DR6 and DR7 alone, so what the CPU would have done to them must be done here. */
static void test_debug_exception_sets_dr6(void **state)
{
	struct vm_exit exit = exception(EXCEPTION_DB, false, 0, BIT(1) | DR6_BS);

	(void)state;
	fake_dr[6] = DR6_FIXED | BIT(0) | BIT(15);
	assert_int_equal(handle(&exit), EXIT_INJECT);
	assert_int_equal(fixture_event(), EVENT_EXCEPTION(EXCEPTION_DB));
	/* B0..B3 are those of this exception; others stay until software clears them. */
	assert_int_equal(fake_dr[6], DR6_FIXED | BIT(1) | DR6_BS | BIT(15));
}

static void test_debug_exception_ignores_other_bits(void **state)
{
	struct vm_exit exit = exception(EXCEPTION_DB, false, 0, ~0ull);

	(void)state;
	fake_dr[6] = DR6_FIXED;
	assert_int_equal(handle(&exit), EXIT_INJECT);
	assert_int_equal(fake_dr[6], DR6_FIXED | BITS(3, 0) | BITS(14, 13));
}

static void test_debug_exception_clears_general_detect(void **state)
{
	struct vm_exit exit = exception(EXCEPTION_DB, false, 0, BIT(13));

	(void)state;
	set_guest_register(VIRT_DR7, DR7_FIXED | DR7_GD | BIT(1));
	assert_int_equal(handle(&exit), EXIT_INJECT);
	assert_int_equal(guest_register(VIRT_DR7), DR7_FIXED | BIT(1));
	assert_true(fake_dr[6] & BIT(13));
}

/* ---- HLT ---- */

static void test_hlt(void **state)
{
	(void)state;
	set_guest_register(VIRT_RFLAGS, RFLAGS_FIXED | RFLAGS_IF);
	assert_int_equal(handle_kind(VM_EXIT_HLT), EXIT_BLOCK);
	assert_int_equal(fixture_vm->stop_kind, VM_STOP_NONE);
}

static void test_hlt_for_ever(void **state)
{
	char why[VM_STOP_TEXT_SIZE + 16];

	(void)state;
	set_guest_register(VIRT_RFLAGS, RFLAGS_FIXED);
	assert_int_equal(handle_kind(VM_EXIT_HLT), EXIT_STOP);
	vm_stop_describe(fixture_vm, why, sizeof(why));
	assert_non_null(strstr(why, "HLT with interrupts off"));
	assert_non_null(strstr(why, "0x1000"));
}

/* Another vCPU can wake it by INIT or NMI. */
static void test_hlt_with_a_second_vcpu(void **state)
{
	(void)state;
	fixture_destroy_vm();
	fixture_create_vm(2);
	virt_ops->vcpu_load(&fixture_vcpu->virt);
	set_guest_register(VIRT_RFLAGS, RFLAGS_FIXED);
	assert_int_equal(handle_kind(VM_EXIT_HLT), EXIT_BLOCK);
}

/* ---- what is the host's ---- */

static void test_external_interrupt(void **state)
{
	const uint8_t vector = INTERRUPT_VECTOR_KICK;
	uint64_t before = interrupt_count(vector);
	struct vm_exit exit = {.kind = VM_EXIT_EXTERNAL_INTERRUPT, .interrupt.vector = vector};

	(void)state;
	assert_int_equal(handle(&exit), EXIT_RESUME);
	assert_int_equal(interrupt_count(vector), before + 1);
	assert_int_equal(fixture_event(), 0);
}

static void test_nmi(void **state)
{
	(void)state;
	assert_int_equal(handle_kind(VM_EXIT_NMI), EXIT_RESUME);
	assert_int_equal(fixture_nmis, 1);
	assert_int_equal(fixture_event(), 0);
}

static void test_windows(void **state)
{
	static const enum vm_exit_kind kinds[] = {VM_EXIT_INTERRUPT_WINDOW, VM_EXIT_NMI_WINDOW};

	(void)state;
	for (size_t i = 0; i < array_count(kinds); i++) {
		virt_ops->interrupt_window(&fixture_vcpu->virt, true);
		assert_true(fake_vmcs_get(VMCS_CONTROL_PRIMARY) & PRIMARY_INTERRUPT_WINDOW);
		fixture_vcpu->requests = 0;
		assert_int_equal(handle_kind(kinds[i]), EXIT_RESUME);
		assert_int_equal(fixture_vcpu->requests, VCPU_REQUEST_EVENT);
		assert_false(fake_vmcs_get(VMCS_CONTROL_PRIMARY) & PRIMARY_INTERRUPT_WINDOW);
	}
}

static void test_timer(void **state)
{
	(void)state;
	fixture_vcpu->requests = 0;
	assert_int_equal(handle_kind(VM_EXIT_TIMER), EXIT_RESUME);
	assert_int_equal(fixture_vcpu->requests, VCPU_REQUEST_TIMER);
}

/* ---- crashes ---- */

static const char *why_it_stopped(void)
{
	static char why[VM_STOP_TEXT_SIZE + 16];

	vm_stop_describe(fixture_vm, why, sizeof(why));
	return why;
}

static void dump_crash(void)
{
	assert_ptr_equal(fixture_vm->crashed_vcpu, fixture_vcpu);
	exit_crash_dump(fixture_vm->crashed_vcpu, NULL);
}

static void test_triple_fault(void **state)
{
	const uint8_t code[12] = {0xf4, 0x90, 0xcc, 1, 2, 3, 4, 5, 6, 7, 8, 9};

	(void)state;
	assert_int_equal(guest_memory_write(&fixture_vm->memory, gpa(0x1000), code, sizeof(code)), STATUS_OK);
	set_guest_register(VIRT_RIP, 0x1000);
	assert_int_equal(handle_kind(VM_EXIT_TRIPLE_FAULT), EXIT_STOP);
	assert_string_equal(why_it_stopped(), "crash: triple fault at rip 0x1000");
	assert_int_equal(fixture_vm->state, VM_STOPPING);
	assert_true(fixture_vcpu->requests & VCPU_REQUEST_STOP);
	/* The dump is long: it is not written by the CPU of the exit. */
	assert_false(fixture_logged("last exit"));
	dump_crash();
	assert_true(fixture_logged("vcpu 0: triple fault at rip 0x1000"));
	assert_true(fixture_logged("bytes at CS:RIP: f4 90 cc 01"));
	assert_true(fixture_logged("error: last exit"));
	/* One dump, whole lines. */
	assert_false(fixture_logged("\n\n"));
}

/* A dump of code that lies nowhere. */
static void test_crash_outside_memory(void **state)
{
	(void)state;
	set_guest_register(VIRT_RIP, 0xfffffff0);
	assert_int_equal(handle_kind(VM_EXIT_TASK_SWITCH), EXIT_STOP);
	assert_non_null(strstr(why_it_stopped(), "task switch"));
	dump_crash();
	assert_true(fixture_logged("last exits"));
	assert_false(fixture_logged("bytes at CS:RIP"));
}

static void test_failed_entry(void **state)
{
	struct vm_exit exit = {.kind = VM_EXIT_ENTRY_FAILED, .reason = 33, .qualification = 4};

	(void)state;
	fake_vmcs_set(VMCS_GUEST_RFLAGS, 0);
	assert_int_equal(handle(&exit), EXIT_STOP);
	assert_string_equal(why_it_stopped(), "crash: VM-entry failure: invalid guest state (code 4)");
	dump_crash();
	assert_true(fixture_logged("entry check fails: RFLAGS"));
	/* A number without a name. */
	fixture_vm->stop_kind = VM_STOP_NONE;
	exit.reason = VIRT_EXIT_REASON_MAX - 1;
	assert_int_equal(handle(&exit), EXIT_STOP);
	assert_string_equal(why_it_stopped(), "crash: VM entry failed (code 4)");
}

static void test_unexpected_exit(void **state)
{
	struct vm_exit exit = {.kind = VM_EXIT_SMI, .reason = 6, .rip = 0x77};

	(void)state;
	assert_int_equal(handle(&exit), EXIT_STOP);
	assert_string_equal(why_it_stopped(), "crash: unexpected exit 6 (other SMI) at rip 0x77");
	fixture_vm->stop_kind = VM_STOP_NONE;
	exit.reason = 90;
	assert_int_equal(handle(&exit), EXIT_STOP);
	assert_non_null(strstr(why_it_stopped(), "90 (unknown)"));
}

static void test_crash_does_not_hide_an_earlier_stop(void **state)
{
	(void)state;
	vm_stop(fixture_vm, VM_STOP_POWEROFF, 0);
	assert_int_equal(exit_crash(fixture_vcpu, "after %s", "all"), EXIT_STOP);
	assert_string_equal(why_it_stopped(), "poweroff");
	assert_null(fixture_vm->crashed_vcpu);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_alignment_check_is_given_back), TEST(test_debug_exception_sets_dr6), TEST(test_debug_exception_ignores_other_bits),
		TEST(test_debug_exception_clears_general_detect), TEST(test_hlt), TEST(test_hlt_for_ever), TEST(test_hlt_with_a_second_vcpu),
		TEST(test_external_interrupt), TEST(test_nmi), TEST(test_windows), TEST(test_timer), TEST(test_triple_fault),
		TEST(test_crash_outside_memory), TEST(test_failed_entry), TEST(test_unexpected_exit),
		TEST(test_crash_does_not_hide_an_earlier_stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
