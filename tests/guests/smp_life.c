/* Processors that are stopped and started again and again, clocks that agree, and a page table that changes under all. */
#include "runtime/guest.h"

#include "runtime/apic.h"
#include "runtime/cpu.h"
#include "runtime/smp.h"

const char guest_name[] = "smp_life";

#define IPI_VECTOR 0x61
#define SHOOT_VECTOR 0x62
#define STARTS 24u
#define TSC_ROUNDS 2000u
#define SHOTS 300u
#define MSR_TSC 0x10u
#define MSR_TSC_ADJUST 0x3bu
#define SVR_AFTER_INIT 0xffu

/* Two pages of 2 MiB, and an address that leads to the one or the other. */
#define FIRST_PAGE 0x600000ull
#define SECOND_PAGE 0x800000ull
#define WINDOW 0x140000000ull
#define PAGE_FLAGS 0x83ull

static volatile uint32_t alive, interrupts, wrong_svr, wrong_tpr, done, warps;
static volatile uint32_t expected_value, wrong_values, answered;
static volatile uint64_t last_tsc;
static volatile uint32_t tsc_lock;
static unsigned processors;

static void on_ipi(struct guest_frame *frame)
{
	(void)frame;
	__atomic_fetch_add(&interrupts, 1, __ATOMIC_SEQ_CST);
	apic_end_of_interrupt();
}

static void check_local_apic(void)
{
	if (apic_read(APIC_SVR) != SVR_AFTER_INIT)
		__atomic_fetch_add(&wrong_svr, 1, __ATOMIC_SEQ_CST);
	if (apic_read(APIC_TPR) != 0 || !(apic_read(APIC_LVT_TIMER) & LVT_MASKED))
		__atomic_fetch_add(&wrong_tpr, 1, __ATOMIC_SEQ_CST);
}

/* ---- INIT in every state ---- */

/* Leaves a timer running, a priority and a request behind, which INIT must clear. */
static void start_work(void)
{
	check_local_apic();
	apic_enable(false);
	apic_write(APIC_LVT_TIMER, IPI_VECTOR | LVT_TIMER_PERIODIC);
	apic_write(APIC_TIMER_INITIAL, 100000);
	apic_write(APIC_TPR, 0xf0);
	apic_send(IPI_VECTOR | SMP_TO_SELF, 0);
	__atomic_fetch_add(&alive, 1, __ATOMIC_SEQ_CST);
}

static void spin(unsigned index)
{
	(void)index;
	start_work();
	for (;;)
		__asm__ volatile("pause");
}

static void sleep(unsigned index)
{
	(void)index;
	start_work();
	for (;;)
		wait_for_interrupt();
}

/* As an operating system's processor that is offline. */
static void play_dead(unsigned index)
{
	(void)index;
	start_work();
}

static void compute(unsigned index)
{
	(void)index;
	start_work();
	for (;;)
		__asm__ volatile("" : : : "memory");
}

static void test_starts(void)
{
	static void (*const states[])(unsigned index) = { spin, sleep, play_dead, compute };

	for (unsigned round = 0; round < STARTS; round++) {
		alive = 0;
		for (unsigned i = 1; i < processors; i++)
			smp_start_processor(i, states[(round + i) % 4]);
		guest_check(smp_wait(&alive, processors - 1), "round %u: %u processors started", round, alive);
	}
	/* Who waits for a start-up IPI takes nothing else, and a start-up IPI does nothing to those that run. */
	for (unsigned i = 1; i < processors; i++)
		smp_init_processor(i);
	interrupts = 0;
	apic_send(IPI_VECTOR | SMP_TO_OTHERS, 0);
	apic_send(SMP_DELIVER_NMI | SMP_ASSERT | SMP_TO_OTHERS, 0);
	for (uint64_t start = rdtsc(); rdtsc() - start < tsc_hertz() / 200;)
		__asm__ volatile("pause");
	guest_check(interrupts == 0, "%u interrupts at processors that wait for a start-up IPI", interrupts);
	guest_check(wrong_svr == 0 && wrong_tpr == 0, "the local APIC after INIT: %u times SVR, %u times more", wrong_svr, wrong_tpr);
}

/* ---- clocks ---- */

/* Whoever has the lock must read more than the last one did. */
static void compare_clocks(void)
{
	for (unsigned i = 0; i < TSC_ROUNDS; i++) {
		while (__atomic_exchange_n(&tsc_lock, 1, __ATOMIC_ACQUIRE))
			__asm__ volatile("pause");
		uint64_t now = rdtsc();
		if (now < last_tsc)
			warps++;
		last_tsc = now;
		__atomic_store_n(&tsc_lock, 0, __ATOMIC_RELEASE);
	}
	__atomic_fetch_add(&done, 1, __ATOMIC_SEQ_CST);
}

static void clock_processor(unsigned index)
{
	(void)index;
	apic_enable(false);
	__atomic_fetch_add(&alive, 1, __ATOMIC_SEQ_CST);
	smp_wait(&alive, processors);
	compare_clocks();
}

static void start_all(void (*code)(unsigned index))
{
	alive = done = 0;
	for (unsigned i = 1; i < processors; i++)
		smp_start_processor(i, code);
	guest_check(smp_wait(&alive, processors - 1), "%u processors started", alive);
}

static void test_clocks(void)
{
	guest_check(rdmsr(MSR_TSC_ADJUST) == 0, "TSC_ADJUST is %llx", (unsigned long long)rdmsr(MSR_TSC_ADJUST));
	start_all(clock_processor);
	__atomic_fetch_add(&alive, 1, __ATOMIC_SEQ_CST);
	compare_clocks();
	for (unsigned i = 0; i < 2 && !smp_wait(&done, processors); i++)
		;
	guest_check(done == processors, "%u of %u compared their clocks", done, processors);
	guest_check(warps == 0, "the TSC went back %u times from processor to processor", warps);
}

/* ---- a page table for all ---- */

static void invalidate(uint64_t address)
{
	__asm__ volatile("invlpg (%0)" : : "r"(address) : "memory");
}

static uint64_t *window_entry(void)
{
	uint64_t *page_map = (uint64_t *)read_cr3();
	uint64_t *pointers = (uint64_t *)(page_map[0] & ~0xfffull);
	uint64_t *directory = (uint64_t *)(pointers[WINDOW >> 30] & ~0xfffull);

	return &directory[WINDOW >> 21 & 511];
}

static void on_shot(struct guest_frame *frame)
{
	(void)frame;
	invalidate(WINDOW);
	if (mmio_read(WINDOW) != expected_value)
		__atomic_fetch_add(&wrong_values, 1, __ATOMIC_SEQ_CST);
	__atomic_fetch_add(&answered, 1, __ATOMIC_SEQ_CST);
	apic_end_of_interrupt();
}

/* Keeps the translation in use all the time. */
static void read_window(unsigned index)
{
	apic_enable(false);
	__atomic_fetch_add(&alive, 1, __ATOMIC_SEQ_CST);
	if (index % 2)
		for (;;)
			wait_for_interrupt();
	interrupts_on();
	for (;;)
		(void)mmio_read(WINDOW);
}

static void test_shoot_down(void)
{
	mmio_write(FIRST_PAGE, 1);
	mmio_write(SECOND_PAGE, 2);
	*(volatile uint64_t *)window_entry() = FIRST_PAGE | PAGE_FLAGS;
	invalidate(WINDOW);
	start_all(read_window);
	for (unsigned shot = 0; shot < SHOTS; shot++) {
		expected_value = shot % 2 ? 1 : 2;
		answered = 0;
		*(volatile uint64_t *)window_entry() = (shot % 2 ? FIRST_PAGE : SECOND_PAGE) | PAGE_FLAGS;
		apic_send(SHOOT_VECTOR | SMP_TO_OTHERS, 0);
		invalidate(WINDOW);
		guest_check(smp_wait(&answered, processors - 1), "shot %u: %u answers", shot, answered);
		guest_check(mmio_read(WINDOW) == expected_value, "shot %u: the sender reads %u", shot, mmio_read(WINDOW));
	}
	guest_check(wrong_values == 0, "%u old values after a shoot-down", wrong_values);
}

void guest_main(void)
{
	processors = smp_count();
	guest_handle(IPI_VECTOR, on_ipi);
	guest_handle(SHOOT_VECTOR, on_shot);
	apic_enable(false);
	test_starts();
	test_clocks();
	test_shoot_down();
	guest_print("smp_life: %u processors\n", processors);
}
