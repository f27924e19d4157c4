/* arch/x86/vmx/vm.c and vcpu.c: bitmaps, memory given back, loading and saving, flushes, deadlines, failed entries. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/vmx_vcpu_fixture.h"

/* ---- the VM ---- */

/* The bitmaps that the loaded vCPU's VMCS names. */
static bool port_exits(uint16_t port)
{
	enum vmcs_field_64 field = port < 0x8000 ? VMCS_CONTROL_IO_BITMAP_A : VMCS_CONTROL_IO_BITMAP_B;
	const uint8_t *bitmap = physmap_pointer(hpa(fake_vmcs_get(field)));

	return bitmap[(port & 0x7fff) / 8] >> port % 8 & 1;
}

static bool msr_exits(uint32_t msr, bool write)
{
	const uint8_t *bitmap = physmap_pointer(hpa(fake_vmcs_get(VMCS_CONTROL_MSR_BITMAPS)));
	uint32_t bit = (msr & 0x1fff) + (msr >= 0xc0000000 ? 0x2000 : 0) + (write ? 0x4000 : 0);

	return bitmap[bit / 8] >> bit % 8 & 1;
}

static void test_everything_exits_at_first(void **state)
{
	(void)state;
	for (uint32_t port = 0; port < 0x10000; port++)
		assert_true(port_exits((uint16_t)port));
	for (uint32_t msr = 0; msr < 0x2000; msr++)
		assert_true(msr_exits(msr, false) && msr_exits(msr, true) && msr_exits(0xc0000000 + msr, false) && msr_exits(0xc0000000 + msr, true));
}

static void test_ports(void **state)
{
	static const uint16_t ports[] = {0, 7, 8, 0x80, 0x7fff, 0x8000, 0xffff};

	(void)state;
	for (size_t i = 0; i < array_count(ports); i++) {
		vmx_port_intercept(&fixture_virt_vm, ports[i], false);
		assert_false(port_exits(ports[i]));
		assert_true(port_exits((uint16_t)(ports[i] ^ 0x10)));
		vmx_port_intercept(&fixture_virt_vm, ports[i], true);
		assert_true(port_exits(ports[i]));
	}
}

static void test_msrs(void **state)
{
	static const uint32_t msrs[] = {0, 0x174, 0x1fff, 0xc0000000, MSR_FS_BASE, 0xc0001fff};

	(void)state;
	for (size_t i = 0; i < array_count(msrs); i++) {
		vmx_msr_intercept(&fixture_virt_vm, msrs[i], false, true);
		assert_false(msr_exits(msrs[i], false));
		assert_true(msr_exits(msrs[i], true));
		assert_true(msr_exits(msrs[i] ^ 0xc0000000, false));
		vmx_msr_intercept(&fixture_virt_vm, msrs[i], true, false);
		assert_true(msr_exits(msrs[i], false));
		assert_false(msr_exits(msrs[i], true));
	}
}

/* MSRs that the bitmaps do not reach change nothing. */
static void test_msrs_without_bit(void **state)
{
	static const uint32_t msrs[] = {0x2000, 0x40000000, 0xbfffffff, 0xc0002000, 0xffffffff};

	for (size_t i = 0; i < array_count(msrs); i++)
		vmx_msr_intercept(&fixture_virt_vm, msrs[i], false, false);
	test_everything_exits_at_first(state);
}

static void test_memory(void **state)
{
	struct virt_vcpu vcpu = {0};
	struct virt_vm vm = {0};
	const unsigned before = pool_used;
	unsigned failures = 0;

	(void)state;
	for (unsigned step = 0;; step++) {
		pool_fail_at = step;
		enum status status = vmx_vm_create(&vm, &fixture_nested);
		if (status == STATUS_OK) {
			status = vmx_vcpu_create(&vcpu, &vm);
			if (status == STATUS_OK)
				vmx_vcpu_destroy(&vcpu);
			vmx_vm_destroy(&vm);
		}
		assert_int_equal(pool_used, before);
		if (status == STATUS_OK)
			break;
		assert_int_equal(status, STATUS_NO_MEMORY);
		failures++;
	}
	pool_fail_at = UINT32_MAX;
	assert_in_range(failures, 6, 20);
}

/* VPIDs are given back: many more vCPUs than there are, one after the other; no two at a time share one. */
static void test_vpids(void **state)
{
	struct virt_vcpu others[20] = {0};

	(void)state;
	for (unsigned i = 0; i < 2000; i++) {
		assert_int_equal(vmx_vcpu_create(&others[0], &fixture_virt_vm), STATUS_OK);
		vmx_vcpu_destroy(&others[0]);
	}
	uint64_t seen = 0;
	for (unsigned i = 0; i < array_count(others); i++) {
		assert_int_equal(vmx_vcpu_create(&others[i], &fixture_virt_vm), STATUS_OK);
		vmx_vcpu_load(&others[i]);
		uint64_t vpid = fake_vmcs_get(VMCS_CONTROL_VPID);
		assert_in_range(vpid, 1, 63);
		assert_false(seen >> vpid & 1);
		seen |= BIT(vpid);
		vmx_vcpu_put(&others[i]);
	}
	for (unsigned i = 0; i < array_count(others); i++)
		vmx_vcpu_destroy(&others[i]);
	vmx_vcpu_load(&fixture_virt);
}

/* ---- loading ---- */

static void test_lazy_state(void **state)
{
	static const uint32_t msrs[] = {MSR_KERNEL_GS_BASE, MSR_STAR, MSR_LSTAR, MSR_CSTAR, MSR_FMASK, MSR_TSC_AUX};

	(void)state;
	for (size_t i = 0; i < array_count(msrs); i++)
		fake_msr_set(msrs[i], 0x100 + i);
	fake_cr2 = 0x77;
	for (unsigned i = 0; i < 4; i++)
		fake_dr[i] = 0x200 + i;
	fake_dr[6] = 0xffff4ff0;
	vmx_vcpu_put(&fixture_virt);
	assert_int_equal(fixture_virt.lstar, 0x102);
	for (size_t i = 0; i < array_count(msrs); i++)
		fake_msr_set(msrs[i], 0);
	memset(fake_dr, 0, sizeof(fake_dr));
	fake_cr2 = 0;
	vmx_vcpu_load(&fixture_virt);
	for (size_t i = 0; i < array_count(msrs); i++)
		assert_int_equal(fake_msr_get(msrs[i]), 0x100 + i);
	assert_int_equal(fake_cr2, 0x77);
	assert_int_equal(fake_dr[3], 0x203);
	assert_int_equal(fake_dr[6], 0xffff4ff0);
}

static void test_put_clears_the_vmcs(void **state)
{
	hpa_t vmcs = fake_vmcs_current;

	(void)state;
	assert_int_not_equal(vmcs.value, 0);
	assert_int_equal(*(uint32_t *)physmap_pointer(vmcs), FIXTURE_REVISION);
	(void)run_to(10, 0);
	assert_true(fixture_virt.backend->launched);
	vmx_vcpu_put(&fixture_virt);
	assert_int_equal(fake_vmcs_current.value, 0);
	/* It must be launched anew. */
	assert_false(fixture_virt.backend->launched);
	fake_vmcs_set(VMCS_GUEST_RIP, 0x1234);
	vmx_vcpu_load(&fixture_virt);
	assert_int_equal(fake_vmcs_current.value, vmcs.value);
	/* What the guest has done so far stays. */
	assert_int_equal(vmx_register_read(&fixture_virt, VIRT_RIP), 0x1234);
}

/* Translations are flushed where they may be stale, and not at every load. */
static void test_flushes(void **state)
{
	unsigned before = fake_invept_count;

	(void)state;
	vmx_vcpu_put(&fixture_virt);
	vmx_vcpu_load(&fixture_virt);
	assert_int_equal(fake_invept_count, before);
	/* A flush counts for one that stays loaded, too. */
	(void)run_to(10, 0);
	assert_int_equal(fake_invept_count, before);
	vmx_vm_flush(&fixture_virt_vm);
	(void)run_to(10, 0);
	assert_true(fake_invept_count > before);
	before = fake_invept_count;
	vmx_vcpu_put(&fixture_virt);
	vmx_vcpu_load(&fixture_virt);
	(void)run_to(10, 0);
	assert_int_equal(fake_invept_count, before);
}

static void test_another_cpu(void **state)
{
	unsigned before = fake_invept_count;

	(void)state;
	vmx_vcpu_put(&fixture_virt);
	pcpu_set_current(pcpu_add(5, 5));
	assert_true(fixture_enable_cpu());
	vmx_vcpu_load(&fixture_virt);
	assert_true(fake_invept_count > before);
	assert_int_equal(fake_vmcs_get(VMCS_HOST_GS_BASE), (uintptr_t)pcpu_current());
	vmx_vcpu_put(&fixture_virt);
	pcpu_set_current(pcpu_get(0));
	vmx_vcpu_load(&fixture_virt);
	assert_int_equal(fake_vmcs_get(VMCS_HOST_GS_BASE), (uintptr_t)pcpu_get(0));
}

/* A lone vCPU may spin: nobody else could end its loop. */
static void test_pause_loops(void **state)
{
	struct virt_vcpu other = {0};

	(void)state;
	assert_int_equal(fake_vmcs_get(VMCS_CONTROL_SECONDARY) & SECONDARY_PAUSE_LOOP_EXITING, 0);
	vmx_vcpu_put(&fixture_virt);
	vmx_settings.has_pause_loop_exiting = true;
	assert_int_equal(vmx_vcpu_create(&other, &fixture_virt_vm), STATUS_OK);
	vmx_vcpu_load(&other);
	assert_true(fake_vmcs_get(VMCS_CONTROL_SECONDARY) & SECONDARY_PAUSE_LOOP_EXITING);
	assert_int_equal(fake_vmcs_get(VMCS_CONTROL_PAUSE_LOOP_GAP), 128);
	assert_int_equal(fake_vmcs_get(VMCS_CONTROL_PAUSE_LOOP_WINDOW), 4096);
	vmx_vcpu_put(&other);
	vmx_vcpu_destroy(&other);
	assert_int_equal(fixture_virt_vm.backend->vcpu_count, 1);
	vmx_vcpu_load(&fixture_virt);
}

/* SDM "Processor State After Reset", column INIT. */
static void test_init(void **state)
{
	(void)state;
	vmx_register_write(&fixture_virt, VIRT_CR0, CR0_PE | CR0_PG | CR0_NE | CR0_ET | CR0_CD);
	vmx_register_write(&fixture_virt, VIRT_CR4, CR4_PAE | CR4_OSXSAVE);
	vmx_register_write(&fixture_virt, VIRT_EFER, EFER_LME | EFER_NXE);
	vmx_register_write(&fixture_virt, VIRT_PAT, 0x0606060606060606);
	vmx_register_write(&fixture_virt, VIRT_SYSENTER_EIP, 0x1234);
	vmx_register_write(&fixture_virt, VIRT_CR3, 0x5000);
	fake_msr_set(MSR_STAR, 0x77);
	fake_dr[0] = 5;
	fake_vmcs_set(VMCS_GUEST_INTERRUPTIBILITY, INTERRUPTIBILITY_NMI);
	vmx_interrupt_window(&fixture_virt, true);
	vmx_inject_nmi(&fixture_virt);
	unsigned flushes = fake_invept_count;
	vmx_vcpu_enter_init(&fixture_virt);
	assert_int_equal(vmx_register_read(&fixture_virt, VIRT_CR0), CR0_ET | CR0_CD);
	assert_int_equal(vmx_register_read(&fixture_virt, VIRT_CR4) | vmx_register_read(&fixture_virt, VIRT_CR3), 0);
	assert_int_equal(vmx_register_read(&fixture_virt, VIRT_EFER), 0);
	assert_int_equal(fake_vmcs_get(VMCS_CONTROL_ENTRY) & ENTRY_IA32E_GUEST, 0);
	assert_int_equal(vmx_register_read(&fixture_virt, VIRT_RIP), 0xfff0);
	assert_int_equal(fake_vmcs_get(VMCS_GUEST_CS_BASE), 0xffff0000);
	assert_int_equal(vmx_register_read(&fixture_virt, VIRT_PAT), 0x0606060606060606);
	assert_int_equal(vmx_register_read(&fixture_virt, VIRT_SYSENTER_EIP), 0x1234);
	assert_int_equal(fake_msr_get(MSR_STAR), 0x77);
	assert_int_equal(fake_dr[0], 0);
	assert_int_equal(fake_dr[6], 0xffff0ff0);
	assert_false(fixture_virt.os_xsave);
	assert_int_equal(fake_vmcs_get(VMCS_CONTROL_ENTRY_INTERRUPTION_INFO) | fake_vmcs_get(VMCS_GUEST_INTERRUPTIBILITY), 0);
	assert_int_equal(fake_vmcs_get(VMCS_CONTROL_PRIMARY) & PRIMARY_INTERRUPT_WINDOW, 0);
	assert_true(vmx_nmi_allowed(&fixture_virt));
	assert_true(fake_invept_count > flushes);
}

/* ---- running ---- */

static uint64_t timer(uint64_t deadline)
{
	fixture_virt.entry_deadline = deadline;
	(void)run_to(10, 0);
	return fake_vmcs_get(VMCS_GUEST_PREEMPTION_TIMER);
}

/* In units of 32 TSC ticks here; never early, at most a unit late. */
static void test_deadline(void **state)
{
	(void)state;
	fake_tsc_step = 0;
	assert_int_equal(timer(fake_tsc + 3200), 101);
	assert_int_equal(timer(fake_tsc + 31), 1);
	assert_in_range(timer(fake_tsc), 0, 1);
	assert_in_range(timer(1), 0, 1);
	/* Farther off than 32 bits: an early exit. */
	assert_int_equal(timer(fake_tsc + BIT(50)), BIT(31));
	assert_int_equal(timer(UINT64_MAX), BIT(31));
	assert_int_equal(timer(fake_tsc + 320), 11);
	assert_int_equal(timer(UINT64_MAX), BIT(31));
}

static void test_deadline_without_preemption_timer(void **state)
{
	(void)state;
	vmx_settings.has_preemption_timer = false;
	fixture_virt.entry_deadline = 123456789;
	(void)run_to(10, 0);
	assert_int_equal(fake_msr_get(MSR_TSC_DEADLINE), 123456789);
}

static unsigned left;

static bool count_down(struct virt_vcpu *vcpu, const struct vm_exit *exit)
{
	(void)vcpu;
	assert_int_equal(exit->kind, VM_EXIT_CPUID);
	return --left != 0;
}

static void test_run_goes_on_until_told(void **state)
{
	(void)state;
	left = 5;
	(void)run_to(10, 0);
	unsigned entries = fixture_entries, enters = fixture_enters;
	vmx_vcpu_run(&fixture_virt, count_down);
	assert_int_equal(fixture_entries, entries + 5);
	assert_int_equal(fixture_enters, enters + 1);
}

static void test_failed_entry(void **state)
{
	(void)state;
	fixture_entry_fails = true;
	fake_vmcs_set(VMCS_DATA_INSTRUCTION_ERROR, 8);
	vmx_vcpu_run(&fixture_virt, fixture_handle);
	assert_int_equal(fixture_exits, 1);
	assert_int_equal(fixture_exit.kind, VM_EXIT_ENTRY_FAILED);
	assert_int_equal(fixture_exit.qualification, 8);
	assert_int_equal(fixture_exit.rip, 0xfff0);
	assert_true(fixture_exit.reason < VIRT_EXIT_REASON_MAX);
	assert_false(fixture_virt.backend->launched);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_everything_exits_at_first), TEST(test_ports), TEST(test_msrs), TEST(test_msrs_without_bit), TEST(test_memory),
		TEST(test_vpids), TEST(test_lazy_state), TEST(test_put_clears_the_vmcs), TEST(test_flushes), TEST(test_another_cpu),
		TEST(test_pause_loops), TEST(test_init),
		TEST(test_deadline), TEST(test_deadline_without_preemption_timer), TEST(test_run_goes_on_until_told), TEST(test_failed_entry),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
