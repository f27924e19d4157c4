/* arch/x86/vmx/events.c: what is queued for the next entry, double faults, interrupted deliveries, windows, skipping. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/vmx_vcpu_fixture.h"

static void protect(void)
{
	vmx_register_write(&fixture_virt, VIRT_CR0, CR0_PE);
}

static void nothing_queued(void)
{
	fixture_virt.backend->event_queued = false;
}

static void inject(uint8_t vector, uint32_t error_code)
{
	vmx_inject_exception(&fixture_virt, vector, exception_has_error_code(vector), error_code);
}

static void test_exceptions(void **state)
{
	(void)state;
	protect();
	inject(EXCEPTION_UD, 0);
	assert_int_equal(fixture_event(), EVENT_EXCEPTION(EXCEPTION_UD));
	nothing_queued();
	inject(EXCEPTION_GP, 0x1234);
	assert_int_equal(fixture_event(), EVENT_EXCEPTION_CODE(EXCEPTION_GP));
	assert_int_equal(fake_vmcs_get(VMCS_CONTROL_ENTRY_EXCEPTION_ERROR_CODE), 0x1234);
}

/* Real mode pushes none, and an entry that says otherwise fails. */
static void test_no_error_code_in_real_mode(void **state)
{
	(void)state;
	inject(EXCEPTION_GP, 0);
	assert_int_equal(fixture_event(), EVENT_EXCEPTION(EXCEPTION_GP));
}

static void test_double_faults(void **state)
{
	static const struct { uint8_t first, second, result; } rows[] = {
		{EXCEPTION_GP, EXCEPTION_GP, EXCEPTION_DF}, {EXCEPTION_DE, EXCEPTION_NP, EXCEPTION_DF}, {EXCEPTION_PF, EXCEPTION_PF, EXCEPTION_DF},
		{EXCEPTION_PF, EXCEPTION_GP, EXCEPTION_DF}, {EXCEPTION_GP, EXCEPTION_PF, EXCEPTION_PF}, {EXCEPTION_UD, EXCEPTION_GP, EXCEPTION_GP},
		{EXCEPTION_GP, EXCEPTION_UD, EXCEPTION_UD}, {EXCEPTION_PF, EXCEPTION_DB, EXCEPTION_DB}, {EXCEPTION_TS, EXCEPTION_SS, EXCEPTION_DF},
		{EXCEPTION_DF, EXCEPTION_UD, EXCEPTION_DF},
	};

	(void)state;
	protect();
	for (size_t i = 0; i < array_count(rows); i++) {
		nothing_queued();
		inject(rows[i].first, 1);
		inject(rows[i].second, 2);
		assert_int_equal(fixture_event() & INTERRUPTION_VECTOR, rows[i].result);
		if (rows[i].result == EXCEPTION_DF) {
			assert_int_equal(fixture_event(), EVENT_EXCEPTION_CODE(EXCEPTION_DF));
			assert_int_equal(fake_vmcs_get(VMCS_CONTROL_ENTRY_EXCEPTION_ERROR_CODE), 0);
		}
	}
}

static void test_fault_during_an_interrupt(void **state)
{
	(void)state;
	protect();
	vmx_inject_interrupt(&fixture_virt, 0x40);
	assert_int_equal(fixture_event(), EVENT(INTERRUPTION_EXTERNAL, 0x40));
	inject(EXCEPTION_GP, 0);
	assert_int_equal(fixture_event(), EVENT_EXCEPTION_CODE(EXCEPTION_GP));
	nothing_queued();
	vmx_inject_nmi(&fixture_virt);
	assert_int_equal(fixture_event(), EVENT(INTERRUPTION_NMI, EXCEPTION_NMI));
}

static void test_when_interrupts_are_allowed(void **state)
{
	static const struct { uint64_t rflags, interruptibility; bool interrupt, nmi; } rows[] = {
		{RFLAGS_IF, 0, true, true}, {0, 0, false, true}, {RFLAGS_IF, INTERRUPTIBILITY_STI, false, false},
		{RFLAGS_IF, INTERRUPTIBILITY_MOV_SS, false, false}, {RFLAGS_IF, INTERRUPTIBILITY_NMI, true, false},
	};

	(void)state;
	for (size_t i = 0; i < array_count(rows); i++) {
		fake_vmcs_set(VMCS_GUEST_RFLAGS, rows[i].rflags);
		fake_vmcs_set(VMCS_GUEST_INTERRUPTIBILITY, rows[i].interruptibility);
		assert_int_equal(vmx_interrupt_allowed(&fixture_virt), rows[i].interrupt);
		assert_int_equal(vmx_nmi_allowed(&fixture_virt), rows[i].nmi);
	}
	fake_vmcs_set(VMCS_GUEST_INTERRUPTIBILITY, 0);
	inject(EXCEPTION_UD, 0);
	assert_false(vmx_interrupt_allowed(&fixture_virt));
	assert_false(vmx_nmi_allowed(&fixture_virt));
}

static void test_interrupt_window(void **state)
{
	uint64_t before = fake_vmcs_get(VMCS_CONTROL_PRIMARY);

	(void)state;
	vmx_interrupt_window(&fixture_virt, true);
	assert_int_equal(fake_vmcs_get(VMCS_CONTROL_PRIMARY), before | PRIMARY_INTERRUPT_WINDOW);
	unsigned writes = fake_vmwrite_count;
	vmx_interrupt_window(&fixture_virt, true);
	assert_int_equal(fake_vmwrite_count, writes);
	vmx_interrupt_window(&fixture_virt, false);
	assert_int_equal(fake_vmcs_get(VMCS_CONTROL_PRIMARY), before);
}

/* Who asks whether an NMI can come now and hears no is called when it can. */
static void test_nmi_window(void **state)
{
	uint64_t before = fake_vmcs_get(VMCS_CONTROL_PRIMARY);

	(void)state;
	assert_true(vmx_nmi_allowed(&fixture_virt));
	assert_int_equal(fake_vmcs_get(VMCS_CONTROL_PRIMARY), before);
	fake_vmcs_set(VMCS_GUEST_INTERRUPTIBILITY, INTERRUPTIBILITY_NMI);
	assert_false(vmx_nmi_allowed(&fixture_virt));
	assert_int_equal(fake_vmcs_get(VMCS_CONTROL_PRIMARY), before | PRIMARY_NMI_WINDOW);
	vmx_interrupt_window(&fixture_virt, true);
	assert_int_equal(fake_vmcs_get(VMCS_CONTROL_PRIMARY), before | PRIMARY_NMI_WINDOW | PRIMARY_INTERRUPT_WINDOW);
	vmx_interrupt_window(&fixture_virt, false);
	assert_int_equal(fake_vmcs_get(VMCS_CONTROL_PRIMARY), before);
}

static void skip_over(uint64_t rip, uint32_t length)
{
	const struct vm_exit exit = {.rip = rip, .instruction_length = length};

	vmx_skip_instruction(&fixture_virt, &exit);
}

static void test_skip(void **state)
{
	(void)state;
	fake_vmcs_set(VMCS_GUEST_INTERRUPTIBILITY, INTERRUPTIBILITY_STI | INTERRUPTIBILITY_NMI);
	skip_over(0x1000, 3);
	assert_int_equal(vmx_register_read(&fixture_virt, VIRT_RIP), 0x1003);
	/* The shadow ends with its instruction, the blocking of NMIs does not. */
	assert_int_equal(fake_vmcs_get(VMCS_GUEST_INTERRUPTIBILITY), INTERRUPTIBILITY_NMI);
	assert_int_equal(fake_vmcs_get(VMCS_GUEST_PENDING_DEBUG_EXCEPTIONS), 0);
	skip_over(0xfffffffe, 2);
	assert_int_equal(vmx_register_read(&fixture_virt, VIRT_RIP), 0);
}

static void test_skip_in_long_mode(void **state)
{
	(void)state;
	vmx_register_write(&fixture_virt, VIRT_EFER, EFER_LME);
	vmx_register_write(&fixture_virt, VIRT_CR0, CR0_PE | CR0_PG);
	skip_over(0xfffffffe, 2);
	assert_true(vmx_register_read(&fixture_virt, VIRT_RIP) == 0x100000000);
	skip_over(0xffffffffffffffff, 1);
	assert_int_equal(vmx_register_read(&fixture_virt, VIRT_RIP), 0);
}

static void test_skip_while_single_stepping(void **state)
{
	(void)state;
	vmx_register_write(&fixture_virt, VIRT_RFLAGS, RFLAGS_FIXED | RFLAGS_TF);
	skip_over(0x1000, 1);
	assert_int_equal(fake_vmcs_get(VMCS_GUEST_PENDING_DEBUG_EXCEPTIONS), PENDING_DEBUG_BS);
}

/* ---- an exit in the middle of a delivery ---- */

static uint32_t requeued(uint32_t vectoring, uint32_t code)
{
	(void)run_to(48, 0);
	fixture_leaves.vectoring = vectoring;
	fixture_leaves.vectoring_code = code;
	(void)run_to_exit();
	return fixture_event();
}

static void test_delivery_is_repeated(void **state)
{
	(void)state;
	assert_int_equal(requeued(EVENT(INTERRUPTION_EXTERNAL, 0x31), 0), EVENT(INTERRUPTION_EXTERNAL, 0x31));
	assert_false(vmx_interrupt_allowed(&fixture_virt));
	assert_int_equal(requeued(EVENT_EXCEPTION_CODE(EXCEPTION_PF), 0x7), EVENT_EXCEPTION_CODE(EXCEPTION_PF));
	assert_int_equal(fake_vmcs_get(VMCS_CONTROL_ENTRY_EXCEPTION_ERROR_CODE), 7);
	/* Bit 12 is undefined in one field and must be clear in the other. */
	assert_int_equal(requeued(EVENT_EXCEPTION(EXCEPTION_UD) | (uint32_t)INTERRUPTION_NMI_UNBLOCKING, 0), EVENT_EXCEPTION(EXCEPTION_UD));
	/* Nothing was being delivered. */
	fake_vmcs_set(VMCS_CONTROL_ENTRY_INTERRUPTION_INFO, 0);
	assert_int_equal(requeued(0x30, 0) & INTERRUPTION_VALID, 0);
}

static void test_software_interrupts_keep_their_length(void **state)
{
	static const enum interruption_type types[] = {INTERRUPTION_SOFTWARE_INTERRUPT, INTERRUPTION_PRIVILEGED_SOFTWARE_EXCEPTION,
						       INTERRUPTION_SOFTWARE_EXCEPTION};

	(void)state;
	for (size_t i = 0; i < array_count(types); i++) {
		fake_vmcs_set(VMCS_CONTROL_ENTRY_INSTRUCTION_LENGTH, 0);
		assert_int_equal(requeued(EVENT(types[i], 0x80), 0), EVENT(types[i], 0x80));
		assert_int_equal(fake_vmcs_get(VMCS_CONTROL_ENTRY_INSTRUCTION_LENGTH), 3);
	}
}

static void test_nmi_is_unblocked_for_its_repetition(void **state)
{
	(void)state;
	fake_vmcs_set(VMCS_GUEST_INTERRUPTIBILITY, INTERRUPTIBILITY_NMI);
	assert_int_equal(requeued(EVENT(INTERRUPTION_NMI, EXCEPTION_NMI), 0), EVENT(INTERRUPTION_NMI, EXCEPTION_NMI));
	assert_int_equal(fake_vmcs_get(VMCS_GUEST_INTERRUPTIBILITY), 0);
}

/* A page fault's delivery interrupted, and the hypervisor finds a fault as well: as in the CPU itself. */
static void test_fault_during_a_repeated_delivery(void **state)
{
	(void)state;
	protect();
	(void)requeued(EVENT_EXCEPTION_CODE(EXCEPTION_PF), 0);
	inject(EXCEPTION_GP, 0);
	assert_int_equal(fixture_event(), EVENT_EXCEPTION_CODE(EXCEPTION_DF));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_exceptions), TEST(test_no_error_code_in_real_mode), TEST(test_double_faults), TEST(test_fault_during_an_interrupt),
		TEST(test_when_interrupts_are_allowed), TEST(test_interrupt_window), TEST(test_nmi_window), TEST(test_skip), TEST(test_skip_in_long_mode),
		TEST(test_skip_while_single_stepping), TEST(test_delivery_is_repeated), TEST(test_software_interrupts_keep_their_length),
		TEST(test_nmi_is_unblocked_for_its_repetition), TEST(test_fault_during_a_repeated_delivery),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
