/* arch/x86/vmx/entry_checks.c: each check fails for the state that breaks it, and for no other reason. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86/cr.h"
#include "arch/x86/vmx/entry_checks.h"
#include "arch/x86/vmx/vmcs.h"

#define UNUSABLE 0x10000u

/* A 64-bit guest that may be entered. */
static struct vmx_guest_snapshot long_mode(void)
{
	struct vmx_guest_snapshot s = {
		.cr0 = CR0_PE | CR0_NE | CR0_PG, .cr4 = CR4_PAE | CR4_VMXE, .efer = EFER_LME | EFER_LMA, .rip = 0xffffffff81000000,
		.rflags = RFLAGS_FIXED | RFLAGS_IF, .link_pointer = ~0ull, .pat = 0x0007040600070406,
		.cr0_must_be_one = CR0_NE, .cr4_must_be_one = CR4_VMXE, .cr4_allowed = 0x3727ff,
		.entry_controls = ENTRY_IA32E_GUEST, .gdtr_limit = 0xffff, .idtr_limit = 0xfff,
	};

	s.cs = (struct vmx_guest_segment){0x10, 0xffffffff, 0xa09b, 0};
	s.ss = s.ds = s.es = s.fs = s.gs = (struct vmx_guest_segment){0x18, 0xffffffff, 0xc093, 0};
	s.tr = (struct vmx_guest_segment){0x40, 0x67, 0x8b, 0xffff888000000000};
	s.ldtr = (struct vmx_guest_segment){0, 0, UNUSABLE, 0};
	return s;
}

static struct vmx_guest_snapshot real_mode(void)
{
	struct vmx_guest_snapshot s = long_mode();

	s.cr0 = CR0_NE;
	s.cr4 = CR4_VMXE;
	s.efer = 0;
	s.entry_controls = 0;
	s.rip = 0xfff0;
	s.rflags = RFLAGS_FIXED;
	s.cs = (struct vmx_guest_segment){0xf000, 0xffff, 0x9b, 0xffff0000};
	s.ss = s.ds = s.es = s.fs = s.gs = (struct vmx_guest_segment){0, 0xffff, 0x93, 0};
	s.tr = (struct vmx_guest_segment){0, 0xffff, 0x8b, 0};
	s.ldtr = (struct vmx_guest_segment){0, 0xffff, 0x82, 0};
	return s;
}

/* How many checks fail; *first: the words of the first. */
static unsigned failures(const struct vmx_guest_snapshot *s, const char **first)
{
	unsigned count = 0, index = 0;
	const char *why;
	bool failed;

	*first = "";
	for (; vmx_entry_check(s, index, &why, &failed); index++) {
		assert_true(strlen(why) > 0);
		if (failed && count++ == 0)
			*first = why;
	}
	assert_in_range(index, 20, 100);
	return count;
}

static void assert_only(const struct vmx_guest_snapshot *s, const char *words)
{
	const char *first;

	assert_int_equal(failures(s, &first), 1);
	if (strstr(first, words) == NULL)
		fail_msg("\"%s\" instead of %s", first, words);
}

static void assert_good(const struct vmx_guest_snapshot *s)
{
	const char *first;

	if (failures(s, &first) != 0)
		fail_msg("%s", first);
}

static void test_good_states(void **state)
{
	struct vmx_guest_snapshot s = long_mode();

	(void)state;
	assert_good(&s);
	s = real_mode();
	assert_good(&s);
	/* Compatibility mode: a long mode guest whose code is 32-bit. */
	s = long_mode();
	s.cs.access_rights = 0xc09b;
	s.rip = 0x1000;
	assert_good(&s);
	/* Virtual-8086 mode makes no demands on code and stack types. */
	s = real_mode();
	s.cr0 |= CR0_PE;
	s.rflags |= RFLAGS_VM;
	s.cs.access_rights = s.ss.access_rights = 0xf3;
	assert_good(&s);
}

static void test_past_the_end(void **state)
{
	struct vmx_guest_snapshot s = long_mode();
	const char *why = NULL;
	bool failed = true;

	(void)state;
	assert_false(vmx_entry_check(&s, 1000, &why, &failed));
	assert_false(vmx_entry_check(&s, UINT32_MAX, &why, &failed));
}

#define CASE(base, change, words) do { struct vmx_guest_snapshot s = base(); change; assert_only(&s, words); } while (0)

static void test_control_registers(void **state)
{
	(void)state;
	CASE(long_mode, s.cr0 &= ~CR0_NE, "CR0 has the bits");
	CASE(real_mode, s.cr0 |= CR0_PG, "CR0.PG needs");
	CASE(long_mode, s.cr4 &= ~CR4_VMXE, "CR4 has the bits");
	CASE(long_mode, s.cr4 |= BIT(40), "CR4 has the bits");
	CASE(long_mode, s.cr4 &= ~CR4_PAE, "IA-32e guest needs");
	CASE(real_mode, s.cr4 |= CR4_PCIDE, "PCIDE");
	CASE(real_mode, s.efer = EFER_LMA, "EFER.LMA");
	CASE(long_mode, s.efer = EFER_LMA, "EFER.LME equals");
}

static void test_flags_and_rip(void **state)
{
	(void)state;
	CASE(long_mode, s.rflags = 0, "RFLAGS bit 1");
	CASE(long_mode, s.rflags |= BIT(3), "RFLAGS bit 1");
	CASE(long_mode, s.rflags |= BIT(22), "RFLAGS bit 1");
	CASE(real_mode, s.rflags |= RFLAGS_VM, "RFLAGS.VM");
	CASE(long_mode, s.rip = 0x800000000000, "RIP");
	CASE(real_mode, s.rip = 0x100000000, "RIP");
	CASE(real_mode, s.entry_interruption_info = INTERRUPTION_VALID | 0x20, "external interrupt");
	/* An exception may be injected with interrupts off, and an invalid field injects nothing. */
	struct vmx_guest_snapshot s = real_mode();
	s.entry_interruption_info = INTERRUPTION_VALID | 0x30d;
	assert_good(&s);
	s.entry_interruption_info = 0x20;
	assert_good(&s);
}

static void test_segments(void **state)
{
	(void)state;
	CASE(long_mode, s.cs.access_rights = 0xa092, "CS is an accessed code");
	CASE(long_mode, s.cs.access_rights &= ~0x80u, "CS is present");
	CASE(long_mode, s.cs.access_rights |= UNUSABLE, "CS is present");
	CASE(long_mode, s.cs.access_rights |= 0x4000, "CS.L and CS.D");
	CASE(real_mode, s.cs.limit = 0x100000, "CS limit");
	CASE(long_mode, s.cs.limit = 0xfffff000, "CS limit");
	CASE(long_mode, s.ss.access_rights = 0xc09b, "SS is");
	CASE(real_mode, s.ss.limit = 0xfff00000, "SS limit");
	CASE(long_mode, s.tr.access_rights |= UNUSABLE, "TR is usable");
	CASE(long_mode, s.tr.access_rights = 0x83, "TR is a busy");
	CASE(long_mode, s.tr.access_rights = 0x89, "TR is a busy");
	CASE(long_mode, s.tr.limit = 0x100067, "TR limit");
	CASE(real_mode, s.ldtr.access_rights = 0x92 & ~0x10u & ~0x80u, "LDTR");
	/* An unusable SS may hold anything. */
	struct vmx_guest_snapshot s = long_mode();
	s.ss = (struct vmx_guest_segment){0, 0x12345678, UNUSABLE, 0};
	assert_good(&s);
	/* A 16-bit busy TSS will do outside IA-32e mode. */
	s = real_mode();
	s.tr.access_rights = 0x83;
	assert_good(&s);
}

static void test_the_rest(void **state)
{
	(void)state;
	CASE(long_mode, s.gdtr_base = BIT(47), "bases");
	CASE(long_mode, s.idtr_base = BIT(63), "bases");
	CASE(long_mode, s.fs.base = BIT(60), "bases");
	CASE(long_mode, s.gs.base = BIT(60), "bases");
	CASE(long_mode, s.tr.base = BIT(60), "bases");
	CASE(long_mode, s.gdtr_limit = 0x10000, "limits");
	CASE(long_mode, s.idtr_limit = 0xffffffff, "limits");
	CASE(long_mode, s.activity = 4, "activity");
	CASE(long_mode, s.interruptibility = INTERRUPTIBILITY_SHADOW, "shadow");
	CASE(real_mode, s.interruptibility = INTERRUPTIBILITY_STI, "shadow");
	CASE(long_mode, s.link_pointer = 0, "link pointer");
	CASE(long_mode, s.pat = 2, "PAT");
	CASE(long_mode, s.pat = 0x0807040600070406, "PAT");
	struct vmx_guest_snapshot s = real_mode();
	s.interruptibility = INTERRUPTIBILITY_MOV_SS;
	assert_good(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_states),
		cmocka_unit_test(test_past_the_end),
		cmocka_unit_test(test_control_registers),
		cmocka_unit_test(test_flags_and_rip),
		cmocka_unit_test(test_segments),
		cmocka_unit_test(test_the_rest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
