/*
 * The host's console: one serial line, shared by the shell, the log and the consoles of all VMs.
 *
 * Not attached, what is typed goes to the shell, and guests' output appears in whole lines as `(NAME) text`. Attached
 * to a VM, its output goes to the line byte by byte and what is typed goes to its COM1, except Ctrl-], which comes back.
 * The log's lines appear in either state; the prompt, if shown, is taken away for them and drawn again.
 */
#pragma once

#include "lib/status.h"
#include "lib/types.h"

struct vm;

#define CONSOLE_MUX_DETACH_KEY 0x1du /* Ctrl-] */
#define CONSOLE_MUX_PROMPT_SIZE 192u

/* The serial line; the functions of drivers/serial/uart16550.h fit as they are. Any CPU, interrupts off. */
struct console_port {
	/* The next byte received; false if there is none. */
	bool (*read)(uint8_t *byte);
	/* Bytes that write_raw() takes now without waiting. */
	size_t (*room)(void);
	/* Text, with '\n' sent as "\r\n"; waits while there is no room. @synchronous: takes no lock (panic). */
	void (*write)(const char *text, size_t size, bool synchronous);
	void (*write_raw)(const uint8_t *bytes, size_t size);
	/* Guests' output waits while there is less room than this [bytes], so that it goes out in bursts: who owns the port calls
	 * for console_mux_poll() when there is so much again. */
	size_t burst;
};

/**
 * console_mux_init() - takes over the serial line and adds itself to the log as its sink, instead of the driver's own.
 * What was logged before is shown at once. Boot, one CPU.
 * @port: lent forever; NULL if the machine has no serial console: then guests' lines go to the other sinks only.
 */
void console_mux_init(const struct console_port *port);
/** console_mux_set_shell() - who gets what is typed while no VM is attached. @attached(false): the console is the shell's again. */
void console_mux_set_shell(void (*input)(uint8_t byte), void (*attached)(bool attached));

/**
 * console_mux_poll() - moves what was typed and what guests sent, as much as fits, without waiting. Boot processor,
 * interrupts off, no lock held; runs shell commands.
 * Return: true if something was moved, so that there may be more (call again soon). What waits for room on the line is
 * moved when there is room for a burst: poll again then.
 */
bool console_mux_poll(void);
/**
 * console_mux_next_poll() - host TSC until which guests' output need not be looked for, since there was some just now: so a
 * guest that sends byte by byte costs little. Whoever polls comes back then. Any CPU.
 */
uint64_t console_mux_next_poll(void);
/** console_mux_has_output() - a guest has sent something that was not shown yet. Cheap, for the idle loop; boot processor. */
bool console_mux_has_output(void);

/** console_mux_attach() - the console is @vm's from now on. STATUS_UNSUPPORTED: no serial line. Boot processor. */
must_check enum status console_mux_attach(struct vm *vm);
void console_mux_detach(void);
struct vm *console_mux_attached(void);
/**
 * console_mux_flush() - shows all that @vm has sent, a line without end included, waiting for the line; for the way from
 * a VM's end to the log's line about it. Boot processor, no lock held.
 */
void console_mux_flush(struct vm *vm);
/** console_mux_forget() - the same, and lets go of @vm. Called before vm_destroy() frees it. */
void console_mux_forget(struct vm *vm);

/**
 * console_mux_set_prompt() - what stands in the last line while the shell waits for input, drawn at once.
 * @text: @size <= CONSOLE_MUX_PROMPT_SIZE bytes, copied; size 0: nothing stands there any more (it is left as it is).
 * @cursor: column where the cursor stands, from 0, <= @size.
 */
void console_mux_set_prompt(const char *text, size_t size, size_t cursor);
/** console_mux_write() - bytes to the line as they are, by the shell's editor (bells, line ends). */
void console_mux_write(const char *bytes, size_t size);
