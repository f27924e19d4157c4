/*
 * A machine with SVM made of the fake CPU: CPUID, MSRs, a page pool that can fail, one VM and one vCPU of the back end alone,
 * loaded, and svm_enter() of entry.asm as a script that the test writes. Included by one .c file of a program.
 */
#pragma once

#include "arch/x86/clock.h"
#include "arch/x86/cpu/features.h"
#include "arch/x86/cr.h"
#include "arch/x86/exception.h"
#include "arch/x86/irq/lapic.h"
#include "arch/x86/irq/lapic_timer.h"
#include "arch/x86/mm/page_table.h"
#include "arch/x86/msr.h"
#include "arch/x86/physmap.h"
#include "arch/x86/svm/svm_internal.h"
#include "tests/fake/fake_cpu.h"
#include "tests/fake/fake_pcpu.h"
#include "tests/unit/failing_pool.h"

#define FIXTURE_HZ 2000000000u /* of the TSC */
#define FIXTURE_ENTRY_LIMIT 100000u

/* EDX of leaf 8000_000Ah: QEMU's software emulation has nested paging alone. */
#define FIXTURE_LEAST ((uint32_t)BIT(0))
#define FIXTURE_MOST ((uint32_t)(BIT(0) | BIT(1) | BIT(3) | BIT(6) | BIT(7) | BIT(10) | BIT(12)))
#define FIXTURE_ASIDS 4u

static void (*fixture_guest)(struct vmcb *vmcb); /* leaves the exit in the VMCB */
static unsigned fixture_entries;
static struct vmcb fixture_entered; /* the VMCB at the last entry */

void svm_enter(struct virt_vcpu *vcpu)
{
	do {
		if (fixture_entries++ > FIXTURE_ENTRY_LIMIT)
			abort();
		fixture_entered = *vcpu->backend->vmcb;
		vcpu->backend->vmcb->exit_interrupt_info = 0;
		fixture_guest(vcpu->backend->vmcb);
	} while (svm_after_exit(vcpu));
}

static struct page_table fixture_nested;
static struct virt_vm fixture_virt_vm;
static struct virt_vcpu fixture_virt;
static struct vm_exit fixture_exit; /* the last one that the handler saw */
static unsigned fixture_exits;
static bool fixture_go_on; /* what the handler answers */

static inline bool fixture_handle(struct virt_vcpu *vcpu, const struct vm_exit *exit)
{
	if (vcpu != &fixture_virt)
		abort();
	fixture_exit = *exit;
	fixture_exits++;
	return fixture_go_on;
}

/* The guest's code: at RIP and, behind @fixture_page_left bytes, in another page. */
static const char *fixture_code;
static size_t fixture_code_size, fixture_page_left;
static unsigned fixture_fetches;

static inline size_t fixture_read_code(struct virt_vcpu *vcpu, uint64_t rip, uint8_t *bytes, size_t size)
{
	size_t offset = rip - vcpu->backend->vmcb->rip;

	fixture_fetches++;
	if (offset > fixture_code_size)
		abort();
	size = min_u64(size, fixture_code_size - offset);
	if (offset < fixture_page_left)
		size = min_u64(size, fixture_page_left - offset);
	memcpy(bytes, fixture_code + offset, size);
	return size;
}

/* The operand in memory of an instruction: one place; everything else faults. */
#define FIXTURE_OPERAND_FAULT UINT64_MAX
static uint64_t fixture_operand_at; /* in: where it is; out: where it was looked for */
static uint16_t fixture_operand;

static inline bool fixture_access_operand(struct virt_vcpu *vcpu, uint64_t linear, uint16_t *value, bool write)
{
	bool faults = fixture_operand_at == FIXTURE_OPERAND_FAULT;

	fixture_operand_at = linear;
	if (faults)
		svm_inject_exception(vcpu, EXCEPTION_PF, true, write);
	else if (write)
		fixture_operand = *value;
	else
		*value = fixture_operand;
	return !faults;
}

static inline void fixture_set_code(const char *bytes, size_t size)
{
	fixture_code = bytes;
	fixture_code_size = size;
	fixture_page_left = SIZE_MAX;
	fixture_fetches = 0;
}
#define CODE(text) fixture_set_code(text, sizeof(text) - 1)

static inline void fixture_set_cpu(uint32_t features)
{
	static const uint32_t msrs[] = {MSR_TSC_AUX, MSR_EFER, MSR_PAT, MSR_TSC_DEADLINE, MSR_VM_CR, MSR_VM_HSAVE_PA};

	fake_cpuid_set(0, 0, 1, 0x68747541, 0x444d4163, 0x69746e65);
	fake_cpuid_set(1, 0, 0, 0, BIT(21) | BIT(24), BIT(7) | BIT(9));
	fake_cpuid_set(0x80000000, 0, 0x8000000a, 0, 0, 0);
	fake_cpuid_set(0x80000001, 0, 0, 0, BIT(2), BIT(20) | BIT(26) | BIT(27));
	fake_cpuid_set(0x8000000a, 0, 1, FIXTURE_ASIDS + 1, 0, features);
	for (uint32_t msr = MSR_X2APIC_BASE; msr <= MSR_X2APIC_BASE + 0x3f; msr++)
		fake_msr_set(msr, 0);
	fake_msr_set(MSR_APIC_BASE, 0xfee00000 | APIC_BASE_ENABLE | APIC_BASE_X2APIC | APIC_BASE_BSP);
	for (size_t i = 0; i < array_count(msrs); i++)
		fake_msr_set(msrs[i], 0);
	features_init();
}

static inline void fixture_start_svm(uint32_t features)
{
	static bool apic_started;
	const char *why;

	fake_cpu_reset();
	fake_pcpu_reset();
	pool_reset();
	fixture_set_cpu(features);
	clock_set_frequency(FIXTURE_HZ);
	fixture_entries = 0;
	if (!apic_started && (lapic_init(false) != STATUS_OK || lapic_timer_calibrate() != STATUS_OK))
		abort();
	apic_started = true; /* it registers interrupt handlers, which can be done once */
	if (svm_probe(&why) != STATUS_OK || svm_ops.cpu_enable() != STATUS_OK)
		abort();
	virt_set_ops(&svm_ops);
	virt_set_guest_access(fixture_read_code, fixture_access_operand);
	CODE("\x0f\xa2");
}

static inline void fixture_create_vcpu(uint32_t features)
{
	fixture_start_svm(features);
	memset(&fixture_virt, 0, sizeof(fixture_virt));
	memset(&fixture_exit, 0, sizeof(fixture_exit));
	fixture_exits = 0;
	fixture_go_on = false;
	if (page_table_create(&fixture_nested, svm_ops.nested_format()) != STATUS_OK ||
	    svm_vm_create(&fixture_virt_vm, &fixture_nested) != STATUS_OK || svm_vcpu_create(&fixture_virt, &fixture_virt_vm) != STATUS_OK)
		abort();
	svm_vcpu_load(&fixture_virt);
}

static inline int set_up(void **state)
{
	(void)state;
	fixture_create_vcpu(FIXTURE_LEAST);
	return 0;
}

static inline int set_up_with_all(void **state)
{
	(void)state;
	fixture_create_vcpu(FIXTURE_MOST);
	return 0;
}

static inline int tear_down(void **state)
{
	(void)state;
	svm_vcpu_destroy(&fixture_virt);
	svm_vm_destroy(&fixture_virt_vm);
	page_table_destroy(&fixture_nested);
	return 0;
}

static inline struct vmcb *vmcb(void)
{
	return fixture_virt.backend->vmcb;
}

/* What the guest's run leaves in the VMCB. */
static struct { uint64_t code, info_1, info_2, next_rip, interrupted; void (*more)(struct vmcb *vmcb); } fixture_leaves;

static inline void fixture_leave(struct vmcb *block)
{
	block->exit_code = fixture_leaves.code;
	block->exit_info_1 = fixture_leaves.info_1;
	block->exit_info_2 = fixture_leaves.info_2;
	block->next_rip = fixture_leaves.next_rip;
	block->exit_interrupt_info = fixture_leaves.interrupted;
	if (fixture_leaves.more)
		fixture_leaves.more(block);
}

static inline const struct vm_exit *run_to_exit(void)
{
	fixture_guest = fixture_leave;
	svm_vcpu_run(&fixture_virt, fixture_handle);
	return &fixture_exit;
}

/* One run of the guest, to this exit. */
static inline const struct vm_exit *run_to(uint64_t code, uint64_t info_1, uint64_t info_2)
{
	memset(&fixture_leaves, 0, sizeof(fixture_leaves));
	fixture_leaves.code = code;
	fixture_leaves.info_1 = info_1;
	fixture_leaves.info_2 = info_2;
	return run_to_exit();
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
#define TEST_WITH_ALL(function) cmocka_unit_test_setup_teardown(function, set_up_with_all, tear_down)
