/* The UART driver against a model of the chip: what is on the wire, in order and complete, in every mode. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "drivers/serial/uart16550.h"
#include "tests/fake/fake_cpu.h"

#define PORT 0x3f8u

static struct {
	bool present, has_scratch, has_loop, has_fifo, dead;
	uint8_t registers[8];
	uint16_t divisor;
	unsigned busy, busy_polls; /* reads of LSR until THRE after a burst; as set up */
	unsigned in_fifo, overruns, cut_off;
	uint8_t wire[65536];
	size_t sent;
	uint8_t received[4096];
	size_t received_head, received_tail;
	unsigned status_reads;
	bool line, stuck; /* interrupt line; stuck: a cause that never goes away */
	unsigned edges;
} chip;

static bool transmitter_empty(void)
{
	return !chip.dead && chip.busy == 0;
}

static uint8_t line_status(void)
{
	uint8_t status = 0;

	chip.status_reads++;
	if (chip.busy > 0 && --chip.busy == 0)
		chip.in_fifo = 0;
	if (transmitter_empty())
		status |= 0x60;
	if (chip.received_head != chip.received_tail)
		status |= 0x01;
	return status;
}

static uint8_t interrupt_id(void)
{
	uint8_t fifo = chip.has_fifo && (chip.registers[2] & 1) != 0 ? 0xc0 : 0;

	if (chip.stuck && chip.registers[1] != 0)
		return fifo;
	if ((chip.registers[1] & 1) != 0 && chip.received_head != chip.received_tail)
		return fifo | 0x04;
	if ((chip.registers[1] & 2) != 0 && transmitter_empty())
		return fifo | 0x02;
	return fifo | 0x01;
}

static uint8_t modem_status(void)
{
	uint8_t control = chip.registers[4];

	if ((control & 0x10) == 0 || !chip.has_loop)
		return 0xb0;
	return (uint8_t)((control & 2) << 3 | (control & 1) << 5 | (control & 4) << 4 | (control & 8) << 4);
}

static void update_line(void)
{
	bool line = (interrupt_id() & 1) == 0;

	if (line && !chip.line)
		chip.edges++;
	chip.line = line;
}

static uint8_t read_register(unsigned offset)
{
	switch (offset) {
	case 0:
		return chip.received_head != chip.received_tail ? chip.received[chip.received_tail++ % sizeof(chip.received)] : 0;
	case 1:
		return chip.registers[1];
	case 2:
		return interrupt_id();
	case 5:
		return line_status();
	case 6:
		return modem_status();
	default:
		return chip.registers[offset];
	}
}

static uint32_t chip_read(void *context, uint16_t port, unsigned size)
{
	uint8_t value;

	(void)context;
	assert_int_equal(size, 1);
	if (!chip.present)
		return 0xff;
	value = read_register(port - PORT);
	update_line();
	return value;
}

static void send(uint8_t byte)
{
	if (chip.in_fifo == (chip.has_fifo ? 16 : 1))
		chip.overruns++;
	else
		chip.in_fifo++;
	chip.wire[chip.sent++ % sizeof(chip.wire)] = byte;
	chip.busy = chip.busy_polls;
	if (chip.busy == 0)
		chip.in_fifo = 0;
}

static void set_fifo_control(uint8_t value)
{
	if ((value & 4) != 0 && chip.busy > 0)
		chip.cut_off++;
	chip.registers[2] = value;
}

static void chip_write(void *context, uint16_t port, unsigned size, uint32_t value)
{
	bool divisor_latch = (chip.registers[3] & 0x80) != 0;

	(void)context;
	assert_int_equal(size, 1);
	if (!chip.present)
		return;
	if (port == PORT && divisor_latch)
		chip.divisor = (uint16_t)((chip.divisor & 0xff00) | value);
	else if (port == PORT + 1 && divisor_latch)
		chip.divisor = (uint16_t)((chip.divisor & 0xff) | value << 8);
	else if (port == PORT)
		send((uint8_t)value);
	else if (port == PORT + 2)
		set_fifo_control((uint8_t)value);
	else if (port != PORT + 7 || chip.has_scratch)
		chip.registers[port - PORT] = (uint8_t)value;
	update_line();
}

static int set_up(void **state)
{
	static const struct fake_port_device device = {PORT, 8, chip_read, chip_write, NULL};

	(void)state;
	fake_cpu_reset();
	fake_port_add(&device);
	memset(&chip, 0, sizeof(chip));
	chip.present = chip.has_scratch = chip.has_loop = chip.has_fifo = true;
	chip.busy_polls = 3;
	assert_int_equal(uart16550_init(PORT, 115200), STATUS_OK);
	return 0;
}

static void assert_wire(const char *expected)
{
	assert_int_equal(chip.sent, strlen(expected));
	assert_memory_equal(chip.wire, expected, chip.sent);
	assert_int_equal(chip.overruns, 0);
}

static void receive(const char *text)
{
	while (*text != '\0')
		chip.received[chip.received_head++ % sizeof(chip.received)] = (uint8_t)*text++;
	update_line();
}

/* Lets time go by and calls the handler for every rising edge, as an I/O APIC in edge mode does. */
static void deliver_interrupts(void)
{
	for (unsigned i = 0; i < 100000 && (chip.edges > 0 || chip.busy > 0); i++) {
		(void)line_status();
		update_line();
		if (chip.edges == 0)
			continue;
		chip.edges = 0;
		uart16550_interrupt();
	}
	assert_int_equal(interrupt_id() & 1, 1);
}

static void test_init(void **state)
{
	(void)state;
	assert_true(uart16550_is_available());
	assert_int_equal(uart16550_port(), PORT);
	assert_int_equal(chip.divisor, 1);
	assert_int_equal(chip.registers[3], 0x03);
	assert_int_equal(chip.registers[1], 0);
	assert_int_equal(chip.registers[4], 0x0b);

	/* The loader's last words are not cut off. */
	chip.busy_polls = 20;
	uart16550_enable_interrupts();
	uart16550_write_raw((const uint8_t *)"loader", 6);
	assert_true(chip.busy > 0);
	assert_int_equal(uart16550_init(PORT, 9600), STATUS_OK);
	assert_int_equal(chip.divisor, 12);
	assert_int_equal(chip.cut_off, 0);
	assert_int_equal(uart16550_init(PORT, 300), STATUS_OK);
	assert_int_equal(chip.divisor, 384);
	assert_int_equal(uart16550_init(PORT, 0), STATUS_INVALID);
	assert_int_equal(uart16550_init(PORT, 110000), STATUS_INVALID);
	assert_int_equal(uart16550_init(PORT, 230400), STATUS_INVALID);
}

static void test_detection(void **state)
{
	uint8_t byte;

	(void)state;
	chip.has_scratch = false; /* an 8250 */
	assert_int_equal(uart16550_init(PORT, 115200), STATUS_OK);
	chip.has_scratch = true;
	chip.has_loop = false;
	assert_int_equal(uart16550_init(PORT, 115200), STATUS_OK);
	chip.has_scratch = false;
	assert_int_equal(uart16550_init(PORT, 115200), STATUS_NOT_FOUND);
	chip.present = false;
	assert_int_equal(uart16550_init(PORT, 115200), STATUS_NOT_FOUND);
	assert_false(uart16550_is_available());
	assert_int_equal(uart16550_port(), 0);
	uart16550_write("lost", 4, false);
	uart16550_write("lost", 4, true);
	uart16550_write_raw((const uint8_t *)"lost", 4);
	uart16550_flush();
	uart16550_interrupt();
	assert_false(uart16550_read(&byte));
	assert_int_equal(chip.sent, 0);
}

static void test_polled_output(void **state)
{
	(void)state;
	uart16550_write("one\ntwo\r\n", 9, false);
	assert_wire("one\r\ntwo\r\r\n");
	uart16550_write_raw((const uint8_t *)"a\nb", 3);
	assert_wire("one\r\ntwo\r\r\na\nb");
	assert_int_equal(uart16550_output_room(), UART16550_OUTPUT_SIZE);
}

static void test_no_fifo(void **state)
{
	(void)state;
	chip.has_fifo = false;
	assert_int_equal(uart16550_init(PORT, 115200), STATUS_OK);
	uart16550_write("a longer line without a FIFO\n", 29, false);
	assert_wire("a longer line without a FIFO\r\n");
}

static void test_interrupt_output(void **state)
{
	static char text[3000];

	(void)state;
	for (unsigned i = 0; i < sizeof(text); i++)
		text[i] = (char)('a' + i % 26);
	uart16550_enable_interrupts();
	assert_int_equal(chip.registers[1] & 2, 0); /* nothing to send: the transmitter is quiet */
	uart16550_write(text, sizeof(text), false);
	assert_int_equal(chip.sent, 16);
	assert_int_equal(uart16550_output_room(), UART16550_OUTPUT_SIZE - (3000 - 16));
	deliver_interrupts();
	assert_int_equal(chip.sent, 3000);
	assert_memory_equal(chip.wire, text, 3000);
	assert_int_equal(chip.overruns, 0);
	assert_int_equal(chip.registers[1] & 2, 0);
	uart16550_write("x", 1, false);
	assert_int_equal(chip.sent, 3001);
}

static void test_full_ring_loses_nothing(void **state)
{
	static char text[30000];

	(void)state;
	for (unsigned i = 0; i < sizeof(text); i++)
		text[i] = (char)('0' + i % 64);
	uart16550_enable_interrupts();
	uart16550_write(text, sizeof(text), false);
	assert_true(chip.sent >= sizeof(text) - UART16550_OUTPUT_SIZE);
	deliver_interrupts();
	assert_int_equal(chip.sent, sizeof(text));
	assert_memory_equal(chip.wire, text, sizeof(text));
	assert_int_equal(chip.overruns, 0);
}

static void test_synchronous_keeps_order(void **state)
{
	(void)state;
	uart16550_enable_interrupts();
	uart16550_write("first line that is longer than one FIFO\n", 40, false);
	assert_true(chip.sent < 41);
	uart16550_write("panic\n", 6, true);
	assert_wire("first line that is longer than one FIFO\r\npanic\r\n");
	assert_int_equal(chip.busy, 0); /* out to the last bit */
}

static void test_flush(void **state)
{
	(void)state;
	uart16550_enable_interrupts();
	uart16550_write("something longer than one FIFO is\n", 34, false);
	uart16550_flush();
	assert_wire("something longer than one FIFO is\r\n");
	assert_int_equal(chip.busy, 0);
}

static void test_input(void **state)
{
	uint8_t byte;

	(void)state;
	assert_false(uart16550_read(&byte));
	receive("ab");
	assert_true(uart16550_read(&byte));
	assert_int_equal(byte, 'a');
	uart16550_enable_interrupts();
	receive("cd");
	deliver_interrupts();
	for (const char *c = "bcd"; *c != '\0'; c++) {
		assert_true(uart16550_read(&byte));
		assert_int_equal(byte, *c);
	}
	assert_false(uart16550_read(&byte));
	receive("e");
	assert_false(uart16550_read(&byte)); /* waits for the interrupt */
	deliver_interrupts();
	assert_true(uart16550_read(&byte));
}

static void test_input_overflow(void **state)
{
	uint8_t byte;
	unsigned count = 0;

	(void)state;
	uart16550_enable_interrupts();
	for (unsigned i = 0; i < UART16550_INPUT_SIZE + 100; i++)
		receive(i % 2 == 0 ? "x" : "y");
	deliver_interrupts();
	while (uart16550_read(&byte)) {
		assert_int_equal(byte, count % 2 == 0 ? 'x' : 'y');
		count++;
	}
	assert_int_equal(count, UART16550_INPUT_SIZE);
}

static void test_dead_uart_does_not_hang(void **state)
{
	static char text[20000];
	unsigned before;

	(void)state;
	memset(text, 'x', sizeof(text));
	uart16550_write("alive\n", 6, false);
	chip.dead = true;
	uart16550_write(text, sizeof(text), false);
	before = chip.status_reads;
	uart16550_write(text, sizeof(text), false);
	assert_true(chip.status_reads - before < 2 * sizeof(text)); /* it is not waited for again */
	uart16550_write("sync", 4, true);
	uart16550_flush();
	assert_int_equal(chip.sent, 7);
	chip.dead = false;
	uart16550_write("back\n", 5, false);
	assert_wire("alive\r\nback\r\n");
}

/* As in emulators: the FIFO is empty again at once, so that the transmitter's cause never goes away by itself. */
static void test_instant_transmitter(void **state)
{
	static char text[UART16550_OUTPUT_SIZE];

	(void)state;
	uart16550_enable_interrupts();
	memset(text, 'z', sizeof(text));
	chip.busy_polls = 1000000; /* busy while the ring fills */
	uart16550_write("0123456789abcdef", 16, false);
	uart16550_write(text, sizeof(text), false);
	chip.busy_polls = 0;
	chip.busy = 1;
	deliver_interrupts();
	assert_int_equal(chip.sent, 16 + sizeof(text));
}

/* A cause that never goes away must not keep the handler in its loop, and there must be a new edge for it. */
static void test_interrupt_storm_is_bounded(void **state)
{
	(void)state;
	uart16550_enable_interrupts();
	chip.stuck = true;
	chip.edges = 0;
	uart16550_interrupt();
	assert_true(chip.status_reads < 10000);
	assert_int_equal(chip.edges, 2);
}

/* A transmitter that is slow, and somebody who types while a writer waits for it. */
static void test_typing_while_the_ring_is_full(void **state)
{
	static char text[UART16550_OUTPUT_SIZE + 2048];
	uint8_t byte;

	(void)state;
	uart16550_enable_interrupts();
	memset(text, 'o', sizeof(text));
	uart16550_write_raw((const uint8_t *)text, UART16550_OUTPUT_SIZE);
	receive("typed");
	uart16550_write_raw((const uint8_t *)text, 1024);
	/* It is out of the receiver before the writer came back, so that there is room for more. */
	assert_int_equal(chip.received_head, chip.received_tail);
	for (const char *expected = "typed"; *expected != '\0'; expected++) {
		assert_true(uart16550_read(&byte));
		assert_int_equal(byte, *expected);
	}
	assert_false(uart16550_read(&byte));
	chip.edges = 1;
	deliver_interrupts();
	assert_int_equal(chip.sent, UART16550_OUTPUT_SIZE + 1024);
	assert_int_equal(chip.overruns, 0);
}

/* Lines in a row, with interrupts off, while somebody types more than the receiver holds. */
static void test_typing_between_lines(void **state)
{
	uint8_t byte;
	unsigned count = 0;

	(void)state;
	uart16550_enable_interrupts();
	for (unsigned line = 0; line < 10; line++) {
		receive("eight ch");
		uart16550_write("a line of the log\n", 18, false);
	}
	assert_int_equal(chip.overruns, 0);
	assert_true(uart16550_interrupt());
	while (uart16550_read(&byte))
		count++;
	assert_int_equal(count, 80);
}

static void test_collecting_by_hand(void **state)
{
	uint8_t byte;

	(void)state;
	uart16550_enable_interrupts();
	receive("ab");
	uart16550_collect();
	assert_int_equal(chip.received_head, chip.received_tail);
	/* The edge came all the same; its handler tells that something waits. */
	assert_true(uart16550_interrupt());
	assert_true(uart16550_read(&byte) && byte == 'a');
	assert_true(uart16550_read(&byte) && byte == 'b');
	assert_false(uart16550_interrupt());
}

static unsigned room_calls;
static void count_room(void) { room_calls++; }

static void test_the_hook_tells_of_room_once(void **state)
{
	static char text[UART16550_OUTPUT_SIZE];

	(void)state;
	memset(text, 'x', sizeof(text));
	room_calls = 0;
	uart16550_set_room_hook(count_room);
	uart16550_enable_interrupts();
	uart16550_write_raw((const uint8_t *)text, 1000);
	deliver_interrupts();
	assert_int_equal(room_calls, 0);
	for (unsigned i = 1; i <= 3; i++) {
		uart16550_write_raw((const uint8_t *)text, UART16550_OUTPUT_SIZE);
		deliver_interrupts();
		assert_int_equal(room_calls, i);
	}
	uart16550_set_room_hook(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_init, set_up),
		cmocka_unit_test_setup(test_detection, set_up),
		cmocka_unit_test_setup(test_polled_output, set_up),
		cmocka_unit_test_setup(test_no_fifo, set_up),
		cmocka_unit_test_setup(test_interrupt_output, set_up),
		cmocka_unit_test_setup(test_full_ring_loses_nothing, set_up),
		cmocka_unit_test_setup(test_synchronous_keeps_order, set_up),
		cmocka_unit_test_setup(test_flush, set_up),
		cmocka_unit_test_setup(test_input, set_up),
		cmocka_unit_test_setup(test_input_overflow, set_up),
		cmocka_unit_test_setup(test_dead_uart_does_not_hang, set_up),
		cmocka_unit_test_setup(test_instant_transmitter, set_up),
		cmocka_unit_test_setup(test_interrupt_storm_is_bounded, set_up),
		cmocka_unit_test_setup(test_typing_while_the_ring_is_full, set_up),
		cmocka_unit_test_setup(test_typing_between_lines, set_up),
		cmocka_unit_test_setup(test_collecting_by_hand, set_up),
		cmocka_unit_test_setup(test_the_hook_tells_of_room_once, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
