/* vmm/sched/policy_pinned.c: CPUs that belong to one vCPU alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/policy_fixture.h"
#include "vmm/sched/policy_pinned.h"

#define ALL_CPUS 0xfull

static int set_up(void **state)
{
	(void)state;
	fixture_start(HZ);
	for (unsigned vm = 0; vm < VMS; vm++)
		fixture_vms[vm].sched_settings = (struct config_sched){.policy = CONFIG_SCHED_PINNED};
	return 0;
}

/* Ownership outlives the fixture's CPUs. */
static int tear_down(void **state)
{
	(void)state;
	for (unsigned vm = 0; vm < VMS; vm++) {
		for (unsigned v = 0; v < 2; v++) {
			if (fixture_vcpus[vm][v].sched.policy)
				leave(&fixture_vcpus[vm][v]);
		}
	}
	assert_true(sched_cpus_not_pinned(UINT64_MAX) == UINT64_MAX);
	return 0;
}

static bool pin(unsigned vm, unsigned vcpu, uint64_t allowed)
{
	return admit(&sched_policy_pinned, &fixture_vcpus[vm][vcpu], allowed);
}

static void test_each_has_its_cpu(void **state)
{
	(void)state;
	assert_true(pin(0, 0, ALL_CPUS) && pin(0, 1, ALL_CPUS) && pin(1, 0, ALL_CPUS));
	assert_int_equal(fixture_vcpus[0][0].pcpu_index, 1);
	assert_int_equal(fixture_vcpus[0][1].pcpu_index, 2);
	assert_int_equal(fixture_vcpus[1][0].pcpu_index, 3);
	assert_true(sched_cpus_not_pinned(ALL_CPUS) == BIT(0));
	/* The boot processor is not given away while others are allowed. */
	assert_false(pin(2, 0, ALL_CPUS));
	assert_string_equal(why, "none of its CPUs is free: vCPU 0 of vm1 is on CPU 3; keep others away by `cpus`");
	assert_true(pin(2, 0, BIT(0)));
	assert_true(sched_cpus_not_pinned(ALL_CPUS) == 0);
	leave(&fixture_vcpus[0][1]);
	assert_true(sched_cpus_not_pinned(ALL_CPUS) == BIT(2));
	assert_true(pin(3, 0, ALL_CPUS));
	assert_int_equal(fixture_vcpus[3][0].pcpu_index, 2);
}

static void test_not_beside_others(void **state)
{
	struct scheduler_cpu *cpu = &fixture_cpus[1];

	(void)state;
	/* Whatever the policy of the one that is there. */
	cpu->vcpus[cpu->vcpu_count++] = &fixture_vcpus[5][0];
	assert_false(pin(0, 0, BIT(1)));
	assert_string_equal(why, "none of its CPUs is free: vCPU 0 of vm5 is on CPU 1; keep others away by `cpus`");
	assert_true(sched_cpus_not_pinned(ALL_CPUS) == ALL_CPUS);
	assert_true(pin(0, 0, BIT(1) | BIT(3)));
	assert_int_equal(fixture_vcpus[0][0].pcpu_index, 3);
	/* One that is there itself is no other. */
	cpu->vcpu_count = 0;
	cpu->vcpus[cpu->vcpu_count++] = &fixture_vcpus[1][0];
	assert_true(pin(1, 0, BIT(1)));
}

static void test_longest_names_fit(void **state)
{
	(void)state;
	memset(fixture_configs[0].name, 'x', CONFIG_NAME_SIZE - 1);
	assert_true(pin(0, 0, BIT(1)));
	assert_false(pin(1, 0, BIT(1))); /* admit() checks the length */
	assert_non_null(strstr(why, "`cpus`"));
}

/* Giving back twice, or what was never had, takes nothing from its owner. */
static void test_leave_of_another(void **state)
{
	struct vcpu *stranger = &fixture_vcpus[1][0];

	(void)state;
	assert_true(pin(0, 0, BIT(1)));
	stranger->pcpu_index = 1;
	sched_policy_pinned.leave(stranger);
	assert_true(sched_cpus_not_pinned(ALL_CPUS) == (ALL_CPUS & ~BIT(1)));
}

static void test_runs_for_ever(void **state)
{
	struct scheduler_cpu *cpu = &fixture_cpus[1];
	struct vcpu *vcpu = &fixture_vcpus[0][0];
	uint64_t end;

	(void)state;
	assert_true(pin(0, 0, BIT(1)));
	assert_null(pick(cpu, 1000, &end));
	assert_true(end == UINT64_MAX);
	enqueue(vcpu, SCHED_STARTED, 1000);
	assert_ptr_equal(pick(cpu, 1000, &end), vcpu);
	assert_true(end == UINT64_MAX);
	assert_null(pick(cpu, 1000, &end));
	sched_policy_pinned.charge(cpu, vcpu, 1000, 2000);
	enqueue(vcpu, SCHED_YIELDED, 2000);
	sched_policy_pinned.dequeue(cpu, vcpu);
	assert_null(pick(cpu, 2000, &end));
	assert_null(sched_policy_pinned.steal);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_each_has_its_cpu), TEST(test_not_beside_others), TEST(test_longest_names_fit), TEST(test_leave_of_another),
		TEST(test_runs_for_ever),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
