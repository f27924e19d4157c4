/*
 * The serial line: a 16550 UART or one of its successors, 8N1. Texas Instruments TL16C550D data sheet.
 * One line per machine. Output goes through a ring that the transmitter interrupt drains, or by polling as long as
 * interrupts are not enabled; no byte is lost while the UART answers. A UART that stops answering loses its output
 * instead of hanging the host.
 */
#pragma once

#include "arch/x86/log.h"
#include "lib/status.h"
#include "lib/types.h"

#define UART16550_OUTPUT_SIZE 8192u /* of the output ring [bytes] */
#define UART16550_INPUT_SIZE 1024u

/** uart16550_log_sink - "serial"; for log_add_sink() after uart16550_init(). Writes as uart16550_write(). */
extern struct log_sink uart16550_log_sink;

/**
 * uart16550_init() - finds out whether a UART answers at @port and sets it up: @baud 8N1, FIFOs on, DTR, RTS and OUT2
 * on, no interrupt enabled.
 * @port: 0x3f8, 0x2f8, 0x3e8, 0x2e8 or any other port base. @baud: 50..115200, a divisor of 115200.
 * Context: boot, one CPU; may be called again for another port.
 * Return: STATUS_OK; STATUS_INVALID (@baud); STATUS_NOT_FOUND (nothing answers): output is then discarded.
 */
must_check enum status uart16550_init(uint16_t port, uint32_t baud);
/** uart16550_is_available() - uart16550_init() succeeded. uart16550_port(): which one, 0 if none. */
bool uart16550_is_available(void);
uint16_t uart16550_port(void);

/**
 * uart16550_enable_interrupts() - from now on the caller calls uart16550_interrupt() whenever the UART's line (ISA IRQ 4
 * for 0x3f8 and 0x3e8, 3 for 0x2f8 and 0x2e8) fires; the line is routed and its handler registered already.
 */
void uart16550_enable_interrupts(void);
/**
 * uart16550_interrupt() - serves all causes: collects input, sends from the ring. Interrupts off. The caller ends the interrupt.
 * Return: whether input waits to be read.
 */
bool uart16550_interrupt(void);
/**
 * uart16550_set_room_hook() - @hook is called from uart16550_interrupt(), once each time that the output ring, having been
 * more than half full, no longer is. Boot; NULL: nobody.
 */
void uart16550_set_room_hook(void (*hook)(void));

/**
 * uart16550_write() - text, with '\n' sent as "\r\n". Any CPU, interrupts off.
 * @synchronous: the ring and then @text are sent by polling without taking the lock; for panics.
 */
void uart16550_write(const char *text, size_t size, bool synchronous);
/** uart16550_write_raw() - bytes as they are. Spins while the ring is full; ask uart16550_output_room() first to avoid that. */
void uart16550_write_raw(const uint8_t *bytes, size_t size);
/** uart16550_output_room() - bytes that can be written now without waiting. */
size_t uart16550_output_room(void);
/** uart16550_flush() - sends all that waits, by polling; for the way to power-off and reset. */
void uart16550_flush(void);

/**
 * uart16550_collect() - takes what was received into the ring, in the midst of work with interrupts off, in which the receiver
 * would overrun: the hook of long_work.h. Any CPU, any lock held; waits for nobody.
 */
void uart16550_collect(void);

/** uart16550_read() - the oldest byte received, from the ring or (without interrupts) the UART; false: none. */
must_check bool uart16550_read(uint8_t *byte);
