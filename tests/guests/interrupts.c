/* Every way an interrupt can come: 8259 and 8254, local APIC timer, I/O APIC, IPIs, NMI; each wakes HLT. */
#include "runtime/guest.h"

#include "runtime/apic.h"
#include "runtime/cpu.h"

const char guest_name[] = "interrupts";

#define PIC_BASE 0x20
#define TIMER_VECTOR 0x40
#define PIN_VECTOR 0x50
#define IPI_VECTOR 0x61
#define HIGH_VECTOR 0x91
#define NMI 2
#define PIT_PIN 2u /* as the MADT says */
#define COM1_PIN 4u
#define RTC_PIN 8u
#define PIT_1000_HZ 1193u
#define SELF (1u << 18)
#define DELIVER_NMI (4u << 8)
#define MSR_X2APIC_SELF_IPI 0x83fu

static volatile unsigned counts[256];
static volatile uint64_t last_tsc[256];
static volatile unsigned order[8], order_count;

static void count(struct guest_frame *frame)
{
	last_tsc[frame->vector] = rdtsc();
	counts[frame->vector]++;
	if (order_count < 8)
		order[order_count++] = (unsigned)frame->vector;
}

static void on_local(struct guest_frame *frame)
{
	count(frame);
	apic_end_of_interrupt();
}

static void on_pic(struct guest_frame *frame)
{
	count(frame);
	out8(0x20, 0x20);
}

static void on_uart(struct guest_frame *frame)
{
	count(frame);
	out8(COM1 + 1, 0); /* or the level would bring it again */
	in8(COM1 + 2);
	apic_end_of_interrupt();
}

static void on_rtc(struct guest_frame *frame)
{
	count(frame);
	out8(0x70, 0x0c);
	in8(0x71);
	apic_end_of_interrupt();
}

/* Waits in HLT until @vector has come @wanted times; other wake-ups are bounded. */
static void expect(const char *what, unsigned vector, unsigned wanted)
{
	for (unsigned i = 0; i < 10 * wanted + 10 && counts[vector] < wanted; i++)
		wait_for_interrupt();
	guest_check(counts[vector] >= wanted, "%s: %u of %u interrupts", what, counts[vector], wanted);
	counts[vector] = 0;
}

static void expect_none(const char *what, unsigned vector)
{
	interrupts_window();
	guest_check(counts[vector] == 0, "%s: vector %x came %u times", what, vector, counts[vector]);
	counts[vector] = 0;
}

static void test_pic(void)
{
	pic_init(PIC_BASE, 1 << 0);
	guest_handle(PIC_BASE, on_pic);
	pit_start(PIT_1000_HZ);
	expect("8254 through the 8259", PIC_BASE, 5);
	out8(0x21, 0xff);
	interrupts_window();
	counts[PIC_BASE] = 0;
	pit_start(0);
	expect_none("8259 masked", PIC_BASE);
}

static void test_timer(const char *mode)
{
	uint64_t hertz = tsc_hertz(), start, deadline;

	guest_handle(TIMER_VECTOR, on_local);
	apic_write(APIC_LVT_TIMER, TIMER_VECTOR);
	start = rdtsc();
	apic_write(APIC_TIMER_INITIAL, (uint32_t)(hertz / 1000));
	expect(mode, TIMER_VECTOR, 1);
	guest_check(last_tsc[TIMER_VECTOR] - start >= hertz / 1000, "%s: the one-shot timer came after %llu ticks of %llu", mode,
		    (unsigned long long)(last_tsc[TIMER_VECTOR] - start), (unsigned long long)hertz / 1000);
	guest_check(apic_read(APIC_TIMER_CURRENT) == 0, "%s: the one-shot timer goes on: %u", mode, apic_read(APIC_TIMER_CURRENT));

	apic_write(APIC_LVT_TIMER, TIMER_VECTOR | LVT_TIMER_PERIODIC);
	start = rdtsc();
	apic_write(APIC_TIMER_INITIAL, (uint32_t)(hertz / 2000));
	expect(mode, TIMER_VECTOR, 6);
	guest_check(last_tsc[TIMER_VECTOR] - start >= hertz / 2000 * 6, "%s: six periods took %llu ticks", mode,
		    (unsigned long long)(last_tsc[TIMER_VECTOR] - start));
	apic_write(APIC_TIMER_INITIAL, 0);
	interrupts_window();
	counts[TIMER_VECTOR] = 0;
	expect_none("a stopped timer", TIMER_VECTOR);

	apic_write(APIC_LVT_TIMER, TIMER_VECTOR | LVT_TIMER_DEADLINE);
	deadline = rdtsc() + hertz / 1000;
	wrmsr(MSR_TSC_DEADLINE, deadline);
	guest_check(rdmsr(MSR_TSC_DEADLINE) == deadline || rdtsc() >= deadline, "the deadline does not read back");
	expect(mode, TIMER_VECTOR, 1);
	guest_check(last_tsc[TIMER_VECTOR] >= deadline, "%s: %llu ticks before the deadline", mode,
		    (unsigned long long)(deadline - last_tsc[TIMER_VECTOR]));
	guest_check(rdmsr(MSR_TSC_DEADLINE) == 0, "the deadline is not cleared");
	wrmsr(MSR_TSC_DEADLINE, 1);
	expect("a deadline in the past", TIMER_VECTOR, 1);
	wrmsr(MSR_TSC_DEADLINE, rdtsc() + hertz / 500);
	wrmsr(MSR_TSC_DEADLINE, 0);
	for (start = rdtsc(); rdtsc() - start < hertz / 200;)
		;
	expect_none("a deadline taken back", TIMER_VECTOR);
	apic_write(APIC_LVT_TIMER, TIMER_VECTOR | LVT_MASKED);
}

/* The timer also comes while the guest computes and leaves the guest by no instruction of its own. */
static void test_timer_without_exit(void)
{
	guest_handle(TIMER_VECTOR, on_local);
	apic_write(APIC_LVT_TIMER, TIMER_VECTOR | LVT_TIMER_DEADLINE);
	wrmsr(MSR_TSC_DEADLINE, rdtsc() + tsc_hertz() / 1000);
	interrupts_on();
	for (uint64_t i = 0; i < 100000000 && counts[TIMER_VECTOR] == 0; i++)
		__asm__ volatile("");
	interrupts_off();
	guest_check(counts[TIMER_VECTOR] == 1, "no timer interrupt reached a busy loop");
	counts[TIMER_VECTOR] = 0;
}

static void test_ipis(const char *mode, bool x2apic)
{
	guest_handle(IPI_VECTOR, on_local);
	guest_handle(HIGH_VECTOR, on_local);
	guest_handle(NMI, count);
	apic_send(SELF | IPI_VECTOR, 0);
	guest_check(apic_read(APIC_IRR + (IPI_VECTOR / 32) * 16) & 1u << IPI_VECTOR % 32, "%s: the IPI is not in the IRR", mode);
	expect(mode, IPI_VECTOR, 1);
	apic_send(IPI_VECTOR, apic_read(APIC_ID) >> (x2apic ? 0 : 24));
	expect("an IPI to our own id", IPI_VECTOR, 1);
	apic_send(DELIVER_NMI, apic_read(APIC_ID) >> (x2apic ? 0 : 24));
	guest_check(counts[NMI] == 1, "%s: %u NMIs", mode, counts[NMI]);
	counts[NMI] = 0;

	order_count = 0;
	apic_send(SELF | IPI_VECTOR, 0);
	apic_send(SELF | HIGH_VECTOR, 0);
	interrupts_window();
	guest_check(order_count == 2 && order[0] == HIGH_VECTOR && order[1] == IPI_VECTOR, "%s: the wrong order, %u came", mode, order_count);
	counts[IPI_VECTOR] = counts[HIGH_VECTOR] = 0;

	apic_write(APIC_TPR, 0x70);
	apic_send(SELF | IPI_VECTOR, 0);
	expect_none("an IPI below the TPR", IPI_VECTOR);
	apic_send(SELF | HIGH_VECTOR, 0);
	interrupts_window();
	guest_check(counts[HIGH_VECTOR] == 1, "%s: an IPI above the TPR came %u times", mode, counts[HIGH_VECTOR]);
	counts[HIGH_VECTOR] = 0;
	write_cr8(0);
	interrupts_window();
	guest_check(counts[IPI_VECTOR] == 1, "%s: the IPI came %u times after CR8 fell", mode, counts[IPI_VECTOR]);
	counts[IPI_VECTOR] = 0;
	if (x2apic) {
		wrmsr(MSR_X2APIC_SELF_IPI, IPI_VECTOR);
		expect("SELF IPI", IPI_VECTOR, 1);
	}
}

static void test_pins(void)
{
	guest_handle(PIN_VECTOR, on_local);
	io_apic_route(PIT_PIN, PIN_VECTOR);
	pit_start(PIT_1000_HZ);
	expect("8254 through the I/O APIC", PIN_VECTOR, 5);
	io_apic_route(PIT_PIN, 0x10000);
	interrupts_window();
	counts[PIN_VECTOR] = 0;
	pit_start(0);

	guest_handle(PIN_VECTOR + 1, on_uart);
	io_apic_route(COM1_PIN, (PIN_VECTOR + 1) | 0x8000); /* level */
	out8(COM1 + 4, 0x08);
	out8(COM1 + 1, 0x02);
	expect("COM1 by level", PIN_VECTOR + 1, 1);
	io_apic_route(COM1_PIN, PIN_VECTOR + 1); /* edge */
	out8(COM1 + 1, 0x02);
	expect("COM1 by edge", PIN_VECTOR + 1, 1);
	io_apic_route(COM1_PIN, 0x10000);

	guest_handle(PIN_VECTOR + 2, on_rtc);
	out8(0x70, 0x0c);
	in8(0x71);
	io_apic_route(RTC_PIN, PIN_VECTOR + 2);
	out8(0x70, 0x0a);
	out8(0x71, 0x26); /* 1024 Hz */
	out8(0x70, 0x0b);
	out8(0x71, in8(0x71) | 0x40);
	expect("RTC, periodic", PIN_VECTOR + 2, 4);
	out8(0x70, 0x0b);
	out8(0x71, in8(0x71) & (uint8_t)~0x40);
	io_apic_route(RTC_PIN, 0x10000);
	interrupts_window();
}

static void test_exceptions(void)
{
	guest_handle(BREAKPOINT, count);
	guest_handle(0x77, count);
	__asm__ volatile("int3; int $0x77; int $0x77");
	guest_check(counts[BREAKPOINT] == 1 && counts[0x77] == 2, "software interrupts: %u and %u", counts[BREAKPOINT], counts[0x77]);
}

void guest_main(void)
{
	test_exceptions();
	pic_init(PIC_BASE, 0);
	apic_enable(false);
	test_pic();
	test_timer("xAPIC timer");
	test_timer_without_exit();
	test_ipis("xAPIC", false);
	test_pins();
	apic_enable(true);
	test_timer("x2APIC timer");
	test_timer_without_exit();
	test_ipis("x2APIC", true);
	test_pins();
	test_pic();
}
