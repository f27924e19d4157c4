/*
 * Counts instructions by RDTSC between vCPUs, as bench.c does for one: the words on the command line say what for.
 *   one   two vCPUs that share one CPU: from an IPI to its handler, from a deadline to its handler over a vCPU that computes,
 *         from the last instruction of one vCPU to the first of the other
 *   two   two vCPUs on a CPU each: from an IPI to the handler of a vCPU that halts, and of one that computes
 *   gaps  a vCPU that computes among other VMs: when it did not run, `gap BEFORE AFTER` in its own TSC
 */
#include "series.h"

#include "runtime/apic.h"
#include "runtime/cpu.h"
#include "runtime/smp.h"
#include "runtime/work.h"

const char guest_name[] = "bench_smp";

#define ROUNDS 200u
#define GAPS 40u
#define SWITCHES 40u
#define TIMER_VECTOR 0x40
#define PING_VECTOR 0x41
#define PONG_VECTOR 0x42
#define LONGEST_SWITCH 50000u
#define LONGEST_EXIT 4000u /* [ticks]; a gap that is longer was a switch */

static volatile uint64_t handled;
static volatile uint32_t alive, pongs, leave;
static volatile uint64_t seen[2]; /* by vCPU: its TSC when it ran last */
static volatile uint32_t switches;
static uint64_t least_switch = ~0ull, sum_switch;

static void on_timer(struct guest_frame *frame)
{
	(void)frame;
	handled = rdtsc();
	apic_end_of_interrupt();
}

/* On the second vCPU, which answers. */
static void on_ping(struct guest_frame *frame)
{
	(void)frame;
	handled = rdtsc();
	apic_end_of_interrupt();
	apic_send(PONG_VECTOR, 0);
}

static void on_pong(struct guest_frame *frame)
{
	(void)frame;
	pongs++;
	apic_end_of_interrupt();
}

static void work_ticks(uint64_t ticks)
{
	uint64_t end = rdtsc() + ticks;

	while (rdtsc() < end)
		continue;
}

static void start_second(void (*code)(unsigned index))
{
	uint32_t before = alive;

	smp_start_processor(1, code);
	while (alive == before)
		__asm__ volatile("pause");
}

static void prepare(void)
{
	apic_enable(false);
	apic_enable(true);
	__atomic_fetch_add(&alive, 1, __ATOMIC_SEQ_CST);
}

static void answer_out_of_halt(unsigned index)
{
	(void)index;
	prepare();
	for (;;)
		wait_for_interrupt();
}

static void answer_out_of_work(unsigned index)
{
	(void)index;
	prepare();
	interrupts_on();
	for (;;)
		continue;
}

/* From the write of the ICR to the handler's reading of the TSC; the sender halts until the answer. */
static void measure_ipi(const char *name, void (*answer)(unsigned index))
{
	struct series series = {0};

	start_second(answer);
	for (unsigned round = 0; round < ROUNDS; round++) {
		work_ticks(20000);
		uint32_t before = pongs;
		uint64_t sent = rdtsc();
		apic_send(PING_VECTOR, 1);
		while (pongs == before)
			wait_for_interrupt();
		series_note(&series, handled - sent);
	}
	series_report(name, &series);
}

/* The second vCPU halts until its deadline, while the first computes. */
static void wake_over_work(unsigned index)
{
	struct series series = {0};

	(void)index;
	prepare();
	apic_write(APIC_LVT_TIMER, TIMER_VECTOR | LVT_TIMER_DEADLINE);
	for (unsigned round = 0; round < ROUNDS; round++) {
		uint64_t deadline = rdtsc() + tsc_hertz() / 500;

		handled = 0;
		wrmsr(MSR_TSC_DEADLINE, deadline);
		wait_for_interrupt();
		series_note(&series, handled - deadline);
	}
	series_report("wake-one-cpu", &series);
	leave = 1;
}

/* Both vCPUs run this on one CPU: what lies between the last instructions of one and the first of the other. */
static void run_and_look(unsigned index)
{
	uint64_t own = seen[index];

	while (switches < SWITCHES) {
		uint64_t now = rdtsc(), other = seen[!index];

		/* The first look after a switch may be of a time before it; then the next one counts. */
		if (other > own && now > other && now - other < LONGEST_SWITCH) {
			least_switch = now - other < least_switch ? now - other : least_switch;
			sum_switch += now - other;
			switches++;
		}
		own = now;
		seen[index] = now;
	}
}

static void second_runs_and_looks(unsigned index)
{
	prepare();
	run_and_look(index);
}

static void measure_on_one_cpu(void)
{
	measure_ipi("ipi-one-cpu", answer_out_of_halt);
	start_second(wake_over_work);
	while (!leave)
		continue;
	start_second(second_runs_and_looks);
	run_and_look(0);
	guest_print("bench switch-same-vm %llu %llu\n", (unsigned long long)least_switch, (unsigned long long)(sum_switch / switches));
}

static void measure_gaps(void)
{
	static uint64_t before[GAPS], after[GAPS];
	unsigned count = 0;

	for (uint64_t last = rdtsc(); count < GAPS;) {
		uint64_t now = rdtsc();

		if (now - last > LONGEST_EXIT) {
			before[count] = last;
			after[count++] = now;
		}
		last = now;
	}
	for (unsigned i = 0; i < GAPS; i++)
		guest_print("gap %llu %llu\n", (unsigned long long)before[i], (unsigned long long)after[i]);
	/* The other VM's turns shall not become longer before it has seen as many. */
	work_ticks(tsc_hertz() * 3);
}

void guest_main(void)
{
	if (guest_has_word("gaps")) {
		measure_gaps();
		return;
	}
	pic_init(0x20, 0);
	guest_handle(TIMER_VECTOR, on_timer);
	guest_handle(PING_VECTOR, on_ping);
	guest_handle(PONG_VECTOR, on_pong);
	prepare();
	if (guest_has_word("one"))
		measure_on_one_cpu();
	if (guest_has_word("two")) {
		measure_ipi("wake-two-cpus", answer_out_of_halt);
		measure_ipi("ipi-two-cpus", answer_out_of_work);
	}
}
