/* The exit recorder, from the back end's exits to the lines that tell them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86/clock.h"
#include "arch/x86/log.h"
#include "tests/unit/vm_fixture.h"
#include "vmm/exit_recorder.h"

static char printed[65536];
static size_t printed_length;

static void print(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	printed_length += (size_t)vsnprintf(printed + printed_length, sizeof(printed) - printed_length, format, arguments);
	va_end(arguments);
	assert_true(printed_length < sizeof(printed));
}

static void clear(void)
{
	printed_length = 0;
	printed[0] = '\0';
}

static unsigned count_lines(void)
{
	unsigned lines = 0;

	for (const char *c = printed; *c != '\0'; c++)
		lines += *c == '\n';
	return lines;
}

static int set_up(void **state)
{
	(void)state;
	fixture_create_vm(1);
	fixture_vcpu->state = VCPU_RUNNING;
	virt_ops->vcpu_load(&fixture_vcpu->virt);
	clear();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	virt_ops->vcpu_put(&fixture_vcpu->virt);
	vm_destroy(fixture_vm);
	return 0;
}

static uint32_t next_reason, next_interruption;
static uint64_t next_qualification, next_rip;

static void leave(struct virt_vcpu *vcpu)
{
	(void)vcpu;
	fake_tsc += 1000;
	fake_vmcs_set(VMCS_DATA_EXIT_REASON, next_reason);
	fake_vmcs_set(VMCS_DATA_EXIT_QUALIFICATION, next_qualification);
	fake_vmcs_set(VMCS_DATA_INSTRUCTION_LENGTH, 2);
	fake_vmcs_set(VMCS_DATA_EXIT_INTERRUPTION_INFO, next_interruption);
	fake_vmcs_set(VMCS_GUEST_RIP, next_rip);
}

static unsigned left;
static uint64_t handling;

static bool go_on(struct virt_vcpu *vcpu, const struct vm_exit *exit)
{
	assert_ptr_equal(exit, vcpu->exit);
	assert_int_equal(exit->cost, 0);
	fake_tsc += handling;
	return --left != 0;
}

/* @count exits; after the last one the vCPU leaves its CPU. */
static void run(uint32_t reason, uint64_t qualification, unsigned count)
{
	next_reason = reason;
	next_qualification = qualification;
	next_rip = 0x401000;
	left = count;
	fixture_guest = leave;
	virt_ops->vcpu_run(&fixture_vcpu->virt, go_on);
}

static void test_exits_are_recorded_with_time_and_cost(void **state)
{
	(void)state;
	assert_int_equal(exit_recorder_last(fixture_vcpu)->time, 0);
	fake_tsc = 5000;
	fake_tsc_step = 0;
	handling = 300;
	fixture_vcpu->virt.gpr[GPR_RCX] = 0x12345000001a0;
	run(31, 0, 2);
	const struct vm_exit *last = exit_recorder_last(fixture_vcpu);
	assert_int_equal(last->time, 5000 + 1000 + 300 + 1000);
	assert_int_equal(last->cost, 0);
	assert_int_equal(last->reason, 31);
	assert_int_equal(last->kind, VM_EXIT_RDMSR);
	assert_int_equal(last->rip, 0x401000);
	assert_int_equal(last[-1].time, 6000);
	assert_int_equal(last[-1].cost, 300);
	exit_recorder_print(fixture_vcpu, 16, print);
	assert_int_equal(count_lines(), 2);
	assert_non_null(strstr(printed, "RDMSR                    MSR 0x1a0                  rip 0000000000401000     300\n"));
	assert_non_null(strstr(printed, "rip 0000000000401000       -\n"));
}

static void test_the_ring_keeps_the_last_ones(void **state)
{
	(void)state;
	handling = 10;
	fixture_vcpu->virt.gpr[GPR_RAX] = 1;
	run(10, 0, 300);
	fixture_vcpu->virt.gpr[GPR_RAX] = 0x80000002;
	run(10, 0, EXIT_RECORDER_SIZE - 1);
	exit_recorder_print(fixture_vcpu, UINT32_MAX, print);
	assert_int_equal(count_lines(), EXIT_RECORDER_SIZE);
	/* Oldest first: one of the first kind is left. */
	assert_non_null(strstr(printed, "leaf 0x1 "));
	assert_true(strstr(printed, "leaf 0x1 ") < strchr(printed, '\n'));
	assert_null(strstr(strchr(printed, '\n'), "leaf 0x1 "));
	clear();
	exit_recorder_print(fixture_vcpu, 3, print);
	assert_int_equal(count_lines(), 3);
	clear();
	exit_recorder_print_records(fixture_vcpu->recorder, 5, 0, print);
	assert_int_equal(count_lines(), 5);
}

static void expect(uint32_t reason, uint64_t qualification, const char *words)
{
	run(reason, qualification, 1);
	clear();
	exit_recorder_print(fixture_vcpu, 1, print);
	if (strstr(printed, words) == NULL)
		fail_msg("reason %u: %s", reason, printed);
}

static void test_subjects_in_words(void **state)
{
	(void)state;
	fixture_vcpu->virt.gpr[GPR_RAX] = 0x4000000000000007;
	fixture_vcpu->virt.gpr[GPR_RCX] = 0xffffffffc0000080;
	fake_vmcs_set(VMCS_DATA_GUEST_PHYSICAL_ADDRESS, 0xfec00010);
	next_interruption = (uint32_t)BIT(31) | 0x31;
	expect(10, 0, "CPUID                    leaf 0x7 ");
	expect(32, 0, "WRMSR                    MSR 0xc0000080 ");
	expect(18, 0, "VMCALL                   call 0x4000000000000007 ");
	expect(30, 0x3f8u << 16, "I/O instruction          out port 0x3f8, 1 ");
	expect(30, 0x608u << 16 | BIT(3) | 3, "in port 0x608, 4 ");
	expect(1, 0, "external interrupt       vector 49 ");
	expect(48, BIT(1), "EPT violation            write 0xfec00010 ");
	expect(48, BIT(0), "read 0xfec00010 ");
	expect(48, BIT(2), "fetch 0xfec00010 ");
	expect(28, 4 | 1u << 4, "control-register access  from CR4 ");
	expect(56, 0x300, "register 0x300 ");
	expect(12, 0, "HLT                                                 rip");
	expect(70, 0, "ENCLV ");
	expect(95, 0, "unknown ");
}

static void test_costs_by_reason(void **state)
{
	static struct exit_cost costs[VIRT_EXIT_REASON_MAX];

	(void)state;
	memset(costs, 0, sizeof(costs));
	fake_tsc_step = 0;
	handling = 100;
	run(10, 0, 5);
	handling = 200;
	run(31, 0, 3);
	exit_recorder_sum(fixture_vcpu, costs);
	assert_int_equal(costs[10].count, 4);
	assert_int_equal(costs[10].ticks, 400);
	assert_int_equal(costs[31].count, 2);
	assert_int_equal(costs[31].ticks, 400);
	assert_int_equal(costs[12].count, 0);
	/* Read while it is written, or never true: no index is believed. */
	fixture_vcpu->recorder->exits[3].reason = UINT32_MAX;
	exit_recorder_sum(fixture_vcpu, costs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_exits_are_recorded_with_time_and_cost, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_the_ring_keeps_the_last_ones, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_subjects_in_words, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_costs_by_reason, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
