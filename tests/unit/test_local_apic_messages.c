/* Messages between local APICs and from devices: destinations, shorthands, delivery modes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/local_apic_fixture.h"

/* ---- interprocessor interrupts ---- */

static void ipi(unsigned from, uint32_t destination, uint32_t command)
{
	guest_write(IO_SPACE_MEMORY, from, XAPIC(LOCAL_APIC_ICR_HIGH), 4, destination << 24);
	guest_write(IO_SPACE_MEMORY, from, XAPIC(LOCAL_APIC_ICR), 4, command);
}

static void test_ipi_physical(void **state)
{
	(void)state;
	ipi(0, 2, 0x4041);
	assert_int_equal(mmio(LOCAL_APIC_ICR), 0x4041);
	assert_int_equal(mmio(LOCAL_APIC_ICR_HIGH), 0x02000000);
	assert_int_equal(receivers(0x41), 0x4);
	ipi(1, 0xff, 0x4042);
	assert_int_equal(receivers(0x42), 0xf);
	ipi(1, 9, 0x4043);
	assert_int_equal(receivers(0x43), 0);
}

static void test_ipi_shorthands(void **state)
{
	(void)state;
	ipi(1, 0, 0x44041);
	assert_int_equal(receivers(0x41), 0x2);
	ipi(1, 0, 0x84042);
	assert_int_equal(receivers(0x42), 0xf);
	ipi(1, 0, 0xc4043);
	assert_int_equal(receivers(0x43), 0xd);
	/* Only fixed interrupts go to oneself. */
	ipi(1, 0, 0x44400);
	ipi(1, 0, 0x84400);
	ipi(1, 0, 0x44500);
	for (unsigned i = 0; i < 4; i++)
		assert_false(fixture_take_request(i, VCPU_REQUEST_NMI | VCPU_REQUEST_INIT));
	ipi(1, 0, 0xc4400);
	assert_false(fixture_take_request(1, VCPU_REQUEST_NMI));
	assert_true(fixture_take_request(0, VCPU_REQUEST_NMI) && fixture_take_request(3, VCPU_REQUEST_NMI));
}

static void test_ipi_logical_flat(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 4; i++)
		guest_write(IO_SPACE_MEMORY, i, XAPIC(LOCAL_APIC_LDR), 4, 0x01000000u << i);
	ipi(0, 0x0a, 0x4841);
	assert_int_equal(receivers(0x41), 0xa);
	ipi(0, 0xff, 0x4842);
	assert_int_equal(receivers(0x42), 0xf);
	ipi(0, 0x70, 0x4843);
	assert_int_equal(receivers(0x43), 0);
}

static void test_ipi_logical_cluster(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		guest_write(IO_SPACE_MEMORY, i, XAPIC(LOCAL_APIC_DFR), 4, 0x0fffffff);
		guest_write(IO_SPACE_MEMORY, i, XAPIC(LOCAL_APIC_LDR), 4, (i / 2 << 4 | 1u << i % 2) << 24);
	}
	ipi(0, 0x13, 0x4841);
	assert_int_equal(receivers(0x41), 0xc);
	ipi(0, 0x02, 0x4842);
	assert_int_equal(receivers(0x42), 0x2);
	ipi(0, 0x2f, 0x4843);
	assert_int_equal(receivers(0x43), 0);
	ipi(0, 0xff, 0x4844);
	assert_int_equal(receivers(0x44), 0xf);
	/* A model that does not exist. */
	guest_write(IO_SPACE_MEMORY, 2, XAPIC(LOCAL_APIC_DFR), 4, 0x5fffffff);
	ipi(0, 0x13, 0x4845);
	assert_int_equal(receivers(0x45), 0x8);
}

static void test_lowest_priority(void **state)
{
	unsigned taken[4] = {0};

	(void)state;
	guest_write(IO_SPACE_MEMORY, 0, XAPIC(LOCAL_APIC_TPR), 4, 0x20);
	guest_write(IO_SPACE_MEMORY, 2, XAPIC(LOCAL_APIC_TPR), 4, 0x10);
	guest_write(IO_SPACE_MEMORY, 3, XAPIC(LOCAL_APIC_SVR), 4, 0xff);
	assert_int_equal(send(0xff, false, IRQ_DELIVERY_LOWEST, 0x41, false), STATUS_OK);
	assert_int_equal(receivers(0x41), 0x2);
	guest_write(IO_SPACE_MEMORY, 1, XAPIC(LOCAL_APIC_TPR), 4, 0x30);
	assert_int_equal(send(0xff, false, IRQ_DELIVERY_LOWEST, 0x42, false), STATUS_OK);
	assert_int_equal(receivers(0x42), 0x4);
	/* Equals take turns. */
	for (unsigned i = 0; i < 4; i++)
		guest_write(IO_SPACE_MEMORY, i, XAPIC(LOCAL_APIC_TPR), 4, 0);
	guest_write(IO_SPACE_MEMORY, 3, XAPIC(LOCAL_APIC_SVR), 4, 0x1ff);
	for (unsigned i = 0; i < 8; i++) {
		assert_int_equal(send(0xff, false, IRQ_DELIVERY_LOWEST, 0x43, false), STATUS_OK);
		taken[bits_lowest(receivers(0x43))]++;
	}
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(taken[i], 2);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(send(3, false, IRQ_DELIVERY_LOWEST, 0x44, false), STATUS_OK);
		assert_int_equal(receivers(0x44), 0x8);
	}
	assert_int_equal(send(0x77, false, IRQ_DELIVERY_LOWEST, 0x43, false), STATUS_NOT_FOUND);
}

static void test_nmi_init_startup(void **state)
{
	(void)state;
	ipi(0, 1, 0x4400);
	assert_true(fixture_take_request(1, VCPU_REQUEST_NMI));
	ipi(0, 1, 0x4500);
	assert_true(fixture_take_request(1, VCPU_REQUEST_INIT));
	ipi(0, 1, 0x8500); /* level de-assert */
	ipi(0, 1, 0x4200); /* SMI */
	ipi(0, 1, 0x4300); /* reserved */
	ipi(0, 1, 0x4700); /* reserved here */
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(fixture_vcpus[i].requests, 0);
	ipi(0, 1, 0x4610);
	assert_true(fixture_take_request(1, VCPU_REQUEST_SIPI));
	assert_int_equal(fixture_vcpus[1].sipi_vector, 0x10);
	ipi(0, 0, 0xc46fe);
	for (unsigned i = 1; i < 4; i++) {
		assert_true(fixture_take_request(i, VCPU_REQUEST_SIPI));
		assert_int_equal(fixture_vcpus[i].sipi_vector, 0xfe);
	}
	assert_false(fixture_take_request(0, VCPU_REQUEST_SIPI));
	assert_int_equal(send(1, false, IRQ_DELIVERY_INIT, 0, false), STATUS_OK);
	assert_int_equal(send(1, false, IRQ_DELIVERY_STARTUP, 0x10, false), STATUS_NOT_FOUND);
	assert_int_equal(send(1, false, IRQ_DELIVERY_EXTINT, 0x20, false), STATUS_NOT_FOUND);
}

static void test_x2apic_ipi(void **state)
{
	(void)state;
	assert_int_equal(msr(3, LOCAL_APIC_ID), 3);
	assert_int_equal(msr(3, LOCAL_APIC_LDR), 8);
	assert_true(guest_wrmsr(0, X2APIC(LOCAL_APIC_ICR), 0x0000000200004041));
	assert_true(msr(0, LOCAL_APIC_ICR) == 0x0000000200004041);
	assert_int_equal(receivers(0x41), 0x4);
	assert_true(guest_wrmsr(0, X2APIC(LOCAL_APIC_ICR), 0xffffffff00004042));
	assert_int_equal(receivers(0x42), 0xf);
	/* 255 is an id like any other here. */
	assert_true(guest_wrmsr(0, X2APIC(LOCAL_APIC_ICR), 0x000000ff00004043));
	assert_int_equal(receivers(0x43), 0);
	assert_true(guest_wrmsr(0, X2APIC(LOCAL_APIC_ICR), 0x0000000a00004844));
	assert_int_equal(receivers(0x44), 0xa);
	assert_true(guest_wrmsr(0, X2APIC(LOCAL_APIC_ICR), 0x0001000f00004845));
	assert_int_equal(receivers(0x45), 0);
	assert_true(guest_wrmsr(2, X2APIC(LOCAL_APIC_SELF_IPI), 0x46));
	assert_int_equal(msr(2, LOCAL_APIC_TMR + 2), 0);
	assert_int_equal(receivers(0x46), 0x4);
	assert_true(guest_wrmsr(2, X2APIC(LOCAL_APIC_SELF_IPI), 0x0f));
	assert_true(guest_wrmsr(2, X2APIC(LOCAL_APIC_ESR), 0));
	assert_int_equal(msr(2, LOCAL_APIC_ESR), 0x20);
}

static void test_x2apic_device_messages(void **state)
{
	(void)state;
	assert_int_equal(send(0xff, false, IRQ_DELIVERY_FIXED, 0x41, false), STATUS_OK);
	assert_int_equal(receivers(0x41), 0xf);
	assert_int_equal(send(0x05, true, IRQ_DELIVERY_FIXED, 0x42, false), STATUS_OK);
	assert_int_equal(receivers(0x42), 0x5);
	assert_int_equal(send(3, false, IRQ_DELIVERY_FIXED, 0x43, false), STATUS_OK);
	assert_int_equal(receivers(0x43), 0x8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST_SMP(test_ipi_physical),
		TEST_SMP(test_ipi_shorthands),
		TEST_SMP(test_ipi_logical_flat),
		TEST_SMP(test_ipi_logical_cluster),
		TEST_SMP(test_lowest_priority),
		TEST_SMP(test_nmi_init_startup),
		TEST_X2APIC(test_x2apic_ipi),
		TEST_X2APIC(test_x2apic_device_messages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
