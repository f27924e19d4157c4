#include "drivers/pci/pci_saved.h"

#include "drivers/pci/pci_internal.h"

/* Neither: reset again, nor sources that nothing is known of. */
#define DEVICE_CONTROL_KEPT (UINT16_MAX & ~(uint32_t)(PCI_EXPRESS_START_FLR | PCI_EXPRESS_PHANTOM_FUNCTIONS))

enum place { HEADER, CAPABILITY, EXTENDED };

/*
 * What a reset undoes and what was right before it, in the order in which it is written back; then addresses and
 * command.
 */
static const struct saved_register {
	enum place place;
	uint16_t id, offset;
	uint8_t size;
	uint8_t least_version; /* of the PCI Express capability, whose older versions are shorter */
	uint32_t kept;         /* bits */
} saved_registers[] = {
	{CAPABILITY, PCI_CAPABILITY_EXPRESS, PCI_EXPRESS_DEVICE_CONTROL, 2, 1, DEVICE_CONTROL_KEPT},
	/* The deep states of the link before its shallow ones, and of these what enables them last. */
	{EXTENDED, PCI_EXTENDED_LINK_SUBSTATES, 12, 4, 0, UINT32_MAX},
	{EXTENDED, PCI_EXTENDED_LINK_SUBSTATES, 8, 4, 0, UINT32_MAX},
	{CAPABILITY, PCI_CAPABILITY_EXPRESS, PCI_EXPRESS_LINK_CONTROL, 2, 1, 0xffff},
	{CAPABILITY, PCI_CAPABILITY_EXPRESS, PCI_EXPRESS_DEVICE_CONTROL_2, 2, 2, 0xffff},
	{EXTENDED, PCI_EXTENDED_RESIZABLE_BAR, 8, 4, 0, UINT32_MAX},
	{EXTENDED, PCI_EXTENDED_RESIZABLE_BAR, 16, 4, 0, UINT32_MAX},
	{EXTENDED, PCI_EXTENDED_LATENCY, 4, 4, 0, UINT32_MAX},
	{EXTENDED, PCI_EXTENDED_ACS, PCI_ACS_CONTROL, 2, 0, UINT32_MAX},
	{EXTENDED, PCI_EXTENDED_ERRORS, 8, 4, 0, UINT32_MAX},
	{EXTENDED, PCI_EXTENDED_ERRORS, 12, 4, 0, UINT32_MAX},
	{EXTENDED, PCI_EXTENDED_ERRORS, 20, 4, 0, UINT32_MAX},
	/*
	 * Virtual functions are on again last of these; where they are depends on the rest, by the device's choice on
	 * ARI too.
	 */
	{EXTENDED, PCI_EXTENDED_SRIOV, PCI_SRIOV_CONTROL, 2, 0, PCI_SRIOV_ARI},
	{EXTENDED, PCI_EXTENDED_SRIOV, PCI_SRIOV_PAGE_SIZE, 4, 0, UINT32_MAX},
	{EXTENDED, PCI_EXTENDED_SRIOV, PCI_SRIOV_BARS, 4, 0, UINT32_MAX},
	{EXTENDED, PCI_EXTENDED_SRIOV, PCI_SRIOV_BARS + 4, 4, 0, UINT32_MAX},
	{EXTENDED, PCI_EXTENDED_SRIOV, PCI_SRIOV_BARS + 8, 4, 0, UINT32_MAX},
	{EXTENDED, PCI_EXTENDED_SRIOV, PCI_SRIOV_BARS + 12, 4, 0, UINT32_MAX},
	{EXTENDED, PCI_EXTENDED_SRIOV, PCI_SRIOV_BARS + 16, 4, 0, UINT32_MAX},
	{EXTENDED, PCI_EXTENDED_SRIOV, PCI_SRIOV_BARS + 20, 4, 0, UINT32_MAX},
	{EXTENDED, PCI_EXTENDED_SRIOV, PCI_SRIOV_COUNT, 2, 0, UINT32_MAX},
	{EXTENDED, PCI_EXTENDED_SRIOV, PCI_SRIOV_CONTROL, 2, 0, PCI_SRIOV_ENABLE | PCI_SRIOV_MEMORY | PCI_SRIOV_ARI},
	{HEADER, 0, PCI_CACHE_LINE_SIZE, 1, 0, UINT32_MAX},
	{HEADER, 0, PCI_LATENCY_TIMER, 1, 0, UINT32_MAX},
	{HEADER, 0, PCI_INTERRUPT_LINE, 1, 0, UINT32_MAX},
};
_Static_assert(array_count(saved_registers) <= PCI_SAVED_MAX, "all have a place");

/* Where @saved is in @function; 0: nowhere. */
static unsigned place_of(const struct pci_function *function, const struct saved_register *saved)
{
	unsigned base;

	if (saved->place == HEADER)
		return saved->offset;
	if (saved->place == EXTENDED)
		base = pci_find_extended_capability(function, saved->id);
	else
		base = pci_find_capability(function, (uint8_t)saved->id);
	if (base == 0)
		return 0;
	if (saved->least_version > bits_get(pci_read(function, base + PCI_EXPRESS_CAPABILITIES, 2), 3, 0))
		return 0;
	return base + saved->offset;
}

void pci_save(const struct pci_function *function, struct pci_saved *saved)
{
	for (size_t i = 0; i < array_count(saved_registers); i++) {
		unsigned place = place_of(function, &saved_registers[i]);

		saved->values[i] =
			place != 0 ? pci_read(function, place, saved_registers[i].size) & saved_registers[i].kept : 0;
	}
}

void pci_restore(const struct pci_function *function, const struct pci_saved *saved)
{
	for (size_t i = 0; i < array_count(saved_registers); i++) {
		unsigned place = place_of(function, &saved_registers[i]);

		if (place != 0)
			pci_write(function, place, saved_registers[i].size, saved->values[i]);
	}
}
