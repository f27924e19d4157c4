/* vmm/cpuid_policy.c over processors described here: one that answers all ones everywhere, and one like a Skylake. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/clock.h"
#include "arch/x86/cr.h"
#include "lib/bits.h"
#include "tests/unit/fake_guest.h"
#include "vmm/cpuid_policy.h"
#include "vmm/cpuid_rows.h"

static struct cpuid_result r;

static void read_leaf(uint32_t leaf, uint32_t subleaf)
{
	memset(&r, 0x5a, sizeof(r));
	cpuid_policy_read(&fake_guest.vcpu, leaf, subleaf, &r);
}

static void expect(uint32_t leaf, uint32_t subleaf, uint32_t eax, uint32_t ebx, uint32_t ecx, uint32_t edx)
{
	read_leaf(leaf, subleaf);
	if (r.eax != eax || r.ebx != ebx || r.ecx != ecx || r.edx != edx)
		fail_msg("leaf %x.%x: %x %x %x %x, expected %x %x %x %x", leaf, subleaf, r.eax, r.ebx, r.ecx, r.edx, eax, ebx, ecx, edx);
}

static struct cpuid_result all_ones(uint32_t leaf, uint32_t subleaf)
{
	(void)leaf;
	(void)subleaf;
	return (struct cpuid_result){ ~0u, ~0u, ~0u, ~0u };
}

static struct cpuid_result nothing(uint32_t leaf, uint32_t subleaf)
{
	(void)leaf;
	(void)subleaf;
	return (struct cpuid_result){ 0 };
}

/* A Skylake server: AVX-512, no ARCH_CAPABILITIES. Leaves beyond the highest repeat it, as Intel's do. */
static struct cpuid_result skylake(uint32_t leaf, uint32_t subleaf)
{
	static const struct { uint32_t leaf, subleaf; struct cpuid_result r; } table[] = {
		{ 0x0, 0, { 0x16, 0x756e6547, 0x6c65746e, 0x49656e69 } },
		{ 0x1, 0, { 0x50654, 0x07100800, 0x7ffefbff, 0xbfebfbff } },
		{ 0x2, 0, { 0x76036301, 0x00f0b5ff, 0, 0x00c30000 } },
		{ 0x4, 0, { 0x1c004121, 0x01c0003f, 0x3f, 0 } },
		{ 0x4, 1, { 0x1c004122, 0x01c0003f, 0x3f, 0 } },
		{ 0x4, 2, { 0x1c004143, 0x03c0003f, 0x3ff, 0 } },
		{ 0x4, 3, { 0x1c03c163, 0x0280003f, 0x47ff, 4 } },
		{ 0x6, 0, { 0x77, 2, 9, 0 } },
		{ 0x7, 0, { 0, 0xd39ffffb, 0, 0x0c000000 } },
		{ 0xa, 0, { 0x07300404, 0, 0, 0x603 } },
		{ 0xd, 0, { 0x2ff, 0xa80, 0xa88, 0 } },
		{ 0xd, 1, { 0xf, 0xa08, 0x100, 0 } },
		{ 0xd, 2, { 0x100, 0x240, 0, 0 } },
		{ 0xd, 3, { 0x40, 0x3c0, 0, 0 } },
		{ 0xd, 4, { 0x40, 0x400, 0, 0 } },
		{ 0xd, 5, { 0x40, 0x440, 0, 0 } },
		{ 0xd, 6, { 0x200, 0x480, 0, 0 } },
		{ 0xd, 7, { 0x400, 0x680, 0, 0 } },
		{ 0xd, 8, { 0x80, 0, 1, 0 } },
		{ 0xd, 9, { 0x8, 0xa80, 0, 0 } },
		{ 0x15, 0, { 2, 250, 0, 0 } },
		{ 0x16, 0, { 2500, 3500, 100, 0 } },
		{ 0x80000000, 0, { 0x80000008, 0, 0, 0 } },
		{ 0x80000001, 0, { 0, 0, 0x121, 0x2c100800 } },
		{ 0x80000002, 0, { 0x65746e49, 1, 2, 3 } },
		{ 0x80000006, 0, { 0, 0, 0x01006040, 0 } },
		{ 0x80000007, 0, { 0, 0, 0, 0x100 } },
		{ 0x80000008, 0, { 0x302e, 0, 0, 0 } },
	};

	for (size_t i = 0; i < array_count(table); i++)
		if (table[i].leaf == leaf && table[i].subleaf == subleaf)
			return table[i].r;
	if ((leaf > 0x16 && leaf < 0x80000000) || leaf > 0x80000008)
		return (struct cpuid_result){ 2500, 3500, 100, 0 };
	return (struct cpuid_result){ 0 };
}

static int begin(void **state)
{
	(void)state;
	fake_guest_create(4 * MIB);
	fake_guest.vcpu.virt.os_xsave = false;
	fake_guest.vcpu.virt.xcr0 = XCR0_X87;
	clock_tsc_frequency = 2500000000;
	cpuid_policy_build(skylake);
	return 0;
}

static int end(void **state)
{
	(void)state;
	fake_guest_destroy();
	return 0;
}

static void test_basic_leaves(void **state)
{
	(void)state;
	expect(0x0, 0, 0x1f, 0x756e6547, 0x6c65746e, 0x49656e69);
	expect(0x0, 77, 0x1f, 0x756e6547, 0x6c65746e, 0x49656e69);
	expect(0x2, 0, 0x76036301, 0x00f0b5ff, 0, 0x00c30000);
	expect(0x5, 0, 0, 0, 0, 0);
	expect(0x6, 0, 4, 0, 0, 0);
	expect(0xa, 0, 0, 0, 0, 0);
	expect(0x80000002, 0, 0x65746e49, 1, 2, 3);
	expect(0x80000007, 0, 0, 0, 0, 0x100);
	expect(0x80000008, 0, 0x302e, 0, 0, 0);
	expect(0x80000001, 0, 0, 0, 0x121, 0x2c100800);
}

static void test_leaf_1(void **state)
{
	(void)state;
	fake_guest.vcpu.index = 5;
	read_leaf(1, 0);
	assert_int_equal(r.eax, 0x50654);
	assert_int_equal(r.ebx, 5u << 24 | 0x0800);
	/* x2APIC, TSC deadline, hypervisor; no VMX, SMX, MONITOR, EST, TM2, PDCM, DCA, debug store. */
	assert_int_equal(r.ecx & (BIT(21) | BIT(24) | BIT(31)), BIT(21) | BIT(24) | BIT(31));
	assert_int_equal(r.ecx & (BITS(8, 2) | BIT(10) | BIT(11) | BIT(14) | BIT(15) | BIT(18) | BIT(27)), 0);
	assert_int_equal(r.edx & (BIT(9) | BIT(12)), BIT(9) | BIT(12));
	assert_int_equal(r.edx & (BIT(18) | BIT(21) | BIT(22) | BIT(28) | BIT(29) | BIT(31)), 0);
	fake_guest.vcpu.virt.os_xsave = true;
	read_leaf(1, 0);
	assert_true(r.ecx & BIT(27));
	fake_guest.vm.vcpu_count = 4;
	read_leaf(1, 0);
	assert_int_equal(r.ebx, 5u << 24 | 4u << 16 | 0x0800);
	assert_true(r.edx & BIT(28));
}

static void test_leaf_7(void **state)
{
	(void)state;
	read_leaf(7, 0);
	assert_int_equal(r.eax, 0);
	assert_int_equal(r.ebx & (BIT(2) | BIT(12) | BIT(14) | BIT(15) | BIT(22) | BIT(25)), 0);
	assert_int_equal(r.ebx & (BIT(0) | BIT(1) | BIT(7) | BIT(16) | BIT(20)), BIT(0) | BIT(1) | BIT(7) | BIT(16) | BIT(20));
	assert_int_equal(r.ecx, 0);
	assert_int_equal(r.edx, 0);
	expect(7, 2, 0, 0, 0, 0);
	expect(7, ~0u, 0, 0, 0, 0);
}

static void test_caches_hide_the_hosts_topology(void **state)
{
	(void)state;
	expect(4, 0, 0x121, 0x01c0003f, 0x3f, 0);
	expect(4, 3, 0x163, 0x0280003f, 0x47ff, 4);
	expect(4, 4, 0, 0, 0, 0);
	expect(4, 9, 0, 0, 0, 0);
	/* Three vCPUs have ids of two bits. They share the caches of level 3. */
	fake_guest.vm.vcpu_count = 3;
	expect(4, 0, 0x0c000121, 0x01c0003f, 0x3f, 0);
	expect(4, 2, 0x0c000143, 0x03c0003f, 0x3ff, 0);
	expect(4, 3, 0x0c00c163, 0x0280003f, 0x47ff, 4);
	expect(4, 4, 0, 0, 0, 0);
}

static void test_topology(void **state)
{
	(void)state;
	fake_guest.vcpu.index = 2;
	fake_guest.vm.vcpu_count = 4;
	for (unsigned i = 0; i < 2; i++) {
		const uint32_t leaf = i == 0 ? 0xb : 0x1f;

		fake_guest.vm.vcpu_count = 4;
		expect(leaf, 0, 0, 1, 0x100, 2);
		expect(leaf, 1, 2, 4, 0x201, 2);
		expect(leaf, 2, 0, 0, 2, 2);
		expect(leaf, 0xffffffff, 0, 0, 0xff, 2);
		fake_guest.vm.vcpu_count = 5;
		expect(leaf, 1, 3, 5, 0x201, 2);
		fake_guest.vm.vcpu_count = 8;
		expect(leaf, 1, 3, 8, 0x201, 2);
	}
}

static void test_xsave(void **state)
{
	(void)state;
	assert_int_equal(cpuid_policy_xcr0_allowed(), 0xe7);
	expect(0xd, 0, 0xe7, 576, 0xa80, 0);
	fake_guest.vcpu.virt.xcr0 = 0x7;
	expect(0xd, 0, 0xe7, 576 + 256, 0xa80, 0);
	expect(0xd, 1, 7, 576 + 256, 0, 0);
	fake_guest.vcpu.virt.xcr0 = 0xe7;
	expect(0xd, 0, 0xe7, 0xa80, 0xa80, 0);
	expect(0xd, 1, 7, 576 + 256 + 64 + 512 + 1024, 0, 0);
	expect(0xd, 2, 0x100, 0x240, 0, 0);
	/* MPX, the supervisor's states and PKRU are not offered. */
	expect(0xd, 3, 0, 0, 0, 0);
	expect(0xd, 8, 0, 0, 0, 0);
	expect(0xd, 9, 0, 0, 0, 0);
	expect(0xd, 63, 0, 0, 0, 0);
}

static void test_frequencies(void **state)
{
	(void)state;
	expect(0x15, 0, 1, 1, 2500000000u, 0);
	expect(0x16, 0, 2500, 2500, 100, 0);
	expect(0x40000010, 0, 2500000, 2500000, 0, 0);
	clock_tsc_frequency = 5000000000;
	cpuid_policy_build(skylake);
	expect(0x15, 0, 1, 2, 2500000000u, 0);
	clock_tsc_frequency = 0;
	cpuid_policy_build(skylake);
	expect(0x15, 0, 0, 0, 0, 0);
}

static void test_hypervisor_leaves(void **state)
{
	char vendor[13] = "";

	(void)state;
	read_leaf(0x40000000, 0);
	assert_int_equal(r.eax, 0x40000010);
	memcpy(vendor, &r.ebx, 4);
	memcpy(vendor + 4, &r.ecx, 4);
	memcpy(vendor + 8, &r.edx, 4);
	assert_string_equal(vendor, "TrivetTrivet");
	expect(0x40000001, 0, 0, 0, 0, 0);
	expect(0x40000100, 0, 0, 0, 0, 0);
}

/* Default-deny: a processor of the future, with every bit set, shows only what a row names. */
static void test_unknown_bits_are_hidden(void **state)
{
	(void)state;
	cpuid_policy_build(all_ones);
	for (uint32_t leaf = 0x17; leaf < 0x100; leaf += leaf == 0x1e ? 2 : 1)
		expect(leaf, 0, 0, 0, 0, 0);
	expect(0x14, 0, 0, 0, 0, 0);
	expect(0x12, 0, 0, 0, 0, 0);
	expect(0x80000009, 0, 0, 0, 0, 0);
	expect(0x8000000a, 0, 0, 0, 0, 0);
	expect(0x80000020, 0, 0, 0, 0, 0);
	expect(0xc0000000, 0, 0, 0, 0, 0);
	expect(0xffffffff, 0xffffffff, 0, 0, 0, 0);
	read_leaf(1, 0);
	assert_int_equal(r.ecx & BIT(5), 0);
	read_leaf(7, 0);
	assert_int_equal(r.eax, 1);
	assert_int_equal(r.ecx & (BIT(3) | BIT(5) | BIT(7) | BIT(16) | BIT(30) | BIT(31)), 0);
	assert_int_equal(r.edx & (BIT(20) | BITS(28, 26) | BIT(31) | BITS(25, 24)), 0);
	assert_true(cpuid_policy_has_arch_capabilities());
	assert_int_equal(cpuid_policy_physical_address_bits(), 48);
	assert_int_equal(cpuid_policy_cr4_allowed() & (CR4_VMXE | CR4_SMXE | CR4_LA57 | CR4_PKE | CR4_CET | CR4_PKS), 0);
	assert_true(cpuid_policy_cr4_allowed() & CR4_UMIP);
}

static void test_old_processor(void **state)
{
	(void)state;
	cpuid_policy_build(nothing);
	expect(0x7, 0, 0, 2, 0, 0);
	expect(0xd, 0, 0, 0, 0, 0);
	expect(0xd, 1, 0, 0, 0, 0);
	assert_int_equal(cpuid_policy_xcr0_allowed(), 0);
	assert_int_equal(cpuid_policy_cr4_allowed(), CR4_PCE);
	assert_int_equal(cpuid_policy_efer_allowed(), EFER_SCE | EFER_LME | EFER_LMA);
	assert_int_equal(cpuid_policy_physical_address_bits(), 36);
	assert_false(cpuid_policy_has_arch_capabilities());
}

static void test_allowed_bits(void **state)
{
	(void)state;
	assert_int_equal(cpuid_policy_cr4_allowed() & (CR4_PAE | CR4_SMEP | CR4_SMAP | CR4_FSGSBASE | CR4_PCIDE | CR4_OSXSAVE),
			 CR4_PAE | CR4_SMEP | CR4_SMAP | CR4_FSGSBASE | CR4_PCIDE | CR4_OSXSAVE);
	assert_int_equal(cpuid_policy_cr4_allowed() & (CR4_UMIP | CR4_VMXE | CR4_PKE), 0);
	assert_true(cpuid_policy_efer_allowed() & EFER_NXE);
	assert_int_equal(cpuid_policy_physical_address_bits(), 46);
}

static void test_rows_are_sorted(void **state)
{
	(void)state;
	for (unsigned i = 1; i < cpuid_row_count; i++) {
		assert_true(cpuid_rows[i].leaf >= cpuid_rows[i - 1].leaf);
		if (cpuid_rows[i].leaf == cpuid_rows[i - 1].leaf)
			assert_true(cpuid_rows[i].subleaf >= cpuid_rows[i - 1].subleaf);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_basic_leaves, begin, end),
		cmocka_unit_test_setup_teardown(test_leaf_1, begin, end),
		cmocka_unit_test_setup_teardown(test_leaf_7, begin, end),
		cmocka_unit_test_setup_teardown(test_caches_hide_the_hosts_topology, begin, end),
		cmocka_unit_test_setup_teardown(test_topology, begin, end),
		cmocka_unit_test_setup_teardown(test_xsave, begin, end),
		cmocka_unit_test_setup_teardown(test_frequencies, begin, end),
		cmocka_unit_test_setup_teardown(test_hypervisor_leaves, begin, end),
		cmocka_unit_test_setup_teardown(test_unknown_bits_are_hidden, begin, end),
		cmocka_unit_test_setup_teardown(test_old_processor, begin, end),
		cmocka_unit_test_setup_teardown(test_allowed_bits, begin, end),
		cmocka_unit_test_setup_teardown(test_rows_are_sorted, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
