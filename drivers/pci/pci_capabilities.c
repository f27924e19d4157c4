/* The two lists of capabilities, which broken or hostile functions may tie into a loop or lead out of their place. */
#include "drivers/pci/pci_internal.h"

#define POINTER_MASK 0xfcu
#define CONFIG_SIZE 4096u
#define EXTENDED_POINTER_MASK 0xffcu

static void read_standard(struct pci_function *function)
{
	unsigned start = function->header_type == 2 ? PCI_CARDBUS_CAPABILITIES : PCI_CAPABILITIES;
	unsigned offset = pci_read(function, start, 1) & POINTER_MASK;
	uint64_t seen = 0;

	while (offset != 0) {
		uint8_t id = (uint8_t)pci_read(function, offset, 1);

		if (offset < PCI_DEVICE_SPECIFIC || (seen & BIT(offset / 4)) != 0 || id == UINT8_MAX ||
		    function->capability_count == PCI_MAX_CAPABILITIES) {
			function->capabilities_broken = true;
			return;
		}
		seen |= BIT(offset / 4);
		function->capabilities[function->capability_count++] = (struct pci_capability){id, (uint8_t)offset};
		offset = pci_read(function, offset + 1, 1) & POINTER_MASK;
	}
}

/* Some bridges show the first 256 bytes again and again instead. */
static bool has_extended(const struct pci_function *function)
{
	uint32_t first = pci_read(function, PCI_EXTENDED, 4);

	if (pci_config_size(function->address.segment, function->address.bus) != CONFIG_SIZE)
		return false;
	return first != 0 && first != UINT32_MAX && first != pci_read(function, PCI_VENDOR, 4);
}

static void read_extended(struct pci_function *function)
{
	uint64_t seen[CONFIG_SIZE / 4 / 64] = {0};
	unsigned offset = PCI_EXTENDED;

	while (offset != 0) {
		uint32_t header = pci_read(function, offset, 4);
		unsigned place = offset / 4;

		if (offset < PCI_EXTENDED || (seen[place / 64] & BIT(place % 64)) != 0 || header == UINT32_MAX ||
		    function->extended_capability_count == PCI_MAX_EXTENDED_CAPABILITIES) {
			function->capabilities_broken = true;
			return;
		}
		seen[place / 64] |= BIT(place % 64);
		/* Number 0 stands for none: the head of an empty list, or one that was taken out. */
		if ((header & UINT16_MAX) != 0)
			function->extended_capabilities[function->extended_capability_count++] =
				(struct pci_extended_capability){(uint16_t)header, (uint16_t)offset};
		offset = (unsigned)bits_get(header, 31, 20) & EXTENDED_POINTER_MASK;
	}
}

void pci_read_capabilities(struct pci_function *function)
{
	unsigned express;

	if ((pci_read(function, PCI_STATUS, 2) & PCI_STATUS_CAPABILITIES) != 0)
		read_standard(function);
	if (has_extended(function))
		read_extended(function);
	express = pci_express_register(function, PCI_EXPRESS_CAPABILITIES);
	function->express_type =
		express == 0 ? PCI_EXPRESS_NONE : (uint8_t)bits_get(pci_read(function, express, 2), 7, 4);
}

uint8_t pci_find_capability(const struct pci_function *function, uint8_t id)
{
	for (uint32_t i = 0; i < function->capability_count; i++)
		if (function->capabilities[i].id == id)
			return function->capabilities[i].offset;
	return 0;
}

uint16_t pci_find_extended_capability(const struct pci_function *function, uint16_t id)
{
	for (uint32_t i = 0; i < function->extended_capability_count; i++)
		if (function->extended_capabilities[i].id == id)
			return function->extended_capabilities[i].offset;
	return 0;
}
