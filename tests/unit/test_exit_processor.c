/* vmm/exit/processor.c and the table of dispatch.c: CPUID, MSRs, XSETBV, instructions without a device behind them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "arch/x86/cpu/features.h"
#include "arch/x86/cpu/xsave.h"
#include "tests/unit/vm_fixture.h"

static int set_up(void **state)
{
	(void)state;
	fixture_start_vm();
	fixture_enter_protected_mode();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	fixture_destroy_vm();
	return 0;
}

static void set_registers(uint64_t rax, uint64_t rcx, uint64_t rdx)
{
	*guest_gpr(GPR_RAX) = rax;
	*guest_gpr(GPR_RCX) = rcx;
	*guest_gpr(GPR_RDX) = rdx;
}

static void assert_general_protection(enum exit_action action)
{
	assert_int_equal(action, EXIT_INJECT);
	assert_int_equal(fixture_event(), EVENT_EXCEPTION_CODE(EXCEPTION_GP));
	assert_int_equal(fake_vmcs_get(VMCS_CONTROL_ENTRY_EXCEPTION_ERROR_CODE), 0);
}

static void test_every_kind_has_a_handler(void **state)
{
	(void)state;
	for (unsigned kind = 0; kind < VM_EXIT_KIND_COUNT; kind++)
		assert_non_null(exit_handlers[kind]);
}

static void test_dispatch_counts(void **state)
{
	(void)state;
	handle(&(struct vm_exit){.kind = VM_EXIT_CPUID, .reason = 10});
	handle(&(struct vm_exit){.kind = VM_EXIT_CPUID, .reason = 10});
	handle(&(struct vm_exit){.kind = VM_EXIT_WBINVD, .reason = VIRT_EXIT_REASON_MAX - 1});
	assert_int_equal(fixture_vcpu->exit_counts[10], 2);
	assert_int_equal(fixture_vcpu->exit_counts[VIRT_EXIT_REASON_MAX - 1], 1);
	assert_int_equal(fixture_vcpu->exit_counts[11], 0);
}

static void test_cpuid(void **state)
{
	static const uint64_t high = 0xabcdef0000000000;

	(void)state;
	/* Only the lower halves are looked at, and the upper ones become zero. */
	set_registers(high, high, high);
	*guest_gpr(GPR_RBX) = high;
	assert_int_equal(handle_kind(VM_EXIT_CPUID), EXIT_SKIP);
	assert_int_equal(*guest_gpr(GPR_RBX), 0x756e6547);
	assert_int_equal(*guest_gpr(GPR_RDX), 0x49656e69);
	assert_int_equal(*guest_gpr(GPR_RCX), 0x6c65746e);
	assert_int_equal(*guest_gpr(GPR_RAX) >> 32, 0);
	set_registers(CPUID_POLICY_HYPERVISOR_LEAF, 0, 0);
	assert_int_equal(handle_kind(VM_EXIT_CPUID), EXIT_SKIP);
	assert_memory_equal(guest_gpr(GPR_RBX), "Triv", 4);
	set_registers(0xffffffff, 0xffffffff, 1);
	assert_int_equal(handle_kind(VM_EXIT_CPUID), EXIT_SKIP);
	assert_int_equal(*guest_gpr(GPR_RAX) | *guest_gpr(GPR_RBX) | *guest_gpr(GPR_RCX) | *guest_gpr(GPR_RDX), 0);
}

static void test_msrs(void **state)
{
	(void)state;
	set_registers(0xffffffff00000505, MSR_PAT | BIT(40), 0xffffffff00000606);
	assert_int_equal(handle_kind(VM_EXIT_WRMSR), EXIT_SKIP);
	assert_int_equal(guest_register(VIRT_PAT), 0x0000060600000505);
	set_registers(~0ull, MSR_PAT, ~0ull);
	assert_int_equal(handle_kind(VM_EXIT_RDMSR), EXIT_SKIP);
	assert_int_equal(*guest_gpr(GPR_RAX), 0x505);
	assert_int_equal(*guest_gpr(GPR_RDX), 0x606);
}

static void test_msrs_that_fault(void **state)
{
	(void)state;
	set_registers(1, 0xdeadbeef, 2);
	assert_general_protection(handle_kind(VM_EXIT_RDMSR));
	assert_int_equal(*guest_gpr(GPR_RAX), 1);
	assert_int_equal(*guest_gpr(GPR_RDX), 2);
	assert_general_protection(handle_kind(VM_EXIT_WRMSR));
	/* A memory type that does not exist. */
	uint64_t before = guest_register(VIRT_PAT);
	set_registers(2, MSR_PAT, 0);
	assert_general_protection(handle_kind(VM_EXIT_WRMSR));
	assert_int_equal(guest_register(VIRT_PAT), before);
}

static void test_simple_instructions(void **state)
{
	static const enum vm_exit_kind undefined[] = {VM_EXIT_VIRTUALIZATION_INSTRUCTION, VM_EXIT_MWAIT, VM_EXIT_MONITOR, VM_EXIT_UNDEFINED_INSTRUCTION};

	(void)state;
	for (size_t i = 0; i < array_count(undefined); i++) {
		assert_int_equal(handle_kind(undefined[i]), EXIT_INJECT);
		assert_int_equal(fixture_event(), EVENT_EXCEPTION(EXCEPTION_UD));
	}
	assert_int_equal(handle_kind(VM_EXIT_INVD), EXIT_SKIP);
	assert_int_equal(handle_kind(VM_EXIT_WBINVD), EXIT_SKIP);
	assert_int_equal(fake_wbinvd_count, 0);
	assert_general_protection(handle_kind(VM_EXIT_RDPMC));
	assert_int_equal(handle_kind(VM_EXIT_PAUSE), EXIT_YIELD);
	set_registers(1, 2, 3);
	assert_int_equal(handle_kind(VM_EXIT_HYPERCALL), EXIT_SKIP);
	assert_true(*guest_gpr(GPR_RAX) == ~0ull);
	assert_int_equal(fixture_vm->stop_kind, VM_STOP_NONE);
}

/* Kinds that nothing is known to cause end the VM, not the machine. */
static void test_unexpected_kinds(void **state)
{
	static const enum vm_exit_kind kinds[] = {
		VM_EXIT_UNKNOWN, VM_EXIT_INIT, VM_EXIT_SIPI, VM_EXIT_SMI, VM_EXIT_TASK_SWITCH, VM_EXIT_INVLPG, VM_EXIT_RDTSC, VM_EXIT_DR_ACCESS,
		VM_EXIT_MONITOR_TRAP, VM_EXIT_DESCRIPTOR_TABLE, VM_EXIT_NESTED_MISCONFIGURED, VM_EXIT_PML_FULL, VM_EXIT_TRIPLE_FAULT,
		VM_EXIT_ENTRY_FAILED,
	};

	(void)state;
	for (size_t i = 0; i < array_count(kinds); i++) {
		fixture_vm->stop_kind = VM_STOP_NONE;
		fixture_log_clear();
		assert_int_equal(handle_kind(kinds[i]), EXIT_STOP);
		assert_int_equal(fixture_vm->stop_kind, VM_STOP_CRASH);
		exit_crash_dump(fixture_vm->crashed_vcpu, NULL);
		assert_true(fixture_logged("vm test vcpu 0: "));
		assert_true(fixture_logged("guest state:"));
	}
}

/* ---- XSETBV ---- */

static int set_up_xsave(void **state)
{
	fake_cpu_reset();
	fake_cpuid_set(0, 0, 0xd, 0, 0, 0);
	fake_cpuid_set(1, 0, 0, 0, BIT(26), 0);
	fake_cpuid_set(0xd, 0, XCR0_X87 | XCR0_SSE | XCR0_AVX, 832, 832, 0);
	fake_cpuid_set(0xd, 2, 256, 576, 0, 0);
	features_init();
	xsave_init();
	return set_up(state);
}

static enum exit_action xsetbv(uint64_t index, uint64_t value)
{
	set_registers((uint32_t)value, index, value >> 32);
	return handle_kind(VM_EXIT_XSETBV);
}

static void test_xsetbv(void **state)
{
	(void)state;
	uint64_t allowed = cpuid_policy_xcr0_allowed();

	assert_int_equal(allowed & (XCR0_X87 | XCR0_SSE), XCR0_X87 | XCR0_SSE);
	assert_int_equal(xsetbv(0, XCR0_X87 | XCR0_SSE), EXIT_SKIP);
	assert_int_equal(fixture_vcpu->virt.xcr0, XCR0_X87 | XCR0_SSE);
	assert_int_equal(fake_xcr0, XCR0_X87 | XCR0_SSE);
	assert_int_equal(xsetbv(0, XCR0_X87), EXIT_SKIP);
	assert_int_equal(fake_xcr0, XCR0_X87);
}

static void test_xsetbv_that_faults(void **state)
{
	static const uint64_t values[] = {0, XCR0_SSE, XCR0_X87 | XCR0_AVX, XCR0_X87 | BIT(5), XCR0_X87 | BIT(63), XCR0_X87 | BIT(32), ~0ull};

	(void)state;
	uint64_t before = fake_xcr0;
	for (size_t i = 0; i < array_count(values); i++) {
		assert_general_protection(xsetbv(0, values[i]));
		assert_int_equal(fake_xcr0, before);
	}
	assert_general_protection(xsetbv(1, XCR0_X87));
	assert_general_protection(xsetbv(0xffffffff, XCR0_X87));
	/* The upper half of RCX is not looked at. */
	assert_int_equal(xsetbv(BIT(32), XCR0_X87), EXIT_SKIP);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
#define TEST_XSAVE(function) cmocka_unit_test_setup_teardown(function, set_up_xsave, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_every_kind_has_a_handler), TEST(test_dispatch_counts), TEST(test_cpuid), TEST(test_msrs), TEST(test_msrs_that_fault),
		TEST(test_simple_instructions), TEST(test_unexpected_kinds), TEST_XSAVE(test_xsetbv), TEST_XSAVE(test_xsetbv_that_faults),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
