/*
 * COM1: a 16550A whose line is the VM's console. Bytes leave at once while the console has room; without room they stay
 * in the transmitter, which then is not empty, so that a guest waits as it would for a slow line.
 * National Semiconductor PC16550D, "Registers" and "FIFO Interrupt Mode Operation".
 */
#include "vmm/dev/port_device.h"
#include "vmm/platform.h"
#include "vmm/vm.h"

#include "lib/bits.h"

#define FIFO_SIZE 16u

enum uart_register {
	UART_DATA, UART_IER, UART_IIR_FCR, UART_LCR, UART_MCR, UART_LSR, UART_MSR, UART_SCRATCH, UART_REGISTER_COUNT,
};

#define IER_RECEIVED 0x01u
#define IER_THR_EMPTY 0x02u
#define IER_LINE_STATUS 0x04u
#define IER_MODEM_STATUS 0x08u
#define IER_MASK 0x0fu

#define IIR_MODEM_STATUS 0x00u
#define IIR_NONE 0x01u
#define IIR_THR_EMPTY 0x02u
#define IIR_RECEIVED 0x04u
#define IIR_LINE_STATUS 0x06u
#define IIR_TIMEOUT 0x0cu
#define IIR_FIFO_ON 0xc0u

#define FCR_ENABLE 0x01u
#define FCR_CLEAR_RECEIVER 0x02u
#define FCR_CLEAR_TRANSMITTER 0x04u

#define LCR_DLAB 0x80u

#define MCR_DTR 0x01u
#define MCR_RTS 0x02u
#define MCR_OUT1 0x04u
#define MCR_OUT2 0x08u
#define MCR_LOOP 0x10u
#define MCR_MASK 0x1fu

#define LSR_DATA_READY 0x01u
#define LSR_OVERRUN 0x02u
#define LSR_ERRORS 0x1eu
#define LSR_THR_EMPTY 0x20u
#define LSR_TRANSMITTER_EMPTY 0x40u

#define MSR_DELTAS 0x0fu
#define MSR_RING_ENDED 0x04u
#define MSR_CTS 0x10u
#define MSR_DSR 0x20u
#define MSR_RI 0x40u
#define MSR_DCD 0x80u

struct uart_fifo {
	uint8_t bytes[FIFO_SIZE];
	uint8_t first, count;
};

struct uart {
	struct io_device device;
	struct uart_fifo receiver, transmitter;
	uint8_t ier, fcr, lcr, mcr, msr, scratch;
	uint8_t divisor_low, divisor_high;
	uint8_t errors;            /* LSR_ERRORS, until LSR is read */
	bool thr_empty_pending;    /* THR became empty, and neither IIR nor THR was touched since */
	bool line;                 /* level of the interrupt line */
	uint64_t lost;             /* bytes that the guest sent too fast */
};

static struct uart *uart_from_device(struct io_device *device)
{
	return container_of(device, struct uart, device);
}

static unsigned fifo_capacity(const struct uart *uart)
{
	return uart->fcr & FCR_ENABLE ? FIFO_SIZE : 1;
}

static void fifo_put(struct uart_fifo *fifo, uint8_t byte)
{
	fifo->bytes[(fifo->first + fifo->count++) % FIFO_SIZE] = byte;
}

static uint8_t fifo_take(struct uart_fifo *fifo)
{
	uint8_t byte = fifo->bytes[fifo->first];

	fifo->first = (fifo->first + 1) % FIFO_SIZE;
	fifo->count--;
	return byte;
}

static unsigned receiver_trigger(const struct uart *uart)
{
	static const uint8_t levels[] = {1, 4, 8, 14};

	return uart->fcr & FCR_ENABLE ? levels[uart->fcr >> 6] : 1;
}

/* The pending interrupt of the highest priority, as IIR names it. */
static uint8_t uart_interrupt(const struct uart *uart)
{
	if (uart->ier & IER_LINE_STATUS && uart->errors != 0)
		return IIR_LINE_STATUS;
	/* Nothing more is on its way, so the time-out that reports less than a full load needs no waiting. */
	if (uart->ier & IER_RECEIVED && uart->receiver.count != 0)
		return uart->receiver.count >= receiver_trigger(uart) ? IIR_RECEIVED : IIR_TIMEOUT;
	if (uart->ier & IER_THR_EMPTY && uart->thr_empty_pending)
		return IIR_THR_EMPTY;
	if (uart->ier & IER_MODEM_STATUS && uart->msr & MSR_DELTAS)
		return IIR_MODEM_STATUS;
	return IIR_NONE;
}

/* In a PC the interrupt reaches the bus through a gate that OUT2 opens; loopback cuts the pin off. */
static void uart_update_line(struct uart *uart)
{
	bool gate = (uart->mcr & (MCR_OUT2 | MCR_LOOP)) == MCR_OUT2;
	bool line = gate && uart_interrupt(uart) != IIR_NONE;

	if (line == uart->line)
		return;
	uart->line = line;
	irq_line_set(uart->device.vm, PLATFORM_UART_LINE, line);
}

static void uart_receive(struct uart *uart, uint8_t byte)
{
	if (uart->receiver.count >= fifo_capacity(uart)) {
		uart->errors |= LSR_OVERRUN;
		return;
	}
	fifo_put(&uart->receiver, byte);
}

/* Takes no more from the console than fits, so that nothing typed is lost. */
static void uart_refill(struct uart *uart)
{
	uint8_t byte;

	if (uart->mcr & MCR_LOOP)
		return;
	while (uart->receiver.count < fifo_capacity(uart) && vm_console_get_input(&uart->device.vm->console, &byte))
		fifo_put(&uart->receiver, byte);
}

static void uart_drain(struct uart *uart)
{
	if (uart->transmitter.count == 0)
		return;
	while (uart->transmitter.count != 0) {
		if (!vm_console_put(&uart->device.vm->console, uart->transmitter.bytes[uart->transmitter.first]))
			return;
		(void)fifo_take(&uart->transmitter);
	}
	uart->thr_empty_pending = true;
}

/* A guest that does not look at LSR loses what does not fit, as on the chip; said once, then counted. */
static void uart_lose(struct uart *uart)
{
	if (uart->lost++ == 0)
		log_warning("vm %s: COM1: the guest does not wait for its transmitter, so some of its output is lost",
			    uart->device.vm->config->name);
}

static void uart_transmit(struct uart *uart, uint8_t byte)
{
	uart->thr_empty_pending = false;
	if (uart->mcr & MCR_LOOP) {
		uart_receive(uart, byte);
		uart->thr_empty_pending = true;
		return;
	}
	if (uart->transmitter.count < fifo_capacity(uart))
		fifo_put(&uart->transmitter, byte);
	else
		uart_lose(uart);
	uart_drain(uart);
}

/* The modem lines: of the far end, which is always ready, or in loopback our own outputs. */
static void uart_update_modem(struct uart *uart)
{
	uint8_t old = uart->msr, lines = MSR_CTS | MSR_DSR | MSR_DCD, changed;

	if (uart->mcr & MCR_LOOP)
		lines = (uint8_t)((uart->mcr & MCR_RTS ? MSR_CTS : 0) | (uart->mcr & MCR_DTR ? MSR_DSR : 0) |
				  (uart->mcr & MCR_OUT1 ? MSR_RI : 0) | (uart->mcr & MCR_OUT2 ? MSR_DCD : 0));
	changed = (old ^ lines) >> 4;
	/* The ring indicator tells only its end. */
	if (lines & MSR_RI)
		changed &= (uint8_t)~MSR_RING_ENDED;
	uart->msr = (uint8_t)(lines | (old & MSR_DELTAS) | changed);
}

static uint8_t uart_line_status(struct uart *uart)
{
	uint8_t status = uart->errors;

	if (uart->receiver.count != 0)
		status |= LSR_DATA_READY;
	if (uart->transmitter.count == 0)
		status |= LSR_THR_EMPTY | LSR_TRANSMITTER_EMPTY;
	uart->errors = 0;
	return status;
}

static uint8_t uart_read_data(struct uart *uart)
{
	uint8_t byte = 0;

	if (uart->receiver.count != 0)
		byte = fifo_take(&uart->receiver);
	if (uart->receiver.count == 0)
		uart_refill(uart);
	return byte;
}

static uint8_t uart_read_interrupt(struct uart *uart)
{
	uint8_t interrupt = uart_interrupt(uart);

	if (interrupt == IIR_THR_EMPTY)
		uart->thr_empty_pending = false;
	return uart->fcr & FCR_ENABLE ? interrupt | IIR_FIFO_ON : interrupt;
}

static uint8_t uart_read_modem(struct uart *uart)
{
	uint8_t modem = uart->msr;

	uart->msr &= (uint8_t)~MSR_DELTAS;
	return modem;
}

static uint8_t uart_read_register(struct uart *uart, enum uart_register number)
{
	bool divisor = uart->lcr & LCR_DLAB;

	switch (number) {
	case UART_DATA: return divisor ? uart->divisor_low : uart_read_data(uart);
	case UART_IER: return divisor ? uart->divisor_high : uart->ier;
	case UART_IIR_FCR: return uart_read_interrupt(uart);
	case UART_LCR: return uart->lcr;
	case UART_MCR: return uart->mcr;
	case UART_LSR: return uart_line_status(uart);
	case UART_MSR: return uart_read_modem(uart);
	default: return uart->scratch;
	}
}

static uint8_t uart_read8(struct io_device *device, uint64_t offset)
{
	struct uart *uart = uart_from_device(device);
	uint8_t value = uart_read_register(uart, (enum uart_register)offset);

	uart_update_line(uart);
	return value;
}

static void uart_write_ier(struct uart *uart, uint8_t value)
{
	/* Allowing the interrupt while THR is empty raises it, which is how drivers get the first one. */
	if (value & ~uart->ier & IER_THR_EMPTY && uart->transmitter.count == 0)
		uart->thr_empty_pending = true;
	uart->ier = value & IER_MASK;
}

static void uart_write_fcr(struct uart *uart, uint8_t value)
{
	bool toggled = (value ^ uart->fcr) & FCR_ENABLE;

	if (toggled || value & FCR_CLEAR_RECEIVER)
		uart->receiver.count = 0;
	if ((toggled || value & FCR_CLEAR_TRANSMITTER) && uart->transmitter.count != 0) {
		uart->transmitter.count = 0;
		uart->thr_empty_pending = true;
	}
	/* The other bits count only together with the enable bit. */
	uart->fcr = value & FCR_ENABLE ? value & (uint8_t)(BITS(7, 6) | FCR_ENABLE) : 0;
	uart_refill(uart);
}

static void uart_write_mcr(struct uart *uart, uint8_t value)
{
	uart->mcr = value & MCR_MASK;
	uart_update_modem(uart);
	uart_refill(uart);
}

static void uart_write_register(struct uart *uart, enum uart_register number, uint8_t value)
{
	bool divisor = uart->lcr & LCR_DLAB;

	switch (number) {
	case UART_DATA:
		if (divisor)
			uart->divisor_low = value;
		else
			uart_transmit(uart, value);
		break;
	case UART_IER:
		if (divisor)
			uart->divisor_high = value;
		else
			uart_write_ier(uart, value);
		break;
	case UART_IIR_FCR: uart_write_fcr(uart, value); break;
	case UART_LCR: uart->lcr = value; break;
	case UART_MCR: uart_write_mcr(uart, value); break;
	case UART_SCRATCH: uart->scratch = value; break;
	default: break; /* LSR and MSR are read-only outside factory tests */
	}
}

static void uart_write8(struct io_device *device, uint64_t offset, uint8_t value)
{
	struct uart *uart = uart_from_device(device);

	uart_write_register(uart, (enum uart_register)offset, value);
	uart_update_line(uart);
}

static enum status uart_read(struct io_device *device, struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t *value)
{
	(void)vcpu;
	return port_read_bytes(device, offset, size, value, uart_read8);
}

static enum status uart_write(struct io_device *device, struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t value)
{
	(void)vcpu;
	return port_write_bytes(device, offset, size, value, uart_write8);
}

/* From the console's side, on any CPU: something was typed or the ring has room again. */
static void uart_notify(void *context)
{
	struct uart *uart = context;

	spinlock_lock(&uart->device.vm->device_lock);
	uart_drain(uart);
	uart_refill(uart);
	uart_update_line(uart);
	spinlock_unlock(&uart->device.vm->device_lock);
}

static void uart_reset(struct io_device *device)
{
	struct uart *uart = uart_from_device(device);

	/* What was sent before the reset is on the wire already. */
	uart->mcr = 0;
	uart_drain(uart);
	uart->receiver = uart->transmitter = (struct uart_fifo){0};
	uart->ier = uart->fcr = uart->lcr = uart->scratch = uart->errors = 0;
	uart->divisor_low = uart->divisor_high = 0;
	uart->thr_empty_pending = false;
	uart->msr = MSR_CTS | MSR_DSR | MSR_DCD;
	uart_update_line(uart);
}

static void uart_destroy(struct io_device *device)
{
	device->vm->console.notify = NULL;
}

static void uart_describe(struct io_device *device, void (*print)(const char *format, ...))
{
	struct uart *uart = uart_from_device(device);

	print("COM1 at 0x%x: IER 0x%x, IIR 0x%x, LCR 0x%x, MCR 0x%x, %u bytes received, %u to send, %llu lost, line %u %s\n",
	      PLATFORM_UART_PORT, uart->ier, uart_interrupt(uart), uart->lcr, uart->mcr, uart->receiver.count,
	      uart->transmitter.count, (unsigned long long)uart->lost, PLATFORM_UART_LINE, uart->line ? "up" : "down");
}

extern const struct io_device_class uart_16550_class;

static enum status uart_create(struct vm *vm, struct io_device **device)
{
	static const struct io_ops ops = {.read = uart_read, .write = uart_write};
	static const struct port_range range = {PLATFORM_UART_PORT, UART_REGISTER_COUNT, &ops, "COM1"};
	enum status status = port_device_create(vm, &uart_16550_class, sizeof(struct uart), &range, 1, device);

	if (status != STATUS_OK)
		return status;
	vm->console.notify = uart_notify;
	vm->console.notify_context = uart_from_device(*device);
	return STATUS_OK;
}

const struct io_device_class uart_16550_class = {
	.name = "uart_16550",
	.order = 20,
	.create = uart_create,
	.reset = uart_reset,
	.destroy = uart_destroy,
	.describe = uart_describe,
};
IO_DEVICE_CLASS(uart_16550_class);
