/* arch/x86/virt.c and vmm/vcpu.c: the verdict on the back end, requests and kicks, registers by number, injected faults. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/vm_fixture.h"

static unsigned kicks;
static struct vcpu *kicked;

static void count_kick(struct vcpu *vcpu)
{
	kicks++;
	kicked = vcpu;
}

static int set_up(void **state)
{
	(void)state;
	fixture_start_vm();
	kicks = 0;
	vcpu_set_kick_handler(count_kick);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	virt_set_ops(&vmx_ops);
	vcpu_set_kick_handler(NULL);
	fixture_destroy_vm();
	return 0;
}

static void test_verdict(void **state)
{
	(void)state;
	virt_set_missing("no VMX here");
	assert_null(virt_ops);
	assert_string_equal(virt_missing_reason(), "no VMX here");
	virt_set_ops(&vmx_ops);
	assert_ptr_equal(virt_ops, &vmx_ops);
	assert_string_equal(virt_missing_reason(), "");
}

static void test_kick_sets_the_request_and_tells(void **state)
{
	(void)state;
	fixture_vcpu->requests = VCPU_REQUEST_NMI;
	vcpu_kick(fixture_vcpu, VCPU_REQUEST_EVENT);
	assert_int_equal(fixture_vcpu->requests, VCPU_REQUEST_NMI | VCPU_REQUEST_EVENT);
	assert_int_equal(kicks, 1);
	assert_ptr_equal(kicked, fixture_vcpu);
	vcpu_set_kick_handler(NULL);
	vcpu_kick(fixture_vcpu, VCPU_REQUEST_STOP);
	assert_true(fixture_vcpu->requests & VCPU_REQUEST_STOP);
}

/* A vCPU that runs on the CPU that kicks is looked at anyhow; on another CPU it must be told. */
static void test_kick_of_a_running_vcpu(void **state)
{
	(void)state;
	fixture_vcpu->requests = 0;
	fixture_vcpu->state = VCPU_RUNNING;
	fixture_vcpu->pcpu_index = 0;
	vcpu_kick(fixture_vcpu, VCPU_REQUEST_TIMER);
	assert_true(fixture_vcpu->requests & VCPU_REQUEST_TIMER);
	assert_int_equal(kicks, 0);
	assert_non_null(pcpu_add(1, 1));
	fixture_vcpu->pcpu_index = 1;
	/* What was asked already is not told again. */
	vcpu_kick(fixture_vcpu, VCPU_REQUEST_TIMER);
	assert_int_equal(kicks, 0);
	vcpu_kick(fixture_vcpu, VCPU_REQUEST_EVENT);
	assert_int_equal(kicks, 1);
	fixture_vcpu->state = VCPU_BLOCKED;
	fixture_vcpu->pcpu_index = 0;
	vcpu_kick(fixture_vcpu, VCPU_REQUEST_NMI);
	assert_int_equal(kicks, 2);
	fixture_vcpu->state = VCPU_OFF;
}

static void test_registers_by_number(void **state)
{
	(void)state;
	for (unsigned number = 0; number < GPR_COUNT; number++)
		vcpu_gpr_write(fixture_vcpu, number, 0x1000 + number);
	for (unsigned number = 0; number < GPR_COUNT; number++)
		assert_int_equal(vcpu_gpr_read(fixture_vcpu, number), 0x1000 + number);
	/* RSP is the back end's, the others the vCPU's own; a number from outside is brought into bounds. */
	assert_int_equal(guest_register(VIRT_RSP), 0x1000 + GPR_RSP);
	assert_int_equal(*guest_gpr(GPR_R15), 0x1000 + GPR_R15);
	assert_int_equal(*guest_gpr(GPR_RSP), 0);
	assert_int_equal(vcpu_gpr_read(fixture_vcpu, 16 + GPR_RBX), 0x1000 + GPR_RBX);
	vcpu_gpr_write(fixture_vcpu, 255, 5);
	assert_int_equal(*guest_gpr(GPR_R15), 5);
}

static void test_faults(void **state)
{
	(void)state;
	fixture_enter_protected_mode();
	vcpu_inject_undefined_opcode(fixture_vcpu);
	assert_int_equal(fixture_event(), EVENT_EXCEPTION(EXCEPTION_UD));
	fixture_vcpu->virt.backend->event_queued = false;
	vcpu_inject_general_protection(fixture_vcpu);
	assert_int_equal(fixture_event(), EVENT_EXCEPTION_CODE(EXCEPTION_GP));
	assert_int_equal(fake_vmcs_get(VMCS_CONTROL_ENTRY_EXCEPTION_ERROR_CODE), 0);
	fixture_vcpu->virt.backend->event_queued = false;
	vcpu_inject_page_fault(fixture_vcpu, 0xdead000, 6);
	assert_int_equal(fixture_event(), EVENT_EXCEPTION_CODE(EXCEPTION_PF));
	assert_int_equal(fake_vmcs_get(VMCS_CONTROL_ENTRY_EXCEPTION_ERROR_CODE), 6);
	assert_int_equal(guest_register(VIRT_CR2), 0xdead000);
}

static void test_tsc(void **state)
{
	(void)state;
	fake_tsc_step = 0;
	fake_tsc = 5000;
	fixture_vcpu->virt.tsc_offset = (uint64_t)-4000;
	assert_int_equal(vcpu_guest_tsc(fixture_vcpu), 1000);
	assert_int_equal(vcpu_host_tsc_from_guest(fixture_vcpu, 1000), 5000);
	fixture_vcpu->virt.tsc_offset = 10;
	assert_int_equal(vcpu_host_tsc_from_guest(fixture_vcpu, vcpu_guest_tsc(fixture_vcpu)), fake_tsc);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_verdict), TEST(test_kick_sets_the_request_and_tells), TEST(test_kick_of_a_running_vcpu),
		TEST(test_registers_by_number), TEST(test_faults), TEST(test_tsc),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
