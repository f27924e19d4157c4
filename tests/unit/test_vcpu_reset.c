/* vmm/vcpu_reset.c on the VMX back end and a whole VM of two vCPUs: what INIT and a start-up IPI leave. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/vm_fixture.h"
#include "vmm/dev/local_apic.h"
#include "vmm/vcpu_reset.h"

static struct vcpu *second;

static int set_up(void **state)
{
	(void)state;
	fixture_create_vm(2);
	second = fixture_vm->vcpus[1];
	virt_ops->vcpu_load(&second->virt);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	fixture_destroy_vm();
	return 0;
}

static uint64_t read_register(enum virt_register name) { return virt_ops->register_read(&second->virt, name); }

static void test_init_state(void **state)
{
	struct virt_segment code;
	uint64_t value;

	(void)state;
	for (unsigned i = 0; i < GPR_COUNT; i++)
		second->virt.gpr[i] = 0x55;
	virt_ops->register_write(&second->virt, VIRT_CR0, CR0_PE | CR0_NE | CR0_ET);
	virt_ops->register_write(&second->virt, VIRT_RSP, 0x7000);
	second->misc_enable = 0x1234;
	second->virt.lstar = 0x77;
	uint64_t tsc_offset = second->virt.tsc_offset;
	assert_int_equal(io_bus_write(&fixture_vm->buses[IO_SPACE_MSR], second, MSR_X2APIC_BASE + LOCAL_APIC_TPR, 8, 0x20), STATUS_DENIED);
	assert_int_equal(io_bus_write(&fixture_vm->buses[IO_SPACE_MEMORY], second, LOCAL_APIC_BASE + LOCAL_APIC_TPR * 16, 4, 0x20), STATUS_OK);

	vcpu_enter_init_state(second);

	for (unsigned i = 0; i < GPR_COUNT; i++)
		assert_int_equal(second->virt.gpr[i], i == GPR_RDX ? 0x306c3 : 0);
	assert_int_equal(read_register(VIRT_RSP), 0);
	assert_int_equal(read_register(VIRT_CR0), CR0_ET);
	assert_int_equal(read_register(VIRT_RIP), 0xfff0);
	virt_ops->segment_read(&second->virt, VIRT_CS, &code);
	assert_int_equal(code.selector, 0xf000);
	assert_int_equal(code.base, 0xffff0000);
	assert_int_equal(io_bus_read(&fixture_vm->buses[IO_SPACE_MEMORY], second, LOCAL_APIC_BASE + LOCAL_APIC_TPR * 16, 4, &value), STATUS_OK);
	assert_int_equal(value, 0);
	assert_int_equal(io_bus_read(&fixture_vm->buses[IO_SPACE_MEMORY], second, LOCAL_APIC_BASE + LOCAL_APIC_ID * 16, 4, &value), STATUS_OK);
	assert_int_equal(value, 1u << 24);
	/* What INIT leaves alone. */
	assert_int_equal(second->misc_enable, 0x1234);
	assert_int_equal(second->virt.lstar, 0x77);
	assert_int_equal(second->virt.tsc_offset, tsc_offset);
}

static void test_startup_address(void **state)
{
	struct virt_segment code;

	(void)state;
	vcpu_enter_init_state(second);
	vcpu_set_startup_address(second, 0x9a);
	virt_ops->segment_read(&second->virt, VIRT_CS, &code);
	assert_int_equal(code.selector, 0x9a00);
	assert_int_equal(code.base, 0x9a000);
	assert_int_equal(code.limit, 0xffff);
	assert_int_equal(read_register(VIRT_RIP), 0);
}

/* Of one VM; SDM Vol. 3B "Time-Stamp Counter": they agree from power-up. */
static void test_tscs_agree(void **state)
{
	(void)state;
	assert_true(fixture_vm->vcpus[0]->virt.tsc_offset == second->virt.tsc_offset);
	assert_int_equal(fixture_vm->vcpus[0]->tsc_adjust | second->tsc_adjust, 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {TEST(test_init_state), TEST(test_startup_address), TEST(test_tscs_agree)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
