/* vmm/msr_policy.c: every kind of register, and a sweep over the whole MSR space. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/clock.h"
#include "arch/x86/cr.h"
#include "arch/x86/msr.h"
#include "lib/bits.h"
#include "tests/fake/fake_cpu.h"
#include "tests/unit/fake_guest.h"
#include "vmm/cpuid_policy.h"
#include "vmm/msr_policy.h"
#include "vmm/msr_rows.h"

static bool shows_arch_capabilities;
static uint64_t device_value;
static unsigned device_accesses;
static uint8_t intercepts[0x1000];

static struct cpuid_result host(uint32_t leaf, uint32_t subleaf)
{
	(void)subleaf;
	switch (leaf) {
	case 0: return (struct cpuid_result){ .eax = 7 };
	case 7: return (struct cpuid_result){ .edx = shows_arch_capabilities ? (uint32_t)BIT(29) : 0 };
	case 0x80000000: return (struct cpuid_result){ .eax = 0x80000008 };
	case 0x80000001: return (struct cpuid_result){ .edx = (uint32_t)BIT(20) };
	case 0x80000008: return (struct cpuid_result){ .eax = 39 };
	default: return (struct cpuid_result){ 0 };
	}
}

static enum status device_read(struct io_device *device, struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t *value)
{
	(void)device;
	assert_ptr_equal(vcpu, &fake_guest.vcpu);
	assert_int_equal(size, 8);
	assert_int_not_equal(fake_guest.vm.device_lock.next_ticket, fake_guest.vm.device_lock.now_serving);
	device_accesses++;
	*value = device_value + offset;
	return offset == 0xff ? STATUS_INVALID : STATUS_OK;
}

static enum status device_write(struct io_device *device, struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t value)
{
	uint64_t ignored;

	device_value = value;
	return device_read(device, vcpu, offset, size, &ignored);
}

static const struct io_ops device_ops = { device_read, device_write };

static void intercept(struct virt_vm *vm, uint32_t msr, bool read, bool write)
{
	(void)vm;
	assert_true(msr < 0x2000 || msr - 0xc0000000 < 0x2000);
	intercepts[msr & 0xfff] = (uint8_t)(1 | (read ? 2 : 0) | (write ? 4 : 0));
}

static void add_device(uint32_t first, uint32_t count)
{
	const struct io_region region = { .base = first, .length = count, .ops = &device_ops, .name = "test", .numbered = true };

	assert_int_equal(io_bus_add(&fake_guest.vm.buses[IO_SPACE_MSR], &region), STATUS_OK);
}

static int begin(void **state)
{
	(void)state;
	fake_cpu_reset();
	fake_msr_set(MSR_BIOS_SIGN_ID, (uint64_t)0x2007006 << 32);
	fake_msr_set(MSR_ARCH_CAPABILITIES, ~(uint64_t)0);
	fake_guest_create(4 * MIB);
	memset(fake_guest.registers, 0, sizeof(fake_guest.registers));
	clock_tsc_frequency = 2500000000;
	shows_arch_capabilities = false;
	cpuid_policy_build(host);
	msr_policy_init();
	msr_policy_reset(&fake_guest.vcpu);
	fake_guest.registers[VIRT_PAT] = MSR_PAT_RESET;
	add_device(MSR_APIC_BASE, 1);
	add_device(MSR_TSC_DEADLINE, 1);
	add_device(MSR_X2APIC_BASE, 0x100);
	device_value = 0x1000;
	device_accesses = 0;
	return 0;
}

static int end(void **state)
{
	(void)state;
	fake_guest_destroy();
	return 0;
}

static void expect_read(uint32_t msr, uint64_t expected)
{
	uint64_t value = 0x5a5a;

	assert_int_equal(msr_policy_read(&fake_guest.vcpu, msr, &value), STATUS_OK);
	if (value != expected)
		fail_msg("MSR %x: %llx, expected %llx", msr, (unsigned long long)value, (unsigned long long)expected);
}

static void expect_read_fault(uint32_t msr)
{
	uint64_t value;

	assert_int_not_equal(msr_policy_read(&fake_guest.vcpu, msr, &value), STATUS_OK);
}

static void expect_write(uint32_t msr, uint64_t value) { assert_int_equal(msr_policy_write(&fake_guest.vcpu, msr, value), STATUS_OK); }

static void expect_write_fault(uint32_t msr, uint64_t value)
{
	assert_int_not_equal(msr_policy_write(&fake_guest.vcpu, msr, value), STATUS_OK);
}

static void test_constants(void **state)
{
	(void)state;
	expect_read(MSR_PLATFORM_ID, 0);
	expect_write_fault(MSR_PLATFORM_ID, 0);
	expect_read(MSR_FEATURE_CONTROL, 1);
	expect_write_fault(MSR_FEATURE_CONTROL, 1);
	expect_read(MSR_BIOS_SIGN_ID, (uint64_t)0x2007006 << 32);
	expect_write(MSR_BIOS_SIGN_ID, 0);
	expect_read(MSR_PLATFORM_INFO, (uint64_t)25 << 8 | (uint64_t)25 << 40);
	expect_read(MSR_MISC_FEATURES_ENABLES, 0);
	expect_write(MSR_MISC_FEATURES_ENABLES, 0);
	expect_write_fault(MSR_MISC_FEATURES_ENABLES, 1);
	expect_read(MSR_MCG_CAP, 0);
	expect_write_fault(MSR_MCG_STATUS, 1);
	expect_write(MSR_BIOS_UPDT_TRIG, 0x1234);
	expect_read_fault(MSR_BIOS_UPDT_TRIG);
}

static void test_mtrrs(void **state)
{
	(void)state;
	expect_read(MSR_MTRRCAP, 0x508);
	expect_read(MSR_MTRR_DEF_TYPE, 0xc06);
	expect_write(MSR_MTRR_DEF_TYPE, 0);
	expect_read(MSR_MTRR_DEF_TYPE, 0xc06);
	expect_read(MSR_MTRR_PHYSBASE0, 0xc0000000);
	expect_read(MSR_MTRR_PHYSBASE0 + 1, 0x7fc0000800);
	expect_read(MSR_MTRR_PHYSBASE0 + 15, 0);
	expect_read_fault(MSR_MTRR_PHYSBASE0 + 16);
	expect_read(MSR_MTRR_FIX16K_A0000, 0);
	expect_read(0x268, 0x0606060606060606);
	expect_read(0x26f, 0x0606060606060606);
	expect_read_fault(0x270);
	expect_read_fault(0x25a);
}

static void test_arch_capabilities(void **state)
{
	uint64_t value;

	(void)state;
	expect_read_fault(MSR_ARCH_CAPABILITIES);
	shows_arch_capabilities = true;
	cpuid_policy_build(host);
	msr_policy_init();
	assert_int_equal(msr_policy_read(&fake_guest.vcpu, MSR_ARCH_CAPABILITIES, &value), STATUS_OK);
	assert_true(value & BIT(0));
	/* TSX_CTRL and other bits that promise an MSR. */
	assert_int_equal(value & (BIT(7) | BITS(12, 9) | BIT(16) | BITS(63, 28)), 0);
	expect_write_fault(MSR_ARCH_CAPABILITIES, 0);
}

static void test_stored_registers(void **state)
{
	(void)state;
	expect_read(MSR_MISC_ENABLE, 0x1801);
	expect_write(MSR_MISC_ENABLE, ~(uint64_t)0);
	expect_read(MSR_MISC_ENABLE, 0x1801 | BIT(22) | BIT(34));
	expect_write(MSR_MISC_ENABLE, 0);
	expect_read(MSR_MISC_ENABLE, 0x1800);
	expect_write(MSR_DEBUGCTL, 3);
	expect_read(MSR_DEBUGCTL, 2);
	assert_int_equal(fake_guest.registers[VIRT_DEBUGCTL], 2);
	expect_write_fault(MSR_DEBUGCTL, 4);
}

static void test_pat(void **state)
{
	(void)state;
	expect_read(MSR_PAT, MSR_PAT_RESET);
	expect_write(MSR_PAT, 0x0401050007040600);
	expect_read(MSR_PAT, 0x0401050007040600);
	expect_write_fault(MSR_PAT, 2);
	expect_write_fault(MSR_PAT, 0x0300000000000000);
	expect_write_fault(MSR_PAT, 0x0800);
	expect_write_fault(MSR_PAT, 0xff00000000000000);
	expect_read(MSR_PAT, 0x0401050007040600);
}

static void test_efer(void **state)
{
	(void)state;
	expect_write(MSR_EFER, EFER_SCE | EFER_LME | EFER_NXE);
	expect_read(MSR_EFER, EFER_SCE | EFER_LME | EFER_NXE);
	expect_write_fault(MSR_EFER, EFER_SVME);
	expect_write_fault(MSR_EFER, BIT(1));
	fake_guest.registers[VIRT_CR0] = CR0_PE | CR0_PG;
	fake_guest.registers[VIRT_EFER] |= EFER_LMA;
	expect_write_fault(MSR_EFER, EFER_NXE);
	/* LMA is the CPU's. */
	expect_write(MSR_EFER, EFER_LME);
	expect_read(MSR_EFER, EFER_LME | EFER_LMA);
	fake_guest.registers[VIRT_CR0] = CR0_PE;
	fake_guest.registers[VIRT_EFER] = 0;
	expect_write(MSR_EFER, EFER_LMA);
	expect_read(MSR_EFER, 0);
}

static void test_tsc(void **state)
{
	(void)state;
	fake_tsc = 1000000;
	fake_tsc_step = 0;
	fake_guest.vcpu.virt.tsc_offset = (uint64_t)-1000000;
	expect_read(MSR_TSC, 0);
	expect_write(MSR_TSC, 500);
	assert_int_equal(fake_guest.registers[VIRT_TSC_OFFSET], (uint64_t)500 - 1000000);
	expect_read(MSR_TSC_ADJUST, 500);
	fake_guest.vcpu.virt.tsc_offset = fake_guest.registers[VIRT_TSC_OFFSET];
	expect_write(MSR_TSC_ADJUST, 0);
	expect_read(MSR_TSC_ADJUST, 0);
	assert_int_equal(fake_guest.registers[VIRT_TSC_OFFSET], (uint64_t)-1000000);
}

static void test_devices(void **state)
{
	(void)state;
	expect_read(MSR_APIC_BASE, 0x1000);
	expect_write(MSR_TSC_DEADLINE, 77);
	expect_read(MSR_TSC_DEADLINE, 77);
	expect_read(0x80b, 77 + 0xb);
	expect_read_fault(0x8ff);
	expect_write_fault(0x8ff, 1);
	assert_int_equal(device_accesses, 6);
	assert_int_equal(fake_guest.vm.device_lock.next_ticket, fake_guest.vm.device_lock.now_serving);
}

/* Over the whole space nothing answers but the rows; values at the edges of the ranges. */
static void test_sweep(void **state)
{
	static const uint32_t bases[] = { 0, 0x40000000, 0x4b564000, 0xc0000000, 0xc0010000 };
	uint64_t value;

	(void)state;
	for (size_t i = 0; i < array_count(bases); i++) {
		for (uint32_t msr = bases[i]; msr < bases[i] + 0x2000; msr++) {
			if (msr_policy_read(&fake_guest.vcpu, msr, &value) == STATUS_OK && !msr_policy_name(msr))
				fail_msg("MSR %x answers without a row", msr);
		}
	}
	expect_read_fault(0xffffffff);
	expect_write_fault(0xffffffff, 0);
	expect_read_fault(0xc0000104);
	expect_read_fault(0xc0000079);
	expect_read_fault(0x900);
	expect_read_fault(MSR_VMX_BASIC);
	expect_read_fault(0x48);
	assert_null(msr_policy_name(0x4b564d00));
	assert_string_equal(msr_policy_name(0x20f), "IA32_MTRR_PHYS");
}

static void test_rows_are_sorted(void **state)
{
	(void)state;
	for (unsigned i = 0; i < msr_row_count; i++) {
		assert_true(msr_rows[i].first <= msr_rows[i].last);
		if (i > 0 && msr_rows[i].first <= msr_rows[i - 1].last)
			fail_msg("row %s is out of order", msr_rows[i].name);
	}
}

static void test_passed_through(void **state)
{
	struct virt_ops ops = { .msr_intercept = intercept };
	static const uint32_t both[] = { MSR_STAR, MSR_LSTAR, MSR_CSTAR, MSR_FMASK, MSR_FS_BASE, MSR_GS_BASE, MSR_KERNEL_GS_BASE,
					 MSR_TSC_AUX, MSR_SYSENTER_CS, MSR_SYSENTER_ESP, MSR_SYSENTER_EIP };
	unsigned told = 0;

	(void)state;
	memset(intercepts, 0, sizeof(intercepts));
	virt_ops = &ops;
	msr_policy_apply(&fake_guest.vm.virt);
	for (size_t i = 0; i < array_count(both); i++)
		assert_int_equal(intercepts[both[i] & 0xfff], 1);
	assert_int_equal(intercepts[MSR_TSC], 1 | 4);
	for (size_t i = 0; i < sizeof(intercepts); i++)
		told += intercepts[i] != 0;
	/* Nothing else is opened. */
	assert_int_equal(told, array_count(both) + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_constants, begin, end),
		cmocka_unit_test_setup_teardown(test_mtrrs, begin, end),
		cmocka_unit_test_setup_teardown(test_arch_capabilities, begin, end),
		cmocka_unit_test_setup_teardown(test_stored_registers, begin, end),
		cmocka_unit_test_setup_teardown(test_pat, begin, end),
		cmocka_unit_test_setup_teardown(test_efer, begin, end),
		cmocka_unit_test_setup_teardown(test_tsc, begin, end),
		cmocka_unit_test_setup_teardown(test_devices, begin, end),
		cmocka_unit_test_setup_teardown(test_sweep, begin, end),
		cmocka_unit_test_setup_teardown(test_rows_are_sorted, begin, end),
		cmocka_unit_test_setup_teardown(test_passed_through, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
