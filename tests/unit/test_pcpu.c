/* Per-CPU blocks: numbered in the order they are added, one for each APIC id, found through GS. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "fake_cpu.h"
#include "fake_panic.h"

/* The host's own pcpu.c cannot be linked (its place is taken by tests/fake), so it is built into this test. */
static void *gs_pointer;
static void *insn_read_gs_pointer(void) { return gs_pointer; }
#include "arch/x86/pcpu.c"

static void test_add_and_find(void **state)
{
	struct pcpu *first = pcpu_add(0, 1), *second = pcpu_add(0x1000, 2);

	(void)state;
	assert_non_null(first);
	assert_non_null(second);
	assert_int_equal(pcpu_count(), 2);
	assert_ptr_equal(pcpu_get(1), second);
	assert_ptr_equal(second->self, second);
	assert_int_equal(offsetof(struct pcpu, self), 0);
	assert_int_equal(second->index, 1);
	assert_int_equal(second->apic_id, 0x1000);
	assert_int_equal(second->acpi_id, 2);
	assert_false(second->online);
	assert_non_null(second->activity);
	assert_true(is_aligned((uintptr_t)second, 64));
}

static void test_refuses_duplicates_and_overflow(void **state)
{
	(void)state;
	assert_null(pcpu_add(0x1000, 9));
	assert_int_equal(pcpu_count(), 2);
	for (uint32_t id = 2; id < PCPU_MAX; id++)
		assert_non_null(pcpu_add(id, id));
	assert_null(pcpu_add(0xffffffff, 0));
	assert_int_equal(pcpu_count(), PCPU_MAX);
	assert_true(FAKE_PANICS(pcpu_get(PCPU_MAX)));
}

static void test_current(void **state)
{
	(void)state;
	fake_msr_set(MSR_GS_BASE, 0);
	pcpu_set_current(pcpu_get(1));
	assert_int_equal(fake_msr_get(MSR_GS_BASE), (uintptr_t)pcpu_get(1));
	gs_pointer = *(void **)(uintptr_t)fake_msr_get(MSR_GS_BASE);
	assert_ptr_equal(pcpu_current(), pcpu_get(1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_add_and_find),
		cmocka_unit_test(test_refuses_duplicates_and_overflow),
		cmocka_unit_test(test_current),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
