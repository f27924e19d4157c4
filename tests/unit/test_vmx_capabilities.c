/* arch/x86/vmx/capabilities.c and the probe: which CPUs will do, what is made of them, and what a missing feature costs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "tests/unit/vmx_fixture.h"

static struct vmx_capabilities capabilities;
static struct vmx_settings settings;

static int set_up(void **state)
{
	(void)state;
	fixture_start_vmx();
	vmx_capabilities_read(&capabilities);
	return 0;
}

static const char *refusal(void)
{
	const char *why = NULL;

	assert_int_equal(vmx_settings_decide(&capabilities, &settings, &why), STATUS_UNSUPPORTED);
	assert_non_null(why);
	assert_true(strlen(why) > 0);
	return why;
}

static void assert_decides(void)
{
	const char *why = NULL;

	assert_int_equal(vmx_settings_decide(&capabilities, &settings, &why), STATUS_OK);
	assert_string_equal(why, "");
}

static void test_full_cpu(void **state)
{
	(void)state;
	assert_decides();
	assert_int_equal(settings.revision, FIXTURE_REVISION);
	assert_int_equal(settings.timer_shift, 5);
	assert_true(settings.has_preemption_timer && settings.has_vpid && settings.has_virtual_nmis);
	assert_true(settings.ept_2m && settings.ept_1g && settings.invept_single && settings.invvpid_single);
	/* Unrestricted guest: PE and PG are free, NE is not. */
	assert_int_equal(settings.cr0_must_be_one, CR0_NE);
	assert_int_equal(settings.cr4_must_be_one, CR4_VMXE);
	assert_int_equal(settings.cr4_allowed, 0x3727ff);
}

static void test_controls_keep_must_be_one_bits(void **state)
{
	(void)state;
	assert_decides();
	for (unsigned word = 0; word < VMX_CONTROL_WORD_COUNT; word++) {
		uint32_t must = (uint32_t)capabilities.controls[word], may = (uint32_t)(capabilities.controls[word] >> 32);

		assert_int_equal(settings.controls[word] & must, must);
		assert_int_equal(settings.controls[word] & ~may, 0);
	}
	assert_int_equal(settings.controls[VMX_PRIMARY] & (PRIMARY_CR3_LOAD_EXITING | PRIMARY_CR3_STORE_EXITING | PRIMARY_INTERRUPT_WINDOW), 0);
	assert_true(settings.controls[VMX_PRIMARY] & PRIMARY_HLT_EXITING);
	/* The VM starts in real mode. */
	assert_int_equal(settings.controls[VMX_ENTRY] & ENTRY_IA32E_GUEST, 0);
}

/* A CPU without the "TRUE" MSRs: CR3 exiting cannot be switched off. */
static void test_old_cpu(void **state)
{
	(void)state;
	fake_msr_set(MSR_VMX_BASIC, FIXTURE_REVISION);
	vmx_capabilities_read(&capabilities);
	assert_int_equal((uint32_t)capabilities.controls[VMX_PRIMARY], 0x0401e172);
	assert_non_null(strstr(refusal(), "CR3-load"));
}

struct bit_of_word { enum vmx_control_word word; uint32_t bit; };

static void test_required_controls(void **state)
{
	static const struct bit_of_word required[] = {
		{VMX_PIN, PIN_EXTERNAL_INTERRUPT_EXITING}, {VMX_PIN, PIN_NMI_EXITING}, {VMX_PRIMARY, PRIMARY_TSC_OFFSETTING},
		{VMX_PRIMARY, PRIMARY_HLT_EXITING}, {VMX_PRIMARY, PRIMARY_IO_BITMAPS}, {VMX_PRIMARY, PRIMARY_MSR_BITMAPS},
		{VMX_PRIMARY, (uint32_t)PRIMARY_SECONDARY}, {VMX_SECONDARY, SECONDARY_EPT}, {VMX_SECONDARY, SECONDARY_UNRESTRICTED_GUEST},
		{VMX_EXIT, EXIT_HOST_64BIT}, {VMX_EXIT, EXIT_ACKNOWLEDGE_INTERRUPT}, {VMX_EXIT, EXIT_LOAD_EFER},
		{VMX_ENTRY, ENTRY_LOAD_EFER}, {VMX_ENTRY, ENTRY_LOAD_PAT},
	};

	(void)state;
	for (size_t i = 0; i < array_count(required); i++) {
		vmx_capabilities_read(&capabilities);
		capabilities.controls[required[i].word] &= ~((uint64_t)required[i].bit << 32);
		(void)refusal();
	}
}

static void test_optional_controls(void **state)
{
	static const struct bit_of_word optional[] = {
		{VMX_PIN, PIN_PREEMPTION_TIMER}, {VMX_SECONDARY, SECONDARY_VPID}, {VMX_SECONDARY, SECONDARY_RDTSCP},
		{VMX_SECONDARY, SECONDARY_INVPCID}, {VMX_SECONDARY, SECONDARY_WBINVD_EXITING},
	};

	(void)state;
	for (size_t i = 0; i < array_count(optional); i++) {
		vmx_capabilities_read(&capabilities);
		capabilities.controls[optional[i].word] &= ~((uint64_t)optional[i].bit << 32);
		assert_decides();
		assert_int_equal(settings.controls[optional[i].word] & optional[i].bit, 0);
	}
	capabilities.controls[VMX_PIN] &= ~(PIN_PREEMPTION_TIMER << 32);
	assert_decides();
	assert_false(settings.has_preemption_timer);
	/* Of VMs with several vCPUs alone. */
	capabilities.controls[VMX_SECONDARY] |= (uint64_t)SECONDARY_PAUSE_LOOP_EXITING << 32;
	assert_decides();
	assert_true(settings.has_pause_loop_exiting);
	assert_int_equal(settings.controls[VMX_SECONDARY] & SECONDARY_PAUSE_LOOP_EXITING, 0);
	capabilities.controls[VMX_SECONDARY] &= ~((uint64_t)SECONDARY_PAUSE_LOOP_EXITING << 32);
	assert_decides();
	assert_false(settings.has_pause_loop_exiting);
}

static void test_ept(void **state)
{
	static const uint64_t required[] = {BIT(6), BIT(14), BIT(20)};
	const uint64_t all = fake_msr_get(MSR_VMX_EPT_VPID_CAP);

	(void)state;
	for (size_t i = 0; i < array_count(required); i++) {
		capabilities.ept_vpid = all & ~required[i];
		assert_non_null(strstr(refusal(), "EPT"));
	}
	capabilities.ept_vpid = all & ~(BIT(16) | BIT(17) | BIT(25));
	assert_decides();
	assert_false(settings.ept_2m || settings.ept_1g || settings.invept_single);
}

/* A VPID that cannot be flushed alone is not used. */
static void test_vpid_needs_single_flush(void **state)
{
	static const uint64_t needed[] = {BIT(32), BIT(41)};
	const uint64_t all = capabilities.ept_vpid;

	(void)state;
	for (size_t i = 0; i < array_count(needed); i++) {
		capabilities.ept_vpid = all & ~needed[i];
		assert_decides();
		assert_false(settings.has_vpid || settings.invvpid_single);
		assert_int_equal(settings.controls[VMX_SECONDARY] & SECONDARY_VPID, 0);
	}
}

/* Nothing reads MSRs that this CPU does not have: the fake CPU aborts at those. */
static void test_missing_msrs_are_not_read(void **state)
{
	(void)state;
	fake_cpu_reset();
	fake_msr_set(MSR_VMX_BASIC, 1);
	fake_msr_set(MSR_VMX_MISC, 0);
	for (uint32_t msr = MSR_VMX_PINBASED_CTLS; msr <= MSR_VMX_ENTRY_CTLS; msr++)
		fake_msr_set(msr, (uint64_t)(uint32_t)~PRIMARY_SECONDARY << 32);
	for (uint32_t msr = MSR_VMX_CR0_FIXED0; msr <= MSR_VMX_CR4_FIXED1; msr++)
		fake_msr_set(msr, 0);
	vmx_capabilities_read(&capabilities);
	assert_int_equal(capabilities.controls[VMX_SECONDARY], 0);
	assert_int_equal(capabilities.ept_vpid, 0);
	assert_non_null(strstr(refusal(), "secondary"));
}

static char text[8192];

static void print(const char *format, ...)
{
	va_list arguments;
	size_t length = strlen(text);

	va_start(arguments, format);
	vsnprintf(text + length, sizeof(text) - length, format, arguments);
	va_end(arguments);
}

static void test_report(void **state)
{
	(void)state;
	text[0] = '\0';
	vmx_capabilities_report(&capabilities, print);
	assert_null(strstr(text, "MISSING"));
	text[0] = '\0';
	capabilities.controls[VMX_PIN] &= ~(PIN_PREEMPTION_TIMER << 32);
	capabilities.controls[VMX_SECONDARY] &= ~(SECONDARY_EPT << 32);
	capabilities.ept_vpid &= ~BIT(17);
	vmx_capabilities_report(&capabilities, print);
	assert_non_null(strstr(text, "MISSING: guest timers"));
	assert_non_null(strstr(text, "MISSING: VMs cannot run"));
	assert_non_null(strstr(text, "MISSING: more page-table memory\n"));
}

static void test_probe(void **state)
{
	const char *why = NULL;

	(void)state;
	assert_int_equal(vmx_probe(&why), STATUS_OK);
	fake_cpuid_set(1, 0, 0, 0, 0, 0);
	assert_int_equal(vmx_probe(&why), STATUS_UNSUPPORTED);
	assert_non_null(strstr(why, "no VMX"));
	text[0] = '\0';
	vmx_report(print);
	assert_string_equal(text, "");
	fake_cpuid_set(1, 0, 0, 0, BIT(5), 0);
	fake_msr_set(MSR_FEATURE_CONTROL, FEATURE_CONTROL_LOCKED);
	assert_int_equal(vmx_probe(&why), STATUS_UNSUPPORTED);
	assert_non_null(strstr(why, "firmware"));
	fake_msr_set(MSR_FEATURE_CONTROL, FEATURE_CONTROL_LOCKED | FEATURE_CONTROL_VMX_OUTSIDE_SMX);
	assert_int_equal(vmx_probe(&why), STATUS_OK);
	vmx_report(print);
	assert_non_null(strstr(text, "EPT"));
}

static void test_enable_and_disable(void **state)
{
	struct pcpu *pcpu = pcpu_current();

	(void)state;
	assert_true(pcpu->virtualization_on && fake_vmx_on);
	assert_true(fake_msr_get(MSR_FEATURE_CONTROL) & FEATURE_CONTROL_LOCKED);
	assert_true(fake_cr4 & CR4_VMXE);
	assert_int_equal(*(uint32_t *)physmap_pointer(fake_vmxon_region), FIXTURE_REVISION);
	vmx_ops.cpu_disable();
	assert_false(pcpu->virtualization_on || fake_vmx_on);
	assert_int_equal(fake_cr4 & CR4_VMXE, 0);
	vmx_ops.cpu_disable();
	unsigned used = pool_used;
	assert_int_equal(vmx_ops.cpu_enable(), STATUS_OK);
	assert_int_equal(pool_used, used);
}

static void test_enable_fails(void **state)
{
	(void)state;
	fake_vmx_on = false;
	fake_vmxon_fails = true;
	pcpu_current()->virtualization_on = false;
	assert_int_equal(vmx_ops.cpu_enable(), STATUS_IO);
	assert_false(pcpu_current()->virtualization_on);
	fake_msr_set(MSR_FEATURE_CONTROL, FEATURE_CONTROL_LOCKED);
	assert_int_equal(vmx_ops.cpu_enable(), STATUS_DENIED);
	fake_msr_set(MSR_FEATURE_CONTROL, 0);
	fake_vmxon_fails = false;
	for (unsigned step = 0; step < 2; step++) {
		unsigned used = pool_used;

		pcpu_current()->vmx = NULL;
		pool_fail_at = step;
		assert_int_equal(vmx_ops.cpu_enable(), STATUS_NO_MEMORY);
		assert_int_equal(pool_used, used);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_full_cpu, set_up),
		cmocka_unit_test_setup(test_controls_keep_must_be_one_bits, set_up),
		cmocka_unit_test_setup(test_old_cpu, set_up),
		cmocka_unit_test_setup(test_required_controls, set_up),
		cmocka_unit_test_setup(test_optional_controls, set_up),
		cmocka_unit_test_setup(test_ept, set_up),
		cmocka_unit_test_setup(test_vpid_needs_single_flush, set_up),
		cmocka_unit_test_setup(test_missing_msrs_are_not_read, set_up),
		cmocka_unit_test_setup(test_report, set_up),
		cmocka_unit_test_setup(test_probe, set_up),
		cmocka_unit_test_setup(test_enable_and_disable, set_up),
		cmocka_unit_test_setup(test_enable_fails, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
