/* arch/x86/vmx/registers.c, vmcs_setup.c and dump.c: what a guest sees of its registers, what the CPU gets, and its words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "tests/unit/vmx_vcpu_fixture.h"

static uint64_t get(enum virt_register name) { return vmx_register_read(&fixture_virt, name); }
static void put(enum virt_register name, uint64_t value) { vmx_register_write(&fixture_virt, name, value); }

/* SDM Vol. 3A "Processor State After Reset". */
static void test_state_after_reset(void **state)
{
	struct virt_segment segment;

	(void)state;
	assert_int_equal(get(VIRT_RIP), 0xfff0);
	assert_int_equal(get(VIRT_RFLAGS), RFLAGS_FIXED);
	assert_int_equal(get(VIRT_CR0), CR0_ET);
	assert_int_equal(get(VIRT_CR4) | get(VIRT_CR3) | get(VIRT_EFER), 0);
	assert_int_equal(get(VIRT_DR7), DR7_FIXED);
	assert_int_equal(get(VIRT_GDTR_LIMIT), 0xffff);
	vmx_segment_read(&fixture_virt, VIRT_CS, &segment);
	assert_int_equal(segment.selector, 0xf000);
	assert_int_equal(segment.base, 0xffff0000);
	assert_int_equal(segment.limit, 0xffff);
	assert_true(fake_vmcs_get(VMCS_GUEST_LINK_POINTER) == ~0ull);
	assert_int_equal(fixture_virt.dr6, DR6_FIXED);
	assert_int_equal(fixture_virt.xcr0, XCR0_X87);
}

/* Each name has a place of its own. */
static void test_all_registers(void **state)
{
	(void)state;
	for (unsigned name = 0; name < VIRT_REGISTER_COUNT; name++) {
		if (name != VIRT_CR0 && name != VIRT_CR4 && name != VIRT_EFER)
			put((enum virt_register)name, 0x1000 + name);
	}
	for (unsigned name = 0; name < VIRT_REGISTER_COUNT; name++) {
		if (name != VIRT_CR0 && name != VIRT_CR4 && name != VIRT_EFER)
			assert_int_equal(get((enum virt_register)name), 0x1000 + name);
	}
	assert_int_equal(fake_cr2, 0x1000 + VIRT_CR2);
	assert_int_equal(fixture_virt.tsc_offset, 0x1000 + VIRT_TSC_OFFSET);
}

static void test_segments(void **state)
{
	(void)state;
	for (unsigned name = 0; name < VIRT_SEGMENT_COUNT; name++) {
		const struct virt_segment segment = {BIT(40) + name, 0x100 + name, 0x93 + name, (uint16_t)(8 * name)};
		vmx_segment_write(&fixture_virt, (enum virt_segment_name)name, &segment);
	}
	for (unsigned name = 0; name < VIRT_SEGMENT_COUNT; name++) {
		struct virt_segment segment;
		vmx_segment_read(&fixture_virt, (enum virt_segment_name)name, &segment);
		assert_true(segment.base == BIT(40) + name);
		assert_int_equal(segment.limit, 0x100 + name);
		assert_int_equal(segment.attributes, 0x93 + name);
		assert_int_equal(segment.selector, 8 * name);
	}
	assert_int_equal(fake_vmcs_get(VMCS_GUEST_TR_SELECTOR), 8 * VIRT_TR);
	assert_true(get(VIRT_FS_BASE) == BIT(40) + VIRT_FS);
}

static void test_cr0(void **state)
{
	(void)state;
	put(VIRT_CR0, CR0_PE | CR0_CD | CR0_NW);
	assert_int_equal(get(VIRT_CR0), CR0_PE | CR0_CD | CR0_NW);
	assert_int_equal(fake_vmcs_get(VMCS_GUEST_CR0), CR0_PE | CR0_NE);
	/* Bits that the guest changes without an exit come from the CPU's own register. */
	uint64_t mask = fake_vmcs_get(VMCS_CONTROL_CR0_MASK);
	assert_int_equal(mask & (CR0_TS | CR0_MP | CR0_EM), 0);
	assert_int_equal(mask & (CR0_PE | CR0_PG | CR0_NE | CR0_CD | CR0_NW), CR0_PE | CR0_PG | CR0_NE | CR0_CD | CR0_NW);
	fake_vmcs_set(VMCS_GUEST_CR0, fake_vmcs_get(VMCS_GUEST_CR0) | CR0_TS);
	assert_int_equal(get(VIRT_CR0), CR0_PE | CR0_CD | CR0_NW | CR0_TS);
}

static void test_cr4(void **state)
{
	(void)state;
	put(VIRT_CR4, CR4_PGE);
	assert_int_equal(get(VIRT_CR4), CR4_PGE);
	/* Without MCE a machine check would shut the CPU down. */
	assert_int_equal(fake_vmcs_get(VMCS_GUEST_CR4), CR4_PGE | CR4_VMXE | CR4_MCE);
	uint64_t mask = fake_vmcs_get(VMCS_CONTROL_CR4_MASK);
	assert_int_equal(mask & (CR4_VMXE | CR4_SMXE | CR4_MCE | CR4_PAE | CR4_PCIDE), CR4_VMXE | CR4_SMXE | CR4_MCE | CR4_PAE | CR4_PCIDE);
	/* What the CPU lacks is not the guest's. */
	assert_int_equal(mask & ~vmx_settings.cr4_allowed, ~vmx_settings.cr4_allowed);
	fake_vmcs_set(VMCS_GUEST_CR4, fake_vmcs_get(VMCS_GUEST_CR4) & ~CR4_PGE);
	assert_int_equal(get(VIRT_CR4), 0);
}

static bool entry_is_64_bit(void)
{
	return fake_vmcs_get(VMCS_CONTROL_ENTRY) & ENTRY_IA32E_GUEST;
}

/* EFER.LMA, and the entry control that must agree with it, follow LME and PG in either order. */
static void test_long_mode(void **state)
{
	(void)state;
	put(VIRT_EFER, EFER_LME | EFER_NXE);
	assert_int_equal(get(VIRT_EFER), EFER_LME | EFER_NXE);
	assert_false(entry_is_64_bit());
	put(VIRT_CR0, CR0_PE | CR0_PG);
	assert_int_equal(get(VIRT_EFER), EFER_LME | EFER_LMA | EFER_NXE);
	assert_true(entry_is_64_bit());
	put(VIRT_CR0, CR0_PE);
	assert_int_equal(get(VIRT_EFER), EFER_LME | EFER_NXE);
	assert_false(entry_is_64_bit());
	put(VIRT_EFER, 0);
	put(VIRT_CR0, CR0_PE | CR0_PG);
	assert_int_equal(get(VIRT_EFER), 0);
	put(VIRT_EFER, EFER_LME);
	assert_int_equal(get(VIRT_EFER), EFER_LME | EFER_LMA);
	assert_true(entry_is_64_bit());
	/* LMA is the CPU's, whatever is written. */
	put(VIRT_CR0, CR0_PE);
	put(VIRT_EFER, EFER_LMA);
	assert_int_equal(get(VIRT_EFER), 0);
}

static void test_host_state(void **state)
{
	struct pcpu *pcpu = pcpu_current();

	(void)state;
	assert_int_equal(fake_vmcs_get(VMCS_HOST_RIP), (uintptr_t)vmx_exit_entry_point);
	assert_int_equal(fake_vmcs_get(VMCS_HOST_GS_BASE), (uintptr_t)pcpu);
	assert_int_equal(fake_vmcs_get(VMCS_HOST_TR_BASE), (uintptr_t)&((struct gdt_tables *)pcpu->descriptor_tables)->tss);
	assert_int_equal(fake_vmcs_get(VMCS_HOST_CS_SELECTOR), GDT_SELECTOR_CODE);
	assert_int_equal(fake_vmcs_get(VMCS_HOST_CR4), fake_cr4);
	assert_true(fake_vmcs_get(VMCS_HOST_EFER) & EFER_LMA);
	/* RPL and TI of host selectors must be clear; TR and CS not 0. */
	for (unsigned field = VMCS_HOST_ES_SELECTOR; field <= VMCS_HOST_TR_SELECTOR; field += 2)
		assert_int_equal(fake_vmcs_get(field) & 7, 0);
	assert_int_not_equal(fake_vmcs_get(VMCS_HOST_TR_SELECTOR), 0);
}

static void test_controls(void **state)
{
	(void)state;
	uint64_t exceptions = fake_vmcs_get(VMCS_CONTROL_EXCEPTION_BITMAP);

	assert_int_equal(exceptions & (BIT(EXCEPTION_DB) | BIT(EXCEPTION_AC) | BIT(EXCEPTION_MC)), BIT(EXCEPTION_DB) | BIT(EXCEPTION_AC) | BIT(EXCEPTION_MC));
	assert_int_equal(exceptions & (BIT(EXCEPTION_PF) | BIT(EXCEPTION_GP)), 0);
	assert_int_equal(fake_vmcs_get(VMCS_CONTROL_EPT_POINTER), fixture_nested.root.value | 0x1e);
	assert_int_not_equal(fake_vmcs_get(VMCS_CONTROL_VPID), 0);
	assert_int_equal(fake_vmcs_get(VMCS_CONTROL_IO_BITMAP_B), fake_vmcs_get(VMCS_CONTROL_IO_BITMAP_A) + PAGE_SIZE);
	assert_int_equal(fake_vmcs_get(VMCS_CONTROL_ENTRY_INTERRUPTION_INFO), 0);
}

/* ---- dump ---- */

static char text[16384];

static void print(const char *format, ...)
{
	va_list arguments;
	size_t length = strlen(text);

	va_start(arguments, format);
	vsnprintf(text + length, sizeof(text) - length, format, arguments);
	va_end(arguments);
}

static void dump(void)
{
	text[0] = '\0';
	vmx_dump(&fixture_virt, print);
	assert_int_equal(text[strlen(text) - 1], '\n');
}

static void test_dump(void **state)
{
	(void)state;
	fixture_virt.gpr[GPR_R15] = 0xfeedface;
	put(VIRT_RSP, 0x7c00);
	fake_vmcs_set(VMCS_DATA_EXIT_REASON, 48);
	dump();
	assert_non_null(strstr(text, "last exit: 48 (EPT violation),"));
	assert_non_null(strstr(text, "r15 00000000feedface"));
	assert_non_null(strstr(text, "rsp 0000000000007c00"));
	assert_non_null(strstr(text, "CS   f000 base 00000000ffff0000"));
	assert_non_null(strstr(text, "[unrestricted guest]"));
	assert_non_null(strstr(text, "[HLT]"));
}

/* A new vCPU may be entered: no check fails. */
static void test_dump_names_failing_checks(void **state)
{
	(void)state;
	dump();
	assert_null(strstr(text, "entry check fails"));
	assert_non_null(strstr(text, "entry checks: all"));
	fake_vmcs_set(VMCS_GUEST_RFLAGS, 0);
	fake_vmcs_set(VMCS_GUEST_LINK_POINTER, 0);
	fake_vmcs_set(VMCS_DATA_EXIT_REASON, (uint32_t)BIT(31) | 33);
	dump();
	assert_non_null(strstr(text, ", VM entry failed"));
	assert_non_null(strstr(text, "entry check fails: RFLAGS"));
	assert_non_null(strstr(text, "entry check fails: the VMCS link pointer"));
	fake_vmcs_set(VMCS_DATA_EXIT_REASON, 0xffff);
	dump();
	assert_non_null(strstr(text, "last exit: 65535 (unknown)"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_state_after_reset), TEST(test_all_registers), TEST(test_segments), TEST(test_cr0), TEST(test_cr4), TEST(test_long_mode),
		TEST(test_host_state), TEST(test_controls), TEST(test_dump), TEST(test_dump_names_failing_checks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
