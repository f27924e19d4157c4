/*
 * The 8254 timer and port 0x61, which holds channel 2's gate and shows its output. Nothing ticks: a counter is a start
 * time, and what a guest reads is worked out from the clock. Intel 8254 data sheet, "Programming the 8254".
 */
#include "vmm/dev/pit_counter.h"
#include "vmm/dev/port_device.h"
#include "vmm/platform.h"
#include "vmm/tick_ratio.h"
#include "vmm/vcpu_timer.h"
#include "vmm/vm.h"

#include "arch/x86/clock.h"
#include "lib/bits.h"

#define CHANNEL_COUNT 3u
#define CHANNEL_IRQ 0u
#define CHANNEL_SPEAKER 2u
#define PORT_CONTROL 3u

/* Control word. */
#define CONTROL_READ_BACK 3u
#define READ_BACK_NO_COUNT BIT(5)
#define READ_BACK_NO_STATUS BIT(4)

/* Port 0x61. */
#define SYSTEM_GATE 0x01u
#define SYSTEM_WRITABLE 0x0fu
#define SYSTEM_REFRESH 0x10u
#define SYSTEM_OUTPUT 0x20u
#define REFRESH_TICKS 18u /* a refresh cycle every 15 microseconds */

/* Interrupts come no closer than 50 microseconds, so that a guest cannot keep a CPU busy with its timer. */
#define INTERRUPT_GAP_TICKS 60u

struct pit {
	struct io_device device;
	uint64_t epoch;      /* TSC at PIT tick 0 */
	uint64_t ratio, ratio_back;
	struct pit_counter counters[CHANNEL_COUNT];
	uint8_t system_control;
	struct vcpu_timer timer;
	uint64_t next_edge;  /* PIT tick for which the timer is armed */
};

static struct pit *pit_from_device(struct io_device *device)
{
	return container_of(device, struct pit, device);
}

static uint64_t pit_now(const struct pit *pit)
{
	return tick_convert(clock_now() - pit->epoch, pit->ratio);
}

static void pit_arm(struct pit *pit, uint64_t now)
{
	pit->next_edge = pit_counter_next_edge(&pit->counters[CHANNEL_IRQ], now);
	if (pit->next_edge == UINT64_MAX) {
		vcpu_timer_cancel(&pit->timer);
		return;
	}
	vcpu_timer_arm(&pit->timer, pit->epoch + tick_convert_back(pit->next_edge, pit->ratio_back));
}

/* Edges that went by while the guest did not run are one interrupt, as for a guest that had interrupts off. */
static void pit_expire(struct vcpu_timer *timer)
{
	struct pit *pit = container_of(timer, struct pit, timer);
	uint64_t now = max_u64(pit_now(pit), pit->next_edge);

	irq_line_pulse(pit->device.vm, PLATFORM_PIT_LINE);
	pit_arm(pit, now + INTERRUPT_GAP_TICKS - 1);
}

static void pit_counter_changed(struct pit *pit, unsigned number)
{
	if (number == CHANNEL_IRQ)
		pit_arm(pit, pit_now(pit));
}

static void pit_read_back(struct pit *pit, uint8_t command)
{
	uint64_t now = pit_now(pit);

	for (unsigned i = 0; i < CHANNEL_COUNT; i++) {
		if ((command >> (i + 1) & 1) == 0)
			continue;
		if ((command & READ_BACK_NO_COUNT) == 0)
			pit_counter_latch_count(&pit->counters[i], now);
		if ((command & READ_BACK_NO_STATUS) == 0)
			pit_counter_latch_status(&pit->counters[i], now);
	}
}

static void pit_write_control(struct pit *pit, uint8_t value)
{
	unsigned number = value >> 6;

	if (number == CONTROL_READ_BACK) {
		pit_read_back(pit, value);
		return;
	}
	if ((value >> 4 & 3) == PIT_ACCESS_LATCH) {
		pit_counter_latch_count(&pit->counters[number], pit_now(pit));
		return;
	}
	pit_counter_control(&pit->counters[number], value);
	pit_counter_changed(pit, number);
}

static uint8_t system_control_read(struct pit *pit)
{
	uint64_t now = pit_now(pit);
	uint8_t value = pit->system_control;

	if (pit_counter_output(&pit->counters[CHANNEL_SPEAKER], now))
		value |= SYSTEM_OUTPUT;
	if (now / REFRESH_TICKS & 1)
		value |= SYSTEM_REFRESH;
	return value;
}

static uint8_t pit_read8(struct io_device *device, uint64_t offset)
{
	struct pit *pit = pit_from_device(device);

	/* The control word cannot be read. */
	return likely(offset < CHANNEL_COUNT) ? pit_counter_read(&pit->counters[offset], pit_now(pit)) : 0xff;
}

static enum status pit_read(struct io_device *device, struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t *value)
{
	(void)vcpu;
	return port_read_bytes(device, offset, size, value, pit_read8);
}

static void pit_write8(struct io_device *device, uint64_t offset, uint8_t value)
{
	struct pit *pit = pit_from_device(device);

	if (offset == PORT_CONTROL) {
		pit_write_control(pit, value);
		return;
	}
	pit_counter_write(&pit->counters[offset], pit_now(pit), value);
	pit_counter_changed(pit, (unsigned)offset);
}

static enum status pit_write(struct io_device *device, struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t value)
{
	(void)vcpu;
	return port_write_bytes(device, offset, size, value, pit_write8);
}

static enum status system_read(struct io_device *device, struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t *value)
{
	(void)vcpu, (void)offset, (void)size;
	*value = system_control_read(pit_from_device(device));
	return STATUS_OK;
}

static enum status system_write(struct io_device *device, struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t value)
{
	struct pit *pit = pit_from_device(device);

	(void)vcpu, (void)offset, (void)size;
	pit->system_control = value & SYSTEM_WRITABLE;
	pit_counter_set_gate(&pit->counters[CHANNEL_SPEAKER], value & SYSTEM_GATE, pit_now(pit));
	return STATUS_OK;
}

static void pit_reset(struct io_device *device)
{
	struct pit *pit = pit_from_device(device);

	vcpu_timer_cancel(&pit->timer);
	pit->epoch = clock_now();
	pit->ratio = tick_ratio(PLATFORM_PIT_HZ, clock_tsc_frequency);
	pit->ratio_back = tick_ratio_back(clock_tsc_frequency, PLATFORM_PIT_HZ);
	pit->system_control = 0;
	for (unsigned i = 0; i < CHANNEL_COUNT; i++)
		pit_counter_reset(&pit->counters[i], i != CHANNEL_SPEAKER);
}

static void pit_destroy(struct io_device *device)
{
	vcpu_timer_cancel(&pit_from_device(device)->timer);
}

static void pit_describe(struct io_device *device, void (*print)(const char *format, ...))
{
	struct pit *pit = pit_from_device(device);
	uint64_t now = pit_now(pit);

	for (unsigned i = 0; i < CHANNEL_COUNT; i++) {
		const struct pit_counter *counter = &pit->counters[i];

		print("8254 channel %u: mode %u, period %u ticks, count 0x%x, %s, gate %u, output %u\n", i, counter->mode,
		      counter->period, pit_counter_value(counter, now), counter->running ? "counting" : "resting", counter->gate,
		      pit_counter_output(counter, now));
	}
}

extern const struct io_device_class pit_8254_class;

static enum status pit_create(struct vm *vm, struct io_device **device)
{
	static const struct io_ops ops = {.read = pit_read, .write = pit_write};
	static const struct io_ops system_ops = {.read = system_read, .write = system_write};
	static const struct port_range ranges[] = {
		{PLATFORM_PIT_PORT, 4, &ops, "8254 timer"},
		{PLATFORM_SYSTEM_CONTROL_PORT, 1, &system_ops, "system control B"},
	};
	enum status status = port_device_create(vm, &pit_8254_class, sizeof(struct pit), ranges, array_count(ranges), device);
	struct pit *pit;

	if (status != STATUS_OK)
		return status;
	pit = pit_from_device(*device);
	vcpu_timer_init(&pit->timer, vm->vcpus[0], pit_expire);
	return STATUS_OK;
}

const struct io_device_class pit_8254_class = {
	.name = "pit_8254",
	.order = 21,
	.create = pit_create,
	.reset = pit_reset,
	.destroy = pit_destroy,
	.describe = pit_describe,
};
IO_DEVICE_CLASS(pit_8254_class);
