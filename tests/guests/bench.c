/*
 * Counts instructions by RDTSC where the rig's TSC counts instructions: round trips of exits, and how late a timer's
 * handler runs. Each line: `bench NAME least mean`, without what an empty measurement takes.
 */
#include "runtime/guest.h"

#include "runtime/apic.h"
#include "runtime/cpu.h"

const char guest_name[] = "bench";

#define ROUNDS 1000u
#define TIMER_ROUNDS 200u
#define TIMER_VECTOR 0x40
#define MSR_MISC_ENABLE 0x1a0u
#define MSR_X2APIC_TPR 0x808u

static uint64_t empty;
static volatile uint64_t handled;
static uint64_t misc_enable;

static void report(const char *name, uint64_t least, uint64_t sum, unsigned rounds, uint64_t without)
{
	uint64_t mean = sum / rounds;

	guest_print("bench %s %llu %llu\n", name, (unsigned long long)(least - without), (unsigned long long)(mean > without ? mean - without : 0));
	/* Until the console has shown it: meanwhile a deadline is near, and the host's UART interrupts. */
	for (uint64_t end = rdtsc() + tsc_hertz() / 20; rdtsc() < end;)
		continue;
}

#define MEASURE(name, code) \
	do { \
		uint64_t least = ~0ull, sum = 0; \
		for (unsigned round = 0; round < ROUNDS; round++) { \
			uint64_t before = rdtsc(); \
			code; \
			uint64_t ticks = rdtsc() - before; \
			sum += ticks; \
			least = ticks < least ? ticks : least; \
		} \
		if (empty == 0) \
			empty = least; \
		else \
			report(name, least, sum, ROUNDS, empty); \
	} while (0)

static void on_timer(struct guest_frame *frame)
{
	(void)frame;
	handled = rdtsc();
	apic_end_of_interrupt();
}

/* From the deadline to the handler's first reading of the TSC; the guest halts or computes meanwhile. */
static void measure_timer(const char *name, bool halt)
{
	uint64_t least = ~0ull, sum = 0;

	for (unsigned round = 0; round < TIMER_ROUNDS; round++) {
		uint64_t deadline = rdtsc() + tsc_hertz() / 2000;

		handled = 0;
		wrmsr(MSR_TSC_DEADLINE, deadline);
		if (halt) {
			wait_for_interrupt();
		} else {
			interrupts_on();
			while (handled == 0)
				;
			interrupts_off();
		}
		uint64_t late = handled - deadline;
		sum += late;
		least = late < least ? late : least;
	}
	report(name, least, sum, TIMER_ROUNDS, 0);
}

/* Each maker has an instruction of its own for calls to a hypervisor. */
static bool has_vmx_instructions(void)
{
	const uint32_t vendor_ebx_intel = 0x756e6547;

	return cpuid(0, 0).ebx == vendor_ebx_intel;
}

void guest_main(void)
{
	pic_init(0x20, 0);
	apic_enable(false);
	MEASURE("empty", (void)0);
	MEASURE("cpuid", cpuid(0, 0));
	MEASURE("cpuid-1", cpuid(1, 0));
	if (has_vmx_instructions())
		MEASURE("vmcall", __asm__ volatile("vmcall" : : : "rax", "memory"));
	else
		MEASURE("vmcall", __asm__ volatile("vmmcall" : : : "rax", "memory"));
	misc_enable = rdmsr(MSR_MISC_ENABLE);
	MEASURE("rdmsr-misc-enable", rdmsr(MSR_MISC_ENABLE));
	MEASURE("wrmsr-misc-enable", wrmsr(MSR_MISC_ENABLE, misc_enable));
	MEASURE("wrmsr-deadline-far", wrmsr(MSR_TSC_DEADLINE, ~0ull >> 8));
	wrmsr(MSR_TSC_DEADLINE, 0);
	MEASURE("out-unclaimed", out8(0xed, 0));
	MEASURE("in-8254", in8(0x40));
	MEASURE("in-uart-status", in8(COM1 + 5));
	MEASURE("in-pm-timer", in32(0x608));
	mmio_write(IO_APIC_SELECT, 1);
	MEASURE("io-apic-read", mmio_read(IO_APIC_WINDOW));
	MEASURE("local-apic-read", mmio_read(LOCAL_APIC + APIC_VERSION));
	MEASURE("local-apic-eoi", mmio_write(LOCAL_APIC + APIC_EOI, 0));
	guest_handle(TIMER_VECTOR, on_timer);
	apic_write(APIC_LVT_TIMER, TIMER_VECTOR | LVT_TIMER_DEADLINE);
	measure_timer("halt-to-handler", true);
	measure_timer("busy-to-handler", false);
	apic_enable(true);
	apic_write(APIC_LVT_TIMER, TIMER_VECTOR | LVT_TIMER_DEADLINE);
	MEASURE("rdmsr-x2apic-tpr", rdmsr(MSR_X2APIC_TPR));
	MEASURE("wrmsr-x2apic-tpr", wrmsr(MSR_X2APIC_TPR, 0));
	measure_timer("halt-to-handler-x2apic", true);
}
