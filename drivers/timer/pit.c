/* Channel 2 of the programmable interval timer, polled. Intel 8254 data sheet, "Mode 0: Interrupt on Terminal Count". */
#include "drivers/timer/reference_clock.h"

#include "arch/x86/insn.h"

#define PORT_CHANNEL_2 0x42u
#define PORT_CONTROL 0x43u
#define PORT_SYSTEM_CONTROL 0x61u
#define CONTROL_CHANNEL_2_MODE_0 0xb0u /* low byte, then high byte; binary */
#define SYSTEM_GATE_2 0x01u
#define SYSTEM_SPEAKER 0x02u
#define SYSTEM_OUT_2 0x20u

#define PIT_FREQUENCY 1193182ull /* [Hz] */
#define PIT_COUNT 11932u         /* 10 ms */
#define NANOSECONDS_PER_SECOND 1000000000ull

static void start(uint8_t system_control)
{
	insn_out8(PORT_SYSTEM_CONTROL, (uint8_t)((system_control & ~SYSTEM_SPEAKER) | SYSTEM_GATE_2));
	insn_out8(PORT_CONTROL, CONTROL_CHANNEL_2_MODE_0);
	insn_out8(PORT_CHANNEL_2, PIT_COUNT & 0xff);
	insn_out8(PORT_CHANNEL_2, PIT_COUNT >> 8);
}

static enum status wait_for_output(uint64_t *ticks)
{
	uint64_t tsc = insn_rdtsc();

	/* The output is low from the control word on; where it is not there is no timer. */
	if ((insn_in8(PORT_SYSTEM_CONTROL) & SYSTEM_OUT_2) != 0)
		return STATUS_TIMEOUT;
	for (uint64_t polls = 0; polls < REFERENCE_CLOCK_MAX_POLLS; polls++) {
		bool done = (insn_in8(PORT_SYSTEM_CONTROL) & SYSTEM_OUT_2) != 0;

		*ticks = insn_rdtsc() - tsc;
		if (*ticks > REFERENCE_CLOCK_MAX_TICKS)
			return STATUS_TIMEOUT;
		if (done)
			return *ticks > 0 ? STATUS_OK : STATUS_TIMEOUT;
	}
	return STATUS_TIMEOUT;
}

static enum status measure(uint64_t *ticks, uint64_t *nanoseconds)
{
	uint8_t system_control = insn_in8(PORT_SYSTEM_CONTROL);
	enum status status;

	start(system_control);
	status = wait_for_output(ticks);
	insn_out8(PORT_SYSTEM_CONTROL, (uint8_t)(system_control & ~(SYSTEM_SPEAKER | SYSTEM_GATE_2)));
	*nanoseconds = PIT_COUNT * NANOSECONDS_PER_SECOND / PIT_FREQUENCY;
	return status;
}

/* Nothing tells whether there is one; measure() finds out. */
static bool available(void)
{
	return true;
}

const struct reference_clock reference_clock_pit = {"PIT", available, measure};
