/* The frequency of the TSC: from clocks that run, stand still, lie or are missing, and from what CPUID tells. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "arch/x86/acpi/acpi.h"
#include "arch/x86/clock.h"
#include "arch/x86/log.h"
#include "arch/x86/mm/host_paging.h"
#include "drivers/timer/reference_clock.h"
#include "drivers/timer/timer.h"
#include "tests/fake/fake_cpu.h"

#define PM_PORT 0x608u
#define TSC_HZ 2400000000ull
#define HPET_PERIOD 69841279u /* 14.318 MHz [fs] */

uint64_t clock_tsc_frequency; /* as the product's clock.c has it; a plain variable for this test */

static struct acpi_info acpi;
static uint8_t hpet_registers[1024];
static unsigned log_lines;
static bool hpet_runs, pm_runs, pit_runs;
static uint64_t pit_start;
/* An interruption between the last reading of the PM timer and that of the TSC, in measurement number disturbed. */
static unsigned measurement, disturbed;
static uint32_t measurement_before, measurement_start;
static bool measurement_runs;

const struct acpi_info *acpi_get(void) { return &acpi; }
void clock_set_frequency(uint64_t hz) { clock_tsc_frequency = hz; }

void log_write(enum log_level level, const char *format, ...)
{
	(void)level;
	(void)format;
	log_lines++;
}

void *host_paging_map_device(hpa_t address, uint64_t length, bool write_combining)
{
	(void)write_combining;
	assert_true(address.value == 0xfed00000 || address.value == 0xfe000608);
	assert_true(length <= sizeof(hpet_registers));
	return hpet_registers;
}

/* Steps of a clock of @hz at the fake TSC's time. */
static uint64_t steps(uint64_t hz)
{
	return (uint64_t)((unsigned __int128)fake_tsc * hz / TSC_HZ);
}

static uint64_t hpet_read(void *context, uint64_t offset, unsigned size)
{
	(void)context;
	assert_int_equal(size, 4);
	if (offset == 4)
		return HPET_PERIOD;
	if (offset == 0x10)
		return hpet_registers[0x10];
	assert_int_equal(offset, 0xf0);
	return hpet_runs && (hpet_registers[0x10] & 1) != 0 ? (uint32_t)steps(1000000000000000ull / HPET_PERIOD) : 0;
}

static void hpet_write(void *context, uint64_t offset, unsigned size, uint64_t value)
{
	(void)context;
	(void)size;
	assert_int_equal(offset, 0x10);
	hpet_registers[0x10] = (uint8_t)value;
}

static void disturb(uint32_t value)
{
	if (!measurement_runs) {
		measurement_runs = measurement_before != 0 && value != measurement_before;
		measurement_before = value;
		measurement_start = value;
		return;
	}
	if (((value - measurement_start) & 0xffffff) < 35795)
		return;
	measurement_runs = false;
	measurement_before = 0;
	if (++measurement == disturbed)
		fake_tsc += TSC_HZ / 1000;
}

static uint32_t pm_read(void *context, uint16_t port, unsigned size)
{
	uint32_t value;

	(void)context;
	(void)port;
	assert_int_equal(size, 4);
	value = pm_runs ? (uint32_t)(steps(3579545) + 0xfffff0) & 0xffffff : 0xffffff;
	disturb(value);
	return value | 0xab000000; /* upper bits are not told */
}

static uint32_t pit_read(void *context, uint16_t port, unsigned size)
{
	(void)context;
	(void)size;
	assert_int_equal(port, 0x61);
	return pit_runs && steps(1193182) - pit_start >= 11932 ? 0x21 : 0x01;
}

static void pit_write(void *context, uint16_t port, unsigned size, uint32_t value)
{
	(void)context;
	(void)size;
	(void)value;
	if (port == 0x42)
		pit_start = steps(1193182);
}

static int set_up(void **state)
{
	static const struct fake_port_device pm = {PM_PORT, 1, pm_read, NULL, NULL};
	static const struct fake_port_device pit = {0x42, 0x20, pit_read, pit_write, NULL};
	static const struct fake_mmio_device hpet = {hpet_registers, 1024, hpet_read, hpet_write, NULL};

	(void)state;
	fake_cpu_reset();
	fake_port_add(&pm);
	fake_port_add(&pit);
	fake_mmio_add(&hpet);
	fake_tsc_step = 500;
	memset(&acpi, 0, sizeof(acpi));
	acpi.hpet = (struct acpi_hpet){true, hpa(0xfed00000), 0};
	acpi.fadt.present = true;
	acpi.fadt.pm_timer = (struct acpi_register){.address = PM_PORT, .space = ACPI_SPACE_PORT};
	memset(hpet_registers, 0, sizeof(hpet_registers));
	hpet_runs = pm_runs = pit_runs = true;
	log_lines = 0;
	clock_tsc_frequency = 0;
	measurement = disturbed = measurement_before = 0;
	measurement_runs = false;
	return 0;
}

static void assert_near(uint64_t hz)
{
	assert_true(hz > TSC_HZ - TSC_HZ / 2000 && hz < TSC_HZ + TSC_HZ / 2000);
}

static void assert_measured(const char *source)
{
	struct timer_calibration calibration;

	assert_int_equal(timer_calibrate_tsc(&calibration), STATUS_OK);
	assert_string_equal(calibration.source, source);
	assert_near(calibration.hz);
	assert_int_equal(clock_tsc_frequency, calibration.hz);
	assert_true(calibration.deviation_ppm < 1000);
}

static void test_clocks_in_order(void **state)
{
	(void)state;
	assert_measured("HPET");
	assert_int_equal(hpet_registers[0x10], 0); /* as it was */
	acpi.hpet.present = false;
	assert_measured("PM timer");
	acpi.fadt.pm_timer.address = 0;
	assert_measured("PIT");
	assert_int_equal(log_lines, 0);
}

static void test_clocks_that_stand_still(void **state)
{
	struct timer_calibration calibration;

	(void)state;
	fake_tsc_step = 50000;
	hpet_runs = false;
	assert_measured("PM timer");
	assert_int_equal(log_lines, 1);
	pm_runs = false;
	fake_tsc_step = 5000;
	assert_measured("PIT");
	pit_runs = false;
	fake_tsc_step = 500000;
	clock_tsc_frequency = 0;
	assert_int_equal(timer_calibrate_tsc(&calibration), STATUS_NOT_FOUND);
	assert_int_equal(clock_tsc_frequency, 0);
}

static void test_tsc_that_stands_still(void **state)
{
	uint64_t ticks, nanoseconds;

	(void)state;
	fake_tsc_step = 0;
	assert_int_equal(reference_clock_hpet.measure(&ticks, &nanoseconds), STATUS_TIMEOUT);
}

static void test_pm_timer_wraps(void **state)
{
	uint64_t ticks, nanoseconds;

	(void)state;
	assert_true(reference_clock_pm_timer.available());
	assert_int_equal(reference_clock_pm_timer.measure(&ticks, &nanoseconds), STATUS_OK); /* 24 bits overflow after 16 steps */
	assert_true(nanoseconds > 9990000 && nanoseconds < 10100000);
	assert_near(ticks * 1000000000 / nanoseconds);
}

static void test_interruption_does_not_count(void **state)
{
	struct timer_calibration calibration;

	(void)state;
	acpi.hpet.present = false;
	for (disturbed = 1; disturbed <= 3; disturbed++) {
		measurement = 0;
		assert_int_equal(timer_calibrate_tsc(&calibration), STATUS_OK);
		assert_int_equal(measurement, 3);
		assert_near(calibration.hz);
	}
}

static void test_told(void **state)
{
	struct timer_calibration calibration;

	(void)state;
	fake_cpuid_set(0, 0, 0x16, 0, 0, 0);
	fake_cpuid_set(0x15, 0, 2, 200, 24000000, 0);
	assert_int_equal(timer_calibrate_tsc(&calibration), STATUS_OK);
	assert_string_equal(calibration.source, "CPUID 15h");
	assert_int_equal(calibration.hz, 2400000000);
	assert_true(calibration.deviation_ppm < 1000);

	/* Without a reference clock it is believed. */
	acpi.hpet.present = false;
	acpi.fadt.pm_timer.address = 0;
	pit_runs = false;
	fake_tsc_step = 500000;
	fake_cpuid_set(0x15, 0, 3, 200, 24000000, 0);
	assert_int_equal(timer_calibrate_tsc(&calibration), STATUS_OK);
	assert_int_equal(calibration.hz, 1600000000);
}

static void test_told_wrongly(void **state)
{
	struct timer_calibration calibration;

	(void)state;
	fake_cpuid_set(0, 0, 0x16, 0, 0, 0);
	fake_cpuid_set(0x15, 0, 1, 100, 35000000, 0); /* 3.5 GHz */
	assert_int_equal(timer_calibrate_tsc(&calibration), STATUS_OK);
	assert_string_equal(calibration.source, "HPET");
	assert_near(calibration.hz);
	assert_int_equal(log_lines, 1);
	fake_cpuid_set(0x16, 0, 2400, 0, 0, 0); /* the next source is right */
	assert_int_equal(timer_calibrate_tsc(&calibration), STATUS_OK);
	assert_string_equal(calibration.source, "CPUID 16h");
}

static void test_told_by_hypervisor(void **state)
{
	struct timer_calibration calibration;

	(void)state;
	fake_cpuid_set(0x40000000, 0, 0x40000010, 0, 0, 0);
	fake_cpuid_set(0x40000010, 0, 2400001, 0, 0, 0);
	assert_measured("HPET"); /* no hypervisor bit */
	fake_cpuid_set(1, 0, 0, 0, 0x80000000, 0);
	assert_int_equal(timer_calibrate_tsc(&calibration), STATUS_OK);
	assert_string_equal(calibration.source, "hypervisor");
	assert_int_equal(calibration.hz, 2400001000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_clocks_in_order, set_up),
		cmocka_unit_test_setup(test_clocks_that_stand_still, set_up),
		cmocka_unit_test_setup(test_tsc_that_stands_still, set_up),
		cmocka_unit_test_setup(test_pm_timer_wraps, set_up),
		cmocka_unit_test_setup(test_interruption_does_not_count, set_up),
		cmocka_unit_test_setup(test_told, set_up),
		cmocka_unit_test_setup(test_told_wrongly, set_up),
		cmocka_unit_test_setup(test_told_by_hypervisor, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
