/* The I/O APIC, driven through its registers and lines, with a recorder in the local APICs' place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/irq_fixture.h"

extern const struct io_device_class io_apic_class; /* of the linker table */

#define BASE 0xfec00000u
#define MASKED 0x10000u
#define LEVEL 0x8000u
#define REMOTE_IRR 0x4000u

static struct io_device *device;
static struct irq_message last;
static unsigned messages;
static enum status answer;

static enum status note_message(struct io_device *unused, const struct irq_message *message)
{
	(void)unused;
	last = *message;
	messages++;
	return answer;
}

static const struct irq_local_controller local = {.deliver = note_message};

static int set_up(void **state)
{
	(void)state;
	fixture_start(1);
	device = fixture_add(&io_apic_class);
	assert_non_null(device);
	irq_routing_set_local(&fixture_vm, &local, NULL);
	io_devices_reset(&fixture_vm);
	messages = 0;
	answer = STATUS_OK;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	io_devices_destroy(&fixture_vm);
	assert_int_equal(fixture_pages, 0);
	return 0;
}

static uint32_t read_register(uint8_t index)
{
	guest_write32(BASE, index);
	return guest_read32(BASE + 0x10);
}

static void write_register(uint8_t index, uint32_t value)
{
	guest_write32(BASE, index);
	guest_write32(BASE + 0x10, value);
}

static uint32_t low(unsigned pin) { return read_register((uint8_t)(0x10 + 2 * pin)); }
static void set_low(unsigned pin, uint32_t value) { write_register((uint8_t)(0x10 + 2 * pin), value); }
static void set_high(unsigned pin, uint32_t value) { write_register((uint8_t)(0x11 + 2 * pin), value); }

static void test_registers(void **state)
{
	(void)state;
	assert_int_equal(read_register(0), 0);
	write_register(0, 0xffffffff);
	assert_int_equal(read_register(0), 0x0f000000);
	assert_int_equal(read_register(1), 0x00170020);
	write_register(1, 0);
	assert_int_equal(read_register(1), 0x00170020);
	assert_int_equal(read_register(3), 0);
	assert_int_equal(read_register(0x40), 0);
	assert_int_equal(read_register(0xff), 0);
	for (unsigned pin = 0; pin < 24; pin++) {
		assert_int_equal(low(pin), MASKED);
		assert_int_equal(read_register((uint8_t)(0x11 + 2 * pin)), 0);
	}
	write_register(0x40, 0xffffffff);
	assert_int_equal(low(23), MASKED);
	guest_write32(BASE, 0x101);
	assert_int_equal(guest_read32(BASE), 1);
}

static void test_entry_bits(void **state)
{
	(void)state;
	set_low(5, 0xffffffff);
	assert_int_equal(low(5), 0x0001afff);
	set_high(5, 0xffffffff);
	assert_int_equal(read_register(0x1b), 0xff000000);
	assert_int_equal(low(5), 0x0001afff);
	assert_int_equal(low(4), MASKED);
	assert_int_equal(low(6), MASKED);
}

static void test_odd_accesses(void **state)
{
	(void)state;
	guest_write(IO_SPACE_MEMORY, 0, BASE, 1, 1);
	assert_int_equal(guest_read(IO_SPACE_MEMORY, 0, BASE + 0x10, 1), 0x20);
	assert_int_equal(guest_read(IO_SPACE_MEMORY, 0, BASE + 0x10, 8), 0x00170020);
	assert_int_equal(guest_read(IO_SPACE_MEMORY, 0, BASE + 0x12, 2), 0);
	assert_int_equal(guest_read(IO_SPACE_MEMORY, 0, BASE + 0xffc, 4), 0);
	guest_write(IO_SPACE_MEMORY, 0, BASE, 4, 0x10);
	guest_write(IO_SPACE_MEMORY, 0, BASE + 0x10, 2, 0x30); /* half a register */
	assert_int_equal(low(0), MASKED);
	guest_write(IO_SPACE_MEMORY, 0, BASE + 0xffc, 4, 0x30);
}

static void test_edge(void **state)
{
	(void)state;
	set_high(4, 0x03000000);
	set_low(4, 0x0931); /* lowest priority, logical */
	assert_int_equal(messages, 0);
	irq_line_set(&fixture_vm, 4, true);
	assert_int_equal(messages, 1);
	assert_int_equal(last.vector, 0x31);
	assert_int_equal(last.destination, 3);
	assert_true(last.logical);
	assert_int_equal(last.delivery_mode, IRQ_DELIVERY_LOWEST);
	assert_false(last.level);
	irq_line_set(&fixture_vm, 4, true);
	assert_int_equal(messages, 1);
	irq_line_set(&fixture_vm, 4, false);
	assert_int_equal(messages, 1);
	irq_line_pulse(&fixture_vm, 4);
	assert_int_equal(messages, 2);
	assert_int_equal(low(4) & REMOTE_IRR, 0);
}

/* 82093AA data sheet: edges at a masked pin are neither delivered nor held. */
static void test_edge_at_masked_pin(void **state)
{
	(void)state;
	set_low(4, MASKED | 0x31);
	irq_line_set(&fixture_vm, 4, true);
	set_low(4, 0x31);
	assert_int_equal(messages, 0);
	irq_line_set(&fixture_vm, 4, false);
	irq_line_set(&fixture_vm, 4, true);
	assert_int_equal(messages, 1);
}

static void test_level(void **state)
{
	(void)state;
	set_low(9, LEVEL | 0x39);
	irq_line_set(&fixture_vm, 9, true);
	assert_int_equal(messages, 1);
	assert_true(last.level);
	assert_false(last.logical);
	assert_int_equal(low(9), LEVEL | REMOTE_IRR | 0x39);
	irq_line_set(&fixture_vm, 9, true);
	irq_line_pulse(&fixture_vm, 9);
	irq_line_set(&fixture_vm, 9, true);
	assert_int_equal(messages, 1);
	/* At its end it comes again as long as the line is high. */
	irq_end_of_interrupt(&fixture_vm, 0x38);
	assert_int_equal(messages, 1);
	irq_end_of_interrupt(&fixture_vm, 0x39);
	assert_int_equal(messages, 2);
	irq_line_set(&fixture_vm, 9, false);
	irq_end_of_interrupt(&fixture_vm, 0x39);
	assert_int_equal(messages, 2);
	assert_int_equal(low(9), LEVEL | 0x39);
}

static void test_level_at_masked_pin(void **state)
{
	(void)state;
	set_low(9, MASKED | LEVEL | 0x39);
	irq_line_set(&fixture_vm, 9, true);
	assert_int_equal(messages, 0);
	set_low(9, LEVEL | 0x39);
	assert_int_equal(messages, 1);
	/* Masked while it is being served: no second one before it is unmasked and ended. */
	set_low(9, MASKED | LEVEL | 0x39);
	irq_end_of_interrupt(&fixture_vm, 0x39);
	assert_int_equal(messages, 1);
	set_low(9, LEVEL | 0x39);
	assert_int_equal(messages, 2);
	set_low(9, LEVEL | 0x39);
	assert_int_equal(messages, 2);
}

/* How software frees a pin whose EOI got lost. */
static void test_remote_irr_goes_with_level(void **state)
{
	(void)state;
	set_low(9, LEVEL | 0x39);
	irq_line_set(&fixture_vm, 9, true);
	set_low(9, MASKED | 0x39);
	assert_int_equal(low(9), MASKED | 0x39);
	set_low(9, LEVEL | 0x39);
	assert_int_equal(messages, 2);
	set_low(9, LEVEL | REMOTE_IRR | 0x39); /* read-only */
	irq_line_set(&fixture_vm, 9, false);
	irq_end_of_interrupt(&fixture_vm, 0x39);
	set_low(9, LEVEL | REMOTE_IRR | 0x39);
	assert_int_equal(low(9), LEVEL | 0x39);
}

static void test_not_accepted(void **state)
{
	(void)state;
	answer = STATUS_NOT_FOUND;
	set_low(9, LEVEL | 0x39);
	irq_line_set(&fixture_vm, 9, true);
	assert_int_equal(messages, 1);
	assert_int_equal(low(9) & REMOTE_IRR, 0);
	answer = STATUS_OK;
	irq_line_set(&fixture_vm, 9, true);
	assert_int_equal(messages, 2);
	assert_int_equal(low(9) & REMOTE_IRR, REMOTE_IRR);
}

static void test_eoi_register(void **state)
{
	(void)state;
	set_low(9, LEVEL | 0x39);
	set_low(10, LEVEL | 0x39); /* shares the vector */
	irq_line_set(&fixture_vm, 9, true);
	irq_line_set(&fixture_vm, 10, true);
	assert_int_equal(messages, 2);
	guest_write32(BASE + 0x40, 0x39);
	assert_int_equal(messages, 4);
	guest_write32(BASE + 0x40, 0x3a);
	assert_int_equal(messages, 4);
	assert_int_equal(guest_read32(BASE + 0x40), 0);
}

static void test_timer_comes_at_pin_2(void **state)
{
	(void)state;
	set_low(0, 0x30);
	set_low(2, 0x32);
	irq_line_pulse(&fixture_vm, IRQ_LINE_TIMER);
	assert_int_equal(messages, 1);
	assert_int_equal(last.vector, 0x32);
}

static void test_beyond_the_pins(void **state)
{
	(void)state;
	fixture_vm.irq.pins[0].ops->set_pin(device, 24, true);
	fixture_vm.irq.pins[0].ops->set_pin(device, UINT32_MAX, true);
	irq_line_set(&fixture_vm, 23, true);
	assert_int_equal(messages, 0);
}

static void test_reset(void **state)
{
	(void)state;
	write_register(0, 0x05000000);
	set_low(9, LEVEL | 0x39);
	irq_line_set(&fixture_vm, 9, true);
	io_devices_reset(&fixture_vm);
	messages = 0;
	assert_int_equal(low(9), MASKED);
	assert_int_equal(read_register(0), 0);
	set_low(9, LEVEL | 0x39);
	assert_int_equal(messages, 0);
	irq_line_set(&fixture_vm, 9, true);
	assert_int_equal(messages, 1);
}

static void test_describe(void **state)
{
	(void)state;
	set_high(9, 0x02000000);
	set_low(9, LEVEL | 0x39);
	irq_line_set(&fixture_vm, 9, true);
	assert_string_equal(fixture_describe(device),
		"I/O APIC: id 0, pins that are high 0x200\n  pin  9: vector 0x39, mode 0, to APIC 0x2, level, waits for EOI\n");
}

static void test_create_fails(void **state)
{
	(void)state;
	fixture_no_memory = true;
	assert_null(fixture_add(&io_apic_class));
	fixture_no_memory = false;
	assert_null(fixture_add(&io_apic_class)); /* its place is taken */
	io_devices_destroy(&fixture_vm);
	assert_int_equal(irq_routing_add_pins(&fixture_vm, fixture_vm.irq.pins[0].ops, NULL), STATUS_OK);
	assert_null(fixture_add(&io_apic_class)); /* one controller too many */
	assert_int_equal(fixture_vm.buses[IO_SPACE_MEMORY].count, 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_registers), TEST(test_entry_bits), TEST(test_odd_accesses), TEST(test_edge), TEST(test_edge_at_masked_pin),
		TEST(test_level), TEST(test_level_at_masked_pin), TEST(test_remote_irr_goes_with_level), TEST(test_not_accepted),
		TEST(test_eoi_register), TEST(test_timer_comes_at_pin_2), TEST(test_beyond_the_pins), TEST(test_reset),
		TEST(test_describe), TEST(test_create_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
