/* arch/x86/vmx/exit_decode.c: every reason the manual knows, what of the VMCS goes with it, and reasons that nobody knows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/vmx_vcpu_fixture.h"

static void test_kinds(void **state)
{
	static const struct { uint32_t reason; enum vm_exit_kind kind; } rows[] = {
		{0, VM_EXIT_EXCEPTION}, {1, VM_EXIT_EXTERNAL_INTERRUPT}, {2, VM_EXIT_TRIPLE_FAULT}, {3, VM_EXIT_INIT}, {4, VM_EXIT_SIPI},
		{6, VM_EXIT_SMI}, {7, VM_EXIT_INTERRUPT_WINDOW}, {8, VM_EXIT_NMI_WINDOW}, {9, VM_EXIT_TASK_SWITCH}, {10, VM_EXIT_CPUID},
		{12, VM_EXIT_HLT}, {13, VM_EXIT_INVD}, {18, VM_EXIT_HYPERCALL}, {20, VM_EXIT_VIRTUALIZATION_INSTRUCTION}, {28, VM_EXIT_CR_ACCESS},
		{29, VM_EXIT_DR_ACCESS}, {30, VM_EXIT_IO}, {31, VM_EXIT_RDMSR}, {32, VM_EXIT_WRMSR}, {33, VM_EXIT_ENTRY_FAILED},
		{36, VM_EXIT_MWAIT}, {40, VM_EXIT_PAUSE}, {43, VM_EXIT_TPR_THRESHOLD}, {44, VM_EXIT_APIC_ACCESS}, {45, VM_EXIT_VIRTUAL_EOI},
		{48, VM_EXIT_NESTED_FAULT}, {49, VM_EXIT_NESTED_MISCONFIGURED}, {52, VM_EXIT_TIMER}, {54, VM_EXIT_WBINVD}, {55, VM_EXIT_XSETBV},
		{56, VM_EXIT_APIC_WRITE}, {58, VM_EXIT_UNDEFINED_INSTRUCTION},
	};

	(void)state;
	for (size_t i = 0; i < array_count(rows); i++) {
		const struct vm_exit *exit = run_to(rows[i].reason, 0);

		assert_int_equal(exit->kind, rows[i].kind);
		assert_int_equal(exit->reason, rows[i].reason);
		assert_non_null(vmx_reason_name(rows[i].reason));
	}
}

/* Numbers without a row, and numbers beyond every table, are one unknown kind. */
static void test_unknown_reasons(void **state)
{
	static const uint32_t reasons[] = {35, 38, 42, 71, VMX_REASON_COUNT - 1, VMX_REASON_COUNT, 0x1234, 0xffff};

	(void)state;
	for (size_t i = 0; i < array_count(reasons); i++) {
		const struct vm_exit *exit = run_to(reasons[i], ~0ull);

		assert_int_equal(exit->kind, VM_EXIT_UNKNOWN);
		assert_true(exit->reason < VIRT_EXIT_REASON_MAX);
	}
	assert_null(vmx_reason_name(35));
	assert_null(vmx_reason_name(VMX_REASON_COUNT));
	assert_null(vmx_reason_name(UINT32_MAX));
}

static void test_all_reasons_are_bounded(void **state)
{
	(void)state;
	for (uint32_t reason = 0; reason < 256; reason++) {
		const struct vm_exit *exit = run_to(reason, 0x0123456789abcdefull * reason);

		assert_true(exit->kind < VM_EXIT_KIND_COUNT);
		assert_true(exit->reason < VIRT_EXIT_REASON_MAX);
	}
}

/* The upper bits tell other things than the reason: a failed entry, an enclave. */
static void test_upper_bits_of_the_reason(void **state)
{
	(void)state;
	assert_int_equal(run_to((uint32_t)BIT(31) | 33, 0)->kind, VM_EXIT_ENTRY_FAILED);
	assert_int_equal(run_to((uint32_t)BIT(27) | 10, 0)->kind, VM_EXIT_CPUID);
}

static void test_rip_and_length(void **state)
{
	(void)state;
	fake_vmcs_set(VMCS_GUEST_RIP, 0xffffffff81000123);
	const struct vm_exit *exit = run_to(10, 0);
	assert_true(exit->rip == 0xffffffff81000123);
	assert_int_equal(exit->instruction_length, 3);
	/* Every kind has a RIP. */
	assert_true(run_to(52, 0)->rip == 0xffffffff81000123);
}

static void test_port_io(void **state)
{
	(void)state;
	const struct vm_exit *exit = run_to(30, 0x03f80000 | BIT(3));
	assert_int_equal(exit->io.port, 0x3f8);
	assert_int_equal(exit->io.size, 1);
	assert_true(exit->io.in && !exit->io.string);
	exit = run_to(30, 0xffff0000 | BIT(6) | 3);
	assert_int_equal(exit->io.port, 0xffff);
	assert_int_equal(exit->io.size, 4);
	assert_false(exit->io.in);
}

static void test_string_io(void **state)
{
	(void)state;
	fake_vmcs_set(VMCS_DATA_INSTRUCTION_INFO, 2u << 7 | (uint32_t)VIRT_GS << 15);
	fake_vmcs_set(VMCS_DATA_GUEST_LINEAR_ADDRESS, 0x12345678);
	const struct vm_exit *exit = run_to(30, 0x01f00000 | BIT(4) | BIT(5) | 1);
	assert_true(exit->io.string && exit->io.repeat && !exit->io.in);
	assert_int_equal(exit->io.size, 2);
	assert_int_equal(exit->io.address_size, 8);
	assert_int_equal(exit->io.segment, VIRT_GS);
	assert_int_equal(exit->io.linear_address, 0x12345678);
	fake_vmcs_set(VMCS_DATA_INSTRUCTION_INFO, 0);
	exit = run_to(30, 0x01f00000 | BIT(4) | BIT(3));
	assert_int_equal(exit->io.address_size, 2);
	assert_false(exit->io.repeat);
}

static void test_cr_access(void **state)
{
	(void)state;
	const struct vm_exit *exit = run_to(28, 4 | 0 << 4 | 11 << 8);
	assert_int_equal(exit->cr.number, 4);
	assert_int_equal(exit->cr.operation, CR_MOV_TO);
	assert_int_equal(exit->cr.gpr, GPR_R11);
	exit = run_to(28, 8 | 1 << 4 | GPR_RDI << 8);
	assert_int_equal(exit->cr.operation, CR_MOV_FROM);
	assert_int_equal(exit->cr.number, 8);
	assert_int_equal(run_to(28, 2 << 4)->cr.operation, CR_CLTS);
	exit = run_to(28, 3 << 4 | 0xbeef0000);
	assert_int_equal(exit->cr.operation, CR_LMSW);
	assert_int_equal(exit->cr.lmsw_value, 0xbeef);
	exit = run_to(29, 7 | BIT(4) | 12 << 8);
	assert_int_equal(exit->dr.number, 7);
	assert_true(exit->dr.from);
	assert_int_equal(exit->dr.gpr, 12);
}

static void test_nested_fault(void **state)
{
	(void)state;
	fake_vmcs_set(VMCS_DATA_GUEST_PHYSICAL_ADDRESS, 0xfec00010);
	fake_vmcs_set(VMCS_DATA_GUEST_LINEAR_ADDRESS, 0xffff0010);
	const struct vm_exit *exit = run_to(48, BIT(1) | BIT(7) | BIT(8));
	assert_int_equal(exit->nested.gpa.value, 0xfec00010);
	assert_int_equal(exit->nested.gva, 0xffff0010);
	assert_true(exit->nested.write && exit->nested.gva_valid);
	assert_false(exit->nested.read || exit->nested.execute || exit->nested.during_walk);
	exit = run_to(48, BIT(0) | BIT(7));
	assert_true(exit->nested.read && exit->nested.during_walk);
	exit = run_to(48, BIT(2));
	assert_true(exit->nested.execute);
	assert_false(exit->nested.gva_valid || exit->nested.during_walk);
	assert_int_equal(exit->nested.gva, 0);
	assert_int_equal(run_to(49, 0)->nested.gpa.value, 0xfec00010);
}

static void test_exceptions(void **state)
{
	(void)state;
	(void)run_to(0, 0x4000);
	fixture_leaves.interruption = EVENT_EXCEPTION_CODE(EXCEPTION_AC);
	fixture_leaves.error_code = 0x55;
	const struct vm_exit *exit = run_to_exit();
	assert_int_equal(exit->kind, VM_EXIT_EXCEPTION);
	assert_int_equal(exit->exception.vector, EXCEPTION_AC);
	assert_true(exit->exception.has_error_code);
	assert_int_equal(exit->exception.error_code, 0x55);
	assert_int_equal(exit->qualification, 0x4000);
	fixture_leaves.interruption = EVENT_EXCEPTION(EXCEPTION_DB);
	exit = run_to_exit();
	assert_false(exit->exception.has_error_code);
	assert_int_equal(exit->exception.error_code, 0);
	assert_false(exit->exception.is_software);
	fixture_leaves.interruption = EVENT(INTERRUPTION_SOFTWARE_EXCEPTION, EXCEPTION_BP);
	assert_true(run_to_exit()->exception.is_software);
	/* One reason, three kinds. */
	fixture_leaves.interruption = EVENT(INTERRUPTION_NMI, EXCEPTION_NMI);
	assert_int_equal(run_to_exit()->kind, VM_EXIT_NMI);
	fixture_leaves.interruption = EVENT_EXCEPTION(EXCEPTION_MC);
	assert_int_equal(run_to_exit()->kind, VM_EXIT_MACHINE_CHECK);
}

static void test_interrupts(void **state)
{
	(void)state;
	(void)run_to(1, 0);
	fixture_leaves.interruption = EVENT(INTERRUPTION_EXTERNAL, 0xf0);
	assert_int_equal(run_to_exit()->interrupt.vector, 0xf0);
	assert_int_equal(run_to(45, 0x91)->eoi.vector, 0x91);
	assert_int_equal(run_to(56, 0x310)->apic.offset, 0x310);
}

/* "APIC access" is told as the nested fault that it would be without the access page. */
static void test_apic_access(void **state)
{
	(void)state;
	const struct vm_exit *exit = run_to(44, 0x1 << 12 | 0x0b0);
	assert_int_equal(exit->nested.gpa.value, VIRT_APIC_BASE + 0xb0);
	assert_true(exit->nested.write && !exit->nested.read && !exit->nested.execute && !exit->nested.during_walk);
	assert_true(run_to(44, 0x020)->nested.read);
	assert_true(run_to(44, 0x2 << 12)->nested.execute);
	assert_true(run_to(44, 0x3 << 12)->nested.during_walk);
	assert_true(run_to(44, 0xf << 12)->nested.during_walk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_kinds), TEST(test_unknown_reasons), TEST(test_all_reasons_are_bounded), TEST(test_upper_bits_of_the_reason),
		TEST(test_rip_and_length), TEST(test_port_io), TEST(test_string_io), TEST(test_cr_access), TEST(test_nested_fault),
		TEST(test_exceptions), TEST(test_interrupts), TEST(test_apic_access),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
