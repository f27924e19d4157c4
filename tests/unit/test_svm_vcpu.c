/* arch/x86/svm/vm.c, vcpu.c, asid.c, registers.c, events.c, step.c: maps, memory, tags, registers, injection, windows, NMIs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/svm_fixture.h"

/* ---- probing and the VM ---- */

static void test_refusals(void **state)
{
	const char *why;

	(void)state;
	fake_msr_set(MSR_VM_CR, BIT(3) | BIT(4));
	assert_int_equal(svm_probe(&why), STATUS_UNSUPPORTED);
	assert_non_null(strstr(why, "locked by the firmware"));
	assert_int_equal(svm_ops.cpu_enable(), STATUS_DENIED);
	/* Not locked: it is switched on; locked and on: it is left alone. */
	fake_msr_set(MSR_VM_CR, BIT(1) | BIT(4));
	assert_int_equal(svm_probe(&why), STATUS_OK);
	assert_int_equal(svm_ops.cpu_enable(), STATUS_OK);
	assert_int_equal(fake_msr_get(MSR_VM_CR), BIT(1));
	fake_msr_set(MSR_VM_CR, BIT(3));
	assert_int_equal(svm_ops.cpu_enable(), STATUS_OK);
	assert_int_equal(fake_msr_get(MSR_VM_CR), BIT(3));
	fixture_set_cpu(FIXTURE_MOST & ~FIXTURE_LEAST);
	assert_int_equal(svm_probe(&why), STATUS_UNSUPPORTED);
	assert_string_equal(why, "no nested paging");
	fake_cpuid_set(0x80000001, 0, 0, 0, 0, 0);
	features_init();
	assert_int_equal(svm_probe(&why), STATUS_UNSUPPORTED);
	fixture_set_cpu(FIXTURE_LEAST);
	assert_int_equal(svm_probe(&why), STATUS_OK);
}

static unsigned open_count;
static uint32_t open_last;
static bool open_write;

static void count_port(void *context, uint16_t port)
{
	(void)context;
	open_count++;
	open_last = port;
}

static void count_msr(void *context, uint32_t msr, bool write, bool x2apic)
{
	(void)context;
	assert_false(x2apic);
	open_count++;
	open_last = msr;
	open_write = write;
}

static void test_maps(void **state)
{
	static const uint32_t msrs[] = {0, 0x174, 0x1fff, 0xc0000000, MSR_FS_BASE, 0xc0001fff, 0xc0010000, 0xc0011fff};

	(void)state;
	open_count = 0;
	svm_ops.inspect->open_ports(&fixture_virt_vm, count_port, NULL);
	svm_ops.inspect->open_msrs(&fixture_virt_vm, count_msr, NULL);
	assert_int_equal(open_count, 0);
	svm_port_intercept(&fixture_virt_vm, 0xffff, false);
	svm_ops.inspect->open_ports(&fixture_virt_vm, count_port, NULL);
	assert_true(open_count == 1 && open_last == 0xffff);
	svm_port_intercept(&fixture_virt_vm, 0xffff, true);
	for (size_t i = 0; i < array_count(msrs); i++) {
		open_count = 0;
		svm_msr_intercept(&fixture_virt_vm, msrs[i], true, false);
		svm_ops.inspect->open_msrs(&fixture_virt_vm, count_msr, NULL);
		assert_true(open_count == 1 && open_last == msrs[i] && open_write);
		svm_msr_intercept(&fixture_virt_vm, msrs[i], true, true);
	}
	/* Those without a bit change nothing. */
	open_count = 0;
	svm_msr_intercept(&fixture_virt_vm, 0x2000, false, false);
	svm_msr_intercept(&fixture_virt_vm, 0xc0012000, false, false);
	svm_msr_intercept(&fixture_virt_vm, 0x40000000, false, false);
	svm_ops.inspect->open_msrs(&fixture_virt_vm, count_msr, NULL);
	svm_ops.inspect->open_ports(&fixture_virt_vm, count_port, NULL);
	assert_int_equal(open_count, 0);
}

static void test_memory(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		struct virt_vcpu vcpu = {0};
		struct virt_vm vm = {0};
		unsigned used = pool_used;

		pool_fail_at = i;
		assert_int_equal(svm_vcpu_create(&vcpu, &fixture_virt_vm), STATUS_NO_MEMORY);
		pool_fail_at = i;
		assert_int_equal(svm_vm_create(&vm, &fixture_nested), STATUS_NO_MEMORY);
		pool_fail_at = UINT32_MAX;
		assert_int_equal(pool_used, used);
	}
}

/* ---- tags of the TLB ---- */

static void nothing(struct vmcb *block) { block->exit_code = SVM_EXIT_SHUTDOWN; }

static void enter(struct virt_vcpu *vcpu)
{
	fixture_guest = nothing;
	vcpu->backend->handle = NULL;
	svm_vcpu_run(vcpu, fixture_handle);
}

static void test_a_round_begins_with_a_flush(void **state)
{
	(void)state;
	enter(&fixture_virt);
	assert_int_equal(fixture_entered.tlb_control, TLB_CONTROL_FLUSH_ALL);
	assert_int_equal(fixture_entered.asid, 1);
	enter(&fixture_virt);
	assert_int_equal(fixture_entered.tlb_control, TLB_CONTROL_NOTHING);
	/* Without flushes of one ASID every flush takes another, until the next round. */
	for (unsigned round = 0; round < 3; round++) {
		for (uint32_t asid = 2; asid <= FIXTURE_ASIDS; asid++) {
			svm_vcpu_flush(&fixture_virt);
			enter(&fixture_virt);
			assert_true(fixture_entered.asid == asid && fixture_entered.tlb_control == TLB_CONTROL_NOTHING);
		}
		svm_vcpu_flush(&fixture_virt);
		enter(&fixture_virt);
		assert_true(fixture_entered.asid == 1 && fixture_entered.tlb_control == TLB_CONTROL_FLUSH_ALL);
	}
}

static void test_flush_by_asid(void **state)
{
	(void)state;
	enter(&fixture_virt);
	svm_vcpu_flush(&fixture_virt);
	enter(&fixture_virt);
	assert_true(fixture_entered.asid == 1 && fixture_entered.tlb_control == TLB_CONTROL_FLUSH_ASID);
	enter(&fixture_virt);
	assert_int_equal(fixture_entered.tlb_control, TLB_CONTROL_NOTHING);
}

/* Mappings that were taken out of the VM's tables are forgotten before the next run. */
static void test_vm_flush(void **state)
{
	(void)state;
	enter(&fixture_virt);
	svm_vm_flush(&fixture_virt_vm);
	enter(&fixture_virt);
	assert_int_equal(fixture_entered.asid, 2);
}

/* More vCPUs than ASIDs: whoever's was given to another since gets a new one, and tags are never the same. */
static void test_more_vcpus_than_asids(void **state)
{
	static struct virt_vcpu others[2 * FIXTURE_ASIDS];
	uint32_t first = svm_vcpu_tag(&fixture_virt);

	(void)state;
	for (size_t i = 0; i < array_count(others); i++) {
		memset(&others[i], 0, sizeof(others[i]));
		assert_int_equal(svm_vcpu_create(&others[i], &fixture_virt_vm), STATUS_OK);
		assert_true(svm_vcpu_tag(&others[i]) != 0);
		svm_vcpu_load(&others[i]);
		for (size_t k = 0; k < i; k++)
			assert_true(svm_vcpu_tag(&others[i]) != svm_vcpu_tag(&others[k]));
	}
	svm_vcpu_load(&fixture_virt);
	assert_true(svm_vcpu_tag(&fixture_virt) != first);
	/* Others began rounds and did not run: the flush is not lost. */
	enter(&fixture_virt);
	assert_int_equal(fixture_entered.tlb_control, TLB_CONTROL_FLUSH_ALL);
	for (size_t i = 0; i < array_count(others); i++)
		svm_vcpu_destroy(&others[i]);
}

/* ---- registers ---- */

static void test_control_registers(void **state)
{
	(void)state;
	svm_register_write(&fixture_virt, VIRT_CR0, CR0_PE | CR0_CD | CR0_NW);
	assert_int_equal(svm_register_read(&fixture_virt, VIRT_CR0), CR0_PE | CR0_CD | CR0_NW);
	assert_int_equal(vmcb()->cr0, CR0_PE);
	assert_true(vmcb()->intercept_cr & INTERCEPT_CR_READ(0));
	svm_register_write(&fixture_virt, VIRT_CR0, CR0_PE);
	assert_false(vmcb()->intercept_cr & INTERCEPT_CR_READ(0));
	assert_true(vmcb()->intercept_cr & INTERCEPT_CR_WRITE(0));
	/* Machine checks are the host's. */
	svm_register_write(&fixture_virt, VIRT_CR4, CR4_PAE | CR4_OSXSAVE);
	assert_int_equal(svm_register_read(&fixture_virt, VIRT_CR4), CR4_PAE | CR4_OSXSAVE);
	assert_true(vmcb()->cr4 & CR4_MCE && vmcb()->intercept_cr & INTERCEPT_CR_READ(4) && fixture_virt.os_xsave);
	svm_register_write(&fixture_virt, VIRT_CR4, CR4_PAE | CR4_MCE);
	assert_false(vmcb()->intercept_cr & INTERCEPT_CR_READ(4));
	/* LMA goes with LME and PG; SVME is not the guest's. */
	svm_register_write(&fixture_virt, VIRT_EFER, EFER_LME);
	assert_int_equal(svm_register_read(&fixture_virt, VIRT_EFER), EFER_LME);
	svm_register_write(&fixture_virt, VIRT_CR0, CR0_PE | CR0_PG);
	assert_int_equal(svm_register_read(&fixture_virt, VIRT_EFER), EFER_LME | EFER_LMA);
	assert_true(vmcb()->efer & EFER_SVME);
}

static void test_every_register(void **state)
{
	(void)state;
	for (unsigned name = 0; name < VIRT_PDPTE0; name++) {
		if (name == VIRT_CR0 || name == VIRT_EFER)
			continue;
		svm_register_write(&fixture_virt, (enum virt_register)name, 0x10 + name);
	}
	for (unsigned name = 0; name < VIRT_PDPTE0; name++) {
		if (name != VIRT_CR0 && name != VIRT_EFER)
			assert_int_equal(svm_register_read(&fixture_virt, (enum virt_register)name), 0x10 + name);
	}
	svm_register_write(&fixture_virt, VIRT_TSC_OFFSET, 0x77);
	assert_true(vmcb()->tsc_offset == 0x77 && fixture_virt.tsc_offset == 0x77);
	/* Not every CPU loads CR2 itself. */
	assert_int_equal(insn_read_cr2(), vmcb()->cr2);
	vmcb()->cr2 = 0x5678;
	svm_vcpu_put(&fixture_virt);
	svm_vcpu_load(&fixture_virt);
	assert_int_equal(insn_read_cr2(), 0x5678);
	svm_vcpu_enter_init(&fixture_virt);
	assert_int_equal(insn_read_cr2(), 0);
}

/* They are what memory says, and nothing where there is none. */
static void test_pdptes(void **state)
{
	hpa_t page;

	(void)state;
	assert_int_equal(page_pool_allocate(PAGE_ORDER_4K, PAGE_OWNER_GUEST, &page), STATUS_OK);
	assert_int_equal(page_table_map(&fixture_nested, 0x5000, page, PAGE_SIZE, PAGE_RWX), STATUS_OK);
	((uint64_t *)physmap_pointer(page))[6] = 0x12345001;
	svm_register_write(&fixture_virt, VIRT_CR3, 0x5020);
	assert_int_equal(svm_register_read(&fixture_virt, VIRT_PDPTE2), 0x12345001);
	svm_register_write(&fixture_virt, VIRT_CR3, 0x9000);
	assert_int_equal(svm_register_read(&fixture_virt, VIRT_PDPTE2), 0);
	page_pool_free(page, PAGE_ORDER_4K, PAGE_OWNER_GUEST);
}

static void test_segments(void **state)
{
	const struct virt_segment code = {.selector = 8, .base = 0x1000, .limit = 0xffffffff, .attributes = 0xa09b};
	const struct virt_segment stack = {.selector = 0x13, .attributes = 0xc0f3}, none = {.attributes = VIRT_SEGMENT_UNUSABLE};
	struct virt_segment s;

	(void)state;
	svm_segment_write(&fixture_virt, VIRT_CS, &code);
	assert_int_equal(vmcb()->segments[VIRT_CS].attributes, 0xa9b);
	svm_segment_read(&fixture_virt, VIRT_CS, &s);
	assert_true(s.selector == code.selector && s.base == code.base && s.limit == code.limit && s.attributes == code.attributes);
	svm_segment_write(&fixture_virt, VIRT_SS, &stack);
	assert_int_equal(vmcb()->cpl, 3);
	vmcb()->cpl = 0;
	svm_segment_read(&fixture_virt, VIRT_SS, &s);
	assert_int_equal(s.attributes, 0xc093);
	svm_segment_write(&fixture_virt, VIRT_LDTR, &none);
	svm_segment_read(&fixture_virt, VIRT_LDTR, &s);
	assert_true(s.attributes & VIRT_SEGMENT_UNUSABLE);
	svm_vcpu_enter_init(&fixture_virt);
	svm_segment_read(&fixture_virt, VIRT_CS, &s);
	assert_true(s.selector == 0xf000 && s.base == 0xffff0000 && vmcb()->rip == 0xfff0);
}

/* ---- events ---- */

#define EVENT(type, vector) ((uint64_t)(type) << EVENT_TYPE_SHIFT | (vector) | EVENT_VALID)

static void test_injection(void **state)
{
	(void)state;
	/* Real mode pushes no error code. */
	svm_inject_exception(&fixture_virt, EXCEPTION_GP, true, 5);
	assert_int_equal(vmcb()->event_injection, EVENT(EVENT_EXCEPTION, EXCEPTION_GP));
	assert_false(svm_interrupt_allowed(&fixture_virt));
	svm_register_write(&fixture_virt, VIRT_CR0, CR0_PE);
	svm_inject_exception(&fixture_virt, EXCEPTION_NP, true, 0);
	assert_int_equal(vmcb()->event_injection, EVENT(EVENT_EXCEPTION, EXCEPTION_DF) | EVENT_ERROR_CODE);
	run_to(SVM_EXIT_SHUTDOWN, 0, 0);
	assert_int_equal(vmcb()->event_injection, 0);
	svm_inject_exception(&fixture_virt, EXCEPTION_PF, true, 0x1234);
	assert_int_equal(vmcb()->event_injection, EVENT(EVENT_EXCEPTION, EXCEPTION_PF) | EVENT_ERROR_CODE | (uint64_t)0x1234 << 32);
	svm_inject_interrupt(&fixture_virt, 0x55);
	assert_int_equal(vmcb()->event_injection, EVENT(EVENT_INTERRUPT, 0x55));
}

/* What an exit interrupted comes again, unless its instruction does. */
static void test_interrupted_deliveries(void **state)
{
	static const struct { uint64_t interrupted; bool again; } rows[] = {
		{EVENT(EVENT_INTERRUPT, 0x30), true}, {EVENT(EVENT_NMI, 2), true}, {EVENT(EVENT_EXCEPTION, EXCEPTION_PF) | EVENT_ERROR_CODE, true},
		{EVENT(EVENT_SOFTWARE_INTERRUPT, 0x80), false}, {EVENT(EVENT_EXCEPTION, EXCEPTION_BP), false}, {0x30, false},
	};

	(void)state;
	for (size_t i = 0; i < array_count(rows); i++) {
		memset(&fixture_leaves, 0, sizeof(fixture_leaves));
		fixture_leaves.code = SVM_EXIT_SHUTDOWN;
		fixture_leaves.interrupted = rows[i].interrupted;
		run_to_exit();
		assert_int_equal(vmcb()->event_injection, rows[i].again ? rows[i].interrupted : 0);
	}
}

static void test_windows(void **state)
{
	(void)state;
	assert_false(svm_interrupt_allowed(&fixture_virt));
	vmcb()->rflags |= RFLAGS_IF;
	assert_true(svm_interrupt_allowed(&fixture_virt));
	vmcb()->interrupt_state = INTERRUPT_SHADOW;
	assert_false(svm_interrupt_allowed(&fixture_virt));
	svm_interrupt_window(&fixture_virt, true);
	assert_true(vmcb()->virtual_interrupt & VIRTUAL_INTERRUPT_REQUEST && vmcb()->intercept_1 & INTERCEPT_VINTR);
	vmcb()->rip = 0x1000;
	memset(&fixture_leaves, 0, sizeof(fixture_leaves));
	svm_interrupt_window(&fixture_virt, false);
	assert_false(vmcb()->virtual_interrupt & VIRTUAL_INTERRUPT_REQUEST || vmcb()->intercept_1 & INTERCEPT_VINTR);
	assert_true(vmcb()->virtual_interrupt & VIRTUAL_INTERRUPT_MASKING);
}

static void forget_shadow(struct vmcb *block) { block->interrupt_state = 0; }

static void step_over(struct vmcb *block)
{
	assert_true(block->rflags & RFLAGS_TF);
	assert_false(block->virtual_interrupt & VIRTUAL_INTERRUPT_REQUEST);
	block->rip += 2;
	block->dr6 |= DR6_BS;
	block->interrupt_state = 0;
}

/* QEMU's software emulation drops the shadow at VMRUN: the instruction behind STI is stepped over, so that nothing comes
 * between the two. */
static void test_a_forgotten_shadow(void **state)
{
	(void)state;
	vmcb()->rflags |= RFLAGS_IF;
	vmcb()->interrupt_state = INTERRUPT_SHADOW;
	svm_interrupt_window(&fixture_virt, true);
	memset(&fixture_leaves, 0, sizeof(fixture_leaves));
	fixture_leaves.code = SVM_EXIT_VINTR;
	fixture_leaves.more = forget_shadow;
	assert_int_equal(run_to_exit()->kind, VM_EXIT_HANDLED);
	assert_false(svm_interrupt_allowed(&fixture_virt));
	fixture_leaves.code = SVM_EXIT_EXCEPTION + EXCEPTION_DB;
	fixture_leaves.more = step_over;
	assert_int_equal(run_to_exit()->kind, VM_EXIT_INTERRUPT_WINDOW);
	assert_true(svm_interrupt_allowed(&fixture_virt));
	assert_false(vmcb()->rflags & RFLAGS_TF || vmcb()->dr6 & DR6_BS);
}

static void test_skipping(void **state)
{
	struct vm_exit exit = {.rip = 0xffffffff, .instruction_length = 2};

	(void)state;
	vmcb()->interrupt_state = INTERRUPT_SHADOW;
	svm_skip_instruction(&fixture_virt, &exit);
	assert_int_equal(vmcb()->rip, 1);
	assert_int_equal(vmcb()->interrupt_state, 0);
	assert_false(fixture_virt.backend->event_queued);
	/* A guest that steps itself sees the step. */
	vmcb()->rflags |= RFLAGS_TF;
	svm_skip_instruction(&fixture_virt, &exit);
	assert_int_equal(vmcb()->event_injection, EVENT(EVENT_EXCEPTION, EXCEPTION_DB));
	assert_true(vmcb()->dr6 & DR6_BS);
}

static void leave_handler(struct vmcb *block) { block->rip = 0x2000; }

/* From its injection to the end of its handler's IRET no other NMI is taken. */
static void test_nmis(void **state)
{
	(void)state;
	vmcb()->rip = 0x1000;
	assert_true(svm_nmi_allowed(&fixture_virt));
	svm_inject_nmi(&fixture_virt);
	assert_int_equal(vmcb()->event_injection, EVENT(EVENT_NMI, EXCEPTION_NMI));
	assert_true(vmcb()->intercept_1 & INTERCEPT_IRET);
	run_to(SVM_EXIT_SHUTDOWN, 0, 0);
	assert_false(svm_nmi_allowed(&fixture_virt));
	assert_false(fixture_virt.backend->step_wanted);
	assert_int_equal(run_to(SVM_EXIT_IRET, 0, 0)->kind, VM_EXIT_INTERRUPT_WINDOW);
	/* The IRET itself is still to come: it is stepped over. */
	assert_false(svm_nmi_allowed(&fixture_virt));
	assert_true(fixture_virt.backend->step_wanted);
	memset(&fixture_leaves, 0, sizeof(fixture_leaves));
	fixture_leaves.code = SVM_EXIT_EXCEPTION + EXCEPTION_DB;
	fixture_leaves.more = leave_handler;
	assert_int_equal(run_to_exit()->kind, VM_EXIT_INTERRUPT_WINDOW);
	assert_true(svm_nmi_allowed(&fixture_virt));
}

static void check_injection(struct vmcb *block)
{
	assert_false(block->rflags & RFLAGS_TF);
	assert_true(block->event_injection & EVENT_VALID);
}

/* An NMI behind an event that is injected: a step would put its TF into the frame of the event's handler. */
static void test_an_nmi_behind_an_event(void **state)
{
	(void)state;
	fixture_virt.entry_deadline = clock_now() + 1000000;
	svm_inject_interrupt(&fixture_virt, 0x40);
	assert_false(svm_nmi_allowed(&fixture_virt));
	memset(&fixture_leaves, 0, sizeof(fixture_leaves));
	fixture_leaves.code = SVM_EXIT_INTR;
	fixture_leaves.more = check_injection;
	assert_int_equal(run_to_exit()->kind, VM_EXIT_HANDLED);
	assert_true(fake_msr_get(MSR_TSC_DEADLINE) == 1);
	assert_true(svm_nmi_allowed(&fixture_virt));
	run_to(SVM_EXIT_INTR, 0, 0);
	assert_true(fake_msr_get(MSR_TSC_DEADLINE) == fixture_virt.entry_deadline);
}

static unsigned dump_lines;
static void count_lines(const char *format, ...) { dump_lines += format[0] != '\0'; }

static void test_dump(void **state)
{
	(void)state;
	run_to(SVM_EXIT_SHUTDOWN, 0, 0);
	dump_lines = 0;
	svm_dump(&fixture_virt, count_lines);
	assert_true(dump_lines > 30);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_refusals),
		TEST(test_maps),
		TEST(test_memory),
		TEST(test_a_round_begins_with_a_flush),
		TEST_WITH_ALL(test_flush_by_asid),
		TEST(test_vm_flush),
		TEST(test_more_vcpus_than_asids),
		TEST(test_control_registers),
		TEST(test_every_register),
		TEST(test_pdptes),
		TEST(test_segments),
		TEST(test_injection),
		TEST(test_interrupted_deliveries),
		TEST(test_windows),
		TEST(test_a_forgotten_shadow),
		TEST(test_skipping),
		TEST(test_nmis),
		TEST(test_an_nmi_behind_an_event),
		TEST(test_dump),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
