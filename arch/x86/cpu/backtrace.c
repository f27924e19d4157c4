#include "arch/x86/cpu/backtrace.h"

#include "arch/x86/cpu/gdt.h"
#include "arch/x86/cpu/stack.h"
#include "arch/x86/cpu/symbols.h"
#include "arch/x86/log.h"
#include "arch/x86/pcpu.h"

#define LINE_SIZE 128u

/* What a function's prologue leaves at RBP. */
struct frame {
	uint64_t caller_frame_pointer;
	uint64_t return_address;
};

unsigned backtrace_walk(uint64_t frame_pointer, uint64_t low, uint64_t high, uint64_t *addresses, unsigned limit)
{
	unsigned count = 0;

	while (count < limit && is_aligned(frame_pointer, sizeof(uint64_t)) && frame_pointer >= low &&
	       frame_pointer < high && high - frame_pointer >= sizeof(struct frame)) {
		const struct frame *frame = (const struct frame *)(uintptr_t)frame_pointer;

		if (frame->return_address == 0)
			break;
		addresses[count++] = frame->return_address;
		low = frame_pointer + sizeof(struct frame);
		frame_pointer = frame->caller_frame_pointer;
	}
	return count;
}

static void print_address(const char *what, uint64_t address)
{
	char text[LINE_SIZE];

	symbols_print(symbols_table(), address, text, sizeof(text));
	log_error("  %s %s", what, text);
}

void backtrace_print(uint64_t rip, uint64_t frame_pointer)
{
	uint64_t addresses[BACKTRACE_MAX_FRAMES];
	const struct pcpu *pcpu = pcpu_current();
	uint64_t high = gdt_find_interrupt_stack(pcpu, frame_pointer), low = high - GDT_INTERRUPT_STACK_SIZE;
	unsigned count;

	if (high == 0) {
		high = pcpu->stack_top;
		low = high - CPU_STACK_SIZE;
	}
	log_error("backtrace:");
	print_address("at  ", rip);
	count = backtrace_walk(frame_pointer, low, high, addresses, BACKTRACE_MAX_FRAMES);
	/* One less, since a call that does not come back may be the last instruction of its function. */
	for (unsigned i = 0; i < count; i++)
		print_address("from", addresses[i] - 1);
}
