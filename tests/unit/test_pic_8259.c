/* The pair of 8259s, driven through ports and lines, with INTA cycles by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/irq_fixture.h"

extern const struct io_device_class pic_8259_class; /* of the linker table */

#define MASTER 0x20u
#define SLAVE 0xa0u
#define ELCR 0x4d0u

static struct io_device *device;

static void initialize(uint16_t port, uint8_t icw1, uint8_t base, uint8_t icw3, uint8_t icw4)
{
	guest_out8(port, icw1);
	guest_out8(port + 1, base);
	guest_out8(port + 1, icw3);
	guest_out8(port + 1, icw4);
}

static int set_up_unconfigured(void **state)
{
	(void)state;
	fixture_start(1);
	device = fixture_add(&pic_8259_class);
	assert_non_null(device);
	io_devices_reset(&fixture_vm);
	return 0;
}

/* As Linux does: vectors 0x30 and 0x38, nothing masked. */
static int set_up(void **state)
{
	set_up_unconfigured(state);
	initialize(MASTER, 0x11, 0x30, 0x04, 0x01);
	initialize(SLAVE, 0x11, 0x38, 0x02, 0x01);
	fixture_vcpus[0].requests = 0;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	io_devices_destroy(&fixture_vm);
	assert_int_equal(fixture_pages, 0);
	return 0;
}

static void raise_line(unsigned line) { irq_line_set(&fixture_vm, line, true); }
static void lower_line(unsigned line) { irq_line_set(&fixture_vm, line, false); }

/* The vector of the INTA cycle if INTR is high, else -1. */
static int take(void)
{
	return irq_external_pending(&fixture_vm) ? irq_external_acknowledge(&fixture_vm) : -1;
}

static uint8_t isr(uint16_t port)
{
	guest_out8(port, 0x0b);
	return guest_in8(port);
}

static uint8_t irr(uint16_t port)
{
	guest_out8(port, 0x0a);
	return guest_in8(port);
}

static void test_unconfigured(void **state)
{
	(void)state;
	assert_int_equal(guest_in8(MASTER + 1), 0xff);
	assert_int_equal(guest_in8(SLAVE + 1), 0xff);
	guest_out8(MASTER + 1, 0xfb); /* how Linux looks for an 8259 */
	assert_int_equal(guest_in8(MASTER + 1), 0xfb);
	guest_out8(MASTER + 1, 0x00);
	raise_line(0);
	assert_int_equal(take(), -1);
	assert_int_equal(fixture_kicks[0], 0);
}

static void test_simple(void **state)
{
	(void)state;
	raise_line(4);
	assert_true(fixture_take_request(0, VCPU_REQUEST_EVENT));
	assert_int_equal(irr(MASTER), 0x10);
	assert_int_equal(take(), 0x34);
	assert_int_equal(irr(MASTER), 0);
	assert_int_equal(isr(MASTER), 0x10);
	/* An edge is one interrupt. */
	guest_out8(MASTER, 0x20);
	assert_int_equal(isr(MASTER), 0);
	assert_int_equal(take(), -1);
	raise_line(4);
	assert_int_equal(take(), -1);
	lower_line(4);
	raise_line(4);
	assert_int_equal(take(), 0x34);
}

static void test_pulse_is_remembered(void **state)
{
	(void)state;
	irq_line_pulse(&fixture_vm, 8);
	assert_int_equal(take(), 0x38);
	assert_int_equal(take(), -1);
}

static void test_priorities(void **state)
{
	(void)state;
	raise_line(7);
	raise_line(3);
	raise_line(0);
	assert_int_equal(take(), 0x30);
	assert_int_equal(take(), -1);
	guest_out8(MASTER, 0x20);
	assert_int_equal(take(), 0x33);
	lower_line(0);
	raise_line(0); /* more important than what is in service */
	assert_int_equal(take(), 0x30);
	assert_int_equal(isr(MASTER), 0x09);
	guest_out8(MASTER, 0x20);
	assert_int_equal(isr(MASTER), 0x08);
	guest_out8(MASTER, 0x63); /* specific */
	assert_int_equal(isr(MASTER), 0);
	assert_int_equal(take(), 0x37);
}

static void test_slave(void **state)
{
	(void)state;
	raise_line(12);
	raise_line(3);
	assert_int_equal(irr(MASTER), 0x0c);
	assert_int_equal(take(), 0x3c); /* input 2 comes before 3 */
	assert_int_equal(isr(MASTER), 0x04);
	assert_int_equal(isr(SLAVE), 0x10);
	raise_line(8); /* more important, but the master has its slave in service */
	assert_int_equal(take(), -1);
	guest_out8(SLAVE, 0x20);
	guest_out8(MASTER, 0x20);
	assert_int_equal(take(), 0x38);
	guest_out8(SLAVE, 0x20);
	guest_out8(MASTER, 0x20);
	assert_int_equal(take(), 0x33);
}

static void test_special_fully_nested(void **state)
{
	(void)state;
	initialize(MASTER, 0x11, 0x30, 0x04, 0x11);
	raise_line(12);
	assert_int_equal(take(), 0x3c);
	raise_line(8);
	assert_int_equal(take(), 0x38);
	assert_int_equal(isr(SLAVE), 0x11);
	raise_line(3);
	assert_int_equal(take(), -1);
}

static void test_mask(void **state)
{
	(void)state;
	guest_out8(MASTER + 1, 0x10);
	assert_int_equal(guest_in8(MASTER + 1), 0x10);
	raise_line(4);
	assert_int_equal(take(), -1);
	assert_int_equal(irr(MASTER), 0x10);
	fixture_vcpus[0].requests = 0;
	guest_out8(MASTER + 1, 0x00);
	assert_true(fixture_take_request(0, VCPU_REQUEST_EVENT));
	assert_int_equal(take(), 0x34);
	/* The cascade masked, the slave is silent. */
	guest_out8(MASTER, 0x20);
	guest_out8(MASTER + 1, 0x04);
	raise_line(8);
	assert_int_equal(take(), -1);
}

static void test_level_triggered(void **state)
{
	(void)state;
	guest_out8(ELCR + 1, 0x02); /* IRQ 9 */
	raise_line(9);
	assert_int_equal(take(), 0x39);
	guest_out8(SLAVE, 0x20);
	guest_out8(MASTER, 0x20);
	assert_int_equal(take(), 0x39); /* still high */
	lower_line(9);
	guest_out8(SLAVE, 0x20);
	guest_out8(MASTER, 0x20);
	assert_int_equal(take(), -1);
	irq_line_pulse(&fixture_vm, 9);
	assert_int_equal(take(), -1);
}

static void test_elcr(void **state)
{
	(void)state;
	guest_out8(ELCR, 0xff);
	guest_out8(ELCR + 1, 0xff);
	assert_int_equal(guest_in8(ELCR), 0xf8);
	assert_int_equal(guest_in8(ELCR + 1), 0xde);
	assert_int_equal(guest_read(IO_SPACE_PORT, 0, ELCR, 2), 0xdef8);
	guest_write(IO_SPACE_PORT, 0, ELCR, 2, 0x0210);
	assert_int_equal(guest_in8(ELCR), 0x10);
	assert_int_equal(guest_in8(ELCR + 1), 0x02);
	/* A line that is high when it becomes level-triggered asks. */
	raise_line(5);
	assert_int_equal(take(), 0x35);
	guest_out8(MASTER, 0x20);
	assert_int_equal(take(), -1);
	guest_out8(ELCR, 0x20);
	assert_int_equal(take(), 0x35);
}

static void test_icw1_level(void **state)
{
	(void)state;
	raise_line(3);
	initialize(MASTER, 0x19, 0x30, 0x04, 0x01);
	assert_int_equal(take(), 0x33);
	guest_out8(MASTER, 0x20);
	assert_int_equal(take(), 0x33);
	lower_line(3);
	guest_out8(MASTER, 0x20);
	assert_int_equal(take(), -1);
}

static void test_spurious(void **state)
{
	(void)state;
	guest_out8(ELCR, 0x20);
	guest_out8(ELCR + 1, 0x02);
	/* The request is gone when the processor asks: input 7, not in service. */
	raise_line(5);
	lower_line(5);
	assert_false(irq_external_pending(&fixture_vm));
	assert_int_equal(irq_external_acknowledge(&fixture_vm), 0x37);
	assert_int_equal(isr(MASTER), 0);
	/* An edge that was masked meanwhile. */
	raise_line(1);
	guest_out8(MASTER + 1, 0x02);
	assert_int_equal(irq_external_acknowledge(&fixture_vm), 0x37);
}

static void test_auto_eoi(void **state)
{
	(void)state;
	initialize(MASTER, 0x11, 0x30, 0x04, 0x03);
	raise_line(3);
	raise_line(4);
	fixture_vcpus[0].requests = 0;
	assert_int_equal(take(), 0x33);
	assert_true(fixture_take_request(0, VCPU_REQUEST_EVENT));
	assert_int_equal(isr(MASTER), 0);
	assert_int_equal(take(), 0x34);
	/* With rotation what was served becomes the least important. */
	guest_out8(MASTER, 0x80);
	lower_line(3);
	raise_line(3);
	assert_int_equal(take(), 0x33);
	lower_line(3);
	raise_line(3);
	lower_line(4);
	raise_line(4);
	assert_int_equal(take(), 0x34);
	assert_int_equal(take(), 0x33);
	guest_out8(MASTER, 0x00);
	lower_line(3);
	raise_line(3);
	lower_line(4);
	raise_line(4);
	assert_int_equal(take(), 0x34);
	assert_int_equal(take(), 0x33);
}

static void test_rotation(void **state)
{
	(void)state;
	guest_out8(MASTER, 0xc3); /* 3 is the lowest, so 4 the highest */
	raise_line(3);
	raise_line(4);
	raise_line(0);
	assert_int_equal(take(), 0x34);
	guest_out8(MASTER, 0xa0); /* ends 4 and makes it the lowest: 5, 6, 7, 0, 1 ... */
	assert_int_equal(take(), 0x30);
	guest_out8(MASTER, 0xe0); /* ends 0 and makes it the lowest */
	assert_int_equal(isr(MASTER), 0);
	lower_line(0);
	raise_line(0);
	assert_int_equal(take(), 0x33);
	guest_out8(MASTER, 0x40); /* no operation */
	assert_int_equal(isr(MASTER), 0x08);
	guest_out8(MASTER, 0xa0); /* ends 3 and makes it the lowest: 4, 5, 6, 7, 0, 1 ... */
	guest_out8(MASTER, 0xa0); /* nothing in service */
	raise_line(1);
	raise_line(6);
	assert_int_equal(take(), 0x36);
	guest_out8(MASTER, 0x20);
	assert_int_equal(take(), 0x30);
}

static void test_special_mask(void **state)
{
	(void)state;
	raise_line(2 + 1);
	assert_int_equal(take(), 0x33);
	raise_line(6);
	assert_int_equal(take(), -1);
	guest_out8(MASTER + 1, 0x08);
	assert_int_equal(take(), -1);
	guest_out8(MASTER, 0x68); /* special mask mode: the masked one in service keeps out nobody */
	assert_int_equal(take(), 0x36);
	guest_out8(MASTER, 0x20); /* ends 6, not the masked 3 */
	assert_int_equal(isr(MASTER), 0x08);
	/* Without their change bits the other commands of OCW3 leave mode and choice as they are. */
	guest_out8(MASTER, 0x08);
	assert_int_equal(guest_in8(MASTER), 0x08);
	raise_line(5);
	assert_int_equal(take(), 0x35);
	guest_out8(MASTER, 0x65);
	guest_out8(MASTER, 0x48);
	raise_line(7);
	assert_int_equal(take(), -1);
}

static void test_poll(void **state)
{
	(void)state;
	guest_out8(MASTER, 0x0c);
	assert_int_equal(guest_in8(MASTER), 0);
	raise_line(5);
	guest_out8(MASTER, 0x0c);
	assert_int_equal(guest_in8(MASTER), 0x85);
	assert_int_equal(take(), -1);
	assert_int_equal(isr(MASTER), 0x20);
	guest_out8(MASTER, 0x20);
	/* Of the slave: both are asked in turn. */
	raise_line(10);
	guest_out8(MASTER, 0x0c);
	assert_int_equal(guest_in8(MASTER + 1), 0x82);
	guest_out8(SLAVE, 0x0c);
	assert_int_equal(guest_in8(SLAVE), 0x82);
	assert_int_equal(isr(SLAVE), 0x04);
}

static void test_initialization_forms(void **state)
{
	(void)state;
	guest_out8(MASTER + 1, 0xff);
	raise_line(6);
	guest_out8(MASTER, 0x11);
	assert_int_equal(guest_in8(MASTER + 1), 0); /* the mask is cleared */
	guest_out8(MASTER + 1, 0x47); /* low bits are the input's */
	raise_line(1);
	assert_int_equal(take(), -1);
	guest_out8(MASTER + 1, 0x04);
	assert_int_equal(take(), -1);
	guest_out8(MASTER + 1, 0x01);
	assert_int_equal(take(), 0x41); /* the edge of 6 came before */
	assert_int_equal(guest_in8(MASTER + 1), 0);
	guest_out8(MASTER, 0x20);
	assert_int_equal(take(), -1);

	guest_out8(MASTER, 0x10); /* cascade, no ICW4 */
	guest_out8(MASTER + 1, 0x50);
	guest_out8(MASTER + 1, 0x04);
	guest_out8(MASTER + 1, 0x80);
	assert_int_equal(guest_in8(MASTER + 1), 0x80);
	guest_out8(MASTER, 0x12); /* single, no ICW4 */
	guest_out8(MASTER + 1, 0x58);
	guest_out8(MASTER + 1, 0x40);
	assert_int_equal(guest_in8(MASTER + 1), 0x40);
	guest_out8(MASTER, 0x13); /* single, ICW4 */
	guest_out8(MASTER + 1, 0x60);
	guest_out8(MASTER + 1, 0x01);
	guest_out8(MASTER + 1, 0x20);
	assert_int_equal(guest_in8(MASTER + 1), 0x20);
	lower_line(1);
	raise_line(1);
	assert_int_equal(take(), 0x61);
}

static void test_lines_that_are_not_wired(void **state)
{
	(void)state;
	raise_line(2);
	raise_line(16);
	raise_line(23);
	assert_int_equal(take(), -1);
	assert_int_equal(irr(MASTER), 0);
}

static void test_word_access(void **state)
{
	(void)state;
	guest_write(IO_SPACE_PORT, 0, MASTER, 2, 0x550a); /* OCW3, then OCW1 */
	assert_int_equal(guest_in8(MASTER + 1), 0x55);
	raise_line(1);
	assert_int_equal(guest_read(IO_SPACE_PORT, 0, MASTER, 2), 0x5502);
}

static void test_reset(void **state)
{
	(void)state;
	raise_line(3);
	guest_out8(ELCR, 0x20);
	io_devices_reset(&fixture_vm);
	assert_int_equal(take(), -1);
	assert_int_equal(guest_in8(ELCR), 0);
	fixture_kicks[0] = 0;
	test_unconfigured(state);
}

static void test_describe(void **state)
{
	(void)state;
	raise_line(3);
	assert_non_null(strstr(fixture_describe(device), "8259 master: ready, vectors from 0x30, IRR 0x8, "));
	assert_non_null(strstr(fixture_text, "8259 slave: ready, vectors from 0x38"));
	assert_non_null(strstr(fixture_text, "output: asserted"));
}

static void test_create_fails(void **state)
{
	(void)state;
	fixture_no_memory = true;
	assert_null(fixture_add(&pic_8259_class));
	fixture_no_memory = false;
	assert_null(fixture_add(&pic_8259_class)); /* its ports are taken */
	io_devices_destroy(&fixture_vm);
	assert_int_equal(io_bus_add(&fixture_vm.buses[IO_SPACE_PORT], &(struct io_region){.base = ELCR, .length = 1}), STATUS_OK);
	assert_null(fixture_add(&pic_8259_class));
	assert_int_equal(fixture_vm.buses[IO_SPACE_PORT].count, 1);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_unconfigured, set_up_unconfigured, tear_down),
		TEST(test_simple), TEST(test_pulse_is_remembered), TEST(test_priorities), TEST(test_slave),
		TEST(test_special_fully_nested), TEST(test_mask), TEST(test_level_triggered), TEST(test_elcr), TEST(test_icw1_level),
		TEST(test_spurious), TEST(test_auto_eoi), TEST(test_rotation), TEST(test_special_mask), TEST(test_poll),
		TEST(test_initialization_forms), TEST(test_lines_that_are_not_wired), TEST(test_word_access), TEST(test_reset),
		TEST(test_describe), TEST(test_create_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
