/* arch/x86/svm/exit_decode.c and exit_instruction.c: every exit as struct vm_exit tells it, with and without next RIP. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/svm_fixture.h"

static const struct { uint64_t code; const char *bytes; uint8_t length; enum vm_exit_kind kind; } instructions[] = {
	{0x72, "\x0f\xa2", 2, VM_EXIT_CPUID}, {0x78, "\xf4", 1, VM_EXIT_HLT}, {0x76, "\x0f\x08", 2, VM_EXIT_INVD},
	{0x89, "\x0f\x09", 2, VM_EXIT_WBINVD}, {0x6f, "\x0f\x33", 2, VM_EXIT_RDPMC}, {0x6e, "\x0f\x31", 2, VM_EXIT_RDTSC},
	{0x81, "\x0f\x01\xd9", 3, VM_EXIT_HYPERCALL}, {0x7c, "\x0f\x32", 2, VM_EXIT_RDMSR},
};

static void test_lengths_by_own_decode(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_count(instructions); i++) {
		fixture_set_code(instructions[i].bytes, instructions[i].length);
		const struct vm_exit *exit = run_to(instructions[i].code, 0, 0);

		assert_int_equal(exit->kind, instructions[i].kind);
		assert_int_equal(exit->reason, instructions[i].code);
		assert_int_equal(exit->instruction_length, instructions[i].length);
		assert_true(fixture_fetches > 0);
	}
}

static void leave_next_rip(struct vmcb *block)
{
	block->next_rip = block->rip + 7;
}

static void test_lengths_by_next_rip(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_count(instructions); i++) {
		memset(&fixture_leaves, 0, sizeof(fixture_leaves));
		fixture_leaves.code = instructions[i].code;
		fixture_leaves.more = leave_next_rip;
		fixture_fetches = 0;
		assert_int_equal(run_to_exit()->instruction_length, 7);
		assert_int_equal(fixture_fetches, 0);
	}
}

/* One that goes on in the next page; one that is not there any more, or is another by now, stops the VM. */
static void test_fetches(void **state)
{
	(void)state;
	CODE("\x66\x0f\xa2");
	fixture_page_left = 2;
	assert_int_equal(run_to(SVM_EXIT_CPUID, 0, 0)->instruction_length, 3);
	assert_int_equal(fixture_fetches, 2);
	CODE("\xf4");
	assert_int_equal(run_to(SVM_EXIT_CPUID, 0, 0)->kind, VM_EXIT_UNKNOWN);
	CODE("");
	assert_int_equal(run_to(SVM_EXIT_CPUID, 0, 0)->kind, VM_EXIT_UNKNOWN);
	CODE("\x66\x66\x66");
	assert_int_equal(run_to(SVM_EXIT_CPUID, 0, 0)->kind, VM_EXIT_UNKNOWN);
}

static void test_subjects(void **state)
{
	(void)state;
	fixture_virt.gpr[GPR_RAX] = 0x80000001;
	fixture_virt.gpr[GPR_RCX] = MSR_EFER;
	CODE("\x0f\xa2");
	assert_int_equal(run_to(SVM_EXIT_CPUID, 0, 0)->subject, 0x80000001);
	CODE("\x0f\x32");
	assert_int_equal(run_to(SVM_EXIT_MSR, 0, 0)->subject, MSR_EFER);
	CODE("\x0f\x30");
	assert_int_equal(run_to(SVM_EXIT_MSR, 1, 0)->kind, VM_EXIT_WRMSR);
	assert_int_equal(fixture_exit.subject, MSR_EFER);
}

static void test_io(void **state)
{
	(void)state;
	vmcb()->rip = 0x1000;
	const struct vm_exit *exit = run_to(SVM_EXIT_IO, 0x3f8 << 16 | BIT(4) | 1, 0x1002);
	assert_int_equal(exit->kind, VM_EXIT_IO);
	assert_true(exit->io.in && !exit->io.string && exit->io.size == 1 && exit->io.port == 0x3f8);
	assert_int_equal(exit->instruction_length, 2);
	exit = run_to(SVM_EXIT_IO, 0xcf8u << 16 | BIT(6), 0x1001);
	assert_true(!exit->io.in && exit->io.size == 4 && exit->io.port == 0xcf8);
}

static void long_mode_code(void)
{
	svm_register_write(&fixture_virt, VIRT_CR4, CR4_PAE);
	svm_register_write(&fixture_virt, VIRT_EFER, EFER_LME);
	svm_register_write(&fixture_virt, VIRT_CR0, CR0_PE | CR0_PG);
	vmcb()->segments[VIRT_CS].attributes |= BIT(9);
	vmcb()->rip = 0x1000;
}

static void test_string_io(void **state)
{
	const uint64_t outs = 0x3f8 << 16 | BIT(4) | IO_INFO_STRING | IO_INFO_REPEAT;

	(void)state;
	/* Real mode: 16-bit offsets, segment prefixes count. */
	vmcb()->rip = 0x1000;
	vmcb()->segments[VIRT_ES].base = 0x20000;
	vmcb()->segments[VIRT_DS].base = 0x30000;
	fixture_virt.gpr[GPR_RSI] = 0xabcd1234;
	fixture_virt.gpr[GPR_RDI] = 0xabcd5678;
	CODE("\xf3\x6e");
	const struct vm_exit *exit = run_to(SVM_EXIT_IO, outs, 0x1002);
	assert_true(exit->io.string && exit->io.repeat && exit->io.address_size == 2 && exit->io.segment == VIRT_DS);
	assert_int_equal(exit->io.linear_address, 0x31234);
	CODE("\x26\x6e");
	assert_int_equal(run_to(SVM_EXIT_IO, outs, 0x1002)->io.linear_address, 0x21234);
	CODE("\x6c");
	assert_int_equal(run_to(SVM_EXIT_IO, outs | IO_INFO_IN, 0x1001)->io.linear_address, 0x25678);
	/* 64-bit code: no bases but those of FS and GS. */
	long_mode_code();
	vmcb()->segments[VIRT_GS].base = 0xffff800000000000;
	CODE("\x6e");
	assert_int_equal(run_to(SVM_EXIT_IO, outs, 0x1001)->io.linear_address, 0xabcd1234);
	CODE("\x65\x6e");
	assert_int_equal(run_to(SVM_EXIT_IO, outs, 0x1002)->io.linear_address, 0xffff8000abcd1234);
}

static void test_cr_writes(void **state)
{
	(void)state;
	long_mode_code();
	CODE("\x41\x0f\x22\xe1"); /* mov cr4, r9 */
	const struct vm_exit *exit = run_to(SVM_EXIT_WRITE_CR0 + 4, 0, 0);
	assert_int_equal(exit->kind, VM_EXIT_CR_ACCESS);
	assert_true(exit->cr.number == 4 && exit->cr.gpr == GPR_R9 && exit->cr.operation == CR_MOV_TO && exit->instruction_length == 4);
	CODE("\x0f\x06");
	assert_int_equal(run_to(SVM_EXIT_WRITE_CR0, 0, 0)->cr.operation, CR_CLTS);
	CODE("\x0f\x01\xf3"); /* lmsw bx */
	fixture_virt.gpr[GPR_RBX] = 0x1234b;
	assert_int_equal(run_to(SVM_EXIT_WRITE_CR0, 0, 0)->cr.operation, CR_LMSW);
	assert_int_equal(fixture_exit.cr.lmsw_value, 0x234b);
	CODE("\x44\x0f\x20\xc4"); /* mov rsp, cr8 */
	assert_int_equal(run_to(SVM_EXIT_READ_CR0 + 8, 0, 0)->cr.operation, CR_MOV_FROM);
	assert_true(fixture_exit.cr.number == 8 && fixture_exit.cr.gpr == GPR_RSP);
	CODE("\x0f\x01\xfb"); /* INVLPG's opcode: no such exit */
	assert_int_equal(run_to(SVM_EXIT_WRITE_CR0, 0, 0)->kind, VM_EXIT_UNKNOWN);
}

/* LMSW and SMSW of memory: segments, truncated addresses, and a fault in their place. */
static void test_cr_operands_in_memory(void **state)
{
	(void)state;
	vmcb()->rip = 0x1000;
	vmcb()->segments[VIRT_DS].base = 0x30000;
	vmcb()->segments[VIRT_SS].base = 0x50000;
	vmcb()->segments[VIRT_FS].base = 0xffff800000000000;
	fixture_virt.gpr[GPR_RBX] = 0xfffe;
	fixture_virt.gpr[GPR_RSI] = 0x12;
	fixture_operand = 0x234b;
	CODE("\x0f\x01\x30"); /* lmsw [bx + si] */
	assert_int_equal(run_to(SVM_EXIT_WRITE_CR0, 0, 0)->cr.operation, CR_LMSW);
	assert_true(fixture_exit.kind == VM_EXIT_CR_ACCESS && fixture_exit.cr.lmsw_value == 0x234b && fixture_exit.instruction_length == 3);
	assert_int_equal(fixture_operand_at, 0x30010);
	fixture_virt.gpr[GPR_RBP] = 0x40;
	CODE("\x0f\x01\x76\xff"); /* lmsw [bp - 1] */
	run_to(SVM_EXIT_WRITE_CR0, 0, 0);
	assert_int_equal(fixture_operand_at, 0x5003f);
	long_mode_code();
	vmcb()->rsp = 0x7000;
	CODE("\x64\x0f\x01\x74\x24\x08"); /* lmsw fs:[rsp + 8] */
	run_to(SVM_EXIT_WRITE_CR0, 0, 0);
	assert_int_equal(fixture_operand_at, 0xffff800000007008);
	CODE("\x0f\x01\x35\xf0\xff\xff\xff"); /* lmsw [rip - 16] */
	run_to(SVM_EXIT_WRITE_CR0, 0, 0);
	assert_int_equal(fixture_operand_at, 0x1000 + 7 - 16);
	svm_register_write(&fixture_virt, VIRT_CR0, CR0_PE | CR0_PG | CR0_CD | CR0_TS);
	fixture_virt.gpr[GPR_RDX] = 0x8000;
	CODE("\x0f\x01\x22"); /* smsw [rdx] */
	assert_int_equal(run_to(SVM_EXIT_READ_CR0, 0, 0)->kind, VM_EXIT_HANDLED);
	assert_true(fixture_operand == (CR0_PE | CR0_TS) && fixture_operand_at == 0x8000 && vmcb()->rip == 0x1003);
	vmcb()->rip = 0x1000;
	for (unsigned i = 0; i < 2; i++) {
		fixture_set_code(i ? "\x0f\x01\x22" : "\x0f\x01\x32", 3);
		fixture_operand_at = FIXTURE_OPERAND_FAULT;
		assert_int_equal(run_to(i ? SVM_EXIT_READ_CR0 : SVM_EXIT_WRITE_CR0, 0, 0)->kind, VM_EXIT_HANDLED);
		assert_true(fixture_virt.backend->event_queued && vmcb()->rip == 0x1000);
	}
}

/* PAUSE, without a filter in the CPU: the guest goes on behind it, and a row of them is a loop. */
static void test_pauses(void **state)
{
	const uint64_t gap = 1000000;

	(void)state;
	CODE("\xf3\x90");
	vmcb()->rip = 0x1000;
	for (unsigned i = 1; i < 8; i++) {
		assert_int_equal(run_to(0x77, 0, 0)->kind, VM_EXIT_HANDLED);
		assert_int_equal(vmcb()->rip, 0x1000 + 2 * i);
	}
	assert_int_equal(run_to(0x77, 0, 0)->kind, VM_EXIT_PAUSE);
	assert_int_equal(vmcb()->rip, 0x1010);
	for (unsigned i = 0; i < 20; i++) {
		fake_tsc += gap;
		assert_int_equal(run_to(0x77, 0, 0)->kind, VM_EXIT_HANDLED);
	}
}

static void test_pauses_that_the_cpu_counts(void **state)
{
	(void)state;
	vmcb()->rip = 0x1000;
	assert_int_equal(run_to(0x77, 0, 0)->kind, VM_EXIT_PAUSE);
	assert_int_equal(vmcb()->rip, 0x1000);
	assert_true(fixture_entered.pause_filter_count > 0 && fixture_entered.pause_filter_threshold > 0);
}

/* What the guest may not see of the CPU's CR0 is read for it, and it goes on. */
static void test_cr_reads(void **state)
{
	(void)state;
	long_mode_code();
	svm_register_write(&fixture_virt, VIRT_CR0, CR0_PE | CR0_PG | CR0_CD);
	CODE("\x0f\x20\xc4"); /* mov rsp, cr0 */
	assert_int_equal(run_to(SVM_EXIT_READ_CR0, 0, 0)->kind, VM_EXIT_HANDLED);
	assert_int_equal(vmcb()->rsp, CR0_PE | CR0_PG | CR0_CD);
	assert_int_equal(vmcb()->rip, 0x1003);
	/* The reason tells the wrong register on QEMU 11. */
	svm_register_write(&fixture_virt, VIRT_CR4, CR4_PAE | CR4_PGE);
	svm_register_write(&fixture_virt, VIRT_CR3, 0x123000);
	CODE("\x0f\x20\xe0"); /* mov rax, cr4 */
	assert_int_equal(run_to(SVM_EXIT_READ_CR0, 0, 0)->kind, VM_EXIT_HANDLED);
	assert_int_equal(fixture_virt.gpr[GPR_RAX], CR4_PAE | CR4_PGE);
	CODE("\x41\x0f\x20\xd8"); /* mov r8, cr3 */
	assert_int_equal(run_to(SVM_EXIT_READ_CR0 + 8, 0, 0)->kind, VM_EXIT_HANDLED);
	assert_int_equal(fixture_virt.gpr[GPR_R8], 0x123000);
	CODE("\xf0\x0f\x20\xc2"); /* mov edx, cr8, as it is written outside 64-bit code */
	assert_int_equal(run_to(SVM_EXIT_READ_CR0 + 8, 0, 0)->kind, VM_EXIT_CR_ACCESS);
	assert_true(fixture_exit.cr.number == 8 && fixture_exit.cr.gpr == GPR_RDX);
	fixture_virt.gpr[GPR_RBX] = ~(uint64_t)0;
	CODE("\x66\x0f\x01\xe3"); /* smsw bx */
	assert_int_equal(run_to(SVM_EXIT_READ_CR0, 0, 0)->kind, VM_EXIT_HANDLED);
	assert_int_equal(fixture_virt.gpr[GPR_RBX], ~(uint64_t)0xffff | CR0_PE);
}

static void test_decode_assists(void **state)
{
	(void)state;
	memset(&fixture_leaves, 0, sizeof(fixture_leaves));
	fixture_leaves.code = SVM_EXIT_WRITE_CR0 + 8;
	fixture_leaves.info_1 = CR_INFO_IS_MOV | 11;
	fixture_leaves.more = leave_next_rip;
	const struct vm_exit *exit = run_to_exit();
	assert_true(exit->cr.number == 8 && exit->cr.gpr == GPR_R11 && exit->instruction_length == 7);
	assert_int_equal(fixture_fetches, 0);
}

static void test_nested_faults(void **state)
{
	(void)state;
	const struct vm_exit *exit = run_to(SVM_EXIT_NESTED_PAGE_FAULT, BIT(2), 0xfee00020);
	assert_int_equal(exit->kind, VM_EXIT_NESTED_FAULT);
	assert_int_equal(exit->reason, SVM_REASON_NESTED_PAGE_FAULT);
	assert_int_equal(exit->nested.gpa.value, 0xfee00020);
	assert_true(exit->nested.read && !exit->nested.write && !exit->nested.execute && !exit->nested.during_walk);
	exit = run_to(SVM_EXIT_NESTED_PAGE_FAULT, BIT(1) | BIT(33), 0x1000);
	assert_true(exit->nested.write && exit->nested.during_walk);
	exit = run_to(SVM_EXIT_NESTED_PAGE_FAULT, BIT(4), 0x1000);
	assert_true(exit->nested.execute && !exit->nested.read);
}

static void test_exceptions(void **state)
{
	(void)state;
	vmcb()->dr6 = DR6_FIXED | BIT(1);
	const struct vm_exit *exit = run_to(SVM_EXIT_EXCEPTION + EXCEPTION_DB, 0, 0);
	assert_true(exit->kind == VM_EXIT_EXCEPTION && exit->exception.vector == EXCEPTION_DB && exit->qualification & BIT(1));
	exit = run_to(SVM_EXIT_EXCEPTION + EXCEPTION_AC, 0, 0);
	assert_true(exit->exception.has_error_code && exit->exception.vector == EXCEPTION_AC);
	assert_int_equal(run_to(SVM_EXIT_EXCEPTION + EXCEPTION_MC, 0, 0)->kind, VM_EXIT_MACHINE_CHECK);
}

static void test_kinds_without_more(void **state)
{
	static const struct { uint64_t code; enum vm_exit_kind kind; uint32_t reason; } rows[] = {
		{SVM_EXIT_NMI, VM_EXIT_HANDLED, 0x61}, {SVM_EXIT_SHUTDOWN, VM_EXIT_TRIPLE_FAULT, 0x7f}, {0x7d, VM_EXIT_TASK_SWITCH, 0x7d},
		{0x80, VM_EXIT_VIRTUALIZATION_INSTRUCTION, 0x80}, {0x8b, VM_EXIT_MWAIT, 0x8b},
		{SVM_EXIT_INVALID, VM_EXIT_ENTRY_FAILED, SVM_REASON_INVALID}, {~(uint64_t)0, VM_EXIT_ENTRY_FAILED, SVM_REASON_INVALID},
		{0x401, VM_EXIT_UNKNOWN, SVM_REASON_UNKNOWN}, {0x123456789, VM_EXIT_UNKNOWN, SVM_REASON_UNKNOWN}, {0x9f, VM_EXIT_UNKNOWN, 0x9f},
	};

	(void)state;
	for (size_t i = 0; i < array_count(rows); i++) {
		assert_int_equal(run_to(rows[i].code, 0, 0)->kind, rows[i].kind);
		assert_int_equal(fixture_exit.reason, rows[i].reason);
		assert_true(fixture_exit.reason < VIRT_EXIT_REASON_MAX);
	}
	assert_null(svm_reason_name(SVM_REASON_UNKNOWN + 1));
	assert_string_equal(svm_reason_name(SVM_EXIT_HLT), "HLT");
}

/* The emulated CPUs differ in what they check before they exit. */
static void test_xsetbv(void **state)
{
	(void)state;
	CODE("\x0f\x01\xd1");
	assert_int_equal(run_to(SVM_EXIT_XSETBV, 0, 0)->kind, VM_EXIT_UNDEFINED_INSTRUCTION);
	svm_register_write(&fixture_virt, VIRT_CR4, CR4_OSXSAVE);
	assert_int_equal(run_to(SVM_EXIT_XSETBV, 0, 0)->kind, VM_EXIT_XSETBV);
	assert_int_equal(fixture_exit.instruction_length, 3);
	vmcb()->cpl = 3;
	assert_int_equal(run_to(SVM_EXIT_XSETBV, 0, 0)->kind, VM_EXIT_RDPMC);
}

static void test_the_deadline(void **state)
{
	(void)state;
	fixture_virt.entry_deadline = clock_now() + 1000000;
	assert_int_equal(run_to(SVM_EXIT_INTR, 0, 0)->kind, VM_EXIT_HANDLED);
	assert_true(fake_msr_get(MSR_TSC_DEADLINE) == fixture_virt.entry_deadline);
	fixture_virt.entry_deadline = 1;
	assert_int_equal(run_to(SVM_EXIT_INTR, 0, 0)->kind, VM_EXIT_TIMER);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_lengths_by_own_decode),
		TEST_WITH_ALL(test_lengths_by_next_rip),
		TEST(test_fetches),
		TEST(test_subjects),
		TEST(test_io),
		TEST(test_string_io),
		TEST(test_cr_writes),
		TEST(test_cr_operands_in_memory),
		TEST(test_cr_reads),
		TEST_WITH_ALL(test_decode_assists),
		TEST(test_nested_faults),
		TEST(test_exceptions),
		TEST(test_kinds_without_more),
		TEST(test_pauses),
		TEST_WITH_ALL(test_pauses_that_the_cpu_counts),
		TEST(test_xsetbv),
		TEST(test_the_deadline),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
