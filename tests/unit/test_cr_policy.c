/* vmm/cr_policy.c: the values that a CPU would refuse for CR0, CR4, EFER and the PDPTEs, and no others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "arch/x86/cr.h"
#include "vmm/cr_policy.h"

#define LONG_CR0 (CR0_PE | CR0_PG)

static const struct cr_state real = {.cr0 = CR0_ET};
static const struct cr_state protected = {.cr0 = CR0_PE | CR0_ET};
static const struct cr_state paged = {.cr0 = CR0_PE | CR0_PG};
/* In compatibility mode; cs_long: in 64-bit mode. */
static const struct cr_state long_mode = {.cr0 = LONG_CR0, .cr4 = CR4_PAE, .efer = EFER_LME | EFER_LMA};

static struct cr_state with_long_code(struct cr_state state)
{
	state.cs_long = true;
	return state;
}

static void test_cr0_combinations(void **state)
{
	(void)state;
	assert_true(cr_policy_cr0_allowed(&real, 0));
	assert_true(cr_policy_cr0_allowed(&real, CR0_PE));
	assert_true(cr_policy_cr0_allowed(&real, CR0_PE | CR0_PG));
	assert_false(cr_policy_cr0_allowed(&real, CR0_PG));
	assert_false(cr_policy_cr0_allowed(&protected, CR0_PE | CR0_NW));
	assert_true(cr_policy_cr0_allowed(&protected, CR0_PE | CR0_NW | CR0_CD));
	assert_true(cr_policy_cr0_allowed(&protected, CR0_PE | CR0_CD));
	for (unsigned bit = 32; bit < 64; bit++)
		assert_false(cr_policy_cr0_allowed(&protected, CR0_PE | BIT(bit)));
	/* Reserved bits below are ignored, not refused. */
	assert_true(cr_policy_cr0_allowed(&protected, CR0_PE | BIT(6) | BIT(19) | BIT(28)));
}

static void test_entering_long_mode(void **state)
{
	struct cr_state s = {.cr0 = CR0_PE, .efer = EFER_LME};

	(void)state;
	assert_false(cr_policy_cr0_allowed(&s, LONG_CR0));
	s.cr4 = CR4_PAE;
	assert_true(cr_policy_cr0_allowed(&s, LONG_CR0));
	s.cs_long = true;
	assert_false(cr_policy_cr0_allowed(&s, LONG_CR0));
}

static void test_leaving_paging(void **state)
{
	struct cr_state s = with_long_code(long_mode);

	(void)state;
	assert_true(cr_policy_cr0_allowed(&long_mode, CR0_PE));
	assert_false(cr_policy_cr0_allowed(&s, CR0_PE));
	s = long_mode;
	s.cr4 |= CR4_PCIDE;
	assert_false(cr_policy_cr0_allowed(&s, CR0_PE));
	assert_true(cr_policy_cr0_allowed(&s, LONG_CR0 | CR0_TS));
	/* Paging and protection may go together. */
	assert_true(cr_policy_cr0_allowed(&paged, 0));
}

static void test_cr4(void **state)
{
	const uint64_t supported = CR4_PAE | CR4_PGE | CR4_PCIDE;
	struct cr_state s = long_mode;

	(void)state;
	assert_true(cr_policy_cr4_allowed(&protected, CR4_PAE | CR4_PGE, supported));
	assert_false(cr_policy_cr4_allowed(&protected, CR4_SMEP, supported));
	assert_false(cr_policy_cr4_allowed(&protected, BIT(63), supported));
	assert_false(cr_policy_cr4_allowed(&s, CR4_PGE, supported));
	assert_true(cr_policy_cr4_allowed(&s, CR4_PAE, supported));
	/* PCIDE needs long mode and PCID 0. */
	assert_true(cr_policy_cr4_allowed(&s, CR4_PAE | CR4_PCIDE, supported));
	s.cr3 = 0x1001;
	assert_false(cr_policy_cr4_allowed(&s, CR4_PAE | CR4_PCIDE, supported));
	s.cr4 |= CR4_PCIDE;
	assert_true(cr_policy_cr4_allowed(&s, CR4_PAE | CR4_PCIDE, supported));
	assert_false(cr_policy_cr4_allowed(&paged, CR4_PAE | CR4_PCIDE, supported));
}

static void test_efer(void **state)
{
	(void)state;
	assert_true(cr_policy_efer_allowed(&protected, EFER_LME | EFER_SCE | EFER_NXE));
	assert_false(cr_policy_efer_allowed(&protected, EFER_SVME));
	for (unsigned bit = 0; bit < 64; bit++)
		assert_int_equal(cr_policy_efer_allowed(&protected, BIT(bit)), (CR_POLICY_EFER_BITS & BIT(bit)) != 0);
	/* LME stands while paging is on. */
	assert_false(cr_policy_efer_allowed(&long_mode, EFER_SCE));
	assert_true(cr_policy_efer_allowed(&long_mode, EFER_LME | EFER_NXE));
	assert_false(cr_policy_efer_allowed(&paged, EFER_LME));
	assert_true(cr_policy_efer_allowed(&paged, EFER_NXE));
}

static void test_uses_pdptes(void **state)
{
	(void)state;
	assert_true(cr_policy_uses_pdptes(LONG_CR0, CR4_PAE, 0));
	assert_false(cr_policy_uses_pdptes(CR0_PE, CR4_PAE, 0));
	assert_false(cr_policy_uses_pdptes(LONG_CR0, CR4_PSE, 0));
	assert_false(cr_policy_uses_pdptes(LONG_CR0, CR4_PAE, EFER_LME | EFER_LMA));
}

static void test_pdptes(void **state)
{
	static const unsigned reserved[] = {1, 2, 5, 6, 7, 8, 52, 60, 63};
	static const unsigned free_bits[] = {3, 4, 9, 10, 11, 12, 31, 35};

	(void)state;
	assert_true(cr_policy_pdpte_allowed(0, 46));
	assert_true(cr_policy_pdpte_allowed(1, 46));
	assert_false(cr_policy_pdpte_allowed(1 | BIT(39), 39));
	assert_true(cr_policy_pdpte_allowed(1 | BIT(38), 39));
	for (size_t i = 0; i < array_count(reserved); i++) {
		assert_false(cr_policy_pdpte_allowed(1 | BIT(reserved[i]), 46));
		assert_true(cr_policy_pdpte_allowed(BIT(reserved[i]), 46));
	}
	for (size_t i = 0; i < array_count(free_bits); i++)
		assert_true(cr_policy_pdpte_allowed(1 | BIT(free_bits[i]), 46));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cr0_combinations), cmocka_unit_test(test_entering_long_mode), cmocka_unit_test(test_leaving_paging),
		cmocka_unit_test(test_cr4), cmocka_unit_test(test_efer), cmocka_unit_test(test_uses_pdptes), cmocka_unit_test(test_pdptes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
