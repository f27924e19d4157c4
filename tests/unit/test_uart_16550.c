#include "tests/unit/platform_fixture.h"

extern const struct io_device_class uart_16550_class;

enum { DATA = 0x3f8, IER, IIR, LCR, MCR, LSR, MSR, SCRATCH };
#define FCR IIR
#define LINE IRQ_LINE_COM1

static struct io_device *uart;

static int setup(void **state)
{
	(void)state;
	uart = platform_start(&uart_16550_class);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	platform_end(uart);
	return 0;
}

static size_t type(const char *text)
{
	return vm_console_type(&fixture_vm.console, (const uint8_t *)text, strlen(text));
}

static void output_is(const char *text)
{
	uint8_t bytes[64];
	size_t size = vm_console_take(&fixture_vm.console, bytes, sizeof(bytes));

	assert_int_equal(size, strlen(text));
	assert_memory_equal(bytes, text, size);
}

static void fill_ring(void)
{
	while (vm_console_put(&fixture_vm.console, '.'))
		;
}

static void starts_idle(void **state)
{
	(void)state;
	assert_int_equal(in8(LSR), 0x60);
	assert_int_equal(in8(IIR), 0x01);
	assert_int_equal(in8(MSR), 0xb0);
	assert_int_equal(in8(MCR), 0);
	assert_false(line_level(LINE));
}

static void sends_to_console(void **state)
{
	(void)state;
	out8(DATA, 'h');
	out8(DATA, 'i');
	assert_int_equal(in8(LSR), 0x60);
	output_is("hi");
}

static void divisor_latch_hides_data(void **state)
{
	(void)state;
	out8(IER, 0x05);
	out8(LCR, 0x83);
	out8(DATA, 0x01);
	out8(IER, 0x02);
	assert_int_equal(in8(DATA), 0x01);
	assert_int_equal(in8(IER), 0x02);
	out8(LCR, 0x03);
	assert_int_equal(in8(IER), 0x05);
	output_is("");
}

/* What Linux's 8250 driver looks at to tell the chip (autoconfig and autoconfig_16550a). */
static void looks_like_16550a_to_linux(void **state)
{
	(void)state;
	out8(IER, 0);
	assert_int_equal(in8(IER) & 0x0f, 0);
	out8(IER, 0x0f);
	assert_int_equal(in8(IER) & 0x0f, 0x0f);
	out8(IER, 0x40); /* XScale's unit enable bit must not stick */
	assert_int_equal(in8(IER), 0);
	out8(MCR, 0x1a);
	assert_int_equal(in8(MSR) & 0xf0, 0x90);
	out8(MCR, 0);
	out8(LCR, 0xbf);
	out8(LCR, 0);
	out8(FCR, 0x01);
	assert_int_equal(in8(IIR) >> 6, 3);
	out8(LCR, 0x80);
	assert_int_not_equal(in8(IIR), 0); /* would be EFR = 0 of a 16650 */
	out8(LCR, 0);
	out8(FCR, 0x21);
	assert_int_equal(in8(IIR) >> 5, 6); /* 7 would be a 16750's 64-byte FIFO */
	out8(SCRATCH, 0xa5);
	assert_int_equal(in8(SCRATCH), 0xa5);
}

/* Linux's THRE and TXEN tests: enabling the interrupt with THR empty must raise it each time. */
static void thr_empty_interrupt_comes_back(void **state)
{
	(void)state;
	out8(IER, 0x02);
	assert_int_equal(in8(IIR), 0x02);
	assert_int_equal(in8(IIR), 0x01); /* reading it took it away */
	out8(IER, 0x02);
	assert_int_equal(in8(IIR), 0x01); /* no rising edge of the enable bit */
	out8(IER, 0);
	out8(IER, 0x02);
	assert_int_equal(in8(IIR), 0x02);
	out8(DATA, 'x');
	assert_int_equal(in8(IIR), 0x02); /* empty again behind the byte */
}

static void line_needs_out2(void **state)
{
	(void)state;
	out8(IER, 0x02);
	assert_false(line_level(LINE));
	out8(MCR, 0x08);
	assert_true(line_level(LINE));
	out8(MCR, 0x18); /* loopback takes the pin down */
	assert_false(line_level(LINE));
	out8(MCR, 0x08);
	assert_true(line_level(LINE));
	(void)in8(IIR);
	assert_false(line_level(LINE));
	assert_int_equal(fixture_rises[LINE], 2);
}

static void receives_with_interrupt(void **state)
{
	(void)state;
	out8(MCR, 0x0b);
	out8(IER, 0x01);
	assert_int_equal(type("ab"), 2);
	assert_true(line_level(LINE));
	assert_int_equal(in8(IIR), 0x04); /* no FIFO: one byte is a full load */
	assert_int_equal(in8(LSR), 0x61);
	assert_int_equal(in8(DATA), 'a');
	assert_int_equal(in8(DATA), 'b');
	assert_int_equal(in8(LSR), 0x60);
	assert_false(line_level(LINE));
	assert_int_equal(in8(DATA), 0);
}

static void trigger_level_and_timeout(void **state)
{
	(void)state;
	out8(FCR, 0x81); /* trigger 8 */
	out8(IER, 0x01);
	type("1234567");
	assert_int_equal(in8(IIR), 0xcc);
	type("8");
	assert_int_equal(in8(IIR), 0xc4);
	for (char expected = '1'; expected <= '8'; expected++)
		assert_int_equal(in8(DATA), expected);
	assert_int_equal(in8(IIR), 0xc1);
}

static void long_input_is_not_lost(void **state)
{
	char text[201];

	(void)state;
	memset(text, 'x', 200);
	text[200] = '\0';
	for (unsigned i = 0; i < 200; i++)
		text[i] = (char)('a' + i % 26);
	out8(FCR, 0x01);
	assert_int_equal(type(text), 200);
	for (unsigned i = 0; i < 200; i++) {
		assert_true(in8(LSR) & 0x01);
		assert_false(in8(LSR) & 0x02);
		assert_int_equal(in8(DATA), text[i]);
	}
	assert_int_equal(in8(LSR), 0x60);
}

static void full_console_keeps_thr_full(void **state)
{
	uint8_t bytes[16];

	(void)state;
	out8(MCR, 0x08);
	out8(IER, 0x02);
	fill_ring();
	out8(DATA, 'A');
	assert_int_equal(in8(LSR), 0);
	assert_false(line_level(LINE));
	out8(DATA, 'B'); /* lost, as on the chip: nobody looked at LSR */
	assert_int_equal(vm_console_take(&fixture_vm.console, bytes, 1), 1);
	assert_int_equal(in8(LSR), 0x60);
	assert_true(line_level(LINE));
	assert_int_equal(in8(IIR), 0x02);
	while (vm_console_take(&fixture_vm.console, bytes, 1) == 1)
		;
	assert_int_equal(bytes[0], 'A');
	assert_int_equal(fixture_vm.console.output_total, VM_CONSOLE_OUTPUT_SIZE + 1);
}

static void transmitter_fifo_keeps_sixteen(void **state)
{
	uint8_t bytes[VM_CONSOLE_OUTPUT_SIZE];
	size_t size;

	(void)state;
	out8(FCR, 0x01);
	fill_ring();
	for (unsigned i = 0; i < 20; i++)
		out8(DATA, (uint8_t)('a' + i));
	assert_int_equal(in8(LSR), 0);
	assert_int_equal(vm_console_take(&fixture_vm.console, bytes, sizeof(bytes)), sizeof(bytes));
	size = vm_console_take(&fixture_vm.console, bytes, sizeof(bytes));
	assert_int_equal(size, 16);
	assert_memory_equal(bytes, "abcdefghijklmnop", 16);
}

static void clearing_fifos_empties_them(void **state)
{
	(void)state;
	out8(FCR, 0x01);
	fill_ring();
	out8(DATA, 'a');
	type("zz");
	out8(FCR, 0x07);
	assert_int_equal(in8(LSR), 0x60);
	assert_int_equal(in8(DATA), 0);
}

static void loopback_comes_back(void **state)
{
	(void)state;
	out8(FCR, 0x01);
	out8(MCR, 0x10);
	for (unsigned i = 0; i < 17; i++)
		out8(DATA, (uint8_t)i);
	output_is("");
	assert_int_equal(in8(LSR), 0x63); /* the 17th overran */
	assert_int_equal(in8(LSR), 0x61); /* told once */
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(in8(DATA), i);
	type("q"); /* is not received meanwhile */
	assert_int_equal(in8(LSR), 0x60);
	out8(MCR, 0);
	assert_int_equal(in8(DATA), 'q');
}

static void overrun_has_highest_priority(void **state)
{
	(void)state;
	out8(MCR, 0x10);
	out8(IER, 0x0f);
	out8(DATA, 1);
	out8(DATA, 2);
	assert_int_equal(in8(IIR), 0x06);
	(void)in8(LSR);
	assert_int_equal(in8(IIR), 0x04);
	(void)in8(DATA);
	assert_int_equal(in8(IIR), 0x02);
	assert_int_equal(in8(IIR), 0x00); /* DSR, CTS and DCD fell with loopback */
	assert_int_equal(in8(MSR), 0x0b);
	assert_int_equal(in8(IIR), 0x01);
}

static void ring_tells_its_end_only(void **state)
{
	(void)state;
	out8(MCR, 0x10);
	(void)in8(MSR);
	out8(MCR, 0x14);
	assert_int_equal(in8(MSR), 0x40);
	out8(MCR, 0x10);
	assert_int_equal(in8(MSR), 0x04);
	assert_int_equal(in8(MSR), 0x00);
}

static void wide_accesses_are_bytes(void **state)
{
	(void)state;
	guest_write(IO_SPACE_PORT, 0, LCR, 2, 0x1783);
	assert_int_equal(in8(LCR), 0x83);
	assert_int_equal(in8(MCR), 0x17);
	assert_int_equal(guest_read(IO_SPACE_PORT, 0, LCR, 2), 0x1783);
}

static void reset_silences(void **state)
{
	(void)state;
	out8(MCR, 0x08);
	out8(IER, 0x02);
	assert_true(line_level(LINE));
	uart_16550_class.reset(uart);
	assert_false(line_level(LINE));
	starts_idle(state);
}

static void describes_itself(void **state)
{
	(void)state;
	assert_non_null(strstr(fixture_describe(uart), "COM1 at 0x3f8"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(starts_idle, setup, teardown),
		cmocka_unit_test_setup_teardown(sends_to_console, setup, teardown),
		cmocka_unit_test_setup_teardown(divisor_latch_hides_data, setup, teardown),
		cmocka_unit_test_setup_teardown(looks_like_16550a_to_linux, setup, teardown),
		cmocka_unit_test_setup_teardown(thr_empty_interrupt_comes_back, setup, teardown),
		cmocka_unit_test_setup_teardown(line_needs_out2, setup, teardown),
		cmocka_unit_test_setup_teardown(receives_with_interrupt, setup, teardown),
		cmocka_unit_test_setup_teardown(trigger_level_and_timeout, setup, teardown),
		cmocka_unit_test_setup_teardown(long_input_is_not_lost, setup, teardown),
		cmocka_unit_test_setup_teardown(full_console_keeps_thr_full, setup, teardown),
		cmocka_unit_test_setup_teardown(transmitter_fifo_keeps_sixteen, setup, teardown),
		cmocka_unit_test_setup_teardown(clearing_fifos_empties_them, setup, teardown),
		cmocka_unit_test_setup_teardown(loopback_comes_back, setup, teardown),
		cmocka_unit_test_setup_teardown(overrun_has_highest_priority, setup, teardown),
		cmocka_unit_test_setup_teardown(ring_tells_its_end_only, setup, teardown),
		cmocka_unit_test_setup_teardown(wide_accesses_are_bytes, setup, teardown),
		cmocka_unit_test_setup_teardown(reset_silences, setup, teardown),
		cmocka_unit_test_setup_teardown(describes_itself, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
