/* The main counter of the HPET. IA-PC HPET Specification, "Register Model". */
#include "drivers/timer/reference_clock.h"

#include "arch/x86/acpi/acpi.h"
#include "arch/x86/mm/host_paging.h"
#include "arch/x86/mmio.h"
#include "lib/bits.h"

#define HPET_SIZE KIB
#define HPET_PERIOD 0x04u /* upper half of the capabilities [femtoseconds] */
#define HPET_CONFIGURATION 0x10u
#define HPET_COUNTER 0xf0u
#define CONFIGURATION_ENABLE 0x1u
#define PERIOD_MAX 100000000u /* the specification's bound */
#define PERIOD_MIN 100000u    /* 10 GHz: less is a broken register */
#define FEMTOSECONDS_PER_NANOSECOND 1000000ull

static uint8_t *registers;

static uint32_t read_counter(void)
{
	return mmio_read32(registers + HPET_COUNTER);
}

static bool available(void)
{
	const struct acpi_hpet *hpet = &acpi_get()->hpet;
	uint32_t period;

	if (!hpet->present || !is_aligned(hpet->address.value, 8))
		return false;
	registers = host_paging_map_device(hpet->address, HPET_SIZE, false);
	if (registers == NULL)
		return false;
	period = mmio_read32(registers + HPET_PERIOD);
	return period >= PERIOD_MIN && period <= PERIOD_MAX;
}

static enum status measure(uint64_t *ticks, uint64_t *nanoseconds)
{
	uint32_t period = mmio_read32(registers + HPET_PERIOD), configuration = mmio_read32(registers + HPET_CONFIGURATION);
	uint32_t wanted = (uint32_t)(REFERENCE_CLOCK_INTERVAL * FEMTOSECONDS_PER_NANOSECOND / period), steps = 0;
	enum status status;

	mmio_write32(registers + HPET_CONFIGURATION, configuration | CONFIGURATION_ENABLE);
	status = reference_clock_count(read_counter, UINT32_MAX, wanted, ticks, &steps);
	mmio_write32(registers + HPET_CONFIGURATION, configuration);
	*nanoseconds = (uint64_t)steps * period / FEMTOSECONDS_PER_NANOSECOND;
	return status;
}

const struct reference_clock reference_clock_hpet = {"HPET", available, measure};
