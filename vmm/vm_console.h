/*
 * The far end of a VM's COM1: what the guest sends waits here until the host's console has shown it, what the user types
 * waits here until the guest reads it. Two rings, own lock; no device lock needed.
 */
#pragma once

#include "arch/x86/spinlock.h"
#include "lib/types.h"

#define VM_CONSOLE_OUTPUT_SIZE 8192u /* powers of two */
#define VM_CONSOLE_INPUT_SIZE 1024u

struct vm_console {
	struct spinlock lock; /* protects all below */
	uint32_t output_head, output_tail;
	uint32_t input_head, input_tail;
	uint64_t output_total;
	uint8_t output[VM_CONSOLE_OUTPUT_SIZE];
	uint8_t input[VM_CONSOLE_INPUT_SIZE];
	/* Set by the UART model: called (no lock held) when input arrived or output room came back. May be NULL. */
	void (*notify)(void *context);
	void *notify_context;
};

void vm_console_init(struct vm_console *console);
/* The guest's side. */
bool vm_console_output_has_room(struct vm_console *console);
/** vm_console_put() - a byte from the guest; false when the ring is full (nothing is lost: the caller keeps the byte). */
must_check bool vm_console_put(struct vm_console *console, uint8_t byte);
must_check bool vm_console_get_input(struct vm_console *console, uint8_t *byte);
bool vm_console_has_input(struct vm_console *console);
/* The host's side. */
/** vm_console_take() - up to @size bytes of output; returns how many. */
size_t vm_console_take(struct vm_console *console, uint8_t *buffer, size_t size);
/** vm_console_type() - input for the guest; returns how many bytes fitted. */
size_t vm_console_type(struct vm_console *console, const uint8_t *bytes, size_t size);
/** vm_console_has_output() - something waits to be taken. Takes no lock. */
bool vm_console_has_output(const struct vm_console *console);
/** vm_console_set_output_hook() - @hook is called (any CPU, device lock held) when a guest sends into an empty ring. Boot. */
void vm_console_set_output_hook(void (*hook)(void));
