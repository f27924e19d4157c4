/*
 * The 8254 timer and port 0x61, which holds channel 2's gate and shows its output. Nothing ticks: a counter is a start
 * time, and what a guest reads is worked out from the clock. Intel 8254 data sheet, "Mode Definitions" and "Read
 * Operations".
 */
#include "vmm/dev/port_device.h"
#include "vmm/platform.h"
#include "vmm/tick_ratio.h"
#include "vmm/vcpu_timer.h"
#include "vmm/vm.h"

#include "arch/x86/clock.h"
#include "lib/bits.h"

#define CHANNEL_COUNT 3u
#define CHANNEL_IRQ 0u
#define CHANNEL_REFRESH 1u
#define CHANNEL_SPEAKER 2u
#define PORT_CONTROL 3u

/* Control word. */
#define CONTROL_READ_BACK 3u
#define READ_BACK_NO_COUNT BIT(5)
#define READ_BACK_NO_STATUS BIT(4)

#define STATUS_OUTPUT 0x80u
#define STATUS_NULL_COUNT 0x40u

/* Port 0x61. */
#define SYSTEM_GATE 0x01u
#define SYSTEM_SPEAKER 0x02u
#define SYSTEM_WRITABLE 0x0fu
#define SYSTEM_REFRESH 0x10u
#define SYSTEM_OUTPUT 0x20u
#define REFRESH_TICKS 18u /* a refresh cycle every 15 microseconds */

/* Interrupts come no closer than 50 microseconds, so that a guest cannot keep a CPU busy with its timer. */
#define INTERRUPT_GAP_TICKS 60u

enum access { ACCESS_LATCH, ACCESS_LOW, ACCESS_HIGH, ACCESS_BOTH };
enum mode { MODE_TERMINAL_COUNT, MODE_ONE_SHOT, MODE_RATE, MODE_SQUARE, MODE_SOFTWARE_STROBE, MODE_HARDWARE_STROBE };

struct channel {
	uint64_t start;      /* PIT tick at which counting (re)started */
	uint64_t held;       /* ticks counted when the gate stopped it */
	uint32_t period;     /* count written, 1..65536 */
	uint8_t control;     /* access, mode and BCD bits as written, for the status byte */
	enum access access;
	enum mode mode;
	bool bcd, gate;
	bool loaded;         /* a full count was written since the control word */
	bool running;        /* loaded, and where the mode needs it triggered; else the output rests */
	bool high_byte_next_write, high_byte_next_read;
	uint8_t low_byte;    /* written, waits for the high byte */
	uint8_t latched_bytes; /* of latched_count still to read */
	bool status_latched;
	uint8_t latched_status;
	uint16_t latched_count;
};

struct pit {
	struct io_device device;
	uint64_t epoch;      /* TSC at PIT tick 0 */
	uint64_t ratio, ratio_back;
	struct channel channels[CHANNEL_COUNT];
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

static bool mode_is_periodic(enum mode mode)
{
	return mode == MODE_RATE || mode == MODE_SQUARE;
}

/* Modes that a rising gate starts, rather than the count's arrival. */
static bool mode_is_triggered(enum mode mode)
{
	return mode == MODE_ONE_SHOT || mode == MODE_HARDWARE_STROBE;
}

static uint64_t channel_elapsed(const struct channel *channel, uint64_t now)
{
	if (!channel->gate && !mode_is_triggered(channel->mode))
		return channel->held;
	return now - channel->start;
}

static uint32_t channel_position(const struct channel *channel, uint64_t elapsed)
{
	/* The short division is several times faster, and enough for an hour. */
	if (likely(elapsed >> 32 == 0))
		return (uint32_t)elapsed % channel->period;
	return (uint32_t)(elapsed % channel->period);
}

static bool channel_output(const struct channel *channel, uint64_t now)
{
	uint64_t elapsed;

	if (!channel->running)
		return channel->mode != MODE_TERMINAL_COUNT;
	if (!channel->gate && mode_is_periodic(channel->mode))
		return true;
	elapsed = channel_elapsed(channel, now);
	switch (channel->mode) {
	case MODE_RATE: return channel_position(channel, elapsed) != channel->period - 1;
	case MODE_SQUARE: return channel_position(channel, elapsed) < (channel->period + 1) / 2;
	case MODE_SOFTWARE_STROBE:
	case MODE_HARDWARE_STROBE: return elapsed != channel->period;
	default: return elapsed >= channel->period;
	}
}

static uint16_t bcd_from_binary(uint32_t value)
{
	return (uint16_t)(value % 10 | value / 10 % 10 << 4 | value / 100 % 10 << 8 | value / 1000 % 10 << 12);
}

/* Digits above 9 count as they would on the chip, whose decades simply start higher. */
static uint32_t binary_from_bcd(uint32_t value)
{
	return (value & 0xf) + (value >> 4 & 0xf) * 10 + (value >> 8 & 0xf) * 100 + (value >> 12 & 0xf) * 1000;
}

static uint16_t channel_count(const struct channel *channel, uint64_t now)
{
	uint64_t elapsed = channel->running ? channel_elapsed(channel, now) : 0;
	uint32_t count;

	if (channel->mode == MODE_RATE)
		count = channel->period - channel_position(channel, elapsed);
	else if (channel->mode == MODE_SQUARE) /* counts by two, twice through each period */
		count = channel->period - channel_position(channel, elapsed * 2);
	else /* runs on through zero */
		count = channel->period - (uint32_t)elapsed;
	if (likely(!channel->bcd))
		return (uint16_t)count;
	if (!mode_is_periodic(channel->mode))
		count = (uint32_t)((channel->period + 10000 - elapsed % 10000) % 10000);
	return bcd_from_binary(count);
}

/* The PIT tick of the next rising edge of the output after @now; UINT64_MAX if there is none. */
static uint64_t channel_next_edge(const struct channel *channel, uint64_t now)
{
	uint64_t elapsed, edge;

	if (!channel->running || !channel->gate)
		return UINT64_MAX;
	elapsed = now - channel->start;
	if (mode_is_periodic(channel->mode))
		return now + channel->period - channel_position(channel, elapsed);
	edge = channel->start + channel->period;
	/* A strobe is low for one tick and rises behind it. */
	if (channel->mode == MODE_SOFTWARE_STROBE || channel->mode == MODE_HARDWARE_STROBE)
		edge++;
	return edge > now ? edge : UINT64_MAX;
}

static void pit_arm(struct pit *pit, uint64_t now)
{
	pit->next_edge = channel_next_edge(&pit->channels[CHANNEL_IRQ], now);
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

static void pit_channel_changed(struct pit *pit, struct channel *channel, uint64_t now)
{
	if (channel == &pit->channels[CHANNEL_IRQ])
		pit_arm(pit, now);
}

static void channel_load(struct pit *pit, struct channel *channel, uint16_t value)
{
	uint64_t now = pit_now(pit);

	channel->period = channel->bcd ? binary_from_bcd(value) : value;
	if (channel->period == 0)
		channel->period = channel->bcd ? 10000 : 65536;
	channel->loaded = true;
	/* In the triggered modes the gate starts the count; on the way it goes on with the old one. */
	if (!mode_is_triggered(channel->mode)) {
		channel->running = true;
		channel->start = now;
		channel->held = 0;
	}
	pit_channel_changed(pit, channel, now);
}

static void channel_write(struct pit *pit, struct channel *channel, uint8_t value)
{
	switch (channel->access) {
	case ACCESS_LOW:
		channel_load(pit, channel, value);
		return;
	case ACCESS_HIGH:
		channel_load(pit, channel, (uint16_t)(value << 8));
		return;
	default:
		break;
	}
	if (channel->high_byte_next_write) {
		channel->high_byte_next_write = false;
		channel_load(pit, channel, (uint16_t)(value << 8 | channel->low_byte));
		return;
	}
	channel->high_byte_next_write = true;
	channel->low_byte = value;
	if (channel->mode == MODE_TERMINAL_COUNT) {
		/* The first byte stops the counter and takes the output down. */
		channel->running = false;
		pit_channel_changed(pit, channel, pit_now(pit));
	}
}

static uint8_t channel_read_latched(struct channel *channel)
{
	uint8_t value = (uint8_t)channel->latched_count;

	channel->latched_count >>= 8;
	channel->latched_bytes--;
	return value;
}

static uint8_t channel_read(struct pit *pit, struct channel *channel)
{
	uint16_t count;

	if (channel->status_latched) {
		channel->status_latched = false;
		return channel->latched_status;
	}
	if (channel->latched_bytes != 0)
		return channel_read_latched(channel);
	count = channel_count(channel, pit_now(pit));
	if (channel->access == ACCESS_LOW)
		return (uint8_t)count;
	if (channel->access == ACCESS_HIGH)
		return (uint8_t)(count >> 8);
	channel->high_byte_next_read = !channel->high_byte_next_read;
	return (uint8_t)(channel->high_byte_next_read ? count : count >> 8);
}

/* A count that is latched already stays until it was read. */
static void channel_latch_count(struct channel *channel, uint64_t now)
{
	uint16_t count;

	if (channel->latched_bytes != 0)
		return;
	count = channel_count(channel, now);
	channel->latched_count = channel->access == ACCESS_HIGH ? count >> 8 : count;
	channel->latched_bytes = channel->access == ACCESS_BOTH ? 2 : 1;
}

static void channel_latch_status(struct channel *channel, uint64_t now)
{
	if (channel->status_latched)
		return;
	channel->status_latched = true;
	channel->latched_status = (uint8_t)(channel->control | (channel_output(channel, now) ? STATUS_OUTPUT : 0) |
					    (channel->loaded ? 0 : STATUS_NULL_COUNT));
}

static void pit_read_back(struct pit *pit, uint8_t command)
{
	uint64_t now = pit_now(pit);

	for (unsigned i = 0; i < CHANNEL_COUNT; i++) {
		if ((command >> (i + 1) & 1) == 0)
			continue;
		if ((command & READ_BACK_NO_COUNT) == 0)
			channel_latch_count(&pit->channels[i], now);
		if ((command & READ_BACK_NO_STATUS) == 0)
			channel_latch_status(&pit->channels[i], now);
	}
}

static void pit_write_control(struct pit *pit, uint8_t value)
{
	unsigned number = value >> 6, mode = value >> 1 & 7;
	struct channel *channel;

	if (number == CONTROL_READ_BACK) {
		pit_read_back(pit, value);
		return;
	}
	channel = &pit->channels[number];
	if ((value >> 4 & 3) == ACCESS_LATCH) {
		channel_latch_count(channel, pit_now(pit));
		return;
	}
	channel->control = value & 0x3f;
	channel->access = (enum access)(value >> 4 & 3);
	channel->mode = (enum mode)(mode > MODE_HARDWARE_STROBE ? mode - 4 : mode); /* 6 and 7 mean 2 and 3 */
	channel->bcd = value & 1;
	channel->loaded = channel->running = false;
	channel->high_byte_next_write = channel->high_byte_next_read = false;
	channel->latched_bytes = 0;
	channel->status_latched = false;
	pit_channel_changed(pit, channel, pit_now(pit));
}

static void channel_set_gate(struct channel *channel, bool gate, uint64_t now)
{
	if (gate == channel->gate)
		return;
	if (!gate) {
		channel->held = now - channel->start;
	} else if (channel->mode == MODE_TERMINAL_COUNT || channel->mode == MODE_SOFTWARE_STROBE) {
		channel->start = now - channel->held;
	} else {
		channel->start = now;
		channel->running = channel->loaded;
	}
	channel->gate = gate;
}

static uint8_t system_control_read(struct pit *pit)
{
	uint64_t now = pit_now(pit);
	uint8_t value = pit->system_control;

	if (channel_output(&pit->channels[CHANNEL_SPEAKER], now))
		value |= SYSTEM_OUTPUT;
	if (now / REFRESH_TICKS & 1)
		value |= SYSTEM_REFRESH;
	return value;
}

static enum status pit_read(struct io_device *device, struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t *value)
{
	struct pit *pit = pit_from_device(device);

	(void)vcpu;
	*value = 0;
	for (unsigned byte = 0; byte < size; byte++) {
		uint64_t port = offset + byte;
		/* The control word cannot be read. */
		uint8_t part = port < CHANNEL_COUNT ? channel_read(pit, &pit->channels[port]) : 0xff;

		*value |= (uint64_t)part << (8 * byte);
	}
	return STATUS_OK;
}

static void pit_write8(struct io_device *device, uint64_t offset, uint8_t value)
{
	struct pit *pit = pit_from_device(device);

	if (offset == PORT_CONTROL)
		pit_write_control(pit, value);
	else
		channel_write(pit, &pit->channels[offset], value);
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
	channel_set_gate(&pit->channels[CHANNEL_SPEAKER], value & SYSTEM_GATE, pit_now(pit));
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
	for (unsigned i = 0; i < CHANNEL_COUNT; i++) {
		pit->channels[i] = (struct channel){
			.period = 65536, .access = ACCESS_BOTH, .mode = MODE_SQUARE, .control = 0x36, .gate = i != CHANNEL_SPEAKER,
		};
	}
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
		const struct channel *channel = &pit->channels[i];

		print("8254 channel %u: mode %u, period %u ticks, count 0x%x, %s, gate %u, output %u\n", i, channel->mode,
		      channel->period, channel_count(channel, now), channel->running ? "counting" : "resting", channel->gate,
		      channel_output(channel, now));
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
