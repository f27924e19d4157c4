#include "arch/x86/irq/lapic_performance.h"

#include "arch/x86/irq/lapic_registers.h"

#define PERFORMANCE_INDEX 4u

bool lapic_performance_nmi(void)
{
	if (LAPIC_VERSION_MAX_LVT(lapic_read(LAPIC_VERSION)) < PERFORMANCE_INDEX)
		return false;
	lapic_write(LAPIC_LVT_PERFORMANCE, LAPIC_LVT_MODE_NMI);
	return true;
}
