/*
 * All clocks of the PC tell the same time within one percent: TSC (by CPUID), 8254, PM timer, local APIC timer, RTC.
 * Each reading is taken between two of the TSC, and taken again if other VMs had their turn in between.
 */
#include "runtime/guest.h"

#include "runtime/apic.h"
#include "runtime/cpu.h"

const char guest_name[] = "timekeeping";

#define PIT_HZ 1193182u
#define PM_TIMER 0x608u
#define PM_TIMER_HZ 3579545u
#define RTC_SECONDS 0u
#define PATIENCE 1000u

struct sample {
	uint64_t tsc, value;
};

static uint64_t read_pm(void) { return in32(PM_TIMER); }

/* Channel 2 counts down from 65536 and wraps after 55 ms. */
static uint64_t read_pit(void)
{
	out8(0x43, 0x80);
	uint32_t low = in8(0x42);
	return 0xffff - (low | (uint32_t)in8(0x42) << 8);
}

static uint64_t read_apic_timer(void) { return 0xffffffff - apic_read(APIC_TIMER_CURRENT); }

static struct sample take(uint64_t (*read)(void), uint64_t tolerance)
{
	struct sample sample = { 0, 0 };

	for (unsigned i = 0; i < PATIENCE; i++) {
		uint64_t before = rdtsc(), value = read(), after = rdtsc();

		sample = (struct sample){ before + (after - before) / 2, value };
		if (after - before < tolerance)
			break;
	}
	return sample;
}

/* @wrap: the counter's size as a mask. */
static void compare(const char *name, uint64_t (*read)(void), uint64_t mask, uint64_t counter_hertz)
{
	uint64_t hertz = tsc_hertz(), length = hertz / 50;
	struct sample first, second;

	/* A wrap in a long turn of other VMs would spoil it. */
	for (unsigned i = 0; i < PATIENCE; i++) {
		first = take(read, hertz / 10000);
		while (rdtsc() - first.tsc < length)
			;
		second = take(read, hertz / 10000);
		if (second.tsc - first.tsc < 2 * length)
			break;
	}
	uint64_t measured = ((second.value - first.value) & mask) * 1000000 / counter_hertz;
	uint64_t expected = (second.tsc - first.tsc) * 1000000 / hertz;

	guest_print("timekeeping: %s %llu us, TSC %llu us\n", name, (unsigned long long)measured, (unsigned long long)expected);
	guest_check(measured * 100 <= expected * 101 + 200 && measured * 101 + 200 >= expected * 100, "%s: %llu us, TSC %llu us", name,
		    (unsigned long long)measured, (unsigned long long)expected);
}

static uint8_t rtc_read(uint8_t index)
{
	out8(0x70, index);
	return in8(0x71);
}

/* The TSC at the next change of the seconds; @slack: how far it may be off. */
static uint64_t next_second(uint64_t *slack)
{
	uint64_t before = rdtsc();
	uint8_t now = rtc_read(RTC_SECONDS);

	for (;;) {
		/* Another VM's turn may come behind the read as well. */
		uint64_t begin = rdtsc();
		uint8_t seconds = rtc_read(RTC_SECONDS);
		uint64_t after = rdtsc();

		if (seconds != now) {
			*slack += after - before;
			return after;
		}
		before = begin;
	}
}

static void compare_rtc(void)
{
	uint64_t hertz = tsc_hertz(), slack = 0, start = next_second(&slack), length = next_second(&slack) - start;

	guest_print("timekeeping: RTC second %llu ticks of %llu, between %llu more and less\n", (unsigned long long)length,
		    (unsigned long long)hertz, (unsigned long long)slack);
	slack += hertz / 100;
	guest_check(length + slack >= hertz && length <= hertz + slack, "a second of the RTC has %llu ticks, %llu expected",
		    (unsigned long long)length, (unsigned long long)hertz);
}

void guest_main(void)
{
	guest_check(tsc_hertz() > 1000000, "CPUID does not tell the TSC's frequency");
	if (tsc_hertz() <= 1000000)
		return;
	pic_init(0x20, 0);
	apic_enable(false);
	apic_write(APIC_LVT_TIMER, LVT_MASKED);
	out8(0x61, (uint8_t)((in8(0x61) & 0xfc) | 1));
	out8(0x43, 0xb4); /* channel 2, rate generator */
	out8(0x42, 0xff);
	out8(0x42, 0xff);
	compare("PM timer", read_pm, 0xffffffff, PM_TIMER_HZ);
	compare("8254", read_pit, 0xffff, PIT_HZ);
	apic_write(APIC_TIMER_INITIAL, 0xffffffff); /* not before: a fast one is soon at its end */
	compare("local APIC timer", read_apic_timer, 0xffffffff, tsc_hertz());
	compare_rtc();
}
