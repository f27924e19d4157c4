/* The power-management timer. ACPI Specification, "Power Management Timer". */
#include "drivers/timer/reference_clock.h"

#include "arch/x86/acpi/acpi.h"
#include "arch/x86/insn.h"
#include "arch/x86/mm/host_paging.h"
#include "arch/x86/mmio.h"

#define PM_TIMER_FREQUENCY 3579545ull /* [Hz] */
#define NANOSECONDS_PER_SECOND 1000000000ull
#define MASK_24_BIT 0xffffffu

static uint16_t timer_port;
static const volatile void *timer_memory;

static uint32_t read_port(void)
{
	return insn_in32(timer_port);
}

static uint32_t read_memory(void)
{
	return mmio_read32(timer_memory);
}

static bool available(void)
{
	const struct acpi_register *timer = &acpi_get()->fadt.pm_timer;

	if (timer->address == 0)
		return false;
	if (timer->space == ACPI_SPACE_PORT) {
		timer_port = (uint16_t)timer->address;
		timer_memory = NULL;
		return true;
	}
	if (timer->space != ACPI_SPACE_MEMORY || !is_aligned(timer->address, 4))
		return false;
	timer_memory = host_paging_map_device(hpa(timer->address), 4, false);
	return timer_memory != NULL;
}

static enum status measure(uint64_t *ticks, uint64_t *nanoseconds)
{
	bool wide = (acpi_get()->fadt.flags & ACPI_FADT_TIMER_32_BIT) != 0;
	uint32_t wanted = (uint32_t)(PM_TIMER_FREQUENCY * REFERENCE_CLOCK_INTERVAL / NANOSECONDS_PER_SECOND), steps = 0;
	enum status status = reference_clock_count(timer_memory != NULL ? read_memory : read_port, wide ? UINT32_MAX : MASK_24_BIT,
						   wanted, ticks, &steps);

	*nanoseconds = steps * NANOSECONDS_PER_SECOND / PM_TIMER_FREQUENCY;
	return status;
}

const struct reference_clock reference_clock_pm_timer = {"PM timer", available, measure};
