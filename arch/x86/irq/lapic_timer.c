#include "arch/x86/irq/lapic_timer.h"

#include "arch/x86/clock.h"
#include "arch/x86/insn.h"
#include "arch/x86/irq/interrupt.h"
#include "arch/x86/irq/lapic_registers.h"
#include "arch/x86/log.h"
#include "arch/x86/msr.h"

#define CPUID_FEATURES 0x1u
#define CPUID_TSC_DEADLINE BIT(24) /* ECX */
#define COUNTER_MAX 0xffffffffu
#define CALIBRATION_NANOSECONDS 10000000u
#define CALIBRATION_MIN_TICKS 1000000u /* while the clock's frequency is not known */

static bool deadline_mode;
/* Timer counts per TSC tick, as a fraction of 2^32, and the longest wait whose product with it fits 64 bits and whose count
 * fits the counter [TSC ticks]. */
static uint64_t counts_per_tick;
static uint64_t max_wait;

static enum status measure(void)
{
	const uint64_t ticks = max_u64(clock_ticks_from_nanoseconds(CALIBRATION_NANOSECONDS), CALIBRATION_MIN_TICKS);
	uint64_t start, now;
	uint32_t counted;

	lapic_write(LAPIC_TIMER_DIVIDE, LAPIC_TIMER_DIVIDE_BY_1);
	lapic_write(LAPIC_LVT_TIMER, LAPIC_LVT_MASKED | INTERRUPT_VECTOR_TIMER);
	lapic_write(LAPIC_TIMER_INITIAL, COUNTER_MAX);
	start = insn_rdtsc();
	do {
		insn_pause();
		now = insn_rdtsc();
	} while (now - start < ticks);
	counted = COUNTER_MAX - lapic_read(LAPIC_TIMER_CURRENT);
	lapic_write(LAPIC_TIMER_INITIAL, 0);
	if (counted == 0 || now == start)
		return STATUS_IO;
	counts_per_tick = ((uint64_t)counted << 32) / (now - start);
	if (counts_per_tick == 0)
		return STATUS_IO;
	max_wait = ((uint64_t)COUNTER_MAX << 32) / counts_per_tick;
	return STATUS_OK;
}

enum status lapic_timer_calibrate(void)
{
	enum status status = STATUS_OK;

	deadline_mode = (insn_cpuid(CPUID_FEATURES, 0).ecx & CPUID_TSC_DEADLINE) != 0;
	if (!deadline_mode)
		status = measure();
	if (status != STATUS_OK)
		log_error("local APIC timer: it does not count");
	lapic_timer_init_cpu();
	return status;
}

void lapic_timer_init_cpu(void)
{
	if (deadline_mode) {
		lapic_write(LAPIC_LVT_TIMER, LAPIC_LVT_TIMER_TSC_DEADLINE | INTERRUPT_VECTOR_TIMER);
		/* In xAPIC mode the mode's MMIO write must arrive before the first deadline's WRMSR. */
		insn_mfence();
	} else {
		lapic_write(LAPIC_TIMER_DIVIDE, LAPIC_TIMER_DIVIDE_BY_1);
		lapic_write(LAPIC_LVT_TIMER, INTERRUPT_VECTOR_TIMER);
	}
	lapic_timer_cancel();
}

/* The counter's value for a wait until @deadline: at least 1, since 0 would stop it. */
static uint32_t count_until(uint64_t deadline)
{
	uint64_t now = insn_rdtsc();
	uint64_t wait = deadline > now ? deadline - now : 0;

	if (wait > max_wait)
		return COUNTER_MAX;
	return (uint32_t)max_u64(wait * counts_per_tick >> 32, 1);
}

void lapic_timer_arm(uint64_t tsc_deadline)
{
	if (tsc_deadline == UINT64_MAX)
		lapic_timer_cancel();
	else if (deadline_mode)
		insn_wrmsr(MSR_TSC_DEADLINE, max_u64(tsc_deadline, 1)); /* 0 would disarm it */
	else
		lapic_write(LAPIC_TIMER_INITIAL, count_until(tsc_deadline));
}

void lapic_timer_cancel(void)
{
	if (deadline_mode)
		insn_wrmsr(MSR_TSC_DEADLINE, 0);
	else
		lapic_write(LAPIC_TIMER_INITIAL, 0);
}

bool lapic_timer_is_pending(void)
{
	const unsigned vector = INTERRUPT_VECTOR_TIMER;

	return lapic_read((enum lapic_register)(LAPIC_REQUEST + vector / 32 * 16)) >> vector % 32 & 1;
}

bool lapic_timer_has_deadline_mode(void)
{
	return deadline_mode;
}

uint64_t lapic_timer_frequency(uint64_t tsc_frequency)
{
	uint64_t hz_high = tsc_frequency >> 32, hz_low = tsc_frequency & COUNTER_MAX;

	return hz_high * counts_per_tick + (hz_low * counts_per_tick >> 32);
}
