/* vmm/exit/control_registers.c: MOV to and from CR0, CR4 and CR8, CLTS, LMSW, the PDPTEs of PAE paging. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/vm_fixture.h"

#define CR0_BASE (CR0_PE | CR0_NE | CR0_ET)

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

static enum exit_action access_cr(uint8_t number, enum vm_exit_cr_operation operation, uint8_t gpr, uint16_t lmsw)
{
	struct vm_exit exit = {.kind = VM_EXIT_CR_ACCESS, .rip = 0x1000, .instruction_length = 3};

	exit.cr.number = number;
	exit.cr.operation = operation;
	exit.cr.gpr = gpr;
	exit.cr.lmsw_value = lmsw;
	return handle(&exit);
}

static enum exit_action mov_to(uint8_t number, uint64_t value)
{
	*guest_gpr(GPR_RBX) = value;
	return access_cr(number, CR_MOV_TO, GPR_RBX, 0);
}

static void assert_refused(enum exit_action action)
{
	assert_int_equal(action, EXIT_INJECT);
	assert_int_equal(fixture_event(), EVENT_EXCEPTION_CODE(EXCEPTION_GP));
}

static void test_cr0(void **state)
{
	(void)state;
	assert_int_equal(mov_to(0, CR0_BASE | CR0_TS | CR0_MP | CR0_CD), EXIT_SKIP);
	assert_int_equal(guest_register(VIRT_CR0), CR0_BASE | CR0_TS | CR0_MP | CR0_CD);
	/* The guest sees CD set, the caches stay on. */
	assert_int_equal(fake_vmcs_get(VMCS_GUEST_CR0) & (CR0_CD | CR0_NW), 0);
	/* ET is fixed; reserved bits of the lower half are dropped. */
	assert_int_equal(mov_to(0, CR0_PE | BIT(6) | BIT(17) | BIT(28)), EXIT_SKIP);
	assert_int_equal(guest_register(VIRT_CR0), CR0_PE | CR0_ET);
	assert_true(fake_vmcs_get(VMCS_GUEST_CR0) & CR0_NE);
}

static void test_cr0_refused(void **state)
{
	(void)state;
	uint64_t before = guest_register(VIRT_CR0);

	assert_refused(mov_to(0, CR0_PG));
	assert_refused(mov_to(0, CR0_BASE | CR0_NW));
	assert_int_equal(guest_register(VIRT_CR0), before);
	/* The upper half of the register is not moved outside 64-bit mode. */
	assert_int_equal(mov_to(0, CR0_BASE | BIT(32)), EXIT_SKIP);
	fixture_enter_long_mode();
	assert_refused(mov_to(0, CR0_BASE | CR0_PG | BIT(32)));
	/* 64-bit code cannot switch paging off. */
	assert_refused(mov_to(0, CR0_BASE));
	assert_true(guest_register(VIRT_CR0) & CR0_PG);
}

static void test_paging_on_and_off_flushes(void **state)
{
	(void)state;
	unsigned before = fake_invept_count;
	assert_int_equal(mov_to(0, CR0_BASE | CR0_TS), EXIT_SKIP);
	assert_int_equal(fake_invept_count, before);
	assert_int_equal(mov_to(0, CR0_BASE | CR0_PG), EXIT_SKIP);
	assert_true(fake_invept_count > before);
	before = fake_invept_count;
	assert_int_equal(mov_to(0, CR0_BASE), EXIT_SKIP);
	assert_true(fake_invept_count > before);
	before = fake_invept_count;
	assert_int_equal(mov_to(4, CR4_PSE), EXIT_SKIP);
	assert_true(fake_invept_count > before);
}

/* The way of every 64-bit kernel: PAE, CR3, EFER.LME, then PG. */
static void test_long_mode(void **state)
{
	(void)state;
	set_guest_register(VIRT_EFER, EFER_LME);
	assert_refused(mov_to(0, CR0_BASE | CR0_PG));
	assert_int_equal(mov_to(4, CR4_PAE), EXIT_SKIP);
	assert_int_equal(mov_to(0, CR0_BASE | CR0_PG), EXIT_SKIP);
	assert_int_equal(guest_register(VIRT_EFER), EFER_LME | EFER_LMA);
	assert_true(fake_vmcs_get(VMCS_CONTROL_ENTRY) & ENTRY_IA32E_GUEST);
	assert_refused(mov_to(4, 0));
	/* And back, from compatibility mode. */
	assert_int_equal(mov_to(0, CR0_BASE), EXIT_SKIP);
	assert_int_equal(guest_register(VIRT_EFER), EFER_LME);
	assert_false(fake_vmcs_get(VMCS_CONTROL_ENTRY) & ENTRY_IA32E_GUEST);
}

static void test_cr4(void **state)
{
	(void)state;
	uint64_t allowed = cpuid_policy_cr4_allowed();

	assert_int_equal(mov_to(4, allowed & ~CR4_PCIDE), EXIT_SKIP);
	assert_int_equal(guest_register(VIRT_CR4), allowed & ~CR4_PCIDE);
	assert_true(fake_vmcs_get(VMCS_GUEST_CR4) & CR4_VMXE);
	assert_int_equal(guest_register(VIRT_CR4) & CR4_VMXE, 0);
	for (unsigned bit = 0; bit < 32; bit++) {
		if (!(allowed & BIT(bit)))
			assert_refused(mov_to(4, BIT(bit)));
	}
	assert_refused(mov_to(4, CR4_VMXE));
	assert_refused(mov_to(4, CR4_PCIDE));
	assert_int_equal(mov_to(4, 0), EXIT_SKIP);
}

static void write_pdptes(uint64_t address, uint64_t first, uint64_t last)
{
	const uint64_t entries[4] = {first, 0, 0x3000 | 1, last};

	assert_int_equal(guest_memory_write(&fixture_vm->memory, gpa(address), entries, sizeof(entries)), STATUS_OK);
}

static void test_pdptes_are_loaded(void **state)
{
	(void)state;
	write_pdptes(0x20020, 0x1000 | 1, 0x4000 | 0x19);
	set_guest_register(VIRT_CR3, 0x20020 | 0x18);
	assert_int_equal(mov_to(4, CR4_PAE), EXIT_SKIP);
	assert_int_equal(guest_register(VIRT_PDPTE0), 0);
	assert_int_equal(mov_to(0, CR0_BASE | CR0_PG), EXIT_SKIP);
	assert_int_equal(guest_register(VIRT_PDPTE0), 0x1001);
	assert_int_equal(guest_register(VIRT_PDPTE1), 0);
	assert_int_equal(guest_register(VIRT_PDPTE2), 0x3001);
	assert_int_equal(guest_register(VIRT_PDPTE3), 0x4019);
	/* A change of CR4 loads them anew. */
	write_pdptes(0x20020, 0x5000 | 1, 0);
	assert_int_equal(mov_to(4, CR4_PAE | CR4_PGE), EXIT_SKIP);
	assert_int_equal(guest_register(VIRT_PDPTE0), 0x5001);
}

static void test_bad_pdptes(void **state)
{
	static const uint64_t bad[] = {1 | BIT(1), 1 | BIT(2), 1 | BIT(5), 1 | BIT(8), 1 | BIT(63), 1 | BIT(52)};

	(void)state;
	set_guest_register(VIRT_CR3, 0x20000);
	assert_int_equal(mov_to(4, CR4_PAE), EXIT_SKIP);
	for (size_t i = 0; i < array_count(bad); i++) {
		write_pdptes(0x20000, 1, bad[i]);
		assert_refused(mov_to(0, CR0_BASE | CR0_PG));
		assert_int_equal(guest_register(VIRT_CR0), CR0_BASE);
		assert_int_equal(guest_register(VIRT_PDPTE0), 0);
	}
	/* Not present: the rest is the guest's own. */
	write_pdptes(0x20000, 1, bad[0] & ~1ull);
	assert_int_equal(mov_to(0, CR0_BASE | CR0_PG), EXIT_SKIP);
}

static void test_pdptes_outside_memory(void **state)
{
	(void)state;
	set_guest_register(VIRT_CR3, 0xfffff000);
	assert_int_equal(mov_to(4, CR4_PAE), EXIT_SKIP);
	assert_refused(mov_to(0, CR0_BASE | CR0_PG));
	assert_int_equal(guest_register(VIRT_CR0), CR0_BASE);
}

static void test_cr8(void **state)
{
	(void)state;
	for (uint64_t priority = 0; priority < 16; priority++) {
		assert_int_equal(mov_to(8, priority), EXIT_SKIP);
		*guest_gpr(GPR_R9) = ~0ull;
		assert_int_equal(access_cr(8, CR_MOV_FROM, GPR_R9, 0), EXIT_SKIP);
		assert_int_equal(*guest_gpr(GPR_R9), priority);
	}
	assert_refused(mov_to(8, 16));
	fixture_enter_long_mode();
	assert_refused(mov_to(8, BIT(63)));
	/* RSP can be the register. */
	vcpu_gpr_write(fixture_vcpu, GPR_RSP, 3);
	assert_int_equal(access_cr(8, CR_MOV_TO, GPR_RSP, 0), EXIT_SKIP);
	assert_int_equal(access_cr(8, CR_MOV_FROM, GPR_RSP, 0), EXIT_SKIP);
	assert_int_equal(guest_register(VIRT_RSP), 3);
}

static void test_clts_and_lmsw(void **state)
{
	(void)state;
	assert_int_equal(mov_to(0, CR0_BASE | CR0_TS), EXIT_SKIP);
	assert_int_equal(access_cr(0, CR_CLTS, 0, 0), EXIT_SKIP);
	assert_int_equal(guest_register(VIRT_CR0), CR0_BASE);
	assert_int_equal(access_cr(0, CR_LMSW, 0, 0xfffe), EXIT_SKIP);
	/* Four bits, and PE stays. */
	assert_int_equal(guest_register(VIRT_CR0), CR0_BASE | CR0_MP | CR0_EM | CR0_TS);
	assert_int_equal(access_cr(0, CR_LMSW, 0, 0), EXIT_SKIP);
	assert_int_equal(guest_register(VIRT_CR0), CR0_BASE);
	set_guest_register(VIRT_CR0, CR0_ET);
	assert_int_equal(access_cr(0, CR_LMSW, 0, 1), EXIT_SKIP);
	assert_int_equal(guest_register(VIRT_CR0), CR0_PE | CR0_ET);
}

static void test_what_cannot_exit(void **state)
{
	(void)state;
	assert_int_equal(mov_to(3, 0), EXIT_STOP);
	assert_int_equal(mov_to(15, 0), EXIT_STOP);
	assert_int_equal(access_cr(0, CR_MOV_FROM, 0, 0), EXIT_STOP);
	assert_int_equal(access_cr(0, (enum vm_exit_cr_operation)7, 0, 0), EXIT_STOP);
	assert_int_equal(fixture_vm->stop_kind, VM_STOP_CRASH);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_cr0), TEST(test_cr0_refused), TEST(test_paging_on_and_off_flushes), TEST(test_long_mode), TEST(test_cr4),
		TEST(test_pdptes_are_loaded), TEST(test_bad_pdptes), TEST(test_pdptes_outside_memory), TEST(test_cr8),
		TEST(test_clts_and_lmsw), TEST(test_what_cannot_exit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
