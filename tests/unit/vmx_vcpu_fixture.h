/*
 * vmx_fixture.h, with one VM and one vCPU of the back end alone, loaded; nothing of vmm/. Included by one .c file of a
 * program.
 */
#pragma once

#include "arch/x86/mm/page_table.h"
#include "tests/unit/vmx_fixture.h"

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

static inline void fixture_create_vcpu(void)
{
	fixture_start_vmx();
	memset(&fixture_virt, 0, sizeof(fixture_virt));
	memset(&fixture_exit, 0, sizeof(fixture_exit));
	fixture_exits = 0;
	fixture_go_on = false;
	if (page_table_create(&fixture_nested, vmx_ops.nested_format()) != STATUS_OK ||
	    vmx_vm_create(&fixture_virt_vm, &fixture_nested) != STATUS_OK || vmx_vcpu_create(&fixture_virt, &fixture_virt_vm) != STATUS_OK)
		abort();
}

static inline int set_up(void **state)
{
	(void)state;
	fixture_create_vcpu();
	vmx_vcpu_load(&fixture_virt);
	return 0;
}

static inline int tear_down(void **state)
{
	(void)state;
	vmx_vcpu_destroy(&fixture_virt);
	vmx_vm_destroy(&fixture_virt_vm);
	page_table_destroy(&fixture_nested);
	return 0;
}

/* What the guest's run leaves in the VMCS. */
static struct { uint32_t reason, length, interruption, error_code, vectoring, vectoring_code; uint64_t qualification; } fixture_leaves;

static inline void fixture_leave(struct virt_vcpu *vcpu)
{
	(void)vcpu;
	fake_vmcs_set(VMCS_DATA_EXIT_REASON, fixture_leaves.reason);
	fake_vmcs_set(VMCS_DATA_INSTRUCTION_LENGTH, fixture_leaves.length);
	fake_vmcs_set(VMCS_DATA_EXIT_QUALIFICATION, fixture_leaves.qualification);
	fake_vmcs_set(VMCS_DATA_EXIT_INTERRUPTION_INFO, fixture_leaves.interruption);
	fake_vmcs_set(VMCS_DATA_EXIT_INTERRUPTION_ERROR_CODE, fixture_leaves.error_code);
	fake_vmcs_set(VMCS_DATA_IDT_VECTORING_INFO, fixture_leaves.vectoring);
	fake_vmcs_set(VMCS_DATA_IDT_VECTORING_ERROR_CODE, fixture_leaves.vectoring_code);
}

/* One run of the guest, to the exit that fixture_leaves describes. */
static inline const struct vm_exit *run_to_exit(void)
{
	fixture_guest = fixture_leave;
	vmx_vcpu_run(&fixture_virt, fixture_handle);
	return &fixture_exit;
}

static inline const struct vm_exit *run_to(uint32_t reason, uint64_t qualification)
{
	memset(&fixture_leaves, 0, sizeof(fixture_leaves));
	fixture_leaves.reason = reason;
	fixture_leaves.qualification = qualification;
	fixture_leaves.length = 3;
	return run_to_exit();
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
