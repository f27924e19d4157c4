#include "arch/x86/cpu/tsc.h"

#include "arch/x86/cpu/features.h"
#include "arch/x86/insn.h"

#define LEAF_TSC 0x15u
#define LEAF_FREQUENCY 0x16u
#define LEAF_HYPERVISOR 0x40000000u
#define LEAF_HYPERVISOR_TIMING 0x40000010u
#define HZ_PER_MHZ 1000000u
#define HZ_PER_KHZ 1000u

static uint64_t frequency_from_hypervisor(void)
{
	if (!features_has(CPU_FEATURE_HYPERVISOR) || insn_cpuid(LEAF_HYPERVISOR, 0).eax < LEAF_HYPERVISOR_TIMING)
		return 0;
	return (uint64_t)insn_cpuid(LEAF_HYPERVISOR_TIMING, 0).eax * HZ_PER_KHZ;
}

uint64_t tsc_frequency_from_cpuid(void)
{
	const struct cpu_identity *identity = features_identity();
	struct cpuid_result ratio = {0, 0, 0, 0}; /* TSC / crystal = EBX / EAX, crystal = ECX Hz */
	uint32_t base_mhz = 0;

	if (identity->vendor == CPU_VENDOR_INTEL && identity->max_leaf >= LEAF_TSC)
		ratio = insn_cpuid(LEAF_TSC, 0);
	if (identity->vendor == CPU_VENDOR_INTEL && identity->max_leaf >= LEAF_FREQUENCY)
		base_mhz = insn_cpuid(LEAF_FREQUENCY, 0).eax & 0xffff;
	if (ratio.eax != 0 && ratio.ebx != 0 && ratio.ecx != 0)
		return (uint64_t)ratio.ecx * ratio.ebx / ratio.eax;
	/* The processor's base frequency is the TSC's where leaf 15H has a ratio but no crystal. */
	if (ratio.eax != 0 && ratio.ebx != 0 && base_mhz != 0)
		return (uint64_t)base_mhz * HZ_PER_MHZ;
	return frequency_from_hypervisor();
}

static bool wait_turn(const struct tsc_check *check, uint32_t turn, uint64_t limit_ticks)
{
	uint64_t start = insn_rdtsc();

	while (__atomic_load_n(&check->turn, __ATOMIC_ACQUIRE) != turn) {
		if (insn_rdtsc() - start > limit_ticks)
			return false;
		insn_pause();
	}
	return true;
}

bool tsc_check_run(struct tsc_check *check, uint32_t who, uint64_t limit_ticks)
{
	for (uint32_t turn = who; turn < 2 * TSC_CHECK_ROUNDS; turn += 2) {
		uint64_t now;

		if (!wait_turn(check, turn, limit_ticks))
			return false;
		insn_lfence();
		now = insn_rdtsc();
		if (now < check->last)
			check->worst_lag = max_u64(check->worst_lag, check->last - now);
		check->last = now;
		__atomic_store_n(&check->turn, turn + 1, __ATOMIC_RELEASE);
	}
	return true;
}
