/*
 * Vector registers and the x87 control word survive exits, waiting, and other VMs' turns. The command line is a number
 * that makes this VM's values its own.
 */
#include "runtime/guest.h"

#include "runtime/apic.h"
#include "runtime/cpu.h"

const char guest_name[] = "fpu_state";

#define ROUNDS 60u
#define TIMER_VECTOR 0x40
#define OSXSAVE (1ull << 18)

struct state { uint64_t lane[16][4]; };

static struct state expected __attribute__((aligned(64))), seen __attribute__((aligned(64)));

#define FOR_ALL(op) op(0) op(1) op(2) op(3) op(4) op(5) op(6) op(7) op(8) op(9) op(10) op(11) op(12) op(13) op(14) op(15)
#define LOAD_XMM(n) __asm__ volatile("movups %0, %%xmm" #n : : "m"(expected.lane[n]));
#define SAVE_XMM(n) __asm__ volatile("movups %%xmm" #n ", %0" : "=m"(seen.lane[n]));
#define LOAD_YMM(n) __asm__ volatile("vmovups %0, %%ymm" #n : : "m"(expected.lane[n]));
#define SAVE_YMM(n) __asm__ volatile("vmovups %%ymm" #n ", %0" : "=m"(seen.lane[n]));

static void timer(struct guest_frame *frame)
{
	(void)frame;
	apic_end_of_interrupt();
}

static bool enable_avx(void)
{
	if (!(cpuid(1, 0).ecx & 1u << 28))
		return false;
	write_cr4(read_cr4() | OSXSAVE);
	__asm__ volatile("xsetbv" : : "a"(7), "d"(0), "c"(0));
	return true;
}

static void fill(uint64_t seed)
{
	for (unsigned i = 0; i < 16; i++) {
		for (unsigned lane = 0; lane < 4; lane++)
			expected.lane[i][lane] = (seed * 1000 + i * 4 + lane + 1) * 0x9e3779b97f4a7c15ull;
	}
}

void guest_main(void)
{
	const char *seed = (const char *)(uint64_t)guest_information->command_line;
	uint16_t control = (uint16_t)(0x037f + (seed[0] % 4) * 0x400), control_seen;
	bool avx = enable_avx();

	pic_init(0x20, 0);
	apic_enable(false);
	guest_handle(TIMER_VECTOR, timer);
	apic_write(APIC_LVT_TIMER, TIMER_VECTOR | LVT_TIMER_DEADLINE);
	__asm__ volatile("fninit; fldcw %0" : : "m"(control));
	for (unsigned round = 0; round < ROUNDS; round++) {
		fill((uint64_t)seed[0] * 100 + round);
		if (avx) {
			FOR_ALL(LOAD_YMM)
		} else {
			FOR_ALL(LOAD_XMM)
		}
		for (unsigned i = 0; i < 20; i++)
			cpuid(i, 0);
		wrmsr(MSR_TSC_DEADLINE, rdtsc() + tsc_hertz() / 2000);
		wait_for_interrupt();
		memset(&seen, 0, sizeof(seen));
		if (avx) {
			FOR_ALL(SAVE_YMM)
		} else {
			FOR_ALL(SAVE_XMM)
		}
		for (unsigned i = 0; i < 16; i++)
			guest_check(memcmp(seen.lane[i], expected.lane[i], avx ? 32 : 16) == 0, "round %u: vector register %u changed", round, i);
		__asm__ volatile("fnstcw %0" : "=m"(control_seen));
		guest_check(control_seen == control, "the x87 control word is %x, it was %x", control_seen, control);
	}
	guest_print("fpu_state: %s registers\n", avx ? "YMM" : "XMM");
}
