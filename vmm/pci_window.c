#include "vmm/pci_window.h"

#include "lib/bits.h"
#include "lib/checked.h"
#include "vmm/cpuid_policy.h"
#include "vmm/platform.h"

/* Low enough for processors and units of an IOMMU with few address bits, and aligned for large registers. */
#define WINDOW_ALIGNMENT (32 * GIB)
#define WINDOW_SIZE (64 * GIB)

bool pci_window_high(const struct guest_memory *memory, uint64_t *base, uint64_t *end)
{
	const struct guest_memory_slot *last = &memory->slots[memory->slot_count - 1];
	uint64_t ram_end = memory->slot_count != 0 ? last->base.value + last->length : 0;

	*base = align_up(max_u64(ram_end, 4 * GIB), WINDOW_ALIGNMENT);
	*end = min_u64(*base + WINDOW_SIZE, BIT(cpuid_policy_physical_address_bits()));
	return *base < *end;
}

bool pci_window_holds(const struct guest_memory *memory, uint64_t base, uint64_t size)
{
	uint64_t high_base, high_end;

	if (base >= PLATFORM_PCI_WINDOW_BASE && range_within(base, size, PLATFORM_PCI_WINDOW_END))
		return true;
	return pci_window_high(memory, &high_base, &high_end) && base >= high_base && range_within(base, size, high_end);
}
