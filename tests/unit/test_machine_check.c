/* Error banks in words, and whose a machine check is: a VM that was hit is stopped, a CPU that cannot be trusted panics. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86/cpu/features.h"
#include "arch/x86/cpu/machine_check.h"
#include "lib/bits.h"
#include "tests/unit/vm_fixture.h"
#include "vmm/machine_check_blame.h"

#define BANKS 3u
#define VALID BIT(63)
#define OVERFLOWED BIT(62)
#define UNCORRECTED BIT(61)
#define MISC_VALID BIT(59)
#define ADDRESS_VALID BIT(58)
#define CORRUPT BIT(57)
#define MEMORY_READ 0x0090u /* memory controller, read, channel 0 */
#define RIPV BIT(0)
#define MCIP BIT(2)

static void set_bank(unsigned bank, uint64_t status, uint64_t address, uint64_t misc)
{
	fake_msr_set(MSR_MC0_CTL + 4 * bank, 0);
	fake_msr_set(MSR_MC0_CTL + 4 * bank + 1, status);
	fake_msr_set(MSR_MC0_CTL + 4 * bank + 2, address);
	fake_msr_set(MSR_MC0_CTL + 4 * bank + 3, misc);
}

static int set_up(void **state)
{
	(void)state;
	fixture_start_vm();
	fake_cpuid_set(0, 0, 1, 0, 0, 0);
	fake_cpuid_set(1, 0, 0, 0, BIT(5) | BIT(21) | BIT(24), BIT(7) | BIT(9) | BIT(14)); /* MCE, MCA */
	features_init();
	fake_msr_set(MSR_MCG_CAP, BANKS);
	fake_msr_set(MSR_MCG_STATUS, RIPV | MCIP);
	for (unsigned bank = 0; bank < BANKS; bank++)
		set_bank(bank, 0, 0, 0);
	machine_check_blame_init();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	fixture_destroy_vm();
	return 0;
}

/* A page of the VM's memory. */
static uint64_t guest_page(void)
{
	return physmap_address(guest_memory_page(&fixture_vm->memory, gpa(0x100000))).value;
}

static void test_codes_in_words(void **state)
{
	static const struct { uint16_t code; const char *name; } cases[] = {
		{0x0001, "unclassified"}, {0x0002, "microcode parity"}, {0x0005, "internal parity"}, {0x0400, "internal timer"},
		{0x0405, "internal"}, {0x0e0b, "I/O"}, {0x000e, "cache hierarchy"}, {0x0015, "TLB"}, {0x0090, "memory controller"},
		{0x1090, "memory controller"}, {0x0134, "cache hierarchy"}, {0x0285, "memory controller"}, {0x0e0f, "bus and interconnect"},
	};

	(void)state;
	for (size_t i = 0; i < array_count(cases); i++)
		assert_string_equal(machine_check_code_name(cases[i].code), cases[i].name);
}

static void test_the_worst_bank_counts(void **state)
{
	struct machine_check check;

	(void)state;
	machine_check_examine(&check);
	assert_false(check.found);
	assert_true(check.restartable);
	set_bank(0, VALID | ADDRESS_VALID | MEMORY_READ, 0x1000, 0); /* corrected */
	machine_check_examine(&check);
	assert_false(check.found || check.corrupt);
	set_bank(1, VALID | UNCORRECTED | ADDRESS_VALID | MISC_VALID | MEMORY_READ, 0x2000, 0x86);
	machine_check_examine(&check);
	assert_true(check.found && check.has_address && !check.corrupt);
	assert_int_equal(check.bank, 1);
	assert_int_equal(check.address.value, 0x2000);
	assert_int_equal(check.misc, 0x86);
	set_bank(2, VALID | UNCORRECTED | CORRUPT | 0x0400, 0, 0);
	machine_check_examine(&check);
	assert_true(check.found && check.corrupt && !check.has_address);
	assert_int_equal(check.bank, 2);
}

static void test_the_report_has_all_words(void **state)
{
	(void)state;
	set_bank(1, VALID | UNCORRECTED | ADDRESS_VALID | MISC_VALID | MEMORY_READ, 0x2345000, 0x86);
	machine_check_report();
	assert_true(fixture_logged("global status 0x5"));
	assert_true(fixture_logged("bank 1: memory controller, not corrected, status 0xac00000000000090 address 0x2345000 misc 0x86"));
	assert_false(fixture_logged("bank 0"));
}

static void test_an_error_in_a_guest_stops_its_vm(void **state)
{
	(void)state;
	set_bank(1, VALID | UNCORRECTED | MEMORY_READ, 0, 0);
	fake_msr_set(MSR_MCG_STATUS, MCIP); /* what the guest did cannot go on, but what we do can */
	assert_true(machine_check_blame(fixture_vm));
	assert_int_equal(fixture_vm->stop_kind, VM_STOP_CRASH);
	assert_non_null(strstr(fixture_vm->stop_text, "machine check, bank 1: memory controller"));
	assert_true(fixture_logged("bank 1"));
	/* The next one must be told. */
	assert_int_equal(fake_msr_get(MSR_MC0_CTL + 5), 0);
	assert_int_equal(fake_msr_get(MSR_MCG_STATUS), 0);
}

static void test_the_exit_of_a_machine_check(void **state)
{
	(void)state;
	set_bank(1, VALID | UNCORRECTED | MEMORY_READ, 0, 0);
	assert_int_equal(handle_kind(VM_EXIT_MACHINE_CHECK), EXIT_RESUME);
	assert_int_equal(fixture_vm->stop_kind, VM_STOP_CRASH);
	assert_true(fixture_vcpu->requests & VCPU_REQUEST_STOP); /* so that it is not entered again */
}

static void test_an_error_that_another_cpu_was_told_of_stops_nobody(void **state)
{
	(void)state;
	assert_true(machine_check_blame(fixture_vm));
	fake_msr_set(MSR_MCG_STATUS, RIPV | MCIP);
	assert_true(machine_check_handle());
	assert_int_equal(fixture_vm->stop_kind, VM_STOP_NONE);
	assert_int_equal(fake_msr_get(MSR_MCG_STATUS), 0);
}

static void test_a_cpu_that_lost_its_state_panics(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		set_bank(1, VALID | UNCORRECTED | ADDRESS_VALID | MEMORY_READ | (i == 0 ? CORRUPT : OVERFLOWED), guest_page(), 0);
		assert_false(machine_check_blame(fixture_vm));
		assert_false(machine_check_handle());
	}
	assert_int_equal(fixture_vm->stop_kind, VM_STOP_NONE);
	assert_int_not_equal(fake_msr_get(MSR_MC0_CTL + 5), 0);
}

static void test_memory_of_a_vm_stops_it_whoever_found_it(void **state)
{
	size_t logged = fixture_log_length;

	(void)state;
	set_bank(0, VALID | UNCORRECTED | ADDRESS_VALID | MEMORY_READ, guest_page() + 0x40, 0);
	assert_true(machine_check_handle());
	assert_int_equal(fixture_vm->stop_kind, VM_STOP_CRASH);
	assert_int_equal(fixture_log_length, logged); /* the hypervisor may have held the log's lock */
}

static void test_an_error_of_the_hypervisor_panics(void **state)
{
	(void)state;
	set_bank(0, VALID | UNCORRECTED | ADDRESS_VALID | MEMORY_READ, guest_page(), 0);
	fake_msr_set(MSR_MCG_STATUS, MCIP);
	assert_false(machine_check_handle());
	fake_msr_set(MSR_MCG_STATUS, RIPV | MCIP);
	set_bank(0, VALID | UNCORRECTED | ADDRESS_VALID | MEMORY_READ, 0x3000, 0);
	assert_false(machine_check_handle());
	set_bank(0, VALID | UNCORRECTED | MEMORY_READ, 0, 0);
	assert_false(machine_check_handle());
	assert_int_equal(fixture_vm->stop_kind, VM_STOP_NONE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_codes_in_words), TEST(test_the_worst_bank_counts), TEST(test_the_report_has_all_words),
		TEST(test_an_error_in_a_guest_stops_its_vm), TEST(test_the_exit_of_a_machine_check), TEST(test_an_error_that_another_cpu_was_told_of_stops_nobody),
		TEST(test_a_cpu_that_lost_its_state_panics), TEST(test_memory_of_a_vm_stops_it_whoever_found_it),
		TEST(test_an_error_of_the_hypervisor_panics),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
