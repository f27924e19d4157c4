/*
 * A task of a control loop: `periods` times, every `period` us, `work` us of computation, asleep in between. A period in which
 * the work was not done before the next one begins is missed.
 */
#include "runtime/guest.h"

#include "runtime/apic.h"
#include "runtime/cpu.h"
#include "runtime/work.h"

const char guest_name[] = "rt_worker";

#define TIMER_VECTOR 0x40

static void on_timer(struct guest_frame *frame)
{
	(void)frame;
	apic_end_of_interrupt();
}

static void sleep_until(uint64_t time)
{
	while (rdtsc() < time) {
		wrmsr(MSR_TSC_DEADLINE, time);
		wait_for_interrupt();
	}
}

void guest_main(void)
{
	const uint64_t periods = guest_option("periods", 1000), period = ticks_from_microseconds(guest_option("period", 10000));
	const uint64_t units = ticks_from_microseconds(guest_option("work", 1800)) / work_unit_ticks();
	uint64_t missed = 0, longest = 0, latest = 0;

	pic_init(0x20, 0);
	apic_enable(false);
	guest_handle(TIMER_VECTOR, on_timer);
	apic_write(APIC_LVT_TIMER, TIMER_VECTOR | LVT_TIMER_DEADLINE);
	guest_print("rt_worker: %llu units each period\n", (unsigned long long)units);
	for (uint64_t i = 0, begin = rdtsc() + period; i < periods; i++, begin += period) {
		sleep_until(begin);
		uint64_t late = rdtsc() - begin;

		for (uint64_t unit = 0; unit < units; unit++) {
			work_unit();
			rdtsc();
		}
		uint64_t taken = rdtsc() - begin;
		latest = late > latest ? late : latest;
		longest = taken > longest ? taken : longest;
		missed += taken > period;
	}
	guest_print("rt_worker: %llu periods, %llu missed, woken %llu us late at most, done after %llu us at most\n", (unsigned long long)periods,
		    (unsigned long long)missed, (unsigned long long)microseconds_from_ticks(latest), (unsigned long long)microseconds_from_ticks(longest));
}
