/* The local APICs, driven through MMIO and MSRs as a guest does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

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

static void start(unsigned vcpus)
{
	fixture_start(vcpus);
	device = fixture_add(&local_apic_class);
	assert_non_null(device);
	io_devices_reset(&fixture_vm);
	for (unsigned i = 0; i < vcpus; i++)
		fixture_vcpus[i].requests = 0;
}

static int set_up(void **state) { (void)state; start(1); return 0; }
static int set_up_two(void **state) { (void)state; start(2); return 0; }

static int set_up_smp(void **state)
{
	(void)state;
	start(4);
	for (unsigned i = 0; i < 4; i++)
		guest_write(IO_SPACE_MEMORY, i, XAPIC(LOCAL_APIC_SVR), 4, 0x1ff);
	return 0;
}

static int set_up_x2apic(void **state)
{
	(void)state;
	start(4);
	for (unsigned i = 0; i < 4; i++) {
		assert_true(guest_wrmsr(i, MSR_APIC_BASE, BASE_X2APIC));
		assert_true(guest_wrmsr(i, X2APIC(LOCAL_APIC_SVR), 0x1ff));
	}
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	io_devices_destroy(&fixture_vm);
	assert_int_equal(fixture_pages, 0);
	return 0;
}

static uint32_t mmio(unsigned number) { return guest_read32(XAPIC(number)); }
static void set_mmio(unsigned number, uint32_t value) { guest_write32(XAPIC(number), value); }

static uint64_t msr(unsigned index, unsigned number)
{
	uint64_t value = 0;

	assert_true(guest_rdmsr(index, X2APIC(number), &value));
	return value;
}

static enum status send(uint32_t destination, bool logical, enum irq_delivery_mode mode, uint8_t vector, bool level)
{
	return irq_message_send(&fixture_vm, &(struct irq_message){destination, logical, (uint8_t)mode, vector, level});
}

/* Takes what is pending on vCPU @index; -1: nothing. */
static int take(unsigned index)
{
	int pending = irq_pending_vector(&fixture_vcpus[index]), taken = irq_acknowledge(&fixture_vcpus[index]);

	assert_int_equal(pending, taken);
	return taken;
}

/* Which vCPUs have @vector pending, a bit each; takes and ends it. */
static unsigned receivers(int vector)
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

static void run_timers(uint64_t now)
{
	fake_tsc = now;
	for (unsigned i = 0; i < fixture_vm.vcpu_count; i++)
		vcpu_timers_run(&fixture_vcpus[i], now);
}

/* ---- registers ---- */

static void test_power_up(void **state)
{
	uint64_t base = 0;

	(void)state;
	assert_int_equal(mmio(LOCAL_APIC_ID), 0);
	assert_int_equal(mmio(LOCAL_APIC_VERSION_REGISTER), 0x00050014);
	assert_int_equal(mmio(LOCAL_APIC_SVR), 0x1ff);
	assert_int_equal(mmio(LOCAL_APIC_DFR), 0xffffffff);
	assert_int_equal(mmio(LOCAL_APIC_LDR), 0);
	assert_int_equal(mmio(LVT_LINT0), 0x700);
	assert_int_equal(mmio(LVT_LINT1), 0x400);
	assert_int_equal(mmio(LVT_TIMER), 0x10000);
	assert_int_equal(mmio(LVT_ERROR), 0x10000);
	assert_true(guest_rdmsr(0, MSR_APIC_BASE, &base));
	assert_int_equal(base, 0xfee00900);
	assert_int_equal(take(0), -1);
}

static void test_power_up_of_others(void **state)
{
	uint64_t base = 0;

	(void)state;
	assert_true(guest_rdmsr(1, MSR_APIC_BASE, &base));
	assert_int_equal(base, 0xfee00800);
	assert_int_equal(guest_read(IO_SPACE_MEMORY, 1, XAPIC(LOCAL_APIC_ID), 4), 0x01000000);
	assert_int_equal(guest_read(IO_SPACE_MEMORY, 1, XAPIC(LOCAL_APIC_SVR), 4), 0xff);
	assert_int_equal(guest_read(IO_SPACE_MEMORY, 1, XAPIC(LVT_LINT0), 4), 0x10000);
}

static void test_writable_bits(void **state)
{
	static const struct { unsigned number; uint32_t reads; } rows[] = {
		{LOCAL_APIC_ID, 0}, {LOCAL_APIC_VERSION_REGISTER, 0x00050014}, {LOCAL_APIC_TPR, 0xff}, {LOCAL_APIC_LDR, 0xff000000},
		{LOCAL_APIC_SVR, 0x1ff}, {LOCAL_APIC_ICR_HIGH, 0xff000000}, {LVT_TIMER, 0x000700ff}, {LVT_TIMER + 1, 0x000107ff},
		{LVT_TIMER + 2, 0x000107ff}, {LVT_LINT0, 0x0001a7ff}, {LVT_LINT1, 0x0001a7ff}, {LVT_ERROR, 0x000100ff},
		{LOCAL_APIC_DIVIDE, 0xb}, {LOCAL_APIC_CURRENT_COUNT, 0}, {LOCAL_APIC_DFR, 0xffffffff},
	};

	(void)state;
	for (unsigned i = 0; i < array_count(rows); i++) {
		set_mmio(rows[i].number, 0xffffffff);
		assert_int_equal(mmio(rows[i].number), rows[i].reads);
	}
	set_mmio(LOCAL_APIC_DFR, 0);
	assert_int_equal(mmio(LOCAL_APIC_DFR), 0x0fffffff);
}

static void test_odd_accesses(void **state)
{
	uint64_t value;

	(void)state;
	assert_int_equal(guest_read(IO_SPACE_MEMORY, 0, XAPIC(LOCAL_APIC_VERSION_REGISTER), 1), 0x14);
	assert_int_equal(guest_read(IO_SPACE_MEMORY, 0, XAPIC(LOCAL_APIC_VERSION_REGISTER) + 2, 1), 0x05);
	assert_int_equal(guest_read(IO_SPACE_MEMORY, 0, XAPIC(LOCAL_APIC_VERSION_REGISTER) + 2, 2), 0x0005);
	value = guest_read(IO_SPACE_MEMORY, 0, XAPIC(LOCAL_APIC_VERSION_REGISTER), 8);
	assert_int_equal(value, 0x00050014);
	assert_int_equal(guest_read(IO_SPACE_MEMORY, 0, XAPIC(LOCAL_APIC_VERSION_REGISTER) + 4, 4), 0);
	guest_write(IO_SPACE_MEMORY, 0, XAPIC(LOCAL_APIC_TPR), 1, 0x20);
	guest_write(IO_SPACE_MEMORY, 0, XAPIC(LOCAL_APIC_TPR) + 4, 4, 0x20);
	assert_int_equal(mmio(LOCAL_APIC_TPR), 0);
	guest_write(IO_SPACE_MEMORY, 0, XAPIC(LOCAL_APIC_TPR), 8, 0x100000020);
	assert_int_equal(mmio(LOCAL_APIC_TPR), 0x20);
	/* The last bytes of the page. */
	assert_int_equal(guest_read(IO_SPACE_MEMORY, 0, LOCAL_APIC_BASE + 0xff8, 8), 0);
	guest_write(IO_SPACE_MEMORY, 0, LOCAL_APIC_BASE + 0xff0, 4, 1);
}

static void test_error_status(void **state)
{
	(void)state;
	set_mmio(LOCAL_APIC_ESR, 0);
	assert_int_equal(mmio(LOCAL_APIC_ESR), 0);
	(void)mmio(0x01); /* a reserved register */
	assert_int_equal(mmio(LOCAL_APIC_ESR), 0);
	set_mmio(LOCAL_APIC_ESR, 0);
	assert_int_equal(mmio(LOCAL_APIC_ESR), 0x80);
	set_mmio(LOCAL_APIC_ESR, 0);
	assert_int_equal(mmio(LOCAL_APIC_ESR), 0);

	set_mmio(LVT_ERROR, 0xfe);
	set_mmio(LOCAL_APIC_ICR, 0x0004000f); /* to self, vector 15 */
	assert_int_equal(take(0), 0xfe);
	set_mmio(LOCAL_APIC_ESR, 0);
	assert_int_equal(mmio(LOCAL_APIC_ESR), 0x20);
	set_mmio(LOCAL_APIC_EOI, 0);

	assert_int_equal(send(0, false, IRQ_DELIVERY_FIXED, 3, false), STATUS_NOT_FOUND);
	assert_int_equal(take(0), 0xfe);
	set_mmio(LOCAL_APIC_ESR, 0);
	assert_int_equal(mmio(LOCAL_APIC_ESR), 0x40);
	set_mmio(LOCAL_APIC_EOI, 0);

	/* An error interrupt of an illegal vector does not report itself for ever. */
	set_mmio(LVT_ERROR, 0x05);
	set_mmio(0x7f, 1);
	assert_int_equal(take(0), -1);
}

/* ---- acceptance and priorities ---- */

static void test_nesting(void **state)
{
	(void)state;
	assert_int_equal(send(0, false, IRQ_DELIVERY_FIXED, 0x41, false), STATUS_OK);
	assert_true(fixture_take_request(0, VCPU_REQUEST_EVENT));
	assert_int_equal(mmio(LOCAL_APIC_IRR + 2), 0x2);
	assert_int_equal(take(0), 0x41);
	assert_int_equal(mmio(LOCAL_APIC_IRR + 2), 0);
	assert_int_equal(mmio(LOCAL_APIC_ISR + 2), 0x2);
	assert_int_equal(mmio(LOCAL_APIC_PPR), 0x40);
	/* The same class waits, without a word to the vCPU; a higher one interrupts. */
	assert_int_equal(send(0, false, IRQ_DELIVERY_FIXED, 0x4f, false), STATUS_OK);
	assert_false(fixture_take_request(0, VCPU_REQUEST_EVENT));
	assert_int_equal(take(0), -1);
	assert_int_equal(send(0, false, IRQ_DELIVERY_FIXED, 0xff, false), STATUS_OK);
	assert_true(fixture_take_request(0, VCPU_REQUEST_EVENT));
	assert_int_equal(take(0), 0xff);
	assert_int_equal(mmio(LOCAL_APIC_PPR), 0xf0);
	set_mmio(LOCAL_APIC_EOI, 0);
	assert_int_equal(mmio(LOCAL_APIC_PPR), 0x40);
	assert_false(fixture_take_request(0, VCPU_REQUEST_EVENT));
	set_mmio(LOCAL_APIC_EOI, 0);
	assert_true(fixture_take_request(0, VCPU_REQUEST_EVENT));
	assert_int_equal(take(0), 0x4f);
	set_mmio(LOCAL_APIC_EOI, 0);
	assert_int_equal(mmio(LOCAL_APIC_PPR), 0);
	set_mmio(LOCAL_APIC_EOI, 0); /* nothing in service */
	assert_int_equal(take(0), -1);
}

static void test_every_vector_by_priority(void **state)
{
	(void)state;
	for (unsigned vector = 16; vector < 256; vector++)
		assert_int_equal(send(0, false, IRQ_DELIVERY_FIXED, (uint8_t)(vector * 7 % 240 + 16), false), STATUS_OK);
	for (int vector = 255; vector >= 16; vector--) {
		assert_int_equal(take(0), vector);
		set_mmio(LOCAL_APIC_EOI, 0);
	}
	assert_int_equal(take(0), -1);
}

static void test_task_priority(void **state)
{
	(void)state;
	set_mmio(LOCAL_APIC_TPR, 0x53);
	assert_int_equal(mmio(LOCAL_APIC_PPR), 0x53);
	assert_int_equal(send(0, false, IRQ_DELIVERY_FIXED, 0x5e, false), STATUS_OK);
	assert_int_equal(take(0), -1);
	assert_false(fixture_take_request(0, VCPU_REQUEST_EVENT));
	assert_int_equal(fixture_vm.irq.local->get_task_priority(device, &fixture_vcpus[0]), 5);
	fixture_vm.irq.local->set_task_priority(device, &fixture_vcpus[0], 4);
	assert_true(fixture_take_request(0, VCPU_REQUEST_EVENT));
	assert_int_equal(mmio(LOCAL_APIC_TPR), 0x40);
	assert_int_equal(take(0), 0x5e);
	assert_int_equal(mmio(LOCAL_APIC_PPR), 0x50);
	/* TPR's low bits show in PPR only while its class is not below the one in service. */
	set_mmio(LOCAL_APIC_TPR, 0x5f);
	assert_int_equal(mmio(LOCAL_APIC_PPR), 0x5f);
}

static void test_requests_coalesce(void **state)
{
	(void)state;
	assert_int_equal(send(0, false, IRQ_DELIVERY_FIXED, 0x41, false), STATUS_OK);
	assert_int_equal(send(0, false, IRQ_DELIVERY_FIXED, 0x42, false), STATUS_OK);
	assert_int_equal(send(0, false, IRQ_DELIVERY_FIXED, 0x42, false), STATUS_OK);
	/* The vCPU was asked once. */
	assert_int_equal(fixture_kicks[0], 1);
	assert_int_equal(take(0), 0x42);
	set_mmio(LOCAL_APIC_EOI, 0);
	assert_int_equal(take(0), 0x41);
}

static unsigned ends;

static void ignore_pin(struct io_device *unused, unsigned line, bool level) { (void)unused; (void)line; (void)level; }
static void note_end(struct io_device *unused, uint8_t vector) { (void)unused; ends = ends * 256 + vector; }

static void test_level_triggered(void **state)
{
	static const struct irq_pin_controller ops = {ignore_pin, note_end};

	(void)state;
	ends = 0;
	assert_int_equal(irq_routing_add_pins(&fixture_vm, &ops, NULL), STATUS_OK);
	assert_int_equal(send(0, false, IRQ_DELIVERY_FIXED, 0x30, true), STATUS_OK);
	assert_int_equal(mmio(LOCAL_APIC_TMR + 1), 0x10000);
	assert_int_equal(take(0), 0x30);
	set_mmio(LOCAL_APIC_EOI, 0);
	assert_int_equal(ends, 0x30);
	assert_int_equal(send(0, false, IRQ_DELIVERY_FIXED, 0x30, false), STATUS_OK);
	assert_int_equal(mmio(LOCAL_APIC_TMR + 1), 0);
	assert_int_equal(take(0), 0x30);
	set_mmio(LOCAL_APIC_EOI, 0);
	assert_int_equal(ends, 0x30);
}

static void test_software_disabled(void **state)
{
	(void)state;
	set_mmio(LVT_TIMER, 0x31);
	assert_int_equal(send(0, false, IRQ_DELIVERY_FIXED, 0x41, false), STATUS_OK);
	set_mmio(LOCAL_APIC_SVR, 0xff);
	assert_int_equal(mmio(LVT_TIMER), 0x10031);
	assert_int_equal(mmio(LVT_LINT0), 0x10700);
	set_mmio(LVT_TIMER, 0x31);
	assert_int_equal(mmio(LVT_TIMER), 0x10031);
	assert_int_equal(send(0, false, IRQ_DELIVERY_FIXED, 0x51, false), STATUS_NOT_FOUND);
	set_mmio(LOCAL_APIC_ICR, 0x00044061);
	/* What was requested before stays. */
	assert_int_equal(take(0), 0x41);
	assert_int_equal(take(0), -1);
	assert_int_equal(send(0, false, IRQ_DELIVERY_NMI, 0, false), STATUS_OK);
	assert_true(fixture_take_request(0, VCPU_REQUEST_NMI));
	set_mmio(LOCAL_APIC_SVR, 0x1ff);
	assert_int_equal(mmio(LVT_TIMER), 0x10031);
}

/* ---- the 8259 behind LINT0 ---- */

static bool external_level;

static bool external_pending(struct io_device *unused) { (void)unused; return external_level; }
static uint8_t external_acknowledge(struct io_device *unused) { (void)unused; external_level = false; return 0x08; }
static const struct irq_external_source external = {external_pending, external_acknowledge};

static void test_external(void **state)
{
	(void)state;
	irq_routing_set_external(&fixture_vm, &external, NULL);
	external_level = true;
	assert_int_equal(send(0, false, IRQ_DELIVERY_FIXED, 0xff, false), STATUS_OK);
	set_mmio(LOCAL_APIC_TPR, 0xff);
	/* Before all others and at any priority. Its vector is known after the INTA cycle. */
	assert_int_equal(irq_pending_vector(&fixture_vcpus[0]), 0);
	assert_int_equal(irq_acknowledge(&fixture_vcpus[0]), 0x08);
	assert_int_equal(mmio(LOCAL_APIC_ISR), 0);
	assert_int_equal(take(0), -1);
	set_mmio(LOCAL_APIC_TPR, 0);
	assert_int_equal(take(0), 0xff);
}

static void test_external_connection(void **state)
{
	(void)state;
	irq_routing_set_external(&fixture_vm, &external, NULL);
	external_level = true;
	set_mmio(LVT_LINT0, 0x10700);
	assert_int_equal(take(0), -1);
	set_mmio(LVT_LINT0, 0x00030); /* fixed: not by INTA */
	assert_int_equal(take(0), -1);
	fixture_vcpus[0].requests = 0;
	set_mmio(LVT_LINT0, 0x00700);
	assert_true(fixture_take_request(0, VCPU_REQUEST_EVENT));
	assert_int_equal(irq_pending_vector(&fixture_vcpus[0]), 0);
	set_mmio(LOCAL_APIC_SVR, 0xff); /* masks LINT0 */
	assert_int_equal(take(0), -1);
	/* Without an APIC the pin is INTR. */
	assert_true(guest_wrmsr(0, MSR_APIC_BASE, LOCAL_APIC_BASE));
	assert_int_equal(irq_pending_vector(&fixture_vcpus[0]), 0);
	assert_true(guest_wrmsr(0, MSR_APIC_BASE, BASE_XAPIC));
	assert_int_equal(take(0), -1);
}

static void test_external_is_the_boot_processors(void **state)
{
	(void)state;
	irq_routing_set_external(&fixture_vm, &external, NULL);
	external_level = true;
	guest_write(IO_SPACE_MEMORY, 1, XAPIC(LVT_LINT0), 4, 0x700);
	assert_int_equal(take(1), -1);
}

/* ---- modes ---- */

static void test_mode_transitions(void **state)
{
	static const uint64_t bits[4] = {0, APIC_BASE_ENABLE, APIC_BASE_ENABLE | APIC_BASE_X2APIC, APIC_BASE_X2APIC};
	/* From disabled, xAPIC, x2APIC; to those and the invalid state. */
	static const bool allowed[3][4] = {{true, true, false, false}, {true, true, true, false}, {true, false, true, false}};

	(void)state;
	for (unsigned from = 0; from < 3; from++) {
		for (unsigned to = 0; to < 4; to++) {
			uint64_t base = 0;

			/* Disabled can be reached from all, x2APIC only through xAPIC. */
			assert_true(guest_wrmsr(0, MSR_APIC_BASE, LOCAL_APIC_BASE));
			assert_true(from == 0 || guest_wrmsr(0, MSR_APIC_BASE, BASE_XAPIC));
			assert_true(guest_wrmsr(0, MSR_APIC_BASE, LOCAL_APIC_BASE | bits[from]));
			assert_int_equal(guest_wrmsr(0, MSR_APIC_BASE, LOCAL_APIC_BASE | bits[to]), allowed[from][to]);
			assert_true(guest_rdmsr(0, MSR_APIC_BASE, &base));
			assert_int_equal(base, LOCAL_APIC_BASE | APIC_BASE_BSP | bits[allowed[from][to] ? to : from]);
		}
	}
}

static void test_base_is_fixed(void **state)
{
	(void)state;
	assert_false(guest_wrmsr(0, MSR_APIC_BASE, 0xfee01000 | APIC_BASE_ENABLE));
	assert_false(guest_wrmsr(0, MSR_APIC_BASE, APIC_BASE_ENABLE));
	assert_false(guest_wrmsr(0, MSR_APIC_BASE, BASE_XAPIC | BIT(52)));
	assert_false(guest_wrmsr(0, MSR_APIC_BASE, BASE_XAPIC | BIT(9)));
	assert_false(guest_wrmsr(0, MSR_APIC_BASE, BASE_XAPIC | 1));
	assert_true(guest_wrmsr(0, MSR_APIC_BASE, BASE_XAPIC | APIC_BASE_BSP));
}

static void test_disabled_forgets(void **state)
{
	uint64_t value = 0;

	(void)state;
	set_mmio(LVT_TIMER, 0x31);
	set_mmio(LOCAL_APIC_INITIAL_COUNT, 1000);
	assert_int_equal(send(0, false, IRQ_DELIVERY_FIXED, 0x41, false), STATUS_OK);
	assert_true(guest_wrmsr(0, MSR_APIC_BASE, LOCAL_APIC_BASE | APIC_BASE_BSP));
	assert_true(list_is_empty(&fixture_vcpus[0].timers));
	assert_int_equal(mmio(LOCAL_APIC_ID), 0xffffffff);
	assert_false(guest_rdmsr(0, X2APIC(LOCAL_APIC_ID), &value));
	assert_int_equal(send(0, false, IRQ_DELIVERY_NMI, 0, false), STATUS_NOT_FOUND);
	assert_int_equal(take(0), -1);
	assert_true(guest_wrmsr(0, MSR_APIC_BASE, BASE_XAPIC));
	assert_int_equal(mmio(LVT_TIMER), 0x10000);
	assert_int_equal(mmio(LOCAL_APIC_SVR), 0xff);
	assert_int_equal(mmio(LOCAL_APIC_INITIAL_COUNT), 0);
}

static void test_x2apic_keeps_state(void **state)
{
	uint64_t value = 0;

	(void)state;
	assert_false(guest_rdmsr(0, X2APIC(LOCAL_APIC_ID), &value));
	assert_false(guest_wrmsr(0, X2APIC(LOCAL_APIC_TPR), 0));
	set_mmio(LOCAL_APIC_TPR, 0x20);
	set_mmio(LVT_TIMER, 0x31);
	set_mmio(LOCAL_APIC_LDR, 0x55000000);
	set_mmio(LOCAL_APIC_ICR_HIGH, 0x03000000);
	assert_true(guest_wrmsr(0, MSR_APIC_BASE, BASE_X2APIC));
	assert_int_equal(mmio(LOCAL_APIC_TPR), 0xffffffff);
	assert_int_equal(msr(0, LOCAL_APIC_TPR), 0x20);
	assert_int_equal(msr(0, LVT_TIMER), 0x31);
	assert_int_equal(msr(0, LOCAL_APIC_LDR), 1);
	assert_int_equal(msr(0, LOCAL_APIC_ICR), 0);
}

/* SDM Vol. 3A "x2APIC Register Address Space": what exists, and which way. */
static void test_x2apic_map(void **state)
{
	static const struct { unsigned first, last; bool read, write; } rows[] = {
		{0x02, 0x03, true, false}, {0x08, 0x08, true, true}, {0x0a, 0x0a, true, false}, {0x0b, 0x0b, false, true},
		{0x0d, 0x0d, true, false}, {0x0f, 0x0f, true, true}, {0x10, 0x27, true, false}, {0x28, 0x28, true, true},
		{0x30, 0x30, true, true}, {0x32, 0x37, true, true}, {0x38, 0x38, true, true}, {0x39, 0x39, true, false},
		{0x3e, 0x3e, true, true}, {0x3f, 0x3f, false, true},
	};

	(void)state;
	for (unsigned number = 0; number < 0x100; number++) {
		bool read = false, write = false;
		uint64_t value;

		for (unsigned i = 0; i < array_count(rows); i++) {
			if (number >= rows[i].first && number <= rows[i].last) {
				read = rows[i].read;
				write = rows[i].write;
			}
		}
		assert_int_equal(guest_rdmsr(0, X2APIC(number), &value), read);
		assert_int_equal(guest_wrmsr(0, X2APIC(number), 0), write);
	}
}

static void test_x2apic_reserved_bits(void **state)
{
	static const struct { unsigned number; uint64_t allowed; } rows[] = {
		{LOCAL_APIC_TPR, 0xff}, {LOCAL_APIC_EOI, 0}, {LOCAL_APIC_SVR, 0x3ff}, {LOCAL_APIC_ESR, 0}, {LVT_TIMER, 0x710ff},
		{LVT_LINT0, 0x1f7ff}, {LVT_ERROR, 0x110ff}, {LOCAL_APIC_INITIAL_COUNT, 0xffffffff}, {LOCAL_APIC_DIVIDE, 0xb},
		{LOCAL_APIC_SELF_IPI, 0xff}, {LOCAL_APIC_ICR, 0xffffffff000cdfff},
	};

	(void)state;
	for (unsigned i = 0; i < array_count(rows); i++) {
		for (unsigned bit = 0; bit < 64; bit++)
			assert_int_equal(guest_wrmsr(0, X2APIC(rows[i].number), BIT(bit)), (rows[i].allowed & BIT(bit)) != 0);
	}
}

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
		assert_false(fixture_take_request(i, VCPU_REQUEST_NMI | VCPU_REQUEST_RESET));
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
	assert_int_equal(send(0x77, false, IRQ_DELIVERY_LOWEST, 0x43, false), STATUS_NOT_FOUND);
}

static void test_nmi_init_startup(void **state)
{
	(void)state;
	ipi(0, 1, 0x4400);
	assert_true(fixture_take_request(1, VCPU_REQUEST_NMI));
	ipi(0, 1, 0x4500);
	assert_true(fixture_take_request(1, VCPU_REQUEST_RESET));
	ipi(0, 1, 0x8500); /* level de-assert */
	ipi(0, 1, 0x4610); /* nobody waits for a start-up */
	ipi(0, 1, 0x4200); /* SMI */
	ipi(0, 1, 0x4300); /* reserved */
	ipi(0, 1, 0x4700); /* reserved here */
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(fixture_vcpus[i].requests, 0);
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

/* ---- the timer ---- */

static void test_timer_one_shot(void **state)
{
	uint64_t begin = fake_tsc;

	(void)state;
	set_mmio(LOCAL_APIC_DIVIDE, 0x3); /* by 16 */
	set_mmio(LVT_TIMER, 0xec);
	set_mmio(LOCAL_APIC_INITIAL_COUNT, 1000);
	assert_true(fixture_take_request(0, VCPU_REQUEST_TIMER));
	assert_int_equal(mmio(LOCAL_APIC_CURRENT_COUNT), 1000);
	fake_tsc = begin + 16 * 400;
	assert_int_equal(mmio(LOCAL_APIC_CURRENT_COUNT), 600);
	assert_int_equal(vcpu_timers_run(&fixture_vcpus[0], begin + 15999), begin + 16000);
	assert_int_equal(take(0), -1);
	run_timers(begin + 16000);
	assert_int_equal(take(0), 0xec);
	assert_int_equal(mmio(LOCAL_APIC_CURRENT_COUNT), 0);
	assert_int_equal(mmio(LOCAL_APIC_INITIAL_COUNT), 1000);
	assert_true(list_is_empty(&fixture_vcpus[0].timers));
	set_mmio(LOCAL_APIC_INITIAL_COUNT, 50);
	set_mmio(LOCAL_APIC_INITIAL_COUNT, 0);
	assert_true(list_is_empty(&fixture_vcpus[0].timers));
}

static void test_timer_divide(void **state)
{
	static const struct { uint32_t value; unsigned by; } rows[] = {{0, 2}, {1, 4}, {2, 8}, {3, 16}, {8, 32}, {9, 64}, {10, 128}, {11, 1}};

	(void)state;
	for (unsigned i = 0; i < array_count(rows); i++) {
		uint64_t begin = fake_tsc;

		set_mmio(LOCAL_APIC_DIVIDE, rows[i].value);
		set_mmio(LOCAL_APIC_INITIAL_COUNT, 0xffffffff);
		fake_tsc = begin + 1000ull * rows[i].by;
		assert_int_equal(mmio(LOCAL_APIC_CURRENT_COUNT), 0xffffffff - 1000);
		set_mmio(LOCAL_APIC_INITIAL_COUNT, 0);
	}
	/* A new divisor while it counts: what is left goes on at the new pace. */
	set_mmio(LOCAL_APIC_DIVIDE, 11);
	set_mmio(LOCAL_APIC_INITIAL_COUNT, 1000);
	fake_tsc += 500;
	set_mmio(LOCAL_APIC_DIVIDE, 0);
	assert_int_equal(mmio(LOCAL_APIC_CURRENT_COUNT), 500);
	fake_tsc += 500;
	assert_int_equal(mmio(LOCAL_APIC_CURRENT_COUNT), 250);
}

static void test_timer_periodic(void **state)
{
	uint64_t begin = fake_tsc;

	(void)state;
	set_mmio(LOCAL_APIC_DIVIDE, 0xb);
	set_mmio(LVT_TIMER, 0x200ec);
	set_mmio(LOCAL_APIC_INITIAL_COUNT, 100000);
	for (unsigned i = 1; i <= 5; i++) {
		run_timers(begin + i * 100000ull + 3);
		assert_int_equal(take(0), 0xec);
		set_mmio(LOCAL_APIC_EOI, 0);
		/* No drift. */
		assert_int_equal(((struct local_apic *)fixture_vcpus[0].local_apic)->timer.deadline, begin + (i + 1) * 100000ull);
	}
	/* Late by many periods: one interrupt, and the pace is kept. */
	run_timers(begin + 2050000);
	assert_int_equal(take(0), 0xec);
	set_mmio(LOCAL_APIC_EOI, 0);
	assert_int_equal(vcpu_timers_run(&fixture_vcpus[0], fake_tsc), begin + 2100000);
	assert_int_equal(mmio(LOCAL_APIC_CURRENT_COUNT), 50000);
	/* Back to one-shot without a stop. */
	set_mmio(LVT_TIMER, 0xec);
	run_timers(begin + 2100000);
	assert_int_equal(take(0), 0xec);
	assert_true(list_is_empty(&fixture_vcpus[0].timers));
}

static void test_timer_periodic_storm(void **state)
{
	uint64_t begin = fake_tsc;

	(void)state;
	set_mmio(LOCAL_APIC_DIVIDE, 0xb);
	set_mmio(LVT_TIMER, 0x200ec);
	set_mmio(LOCAL_APIC_INITIAL_COUNT, 1);
	assert_int_equal(vcpu_timers_run(&fixture_vcpus[0], begin), begin + LOCAL_APIC_PERIOD_MIN);
	assert_true(mmio(LOCAL_APIC_CURRENT_COUNT) <= 1);
	fake_tsc = begin + LOCAL_APIC_PERIOD_MIN;
	assert_true(vcpu_timers_run(&fixture_vcpus[0], fake_tsc) >= fake_tsc + LOCAL_APIC_PERIOD_MIN);
}

static void test_timer_masked(void **state)
{
	(void)state;
	set_mmio(LVT_TIMER, 0x100ec);
	set_mmio(LOCAL_APIC_INITIAL_COUNT, 10);
	run_timers(fake_tsc + 1000);
	assert_int_equal(take(0), -1);
	set_mmio(LVT_TIMER, 0x5); /* a vector that no APIC delivers */
	set_mmio(LOCAL_APIC_INITIAL_COUNT, 10);
	run_timers(fake_tsc + 1000);
	assert_int_equal(take(0), -1);
	set_mmio(LOCAL_APIC_ESR, 0);
	assert_int_equal(mmio(LOCAL_APIC_ESR), 0x40);
}

static void test_tsc_deadline(void **state)
{
	uint64_t value = 1, begin;

	(void)state;
	fixture_vcpus[0].virt.tsc_offset = (uint64_t)0 - 500000; /* the guest's clock started at 500000 */
	assert_true(guest_wrmsr(0, MSR_TSC_DEADLINE, 700000)); /* another mode: without effect */
	assert_true(guest_rdmsr(0, MSR_TSC_DEADLINE, &value));
	assert_int_equal(value, 0);
	assert_true(list_is_empty(&fixture_vcpus[0].timers));

	set_mmio(LVT_TIMER, 0x400ec);
	begin = fake_tsc;
	assert_true(guest_wrmsr(0, MSR_TSC_DEADLINE, 700000));
	assert_true(guest_rdmsr(0, MSR_TSC_DEADLINE, &value));
	assert_int_equal(value, 700000);
	assert_true(fixture_take_request(0, VCPU_REQUEST_TIMER));
	assert_int_equal(vcpu_timers_run(&fixture_vcpus[0], begin), 1200000);
	set_mmio(LOCAL_APIC_INITIAL_COUNT, 77); /* without effect in this mode */
	assert_int_equal(mmio(LOCAL_APIC_INITIAL_COUNT), 0);
	assert_int_equal(mmio(LOCAL_APIC_CURRENT_COUNT), 0);
	run_timers(1200000);
	assert_int_equal(take(0), 0xec);
	set_mmio(LOCAL_APIC_EOI, 0);
	assert_true(guest_rdmsr(0, MSR_TSC_DEADLINE, &value));
	assert_int_equal(value, 0);

	assert_true(guest_wrmsr(0, MSR_TSC_DEADLINE, 900000));
	assert_true(guest_wrmsr(0, MSR_TSC_DEADLINE, 0));
	assert_true(list_is_empty(&fixture_vcpus[0].timers));
	assert_true(guest_wrmsr(0, MSR_TSC_DEADLINE, 900000));
	set_mmio(LVT_TIMER, 0xec);
	assert_true(list_is_empty(&fixture_vcpus[0].timers));
	assert_true(guest_rdmsr(0, MSR_TSC_DEADLINE, &value));
	assert_int_equal(value, 0);
}

static void test_tsc_deadline_extremes(void **state)
{
	(void)state;
	set_mmio(LVT_TIMER, 0x400ec);
	fixture_vcpus[0].virt.tsc_offset = (uint64_t)0 - 500000;
	/* Never, though the host's count wraps before. */
	assert_true(guest_wrmsr(0, MSR_TSC_DEADLINE, UINT64_MAX));
	assert_true(vcpu_timers_run(&fixture_vcpus[0], fake_tsc) == UINT64_MAX);
	assert_int_equal(take(0), -1);
	/* Long past, though before the host's count began. */
	fixture_vcpus[0].virt.tsc_offset = 1ull << 60;
	assert_true(guest_wrmsr(0, MSR_TSC_DEADLINE, 1));
	run_timers(fake_tsc);
	assert_int_equal(take(0), 0xec);
	set_mmio(LOCAL_APIC_EOI, 0);
	/* Now. */
	assert_true(guest_wrmsr(0, MSR_TSC_DEADLINE, vcpu_guest_tsc(&fixture_vcpus[0])));
	run_timers(fake_tsc);
	assert_int_equal(take(0), 0xec);
	/* A reserved timer mode does nothing at all. */
	set_mmio(LVT_TIMER, 0x600ec);
	set_mmio(LOCAL_APIC_INITIAL_COUNT, 5);
	assert_true(guest_wrmsr(0, MSR_TSC_DEADLINE, 5));
	assert_true(list_is_empty(&fixture_vcpus[0].timers));
}

/* ---- life ---- */

static void test_reset(void **state)
{
	(void)state;
	assert_true(guest_wrmsr(0, MSR_APIC_BASE, BASE_X2APIC));
	assert_true(guest_wrmsr(0, X2APIC(LVT_TIMER), 0x31));
	assert_true(guest_wrmsr(0, X2APIC(LOCAL_APIC_INITIAL_COUNT), 1000));
	assert_true(guest_wrmsr(0, X2APIC(LOCAL_APIC_SELF_IPI), 0x41));
	assert_int_equal(take(0), 0x41);
	io_devices_reset(&fixture_vm);
	test_power_up(state);
	assert_int_equal(mmio(LOCAL_APIC_PPR), 0);
	assert_true(list_is_empty(&fixture_vcpus[0].timers));
}

static void test_describe(void **state)
{
	(void)state;
	set_mmio(LVT_TIMER, 0x400ec);
	assert_int_equal(send(0, false, IRQ_DELIVERY_FIXED, 0x41, false), STATUS_OK);
	assert_non_null(strstr(fixture_describe(device), "local APIC 0: xAPIC, "));
	assert_non_null(strstr(fixture_text, "TSC-deadline"));
	assert_non_null(strstr(fixture_text, "requested: 0x41\n"));
	assert_non_null(strstr(fixture_text, "takes the 8259's interrupts"));
	assert_null(strstr(fixture_text, "local APIC 1"));
}

static void test_create_fails(void **state)
{
	(void)state;
	io_devices_destroy(&fixture_vm);
	fixture_no_memory = true;
	assert_null(fixture_add(&local_apic_class));
	fixture_no_memory = false;
	/* The last of its regions is taken: none of the others stays. */
	assert_int_equal(io_bus_add(&fixture_vm.buses[IO_SPACE_MSR], &(struct io_region){.base = 0x8ff, .length = 1}), STATUS_OK);
	assert_null(fixture_add(&local_apic_class));
	assert_int_equal(fixture_vm.buses[IO_SPACE_MSR].count, 1);
	assert_int_equal(fixture_vm.buses[IO_SPACE_MEMORY].count, 0);
	assert_int_equal(fixture_pages, 0);
}

/* A vCPU that no reset has given an APIC yet. */
static void test_without_state(void **state)
{
	uint64_t value;

	(void)state;
	fixture_vcpus[0].local_apic = NULL;
	assert_int_equal(take(0), -1);
	assert_int_equal(mmio(LOCAL_APIC_ID), 0xffffffff);
	set_mmio(LOCAL_APIC_EOI, 0);
	assert_false(guest_rdmsr(0, MSR_APIC_BASE, &value));
	assert_false(guest_wrmsr(0, MSR_APIC_BASE, BASE_XAPIC));
	assert_false(guest_rdmsr(0, MSR_TSC_DEADLINE, &value));
	assert_false(guest_wrmsr(0, MSR_TSC_DEADLINE, 1));
	assert_false(guest_rdmsr(0, X2APIC(LOCAL_APIC_ID), &value));
	assert_false(guest_wrmsr(0, X2APIC(LOCAL_APIC_EOI), 0));
	assert_int_equal(send(0xff, false, IRQ_DELIVERY_FIXED, 0x41, false), STATUS_NOT_FOUND);
	assert_int_equal(send(0xff, false, IRQ_DELIVERY_LOWEST, 0x41, false), STATUS_NOT_FOUND);
	assert_int_equal(fixture_vm.irq.local->get_task_priority(device, &fixture_vcpus[0]), 0);
	fixture_vm.irq.local->set_task_priority(device, &fixture_vcpus[0], 1);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
#define TEST_SMP(function) cmocka_unit_test_setup_teardown(function, set_up_smp, tear_down)
#define TEST_X2APIC(function) cmocka_unit_test_setup_teardown(function, set_up_x2apic, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_power_up),
		cmocka_unit_test_setup_teardown(test_power_up_of_others, set_up_two, tear_down),
		TEST(test_writable_bits),
		TEST(test_odd_accesses),
		TEST(test_error_status),
		TEST(test_nesting),
		TEST(test_every_vector_by_priority),
		TEST(test_task_priority),
		TEST(test_requests_coalesce),
		TEST(test_level_triggered),
		TEST(test_software_disabled),
		TEST(test_external),
		TEST(test_external_connection),
		TEST_SMP(test_external_is_the_boot_processors),
		TEST(test_mode_transitions),
		TEST(test_base_is_fixed),
		TEST(test_disabled_forgets),
		TEST(test_x2apic_keeps_state),
		TEST_X2APIC(test_x2apic_map),
		TEST_X2APIC(test_x2apic_reserved_bits),
		TEST_SMP(test_ipi_physical),
		TEST_SMP(test_ipi_shorthands),
		TEST_SMP(test_ipi_logical_flat),
		TEST_SMP(test_ipi_logical_cluster),
		TEST_SMP(test_lowest_priority),
		TEST_SMP(test_nmi_init_startup),
		TEST_X2APIC(test_x2apic_ipi),
		TEST_X2APIC(test_x2apic_device_messages),
		TEST(test_timer_one_shot),
		TEST(test_timer_divide),
		TEST(test_timer_periodic),
		TEST(test_timer_periodic_storm),
		TEST(test_timer_masked),
		TEST(test_tsc_deadline),
		TEST(test_tsc_deadline_extremes),
		TEST(test_reset),
		TEST(test_describe),
		TEST(test_create_fails),
		TEST(test_without_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
