#include "drivers/serial/uart16550.h"

#include "arch/x86/insn.h"
#include "arch/x86/pcpu.h"
#include "arch/x86/spinlock.h"
#include "lib/bits.h"

/* Registers, as offsets from the port base. */
enum {
	UART_DATA = 0,             /* RBR, THR; divisor low with DLAB */
	UART_INTERRUPT_ENABLE = 1, /* IER; divisor high with DLAB */
	UART_INTERRUPT_ID = 2,     /* IIR (read), FCR (write) */
	UART_FIFO_CONTROL = 2,
	UART_LINE_CONTROL = 3,
	UART_MODEM_CONTROL = 4,
	UART_LINE_STATUS = 5,
	UART_MODEM_STATUS = 6,
	UART_SCRATCH = 7,
};

#define IER_RECEIVED 0x01u
#define IER_TRANSMIT_EMPTY 0x02u
#define IER_LINE_STATUS 0x04u
#define IIR_NONE 0x01u
#define IIR_FIFO_ON 0xc0u
#define FCR_ON_AND_CLEAR 0x07u /* receive trigger at 1 byte: typing must be seen at once */
#define LCR_8N1 0x03u
#define LCR_DLAB 0x80u
#define MCR_DTR 0x01u
#define MCR_RTS 0x02u
#define MCR_OUT2 0x08u /* gates the interrupt line on PCs */
#define MCR_LOOP 0x10u
#define LSR_DATA_READY 0x01u
#define LSR_TRANSMIT_EMPTY 0x20u /* THRE: room for a whole FIFO */
#define LSR_ALL_SENT 0x40u       /* TEMT */
#define LSR_NO_DEVICE 0xffu
#define MSR_LOOPED_INPUTS 0xf0u
#define MSR_LOOPED_CTS_DCD 0x90u /* what RTS and OUT2 come back as */

#define BAUD_BASE 115200u
#define BAUD_MIN 50u
#define FIFO_SIZE 16u
/* A read of the line status takes about 1 microsecond; one FIFO of 16 bytes at 115200 baud takes 1.4 ms. */
#define SPIN_LIMIT ((uint64_t)1 << 20)
#define SETTLE_POLLS ((uint64_t)1 << 16)
#define INTERRUPT_CAUSES_MAX 64u
#define INPUT_BURST_MAX 64u

static struct {
	struct spinlock lock; /* protects all below but port and available, and the UART's registers */
	uint16_t port;
	bool available;
	bool interrupts;
	bool stalled; /* did not answer in time: is not waited for until it does */
	bool was_above_half; /* the output ring, since the hook was called last */
	uint8_t interrupt_enable; /* what IER holds */
	unsigned burst; /* bytes that fit when THRE is set */
	uint64_t spin_limit;
	/* Free-running indices; byte i is at i modulo the size, a power of two. */
	uint32_t output_head, output_tail, input_head, input_tail;
	uint8_t output[UART16550_OUTPUT_SIZE];
	uint8_t input[UART16550_INPUT_SIZE];
} uart;

static void (*room_hook)(void); /* set at boot */

static uint8_t uart_read(unsigned offset)
{
	return insn_in8((uint16_t)(uart.port + offset));
}

static void uart_write(unsigned offset, uint8_t value)
{
	insn_out8((uint16_t)(uart.port + offset), value);
}

/* Either the scratch register keeps what it is given, or the modem lines come back in loop mode. */
static bool answers(void)
{
	bool scratch, loop;

	if (uart_read(UART_LINE_STATUS) == LSR_NO_DEVICE)
		return false;
	/* What the loader wrote last is still on its way, and would be lost. */
	for (uint64_t i = 0; i < SETTLE_POLLS && (uart_read(UART_LINE_STATUS) & LSR_ALL_SENT) == 0; i++)
		insn_pause();
	uart_write(UART_SCRATCH, 0x5a);
	scratch = uart_read(UART_SCRATCH) == 0x5a;
	uart_write(UART_SCRATCH, 0xa5);
	scratch = scratch && uart_read(UART_SCRATCH) == 0xa5;

	uart_write(UART_MODEM_CONTROL, MCR_LOOP | MCR_OUT2 | MCR_RTS);
	loop = (uart_read(UART_MODEM_STATUS) & MSR_LOOPED_INPUTS) == MSR_LOOPED_CTS_DCD;
	uart_write(UART_MODEM_CONTROL, MCR_DTR | MCR_RTS | MCR_OUT2);
	return scratch || loop;
}

static void set_up_line(unsigned divisor)
{
	uart_write(UART_INTERRUPT_ENABLE, 0);
	uart_write(UART_LINE_CONTROL, LCR_DLAB | LCR_8N1);
	uart_write(UART_DATA, (uint8_t)divisor);
	uart_write(UART_INTERRUPT_ENABLE, (uint8_t)(divisor >> 8));
	uart_write(UART_LINE_CONTROL, LCR_8N1);
	uart_write(UART_FIFO_CONTROL, FCR_ON_AND_CLEAR);
	uart_write(UART_MODEM_CONTROL, MCR_DTR | MCR_RTS | MCR_OUT2);
	uart.burst = (uart_read(UART_INTERRUPT_ID) & IIR_FIFO_ON) == IIR_FIFO_ON ? FIFO_SIZE : 1;
}

enum status uart16550_init(uint16_t port, uint32_t baud)
{
	unsigned divisor;

	uart.available = false;
	if (baud < BAUD_MIN || baud > BAUD_BASE || BAUD_BASE % baud != 0)
		return STATUS_INVALID;
	divisor = BAUD_BASE / baud;
	uart.port = port;
	uart.interrupts = false;
	uart.stalled = uart.was_above_half = false;
	uart.interrupt_enable = 0;
	uart.output_head = uart.output_tail = uart.input_head = uart.input_tail = 0;
	uart.spin_limit = SPIN_LIMIT * max_u64(1, divisor / 4);
	if (!answers())
		return STATUS_NOT_FOUND;
	set_up_line(divisor);
	uart.available = true;
	return STATUS_OK;
}

bool uart16550_is_available(void)
{
	return uart.available;
}

uint16_t uart16550_port(void)
{
	return uart.available ? uart.port : 0;
}

static uint32_t output_used(void)
{
	uint32_t used = uart.output_head - uart.output_tail;

	/* A panic writes without the lock; a CPU that it interrupted may then move the tail beyond the head. */
	return used <= UART16550_OUTPUT_SIZE ? used : 0;
}

/* A byte was received: into the ring, or lost if that is full, as in the UART itself. */
static void take_input_byte(void)
{
	uint8_t byte = uart_read(UART_DATA);

	if (uart.input_head - uart.input_tail < UART16550_INPUT_SIZE)
		uart.input[uart.input_head++ % UART16550_INPUT_SIZE] = byte;
}

/* What is typed meanwhile would overrun the receiver, since sending one FIFO takes as long as receiving one. */
static bool wait_for(uint8_t line_status)
{
	uint64_t limit = uart.stalled ? 1 : uart.spin_limit;

	for (uint64_t i = 0; i < limit; i++) {
		uint8_t status = uart_read(UART_LINE_STATUS);

		if ((status & LSR_DATA_READY) != 0)
			take_input_byte();
		if ((status & line_status) != 0) {
			uart.stalled = false;
			pcpu_note_progress();
			return true;
		}
		insn_pause();
	}
	uart.stalled = true;
	return false;
}

/* THRE is set: fills the FIFO. */
static void send_burst(void)
{
	for (unsigned i = 0; i < uart.burst && output_used() > 0; i++)
		uart_write(UART_DATA, uart.output[uart.output_tail++ % UART16550_OUTPUT_SIZE]);
}

/* Sends the whole ring by polling; what a stalled UART does not take is lost. */
static void drain(void)
{
	while (output_used() > 0) {
		if (!wait_for(LSR_TRANSMIT_EMPTY)) {
			uart.output_tail = uart.output_head;
			return;
		}
		send_burst();
	}
}

static void put_byte(uint8_t byte)
{
	if (output_used() == UART16550_OUTPUT_SIZE) {
		if (!wait_for(LSR_TRANSMIT_EMPTY))
			return;
		send_burst();
	}
	uart.output[uart.output_head++ % UART16550_OUTPUT_SIZE] = byte;
	uart.was_above_half |= output_used() > UART16550_OUTPUT_SIZE / 2;
}

static void put_text(const char *text, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		if (text[i] == '\n')
			put_byte('\r');
		put_byte((uint8_t)text[i]);
	}
}

static void set_interrupt_enable(uint8_t value)
{
	if (uart.interrupt_enable == value)
		return;
	uart.interrupt_enable = value;
	uart_write(UART_INTERRUPT_ENABLE, value);
}

static void collect_input(void)
{
	for (unsigned i = 0; i < INPUT_BURST_MAX && (uart_read(UART_LINE_STATUS) & LSR_DATA_READY) != 0; i++)
		take_input_byte();
}

/* The ring may hold new bytes: sends what fits now and leaves the rest to the interrupt. */
static void start_output(void)
{
	if (!uart.interrupts) {
		drain();
		return;
	}
	/* Many lines in a row leave no time for the interrupt, while the receiver overruns. */
	collect_input();
	if ((uart_read(UART_LINE_STATUS) & LSR_TRANSMIT_EMPTY) != 0) {
		uart.stalled = false;
		send_burst();
	}
	if (output_used() > 0)
		set_interrupt_enable(uart.interrupt_enable | IER_TRANSMIT_EMPTY);
}

void uart16550_enable_interrupts(void)
{
	if (!uart.available)
		return;
	spinlock_lock(&uart.lock);
	uart.interrupts = true;
	collect_input();
	set_interrupt_enable(IER_RECEIVED | IER_LINE_STATUS);
	start_output();
	spinlock_unlock(&uart.lock);
}

static void serve_transmitter(void)
{
	if ((uart_read(UART_LINE_STATUS) & LSR_TRANSMIT_EMPTY) == 0)
		return;
	uart.stalled = false;
	send_burst();
	if (output_used() == 0)
		set_interrupt_enable((uint8_t)(uart.interrupt_enable & ~IER_TRANSMIT_EMPTY));
}

/* False if causes are left: a FIFO that empties at once, as in emulators, or a UART that is broken. */
static bool serve_causes(void)
{
	for (unsigned i = 0; i < INTERRUPT_CAUSES_MAX; i++) {
		if ((uart_read(UART_INTERRUPT_ID) & IIR_NONE) != 0)
			return true;
		collect_input();
		(void)uart_read(UART_MODEM_STATUS);
		serve_transmitter();
	}
	return false;
}

void uart16550_set_room_hook(void (*hook)(void))
{
	room_hook = hook;
}

/* The line is edge-triggered: it must go low, so causes are served until none is left, or else it is lowered here. */
static bool interrupt_locked(bool *has_room)
{
	if (!serve_causes()) {
		uart_write(UART_INTERRUPT_ENABLE, 0);
		uart_write(UART_INTERRUPT_ENABLE, uart.interrupt_enable);
	}
	*has_room = uart.was_above_half && output_used() <= UART16550_OUTPUT_SIZE / 2;
	if (*has_room)
		uart.was_above_half = false;
	return uart.input_head != uart.input_tail;
}

bool uart16550_interrupt(void)
{
	bool has_room, has_input;

	if (!uart.available)
		return false;
	spinlock_lock(&uart.lock);
	has_input = interrupt_locked(&has_room);
	spinlock_unlock(&uart.lock);
	if (has_room && room_hook != NULL)
		room_hook();
	return has_input;
}

void uart16550_write(const char *text, size_t size, bool synchronous)
{
	if (!uart.available)
		return;
	if (synchronous) {
		put_text(text, size);
		drain();
		(void)wait_for(LSR_ALL_SENT);
		return;
	}
	spinlock_lock(&uart.lock);
	put_text(text, size);
	start_output();
	spinlock_unlock(&uart.lock);
}

void uart16550_write_raw(const uint8_t *bytes, size_t size)
{
	if (!uart.available)
		return;
	spinlock_lock(&uart.lock);
	for (size_t i = 0; i < size; i++)
		put_byte(bytes[i]);
	start_output();
	spinlock_unlock(&uart.lock);
}

size_t uart16550_output_room(void)
{
	size_t room;

	spinlock_lock(&uart.lock);
	room = UART16550_OUTPUT_SIZE - output_used();
	spinlock_unlock(&uart.lock);
	return room;
}

void uart16550_flush(void)
{
	if (!uart.available)
		return;
	spinlock_lock(&uart.lock);
	drain();
	(void)wait_for(LSR_ALL_SENT);
	spinlock_unlock(&uart.lock);
}

void uart16550_collect(void)
{
	/* Who has the lock for long waits for the transmitter, and collects as well. */
	if (!uart.available || !spinlock_try_lock(&uart.lock))
		return;
	collect_input();
	spinlock_unlock(&uart.lock);
}

bool uart16550_read(uint8_t *byte)
{
	bool found;

	if (!uart.available)
		return false;
	spinlock_lock(&uart.lock);
	if (!uart.interrupts)
		collect_input();
	found = uart.input_head != uart.input_tail;
	if (found)
		*byte = uart.input[uart.input_tail++ % UART16550_INPUT_SIZE];
	spinlock_unlock(&uart.lock);
	return found;
}

struct log_sink uart16550_log_sink = {.name = "serial", .write = uart16550_write};
