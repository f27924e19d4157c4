/*
 * Takes what is typed at its console by interrupts, while it computes with interrupts now off, now on, and with its timer
 * running: the bytes come in order (a to z, again and again, 'Q' ends it), and no interrupt comes while interrupts are off.
 */
#include "runtime/guest.h"

#include "runtime/apic.h"
#include "runtime/cpu.h"

const char guest_name[] = "typed";

#define TIMER_VECTOR 0x40
#define UART_VECTOR 0x51
#define COM1_PIN 4u
#define RFLAGS_IF 0x200ull

static volatile unsigned bytes, timers, wrong_frames;
static volatile bool ended;
static volatile bool off; /* interrupts are, as the main loop sees it */

static void check_frame(struct guest_frame *frame)
{
	if (off || !(frame->rflags & RFLAGS_IF))
		wrong_frames++;
}

static void on_timer(struct guest_frame *frame)
{
	check_frame(frame);
	timers++;
	wrmsr(MSR_TSC_DEADLINE, rdtsc() + tsc_hertz() / 1000);
	apic_end_of_interrupt();
}

static void on_uart(struct guest_frame *frame)
{
	check_frame(frame);
	while (in8(COM1 + 5) & 1) {
		char byte = (char)in8(COM1);

		if (byte == 'Q') {
			ended = true;
			continue;
		}
		guest_check(byte == (char)('a' + bytes % 26), "byte %u is %c", bytes, byte);
		bytes++;
	}
	in8(COM1 + 2);
	apic_end_of_interrupt();
}

static void compute(unsigned rounds)
{
	for (volatile unsigned i = 0; i < rounds; i++)
		;
}

void guest_main(void)
{
	pic_init(0x20, 0);
	apic_enable(false);
	guest_handle(TIMER_VECTOR, on_timer);
	guest_handle(UART_VECTOR, on_uart);
	io_apic_route(COM1_PIN, UART_VECTOR);
	guest_print("typed: ready\n");
	out8(COM1 + 2, 0x01);
	out8(COM1 + 4, 0x0b);
	out8(COM1 + 1, 0x01);
	apic_write(APIC_LVT_TIMER, TIMER_VECTOR | LVT_TIMER_DEADLINE);
	wrmsr(MSR_TSC_DEADLINE, rdtsc() + tsc_hertz() / 1000);
	for (unsigned round = 0; !ended; round++) {
		off = true;
		compute(round % 400);
		if (round % 16 == 0)
			cpuid(0, 0);
		off = false;
		if (round % 64 == 63) {
			wait_for_interrupt();
			continue;
		}
		interrupts_on();
		compute(round % 300);
		interrupts_off();
	}
	out8(COM1 + 1, 0);
	guest_check(wrong_frames == 0, "%u interrupts came while they were off", wrong_frames);
	guest_check(timers > 10, "%u timer interrupts", timers);
	guest_print("typed: %u bytes, %u timer interrupts\n", bytes, timers);
}
