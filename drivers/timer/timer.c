#include "drivers/timer/timer.h"

#include "arch/x86/clock.h"
#include "arch/x86/insn.h"
#include "arch/x86/log.h"
#include "drivers/timer/reference_clock.h"
#include "lib/bits.h"

#define MEASUREMENTS 3u
#define NANOSECONDS_PER_SECOND 1000000000ull
#define PARTS_PER_MILLION 1000000ull
#define TOLERATED_DEVIATION 10000u /* [ppm] between what is told and what is measured */
#define FREQUENCY_MIN 1000000ull   /* [Hz]; outside of this a value is nonsense */
#define FREQUENCY_MAX 100000000000ull

/* What tells the frequency without measuring [Hz]; 0: does not. SDM Vol. 2A "CPUID". */
static uint64_t told_by_crystal(void)
{
	struct cpuid_result leaf;

	if (insn_cpuid(0, 0).eax < 0x15)
		return 0;
	leaf = insn_cpuid(0x15, 0);
	return leaf.eax != 0 ? (uint64_t)leaf.ecx * leaf.ebx / leaf.eax : 0;
}

/* A leaf that hypervisors agree on: the frequency of the virtual TSC in kHz. */
static uint64_t told_by_hypervisor(void)
{
	if ((insn_cpuid(1, 0).ecx & BIT(31)) == 0)
		return 0;
	if (insn_cpuid(0x40000000, 0).eax < 0x40000010 || insn_cpuid(0x40000000, 0).eax > 0x400000ff)
		return 0;
	return (uint64_t)insn_cpuid(0x40000010, 0).eax * 1000;
}

static uint64_t told_by_base_frequency(void)
{
	return insn_cpuid(0, 0).eax >= 0x16 ? bits_get(insn_cpuid(0x16, 0).eax, 15, 0) * 1000000 : 0;
}

static const struct {
	const char *name;
	uint64_t (*told)(void);
} told_sources[] = {
	{"CPUID 15h", told_by_crystal},
	{"hypervisor", told_by_hypervisor},
	{"CPUID 16h", told_by_base_frequency},
};

/* Best first. */
static const struct reference_clock *const reference_clocks[] = {
	&reference_clock_hpet,
	&reference_clock_pm_timer,
	&reference_clock_pit,
};

static bool is_plausible(uint64_t hz)
{
	return hz >= FREQUENCY_MIN && hz <= FREQUENCY_MAX;
}

static uint32_t deviation_ppm(uint64_t a, uint64_t b)
{
	uint64_t low = min_u64(a, b), high = max_u64(a, b);

	return (uint32_t)min_u64((high - low) * PARTS_PER_MILLION / low, UINT32_MAX);
}

/* The middle one of three, so that one that an SMI or a host's scheduler stretched does not count. */
static uint64_t middle(const uint64_t values[MEASUREMENTS])
{
	uint64_t low = min_u64(values[0], values[1]), high = max_u64(values[0], values[1]);

	return max_u64(low, min_u64(high, values[2]));
}

static bool measure_with(const struct reference_clock *clock, struct timer_calibration *calibration)
{
	uint64_t values[MEASUREMENTS], ticks, nanoseconds;

	if (!clock->available())
		return false;
	for (unsigned i = 0; i < MEASUREMENTS; i++) {
		if (clock->measure(&ticks, &nanoseconds) != STATUS_OK || nanoseconds == 0) {
			log_warning("timer: %s stands still", clock->name);
			return false;
		}
		values[i] = ticks * NANOSECONDS_PER_SECOND / nanoseconds;
		if (!is_plausible(values[i]))
			return false;
	}
	calibration->source = clock->name;
	calibration->hz = middle(values);
	calibration->deviation_ppm = UINT32_MAX;
	for (unsigned i = 0; i < MEASUREMENTS; i++)
		if (deviation_ppm(values[i], values[(i + 1) % MEASUREMENTS]) < calibration->deviation_ppm)
			calibration->deviation_ppm = deviation_ppm(values[i], values[(i + 1) % MEASUREMENTS]);
	return true;
}

static bool measure(struct timer_calibration *calibration)
{
	for (size_t i = 0; i < array_count(reference_clocks); i++)
		if (measure_with(reference_clocks[i], calibration))
			return true;
	return false;
}

/* Replaces what was measured by what is told, if the two agree or nothing could be measured. */
static bool take_told(bool measured, struct timer_calibration *calibration)
{
	for (size_t i = 0; i < array_count(told_sources); i++) {
		uint64_t hz = told_sources[i].told();
		uint32_t deviation;

		if (!is_plausible(hz))
			continue;
		deviation = measured ? deviation_ppm(hz, calibration->hz) : 0;
		if (deviation > TOLERATED_DEVIATION) {
			log_warning("timer: %s tells %llu Hz, %s measures %llu Hz: the measured value is taken", told_sources[i].name,
				    (unsigned long long)hz, calibration->source, (unsigned long long)calibration->hz);
			continue;
		}
		*calibration = (struct timer_calibration){told_sources[i].name, hz, deviation};
		return true;
	}
	return false;
}

enum status timer_calibrate_tsc(struct timer_calibration *calibration)
{
	bool measured, told;

	*calibration = (struct timer_calibration){.source = "none"};
	measured = measure(calibration);
	told = take_told(measured, calibration);
	if (!measured && !told)
		return STATUS_NOT_FOUND;
	clock_set_frequency(calibration->hz);
	return STATUS_OK;
}
