#include "arch/x86/cpu/watchdog_counter.h"

#include "arch/x86/clock.h"
#include "arch/x86/cpu/features.h"
#include "arch/x86/insn.h"
#include "arch/x86/irq/lapic_performance.h"
#include "arch/x86/msr.h"

#define LEAF_PERFORMANCE 0xau
#define LEAST_VERSION 2u /* with fixed counters and global control */
#define LEAST_COUNTERS 2u
#define COUNTER BIT(33) /* fixed counter 1, in the global registers */
#define CONTROL_OF_COUNTER BITS(7, 4)
#define COUNT_AND_INTERRUPT (BIT(7) | BIT(4)) /* interrupt on overflow; in ring 0, which guests' kernels are in, too */
#define PERIOD_NANOSECONDS 2000000000ull /* at the TSC's frequency; the core's may be higher */

static bool running; /* there is one CPU only */
static uint64_t first_value;

static void count_anew(void)
{
	insn_wrmsr(MSR_FIXED_CTR1, first_value);
	(void)lapic_performance_nmi();
}

bool watchdog_counter_start(void)
{
	struct cpuid_result leaf = {0, 0, 0, 0};
	uint64_t control = 0;

	if (features_identity()->vendor == CPU_VENDOR_INTEL && features_identity()->max_leaf >= LEAF_PERFORMANCE)
		leaf = insn_cpuid(LEAF_PERFORMANCE, 0);
	if (bits_get(leaf.eax, 7, 0) < LEAST_VERSION || bits_get(leaf.edx, 4, 0) < LEAST_COUNTERS || bits_get(leaf.edx, 12, 5) < 32)
		return false;
	/* Where a hypervisor below us tells of the leaf, but has no such register. */
	if (!insn_rdmsr_safe(MSR_FIXED_CTR_CTRL, &control) || !lapic_performance_nmi())
		return false;
	first_value = (0 - clock_ticks_from_nanoseconds(PERIOD_NANOSECONDS)) & (BIT(bits_get(leaf.edx, 12, 5)) - 1);
	insn_wrmsr(MSR_PERF_GLOBAL_CTRL, 0);
	insn_wrmsr(MSR_FIXED_CTR_CTRL, (control & ~CONTROL_OF_COUNTER) | COUNT_AND_INTERRUPT);
	insn_wrmsr(MSR_PERF_GLOBAL_OVF_CTRL, COUNTER);
	running = true;
	count_anew();
	insn_wrmsr(MSR_PERF_GLOBAL_CTRL, COUNTER);
	return true;
}

bool watchdog_counter_overflowed(void)
{
	if (!running || !(insn_rdmsr(MSR_PERF_GLOBAL_STATUS) & COUNTER))
		return false;
	insn_wrmsr(MSR_PERF_GLOBAL_OVF_CTRL, COUNTER);
	count_anew();
	return true;
}
