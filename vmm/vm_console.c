#include "vmm/vm_console.h"

#include "lib/string.h"

/* Heads and tails run freely and are masked on use, so that full and empty differ. */
_Static_assert((VM_CONSOLE_OUTPUT_SIZE & (VM_CONSOLE_OUTPUT_SIZE - 1)) == 0, "a power of two");
_Static_assert((VM_CONSOLE_INPUT_SIZE & (VM_CONSOLE_INPUT_SIZE - 1)) == 0, "a power of two");

static void (*output_hook)(void);

void vm_console_set_output_hook(void (*hook)(void))
{
	output_hook = hook;
}

void vm_console_init(struct vm_console *console)
{
	memset(console, 0, sizeof(*console));
}

bool vm_console_output_has_room(struct vm_console *console)
{
	bool room;

	spinlock_lock(&console->lock);
	room = console->output_head - console->output_tail < VM_CONSOLE_OUTPUT_SIZE;
	spinlock_unlock(&console->lock);
	return room;
}

bool vm_console_put(struct vm_console *console, uint8_t byte)
{
	uint32_t used;

	spinlock_lock(&console->lock);
	used = console->output_head - console->output_tail;
	if (used < VM_CONSOLE_OUTPUT_SIZE) {
		console->output[console->output_head & (VM_CONSOLE_OUTPUT_SIZE - 1)] = byte;
		__atomic_store_n(&console->output_head, console->output_head + 1, __ATOMIC_RELEASE);
		console->output_total++;
	}
	spinlock_unlock(&console->lock);
	if (used == 0 && output_hook != NULL)
		output_hook();
	return used < VM_CONSOLE_OUTPUT_SIZE;
}

bool vm_console_get_input(struct vm_console *console, uint8_t *byte)
{
	bool got;

	spinlock_lock(&console->lock);
	got = console->input_head != console->input_tail;
	if (got)
		*byte = console->input[console->input_tail++ & (VM_CONSOLE_INPUT_SIZE - 1)];
	spinlock_unlock(&console->lock);
	return got;
}

bool vm_console_has_input(struct vm_console *console)
{
	bool has;

	spinlock_lock(&console->lock);
	has = console->input_head != console->input_tail;
	spinlock_unlock(&console->lock);
	return has;
}

/* The UART model takes its device lock in there and comes back to the rings, so no lock may be held. */
static void notify_model(struct vm_console *console)
{
	if (console->notify != NULL)
		console->notify(console->notify_context);
}

size_t vm_console_take(struct vm_console *console, uint8_t *buffer, size_t size)
{
	size_t taken = 0;
	bool was_full;

	spinlock_lock(&console->lock);
	was_full = console->output_head - console->output_tail == VM_CONSOLE_OUTPUT_SIZE;
	while (taken < size && console->output_tail != console->output_head)
		buffer[taken++] = console->output[console->output_tail++ & (VM_CONSOLE_OUTPUT_SIZE - 1)];
	spinlock_unlock(&console->lock);
	if (was_full && taken != 0)
		notify_model(console);
	return taken;
}

size_t vm_console_type(struct vm_console *console, const uint8_t *bytes, size_t size)
{
	size_t typed = 0;

	spinlock_lock(&console->lock);
	while (typed < size && console->input_head - console->input_tail < VM_CONSOLE_INPUT_SIZE)
		console->input[console->input_head++ & (VM_CONSOLE_INPUT_SIZE - 1)] = bytes[typed++];
	spinlock_unlock(&console->lock);
	if (typed != 0)
		notify_model(console);
	return typed;
}

bool vm_console_has_output(const struct vm_console *console)
{
	return __atomic_load_n(&console->output_head, __ATOMIC_ACQUIRE) !=
	       __atomic_load_n(&console->output_tail, __ATOMIC_RELAXED);
}
