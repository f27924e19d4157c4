/* CPUID into features and identity, the TSC frequency, XSAVE components, and the control registers that follow. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86/cpu/control_registers.h"
#include "arch/x86/cpu/features.h"
#include "arch/x86/cpu/tsc.h"
#include "arch/x86/cpu/xsave.h"
#include "arch/x86/cr.h"
#include "arch/x86/msr.h"
#include "fake_cpu.h"

static uint32_t word(const char *four) { uint32_t value; memcpy(&value, four, 4); return value; }

static void set_vendor(const char *name, uint32_t max_leaf)
{
	fake_cpuid_set(0, 0, max_leaf, word(name), word(name + 8), word(name + 4));
}

static int set_up(void **state)
{
	(void)state;
	fake_cpu_reset();
	set_vendor("GenuineIntel", 0x16);
	fake_cpuid_set(0x80000000, 0, 0x80000008, 0, 0, 0);
	return 0;
}

static void test_identity(void **state)
{
	(void)state;
	fake_cpuid_set(1, 0, 0x000506e3, 7u << 24, 0, 0);
	fake_cpuid_set(0x80000002, 0, word("  In"), word("tel("), word("R) T"), word("est "));
	fake_cpuid_set(0x80000003, 0, word("CPU\0"), 0, 0, 0);
	fake_cpuid_set(0x80000008, 0, 46 | 48 << 8, 0, 0, 0);
	features_init();
	const struct cpu_identity *identity = features_identity();
	assert_int_equal(identity->vendor, CPU_VENDOR_INTEL);
	assert_string_equal(identity->vendor_name, "GenuineIntel");
	assert_string_equal(identity->brand, "Intel(R) Test CPU");
	assert_int_equal(identity->family, 6);
	assert_int_equal(identity->model, 0x5e);
	assert_int_equal(identity->stepping, 3);
	assert_int_equal(identity->physical_address_bits, 46);
	assert_int_equal(identity->linear_address_bits, 48);
	assert_int_equal(identity->apic_id, 7);
}

static void test_extended_family_of_amd(void **state)
{
	(void)state;
	set_vendor("AuthenticAMD", 1);
	fake_cpuid_set(1, 0, 0x00870f10, 0, 0, 0);
	features_init();
	assert_int_equal(features_identity()->vendor, CPU_VENDOR_AMD);
	assert_int_equal(features_identity()->family, 0x17);
	assert_int_equal(features_identity()->model, 0x71);
}

static void test_brand_of_48_characters(void **state)
{
	(void)state;
	for (uint32_t leaf = 0x80000002; leaf <= 0x80000004; leaf++)
		fake_cpuid_set(leaf, 0, word("abcd"), word("efgh"), word("ijkl"), word("mnop"));
	features_init();
	assert_int_equal(strlen(features_identity()->brand), 48);
}

static void test_leaves_above_the_highest_are_not_asked(void **state)
{
	(void)state;
	set_vendor("GenuineIntel", 1);
	fake_cpuid_set(0x80000000, 0, 0x12345678, 0, 0, 0); /* no extended leaves: garbage */
	fake_cpuid_set(7, 0, 0, ~0u, ~0u, ~0u);
	fake_cpuid_set(0x80000001, 0, ~0u, ~0u, ~0u, ~0u);
	features_init();
	assert_false(features_has(CPU_FEATURE_SMEP));
	assert_false(features_has(CPU_FEATURE_NX));
	assert_int_equal(features_identity()->physical_address_bits, 36);
}

static void test_every_feature_has_a_row(void **state)
{
	(void)state;
	for (unsigned i = 0; i < CPU_FEATURE_COUNT; i++)
		assert_non_null(features_get(i).name);
	fake_cpuid_set(1, 0, 0, 0, 1u << 21, 0);
	fake_cpuid_set(0x80000001, 0, 0, 0, 1u << 2, 1u << 26);
	features_init();
	for (unsigned i = 0; i < CPU_FEATURE_COUNT; i++) {
		bool expected = i == CPU_FEATURE_X2APIC || i == CPU_FEATURE_SVM || i == CPU_FEATURE_PAGE_1G;
		assert_int_equal(features_has(i), expected);
		assert_int_equal(features_get(i).present, expected);
	}
}

static void test_apic_id_beyond_8_bits(void **state)
{
	(void)state;
	fake_cpuid_set(1, 0, 0, 0x34u << 24, 0, 0);
	fake_cpuid_set(0xb, 0, 1, 2, 0x100, 0x1234);
	assert_int_equal(features_read_apic_id(), 0x1234);
	fake_cpuid_set(0xb, 0, 0, 0, 0, 0x1234); /* the leaf is there but empty */
	assert_int_equal(features_read_apic_id(), 0x34);
}

static void test_tsc_frequency(void **state)
{
	(void)state;
	features_init();
	assert_int_equal(tsc_frequency_from_cpuid(), 0);
	fake_cpuid_set(0x15, 0, 2, 176, 24000000, 0);
	assert_int_equal(tsc_frequency_from_cpuid(), 2112000000);
	fake_cpuid_set(0x15, 0, 2, 0xffffffff, 0xffffffff, 0); /* no overflow */
	assert_int_equal(tsc_frequency_from_cpuid(), 0xffffffffull * 0xffffffffull / 2);
	fake_cpuid_set(0x15, 0, 2, 176, 0, 0);
	assert_int_equal(tsc_frequency_from_cpuid(), 0);
	fake_cpuid_set(0x16, 0, 2100, 3000, 100, 0);
	assert_int_equal(tsc_frequency_from_cpuid(), 2100000000);
	set_vendor("AuthenticAMD", 0x16); /* these leaves mean nothing there */
	features_init();
	assert_int_equal(tsc_frequency_from_cpuid(), 0);
}

static void test_tsc_frequency_from_hypervisor(void **state)
{
	(void)state;
	set_vendor("AuthenticAMD", 0xd);
	fake_cpuid_set(0x40000010, 0, 2500000, 0, 0, 0);
	fake_cpuid_set(0x40000000, 0, 0x40000010, 0, 0, 0);
	features_init();
	assert_int_equal(tsc_frequency_from_cpuid(), 0); /* nobody says there is one */
	fake_cpuid_set(1, 0, 0, 0, 1u << 31, 0);
	features_init();
	assert_int_equal(tsc_frequency_from_cpuid(), 2500000000);
	fake_cpuid_set(0x40000000, 0, 0x40000001, 0, 0, 0);
	assert_int_equal(tsc_frequency_from_cpuid(), 0);
}

/* The other CPU's half of the comparison: takes its turn whenever this one waits. */
static struct tsc_check check;
static int64_t other_offset;

static void other_cpu(void)
{
	if (!(check.turn & 1))
		return;
	uint64_t now = fake_tsc + (uint64_t)other_offset;
	if (now < check.last && check.last - now > check.worst_lag)
		check.worst_lag = check.last - now;
	check.last = now;
	check.turn++;
}

static void test_tsc_check(void **state)
{
	(void)state;
	fake_tsc = 1u << 30;
	fake_pause_hook = other_cpu;
	other_offset = 0;
	check = (struct tsc_check){0, 0, 0};
	assert_true(tsc_check_run(&check, 0, 1000000));
	assert_int_equal(check.worst_lag, 0);
	other_offset = -500000;
	check = (struct tsc_check){0, 0, 0};
	assert_true(tsc_check_run(&check, 0, 1000000));
	assert_in_range(check.worst_lag, 490000, 510000);
	fake_pause_hook = NULL;
	check = (struct tsc_check){0, 0, 0};
	assert_false(tsc_check_run(&check, 0, 1000000)); /* the other one never comes */
}

static void set_xsave(uint32_t mask)
{
	fake_cpuid_set(1, 0, 0, 0, 1u << 26, 0);
	fake_cpuid_set(0xd, 0, mask, 0x1000, 0x1000, 0);
	fake_cpuid_set(0xd, 2, 256, 576, 0, 0);
	fake_cpuid_set(0xd, 3, 64, 960, 0, 0);
	fake_cpuid_set(0xd, 5, 64, 1088, 0, 0);
	fake_cpuid_set(0xd, 6, 512, 1152, 0, 0);
	fake_cpuid_set(0xd, 7, 1024, 1664, 0, 0);
	fake_cpuid_set(0xd, 9, 8, 2688, 0, 0);
	fake_cpuid_set(0xd, 17, 64, 2752, 0, 0);
	fake_cpuid_set(0xd, 18, 8192, 2816, 0, 0);
	features_init();
	xsave_init();
}

static void test_xsave_components(void **state)
{
	uint32_t offset, size;

	(void)state;
	set_xsave(0x602ff); /* AMX and MPX are not switched by us */
	assert_int_equal(xsave_supported_mask(), XCR0_X87 | XCR0_SSE | XCR0_AVX | XCR0_AVX512 | XCR0_PKRU);
	assert_int_equal(xsave_area_size(), 2696);
	assert_true(xsave_component(7, &offset, &size));
	assert_int_equal(offset, 1664);
	assert_int_equal(size, 1024);
	assert_true(xsave_component(0, &offset, &size));
	assert_int_equal(offset, 0);
	assert_false(xsave_component(17, &offset, &size));
	assert_false(xsave_component(3, &offset, &size));
	assert_false(xsave_component(63, &offset, &size));
	assert_false(xsave_component(~0u, &offset, &size));
}

static void test_xsave_xcr0(void **state)
{
	(void)state;
	set_xsave(0xe7);
	assert_true(xsave_xcr0_is_valid(0x1));
	assert_true(xsave_xcr0_is_valid(0x3));
	assert_true(xsave_xcr0_is_valid(0x7));
	assert_true(xsave_xcr0_is_valid(0xe7));
	assert_false(xsave_xcr0_is_valid(0x0));
	assert_false(xsave_xcr0_is_valid(0x2));  /* no x87 */
	assert_false(xsave_xcr0_is_valid(0x5));  /* AVX without SSE */
	assert_false(xsave_xcr0_is_valid(0x67)); /* part of AVX-512 */
	assert_false(xsave_xcr0_is_valid(0xe3)); /* AVX-512 without AVX */
	assert_false(xsave_xcr0_is_valid(0x207));
	assert_false(xsave_xcr0_is_valid(1ull << 63 | 1));
}

static void test_xsave_incomplete_avx512_is_dropped(void **state)
{
	(void)state;
	set_xsave(0x67);
	assert_int_equal(xsave_supported_mask(), 0x7);
	assert_int_equal(xsave_area_size(), 832);
	set_xsave(0xe3);
	assert_int_equal(xsave_supported_mask(), 0x3);
}

static void test_xsave_absurd_sizes_are_refused(void **state)
{
	(void)state;
	set_xsave(0x7);
	fake_cpuid_set(0xd, 2, 0xffffffff, 0xffffffff, 0, 0);
	xsave_init();
	assert_int_equal(xsave_supported_mask(), 0x3);
	assert_int_equal(xsave_area_size(), 576);
}

static void test_xsave_enable(void **state)
{
	(void)state;
	set_xsave(0xe7);
	xsave_enable_on_cpu();
	assert_int_equal(fake_cr4 & (CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE), CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE);
	assert_int_equal(fake_xcr0, 0xe7);
	xsave_set_xcr0(0x7);
	assert_int_equal(fake_xcr0, 0x7);
}

static void test_without_xsave(void **state)
{
	(void)state;
	features_init();
	xsave_init();
	assert_false(xsave_is_available());
	xsave_enable_on_cpu();
	xsave_set_xcr0(0x7);
	assert_int_equal(fake_cr4 & CR4_OSXSAVE, 0);
	assert_int_equal(fake_cr4 & CR4_OSFXSR, CR4_OSFXSR);
	assert_int_equal(fake_xcr0, 1);
	assert_int_equal(xsave_supported_mask(), 0x3);
}

static void test_xsave_area(void **state)
{
	static uint8_t area[4096] aligned_to(64);
	uint32_t mxcsr;
	uint16_t fcw;

	(void)state;
	memset(area, 0xee, sizeof(area));
	set_xsave(0x7);
	xsave_area_init(area);
	memcpy(&fcw, area, 2);
	memcpy(&mxcsr, area + 24, 4);
	assert_int_equal(fcw, 0x37f);
	assert_int_equal(mxcsr, 0x1f80);
	for (unsigned i = 512; i < 832; i++)
		assert_int_equal(area[i], 0);
	assert_int_equal(area[832], 0xee);
}

static void test_control_registers(void **state)
{
	(void)state;
	fake_cpuid_set(7, 0, 0, 1u << 7, 1u << 2, 0);
	fake_cpuid_set(1, 0, 0, 0, 0, 1u << 7 | 1u << 16);
	fake_cpuid_set(0x80000001, 0, 0, 0, 0, 1u << 20);
	fake_msr_set(MSR_EFER, EFER_LME | EFER_LMA);
	fake_msr_set(MSR_PAT, 0x0007010600070106);
	features_init();
	control_registers_init();
	assert_int_equal(fake_cr4, CR4_PAE | CR4_SMEP | CR4_UMIP | CR4_MCE);
	assert_true(fake_cr0 & CR0_WP);
	assert_false(fake_cr0 & (CR0_EM | CR0_TS | CR0_CD | CR0_NW));
	assert_true(fake_msr_get(MSR_EFER) & EFER_NXE);
	fake_cr4 |= CR4_VMXE;
	control_registers_capture();
	/* Another CPU comes out of its start-up code. */
	fake_cr0 = 0x80000011;
	fake_cr4 = CR4_PAE;
	fake_msr_set(MSR_EFER, EFER_LME | EFER_LMA);
	fake_msr_set(MSR_PAT, 0x0007040600070406);
	control_registers_apply();
	assert_int_equal(fake_cr4, CR4_PAE | CR4_SMEP | CR4_UMIP | CR4_MCE);
	assert_true(fake_cr0 & CR0_WP);
	assert_int_equal(fake_msr_get(MSR_EFER), EFER_LME | EFER_LMA | EFER_NXE);
	assert_int_equal(fake_msr_get(MSR_PAT), 0x0007010600070106);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_identity, set_up),
		cmocka_unit_test_setup(test_extended_family_of_amd, set_up),
		cmocka_unit_test_setup(test_brand_of_48_characters, set_up),
		cmocka_unit_test_setup(test_leaves_above_the_highest_are_not_asked, set_up),
		cmocka_unit_test_setup(test_every_feature_has_a_row, set_up),
		cmocka_unit_test_setup(test_apic_id_beyond_8_bits, set_up),
		cmocka_unit_test_setup(test_tsc_frequency, set_up),
		cmocka_unit_test_setup(test_tsc_frequency_from_hypervisor, set_up),
		cmocka_unit_test_setup(test_tsc_check, set_up),
		cmocka_unit_test_setup(test_xsave_components, set_up),
		cmocka_unit_test_setup(test_xsave_xcr0, set_up),
		cmocka_unit_test_setup(test_xsave_incomplete_avx512_is_dropped, set_up),
		cmocka_unit_test_setup(test_xsave_absurd_sizes_are_refused, set_up),
		cmocka_unit_test_setup(test_xsave_enable, set_up),
		cmocka_unit_test_setup(test_without_xsave, set_up),
		cmocka_unit_test_setup(test_xsave_area, set_up),
		cmocka_unit_test_setup(test_control_registers, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
