/* The local APICs, driven through MMIO and MSRs as a guest does: registers, acceptance, modes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/local_apic_fixture.h"

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
	set_mmio(LOCAL_APIC_ID, 0); /* read-only is no error, nor is write-only */
	(void)mmio(LOCAL_APIC_EOI);
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

/* ---- life ---- */

static void test_reset(void **state)
{
	(void)state;
	assert_true(guest_wrmsr(0, MSR_APIC_BASE, BASE_X2APIC));
	assert_true(guest_wrmsr(0, X2APIC(LVT_TIMER), 0x31));
	assert_true(guest_wrmsr(0, X2APIC(LOCAL_APIC_INITIAL_COUNT), 1000));
	assert_true(guest_wrmsr(0, X2APIC(LOCAL_APIC_SELF_IPI), 0x41));
	assert_int_equal(take(0), 0x41);
	assert_int_equal(send(0, false, IRQ_DELIVERY_FIXED, 0x91, true), STATUS_OK);
	io_devices_reset(&fixture_vm);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(mmio(LOCAL_APIC_IRR + i) | mmio(LOCAL_APIC_ISR + i) | mmio(LOCAL_APIC_TMR + i), 0);
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
		TEST(test_reset),
		TEST(test_describe),
		TEST(test_create_fails),
		TEST(test_without_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
