/*
 * The MC146818 clock with its CMOS memory. The guest's clock is the machine's plus an offset that the guest's own
 * setting of it makes. Nothing ticks: flags are worked out when they are looked at, and a timer runs only while the
 * guest wants an interrupt. Motorola MC146818A data sheet; ACPI Specification, "CENTURY" in the FADT.
 */
#include "vmm/dev/port_device.h"
#include "vmm/dev/rtc_calendar.h"
#include "vmm/platform.h"
#include "vmm/tick_ratio.h"
#include "vmm/vcpu_timer.h"
#include "vmm/vm.h"
#include "vmm/wall_clock.h"

#include "arch/x86/clock.h"

enum { PORT_INDEX, PORT_DATA, PORT_COUNT };

/* Memory sizes as firmware leaves them. */
#define CMOS_BASE_MEMORY 0x15u          /* [KiB], 16 bits */
#define CMOS_EXTENDED_MEMORY 0x17u      /* above 1 MiB [KiB], 16 bits; again at 0x30 */
#define CMOS_EXTENDED_MEMORY_COPY 0x30u
#define CMOS_MEMORY_ABOVE_16M 0x34u     /* [64 KiB], 16 bits */
#define CMOS_MEMORY_ABOVE_4G 0x5bu      /* [64 KiB], 24 bits */
#define CMOS_SIZE 128u

#define A_UPDATE_IN_PROGRESS 0x80u
#define A_DIVIDER_ON 0x20u
#define A_RATE 0x0fu
#define B_SET 0x80u
#define B_PERIODIC 0x40u
#define B_ALARM 0x20u
#define B_UPDATE 0x10u
#define C_INTERRUPT 0x80u
#define C_FLAGS 0x70u /* where B has the matching enable bits */
#define D_VALID 0x80u

#define OSCILLATOR_HZ 32768u
/* The bit is up from 244 microseconds before the update until its end, 1984 microseconds later. */
#define UPDATES_PER_SECOND 448u

struct rtc {
	struct io_device device;
	struct vcpu_timer timer;
	bool line;
	uint8_t index;
	int64_t offset;         /* the guest's clock minus the machine's [s]; survives a reset */
	uint8_t memory[CMOS_SIZE]; /* clock registers hold values only while B_SET stops the clock */
	uint64_t epoch, ratio, ratio_back; /* of the oscillator */
	uint64_t last_second;   /* up to which alarm and update flags were worked out */
	uint64_t last_period;
};

static struct rtc *rtc_from_device(struct io_device *device)
{
	return container_of(device, struct rtc, device);
}

static uint64_t rtc_seconds(const struct rtc *rtc)
{
	return wall_clock_now() + (uint64_t)rtc->offset;
}

static uint64_t rtc_oscillator(const struct rtc *rtc)
{
	return tick_convert(clock_now() - rtc->epoch, rtc->ratio);
}

/* Oscillator ticks per periodic interrupt, as a shift; 0 means off. Rates 1 and 2 repeat 8 and 9. */
static unsigned rtc_period_shift(const struct rtc *rtc)
{
	unsigned rate = rtc->memory[RTC_A] & A_RATE;

	if (rate == 0)
		return 0;
	return rate < 3 ? rate + 6 : rate - 1;
}

/* Makes what stands in the registers the guest's time. */
static void rtc_load_time(struct rtc *rtc)
{
	rtc->offset = (int64_t)(rtc_calendar_load(rtc->memory) - wall_clock_now());
	rtc->last_second = rtc_seconds(rtc);
}

static bool rtc_is_counting(const struct rtc *rtc)
{
	return (rtc->memory[RTC_B] & B_SET) == 0;
}

/* Sets in C what has happened since the last look. */
static void rtc_update_flags(struct rtc *rtc)
{
	unsigned shift = rtc_period_shift(rtc);
	uint64_t now = rtc_seconds(rtc);

	if (rtc_is_counting(rtc) && now > rtc->last_second) {
		rtc->memory[RTC_C] |= B_UPDATE;
		if (rtc_calendar_alarm_passed(rtc->memory, rtc->last_second, now))
			rtc->memory[RTC_C] |= B_ALARM;
		rtc->last_second = now;
	}
	if (shift != 0 && rtc_oscillator(rtc) >> shift != rtc->last_period) {
		rtc->memory[RTC_C] |= B_PERIODIC;
		rtc->last_period = rtc_oscillator(rtc) >> shift;
	}
}

/* TSC at which the next interrupt that the guest asked for may be due; UINT64_MAX if none is. */
static uint64_t rtc_next_deadline(const struct rtc *rtc)
{
	uint64_t deadline = UINT64_MAX, now = clock_now();
	unsigned shift = rtc_period_shift(rtc);

	if (rtc->memory[RTC_B] & B_PERIODIC && shift != 0)
		deadline = rtc->epoch + tick_convert_back((rtc->last_period + 1) << shift, rtc->ratio_back);
	if (rtc->memory[RTC_B] & (B_UPDATE | B_ALARM) && rtc_is_counting(rtc))
		deadline = min_u64(deadline, now + clock_tsc_frequency - wall_clock_read().ticks);
	return deadline;
}

static void rtc_arm(struct rtc *rtc, uint64_t deadline)
{
	if (deadline == UINT64_MAX)
		vcpu_timer_cancel(&rtc->timer);
	else
		vcpu_timer_arm(&rtc->timer, deadline);
}

/* An interrupt that was not fetched from C keeps the line up, so that no timer is needed for the next. */
static void rtc_update_interrupt(struct rtc *rtc)
{
	bool line = (rtc->memory[RTC_C] & rtc->memory[RTC_B] & C_FLAGS) != 0;

	rtc->memory[RTC_C] = (uint8_t)((rtc->memory[RTC_C] & C_FLAGS) | (line ? C_INTERRUPT : 0));
	if (line != rtc->line) {
		rtc->line = line;
		irq_line_set(rtc->device.vm, PLATFORM_RTC_LINE, line);
	}
	rtc_arm(rtc, line ? UINT64_MAX : rtc_next_deadline(rtc));
}

static void rtc_expire(struct vcpu_timer *timer)
{
	struct rtc *rtc = container_of(timer, struct rtc, timer);

	rtc_update_flags(rtc);
	rtc_update_interrupt(rtc);
}

static bool rtc_update_in_progress(const struct rtc *rtc)
{
	uint64_t left = clock_tsc_frequency - wall_clock_read().ticks;

	return rtc_is_counting(rtc) && left < clock_tsc_frequency / UPDATES_PER_SECOND;
}

static uint8_t rtc_read_flags(struct rtc *rtc)
{
	uint8_t flags;

	rtc_update_flags(rtc);
	rtc_update_interrupt(rtc);
	flags = rtc->memory[RTC_C];
	rtc->memory[RTC_C] = 0;
	rtc_update_interrupt(rtc);
	return flags;
}

static uint8_t rtc_read_register(struct rtc *rtc, unsigned index)
{
	if (rtc_calendar_has(index) && rtc_is_counting(rtc))
		rtc_calendar_store(rtc->memory, rtc_seconds(rtc));
	switch (index) {
	case RTC_A: return rtc_update_in_progress(rtc) ? rtc->memory[RTC_A] | A_UPDATE_IN_PROGRESS : rtc->memory[RTC_A];
	case RTC_C: return rtc_read_flags(rtc);
	case RTC_D: return D_VALID;
	default: return rtc->memory[index];
	}
}

static void rtc_write_b(struct rtc *rtc, uint8_t value)
{
	bool was_counting = rtc_is_counting(rtc);

	rtc_update_flags(rtc);
	if (was_counting && value & B_SET)
		rtc_calendar_store(rtc->memory, rtc_seconds(rtc));
	/* The bits of number format take effect on the registers as they stand, as on the chip. */
	rtc->memory[RTC_B] = value;
	if (!was_counting && rtc_is_counting(rtc))
		rtc_load_time(rtc);
	if (value & B_SET)
		rtc->memory[RTC_B] &= (uint8_t)~B_UPDATE;
	rtc_update_interrupt(rtc);
}

static void rtc_write_a(struct rtc *rtc, uint8_t value)
{
	unsigned shift;

	rtc_update_flags(rtc);
	rtc->memory[RTC_A] = value & (uint8_t)~A_UPDATE_IN_PROGRESS;
	shift = rtc_period_shift(rtc);
	rtc->last_period = rtc_oscillator(rtc) >> shift;
	rtc_update_interrupt(rtc);
}

static void rtc_write_time(struct rtc *rtc, unsigned index, uint8_t value)
{
	if (!rtc_is_counting(rtc)) {
		rtc->memory[index] = value;
		return;
	}
	rtc_calendar_store(rtc->memory, rtc_seconds(rtc));
	rtc->memory[index] = value;
	rtc_load_time(rtc);
}

static void rtc_write_register(struct rtc *rtc, unsigned index, uint8_t value)
{
	if (rtc_calendar_has(index)) {
		rtc_write_time(rtc, index, value);
		return;
	}
	switch (index) {
	case RTC_A: rtc_write_a(rtc, value); break;
	case RTC_B: rtc_write_b(rtc, value); break;
	case RTC_C:
	case RTC_D: break; /* read-only */
	case RTC_SECONDS_ALARM:
	case RTC_MINUTES_ALARM:
	case RTC_HOURS_ALARM:
		/* What the old alarm has seen is its own. */
		rtc_update_flags(rtc);
		rtc->memory[index] = value;
		break;
	default: rtc->memory[index] = value; break;
	}
}

static uint8_t rtc_read8(struct io_device *device, uint64_t offset)
{
	struct rtc *rtc = rtc_from_device(device);

	/* The index cannot be read. */
	return offset == PORT_INDEX ? 0xff : rtc_read_register(rtc, rtc->index);
}

static void rtc_write8(struct io_device *device, uint64_t offset, uint8_t value)
{
	struct rtc *rtc = rtc_from_device(device);

	if (offset == PORT_INDEX)
		rtc->index = value % CMOS_SIZE; /* bit 7 masks NMIs, of which there are none */
	else
		rtc_write_register(rtc, rtc->index, value);
}

static enum status rtc_read(struct io_device *device, struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t *value)
{
	(void)vcpu;
	return port_read_bytes(device, offset, size, value, rtc_read8);
}

static enum status rtc_write(struct io_device *device, struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t value)
{
	(void)vcpu;
	return port_write_bytes(device, offset, size, value, rtc_write8);
}

static void cmos_store16(struct rtc *rtc, unsigned index, uint64_t value)
{
	value = min_u64(value, 0xffff);
	rtc->memory[index] = (uint8_t)value;
	rtc->memory[index + 1] = (uint8_t)(value >> 8);
}

static void cmos_store_memory_size(struct rtc *rtc)
{
	uint64_t size = rtc->device.vm->memory.size, low = min_u64(size, GUEST_LOW_RAM_END), high = size - low;

	cmos_store16(rtc, CMOS_BASE_MEMORY, 640);
	cmos_store16(rtc, CMOS_EXTENDED_MEMORY, low > MIB ? (low - MIB) / KIB : 0);
	cmos_store16(rtc, CMOS_EXTENDED_MEMORY_COPY, low > MIB ? (low - MIB) / KIB : 0);
	cmos_store16(rtc, CMOS_MEMORY_ABOVE_16M, low > 16 * MIB ? (low - 16 * MIB) / (64 * KIB) : 0);
	cmos_store16(rtc, CMOS_MEMORY_ABOVE_4G, high / (64 * KIB) & 0xffff);
	rtc->memory[CMOS_MEMORY_ABOVE_4G + 2] = (uint8_t)(high / (64 * KIB) >> 16);
}

/* The battery keeps clock and memory through a reset; only the interrupts go. */
static void rtc_reset(struct io_device *device)
{
	struct rtc *rtc = rtc_from_device(device);

	vcpu_timer_cancel(&rtc->timer);
	if (rtc->ratio == 0) {
		rtc->ratio = tick_ratio(OSCILLATOR_HZ, clock_tsc_frequency);
		rtc->ratio_back = tick_ratio_back(clock_tsc_frequency, OSCILLATOR_HZ);
		rtc->epoch = clock_now();
		rtc->last_second = rtc_seconds(rtc);
		rtc->memory[RTC_A] = A_DIVIDER_ON | 6; /* 1024 Hz */
		rtc->memory[RTC_B] = RTC_B_24_HOURS;
		cmos_store_memory_size(rtc);
	}
	rtc->index = 0;
	if (!rtc_is_counting(rtc))
		rtc_write_b(rtc, rtc->memory[RTC_B] & (uint8_t)~B_SET);
	rtc->memory[RTC_B] &= (uint8_t)~(B_PERIODIC | B_ALARM | B_UPDATE);
	rtc->memory[RTC_C] = 0;
	rtc_update_interrupt(rtc);
}

static void rtc_destroy(struct io_device *device)
{
	vcpu_timer_cancel(&rtc_from_device(device)->timer);
}

static void rtc_describe(struct io_device *device, void (*print)(const char *format, ...))
{
	struct rtc *rtc = rtc_from_device(device);
	struct calendar_time time = calendar_from_seconds(rtc_seconds(rtc));

	print("clock: %04u-%02u-%02u %02u:%02u:%02u, A 0x%02x, B 0x%02x, C 0x%02x, line %u %s\n", time.year, time.month,
	      time.day, time.hour, time.minute, time.second, rtc->memory[RTC_A], rtc->memory[RTC_B], rtc->memory[RTC_C],
	      PLATFORM_RTC_LINE, rtc->line ? "up" : "down");
}

extern const struct io_device_class cmos_rtc_class;

static enum status rtc_create(struct vm *vm, struct io_device **device)
{
	static const struct io_ops ops = {.read = rtc_read, .write = rtc_write};
	static const struct port_range range = {PLATFORM_RTC_PORT, PORT_COUNT, &ops, "CMOS clock"};
	enum status status = port_device_create(vm, &cmos_rtc_class, sizeof(struct rtc), &range, 1, device);

	if (status != STATUS_OK)
		return status;
	vcpu_timer_init(&rtc_from_device(*device)->timer, vm->vcpus[0], rtc_expire);
	return STATUS_OK;
}

const struct io_device_class cmos_rtc_class = {
	.name = "cmos_rtc",
	.order = 22,
	.create = rtc_create,
	.reset = rtc_reset,
	.destroy = rtc_destroy,
	.describe = rtc_describe,
};
IO_DEVICE_CLASS(cmos_rtc_class);
