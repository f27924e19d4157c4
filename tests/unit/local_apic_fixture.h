/*
 * Local APICs of a VM made by hand, as their tests use them: a guest's register accesses, messages, and what the run loop
 * takes. Included by one .c file of a program, behind cmocka.h.
 */
#pragma once

#include "tests/unit/irq_fixture.h"
#include "vmm/dev/local_apic.h"

extern const struct io_device_class local_apic_class; /* of the linker table */

#define XAPIC(number) (LOCAL_APIC_BASE + (number) * 16)
#define X2APIC(number) (MSR_X2APIC_BASE + (number))
#define LVT_TIMER (LOCAL_APIC_LVT + LOCAL_APIC_LVT_TIMER)
#define LVT_LINT0 (LOCAL_APIC_LVT + LOCAL_APIC_LVT_LINT0)
#define LVT_LINT1 (LOCAL_APIC_LVT + LOCAL_APIC_LVT_LINT1)
#define LVT_ERROR (LOCAL_APIC_LVT + LOCAL_APIC_LVT_ERROR)
#define BASE_XAPIC (LOCAL_APIC_BASE | APIC_BASE_ENABLE)
#define BASE_X2APIC (BASE_XAPIC | APIC_BASE_X2APIC)

static struct io_device *device;

static inline void start(unsigned vcpus)
{
	fixture_start(vcpus);
	device = fixture_add(&local_apic_class);
	assert_non_null(device);
	io_devices_reset(&fixture_vm);
	for (unsigned i = 0; i < vcpus; i++)
		fixture_vcpus[i].requests = 0;
}

static inline int set_up(void **state) { (void)state; start(1); return 0; }
static inline int set_up_two(void **state) { (void)state; start(2); return 0; }

static inline int set_up_smp(void **state)
{
	(void)state;
	start(4);
	for (unsigned i = 0; i < 4; i++)
		guest_write(IO_SPACE_MEMORY, i, XAPIC(LOCAL_APIC_SVR), 4, 0x1ff);
	return 0;
}

static inline int set_up_x2apic(void **state)
{
	(void)state;
	start(4);
	for (unsigned i = 0; i < 4; i++) {
		assert_true(guest_wrmsr(i, MSR_APIC_BASE, BASE_X2APIC));
		assert_true(guest_wrmsr(i, X2APIC(LOCAL_APIC_SVR), 0x1ff));
	}
	return 0;
}

static inline int tear_down(void **state)
{
	(void)state;
	io_devices_destroy(&fixture_vm);
	assert_int_equal(fixture_pages, 0);
	return 0;
}

static inline uint32_t mmio(unsigned number) { return guest_read32(XAPIC(number)); }
static inline void set_mmio(unsigned number, uint32_t value) { guest_write32(XAPIC(number), value); }

static inline uint64_t msr(unsigned index, unsigned number)
{
	uint64_t value = 0;

	assert_true(guest_rdmsr(index, X2APIC(number), &value));
	return value;
}

static inline enum status send(uint32_t destination, bool logical, enum irq_delivery_mode mode, uint8_t vector, bool level)
{
	return irq_message_send(&fixture_vm, &(struct irq_message){destination, logical, (uint8_t)mode, vector, level});
}

/* Takes what is pending on vCPU @index; -1: nothing. */
static inline int take(unsigned index)
{
	int pending = irq_pending_vector(&fixture_vcpus[index]), taken = irq_acknowledge(&fixture_vcpus[index]);

	assert_int_equal(pending, taken);
	return taken;
}

/* Which vCPUs have @vector pending, a bit each; takes and ends it. */
static inline unsigned receivers(int vector)
{
	unsigned mask = 0;

	for (unsigned i = 0; i < fixture_vm.vcpu_count; i++) {
		struct local_apic *apic = fixture_vcpus[i].local_apic;

		if (take(i) != vector)
			continue;
		mask |= 1u << i;
		local_apic_end_of_interrupt(apic);
	}
	return mask;
}

static inline void run_timers(uint64_t now)
{
	fake_tsc = now;
	for (unsigned i = 0; i < fixture_vm.vcpu_count; i++)
		vcpu_timers_run(&fixture_vcpus[i], now);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
#define TEST_SMP(function) cmocka_unit_test_setup_teardown(function, set_up_smp, tear_down)
#define TEST_X2APIC(function) cmocka_unit_test_setup_teardown(function, set_up_x2apic, tear_down)
