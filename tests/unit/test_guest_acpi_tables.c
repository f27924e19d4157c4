/* vmm/guest/acpi_tables.c: the tables read back from the guest's memory as its operating system would. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "build/generated/dsdt_aml.h"
#include "tests/unit/fake_guest.h"
#include "vmm/cpuid_policy.h"
#include "vmm/guest/acpi_tables.h"
#include "vmm/platform.h"

static uint64_t get(uint64_t address, unsigned size)
{
	uint64_t value = 0;

	memcpy(&value, fake_guest.ram + address, size);
	return value;
}

static void expect_sum_zero(uint64_t address, uint64_t length)
{
	uint8_t sum = 0;

	for (uint64_t i = 0; i < length; i++)
		sum = (uint8_t)(sum + fake_guest.ram[address + i]);
	assert_int_equal(sum, 0);
}

/* The table at @address has this signature, lies in the reserved area and sums up; returns its length. */
static uint64_t expect_table(uint64_t address, const char *signature)
{
	uint64_t length = get(address + 4, 4);

	assert_memory_equal(fake_guest.ram + address, signature, 4);
	assert_true(address >= GUEST_BIOS_START && address + length <= GUEST_BIOS_END);
	assert_int_equal(address % 16, 0);
	expect_sum_zero(address, length);
	return length;
}

static uint64_t write_tables(uint32_t vcpus)
{
	gpa_t rsdp;

	fake_guest_create(4 * MIB);
	assert_int_equal(acpi_tables_write(&fake_guest.vm.memory, vcpus, &rsdp), STATUS_OK);
	assert_true(rsdp.value % 16 == 0 && rsdp.value >= GUEST_BIOS_START && rsdp.value < GUEST_BIOS_END);
	assert_memory_equal(fake_guest.ram + rsdp.value, "RSD PTR ", 8);
	assert_int_equal(get(rsdp.value + 15, 1), 2);
	expect_sum_zero(rsdp.value, 20);
	expect_sum_zero(rsdp.value, 36);
	assert_int_equal(get(rsdp.value + 20, 4), 36);
	assert_int_equal(expect_table(get(rsdp.value + 24, 8), "XSDT"), 36 + 2 * 8);
	return get(rsdp.value + 24, 8);
}

static void test_fadt(void **state)
{
	uint64_t xsdt = write_tables(1), fadt = get(xsdt + 36, 8), facs;

	(void)state;
	assert_int_equal(expect_table(fadt, "FACP"), 276);
	assert_int_equal(get(fadt + 8, 1), 6);
	assert_int_equal(get(fadt + 46, 2), PLATFORM_SCI_LINE);
	assert_int_equal(get(fadt + 48, 4), 0);
	assert_int_equal(get(fadt + 56, 4), PLATFORM_PM1A_EVENT_PORT);
	assert_int_equal(get(fadt + 64, 4), PLATFORM_PM1A_CONTROL_PORT);
	assert_int_equal(get(fadt + 76, 4), PLATFORM_PM_TIMER_PORT);
	assert_int_equal(get(fadt + 88, 1), 4);
	assert_int_equal(get(fadt + 89, 1), 2);
	assert_int_equal(get(fadt + 91, 1), 4);
	assert_int_equal(get(fadt + 108, 1), 0x32);
	assert_int_equal(get(fadt + 109, 2), 0x15);
	assert_int_equal(get(fadt + 112, 4), 0x565);
	assert_int_equal(get(fadt + 116, 1), 1);
	assert_int_equal(get(fadt + 120, 8), PLATFORM_RESET_PORT);
	assert_int_equal(get(fadt + 128, 1), PLATFORM_RESET_VALUE);
	assert_int_equal(get(fadt + 140, 8), get(fadt + 40, 4));
	assert_int_equal(get(fadt + 152, 8), PLATFORM_PM1A_EVENT_PORT);
	assert_int_equal(get(fadt + 176, 8), PLATFORM_PM1A_CONTROL_PORT);
	assert_int_equal(get(fadt + 212, 8), PLATFORM_PM_TIMER_PORT);
	facs = get(fadt + 36, 4);
	assert_memory_equal(fake_guest.ram + facs, "FACS", 4);
	assert_int_equal(facs % 64, 0);
	fake_guest_destroy();
}

static void test_dsdt(void **state)
{
	uint64_t fadt = get(write_tables(1) + 36, 8), dsdt = get(fadt + 40, 4);
	/* Name (\_S5, Package (4) { BytePrefix SLP_TYP, ...: how a guest finds the value that powers off. */
	const uint8_t s5[] = { 0x08, '_', 'S', '5', '_', 0x12 };
	uint64_t length = expect_table(dsdt, "DSDT"), position = 0;

	(void)state;
	assert_int_equal(length, sizeof(dsdt_aml));
	while (position + sizeof(s5) < length && memcmp(fake_guest.ram + dsdt + position, s5, sizeof(s5)) != 0)
		position++;
	assert_true(position + sizeof(s5) < length);
	position += sizeof(s5);
	assert_int_equal(get(dsdt + position + 1, 1), 4);
	assert_int_equal(get(dsdt + position + 2, 1), 0x0a);
	assert_int_equal(get(dsdt + position + 3, 1), PLATFORM_SLEEP_TYPE_S5);
	fake_guest_destroy();
}

static struct cpuid_result host_with_bits(uint32_t bits, uint32_t leaf)
{
	return leaf == 0x80000008 ? (struct cpuid_result){bits | 48 << 8, 0, 0, 0} : leaf == 0x80000000 ? (struct cpuid_result){0x80000008, 0, 0, 0} :
		(struct cpuid_result){0};
}

static struct cpuid_result wide_host(uint32_t leaf, uint32_t subleaf) { (void)subleaf; return host_with_bits(36, leaf); }
static struct cpuid_result narrow_host(uint32_t leaf, uint32_t subleaf) { (void)subleaf; return host_with_bits(32, leaf); }

/* "QWord Address Space Descriptor": minimum at 14, maximum, translation, length. */
static uint64_t find_window(uint64_t dsdt, uint64_t length)
{
	const uint8_t descriptor[] = { 0x8a, 0x2b, 0x00, 0x00 };

	for (uint64_t i = 0; i + 46 <= length; i++)
		if (memcmp(fake_guest.ram + dsdt + i, descriptor, sizeof(descriptor)) == 0)
			return dsdt + i;
	fail();
	return 0;
}

static void test_window_above_ram(void **state)
{
	uint64_t dsdt, window;

	(void)state;
	cpuid_policy_build(wide_host);
	dsdt = get(get(write_tables(1) + 36, 8) + 40, 4);
	window = find_window(dsdt, expect_table(dsdt, "DSDT"));
	assert_true(get(window + 14, 8) == 32 * GIB && get(window + 22, 8) == 64 * GIB - 1 && get(window + 38, 8) == 32 * GIB);
	fake_guest_destroy();
	cpuid_policy_build(narrow_host);
	dsdt = get(get(write_tables(1) + 36, 8) + 40, 4);
	window = find_window(dsdt, expect_table(dsdt, "DSDT"));
	assert_int_equal(get(window + 38, 8), 0);
	fake_guest_destroy();
}

static void test_madt(void **state)
{
	uint64_t madt = get(write_tables(3) + 44, 8), length = expect_table(madt, "APIC"), processors = 0, io_apics = 0;
	bool timer = false, sci = false, nmi = false;

	(void)state;
	assert_int_equal(get(madt + 36, 4), 0xfee00000);
	assert_int_equal(get(madt + 40, 4), 1);
	for (uint64_t entry = madt + 44; entry < madt + length; entry += get(entry + 1, 1)) {
		assert_true(get(entry + 1, 1) >= 6 && entry + get(entry + 1, 1) <= madt + length);
		if (get(entry, 1) == 0) {
			assert_int_equal(get(entry + 3, 1), processors);
			assert_int_equal(get(entry + 4, 4), 1);
			processors++;
		} else if (get(entry, 1) == 1) {
			assert_int_equal(get(entry + 4, 4), 0xfec00000);
			assert_int_equal(get(entry + 8, 4), 0);
			io_apics++;
		} else if (get(entry, 1) == 2) {
			timer |= get(entry + 3, 1) == 0 && get(entry + 4, 4) == 2 && get(entry + 8, 2) == 0;
			sci |= get(entry + 3, 1) == 9 && get(entry + 4, 4) == 9 && get(entry + 8, 2) == 0xd;
		} else if (get(entry, 1) == 4) {
			nmi = get(entry + 2, 1) == 0xff && get(entry + 5, 1) == 1;
		}
	}
	assert_int_equal(processors, 3);
	assert_int_equal(io_apics, 1);
	assert_true(timer && sci && nmi);
	fake_guest_destroy();
}

static void test_refusals(void **state)
{
	gpa_t rsdp;

	(void)state;
	fake_guest_create(4 * MIB);
	assert_int_equal(acpi_tables_write(&fake_guest.vm.memory, 0, &rsdp), STATUS_INVALID);
	assert_int_equal(acpi_tables_write(&fake_guest.vm.memory, VM_MAX_VCPUS + 1, &rsdp), STATUS_INVALID);
	assert_int_equal(acpi_tables_write(&fake_guest.vm.memory, VM_MAX_VCPUS, &rsdp), STATUS_OK);
	fake_guest.vm.memory.slot_count = 1;
	assert_int_equal(acpi_tables_write(&fake_guest.vm.memory, 1, &rsdp), STATUS_OUT_OF_RANGE);
	fake_guest_destroy();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fadt), cmocka_unit_test(test_dsdt), cmocka_unit_test(test_madt), cmocka_unit_test(test_window_above_ram),
		cmocka_unit_test(test_refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
