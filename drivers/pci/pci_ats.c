#include "drivers/pci/pci_ats.h"

#include "drivers/pci/pci_internal.h"

#define MAX_DEPTH 32u

static unsigned ats_register(const struct pci_function *function, unsigned offset)
{
	unsigned base = pci_find_extended_capability(function, PCI_EXTENDED_ATS);

	return base == 0 ? 0 : base + offset;
}

bool pci_ats_is_possible(const struct pci_function *function)
{
	if (ats_register(function, 0) == 0 || function->express_type == PCI_EXPRESS_NONE)
		return false;
	for (const struct pci_function *port = function->parent; port != NULL; port = port->parent)
		if (port->express_type != PCI_EXPRESS_ROOT_PORT && port->express_type != PCI_EXPRESS_UPSTREAM_PORT &&
		    port->express_type != PCI_EXPRESS_DOWNSTREAM_PORT)
			return false;
	return true;
}

unsigned pci_ats_queue_depth(const struct pci_function *function)
{
	const struct pci_function *owner = function->physical != NULL ? function->physical : function;
	unsigned place = ats_register(owner, PCI_ATS_CAPABILITIES);
	unsigned depth = place == 0 ? 0 : (unsigned)bits_get(pci_read(owner, place, 2), 4, 0);

	return depth == 0 ? MAX_DEPTH : depth;
}

static bool is_on_behind(const struct pci_function *port)
{
	for (uint32_t i = 0; i < pci_count(); i++)
		if (pci_get(i)->ats && pci_is_behind(pci_get(i), port))
			return true;
	return false;
}

void pci_ats_update_port(const struct pci_function *port)
{
	unsigned acs = pci_find_extended_capability(port, PCI_EXTENDED_ACS);
	uint64_t blocking = PCI_ACS_TRANSLATION_BLOCKING;

	if (acs == 0)
		return;
	blocking &= pci_read(port, acs + PCI_ACS_CAPABILITIES, 2);
	pci_update(port, acs + PCI_ACS_CONTROL, 2, blocking, is_on_behind(port) ? 0 : blocking);
}

static void update_ports(const struct pci_function *function)
{
	for (const struct pci_function *port = function->parent; port != NULL; port = port->parent)
		pci_ats_update_port(port);
}

void pci_ats_set(const struct pci_function *function, bool on)
{
	unsigned control = ats_register(function, PCI_ATS_CONTROL);

	if (control == 0)
		return;
	pci_writable(function)->ats = on;
	if (on)
		update_ports(function);
	/* The smallest unit of translations, 4 KiB, is 0; it is fixed while they are kept. */
	pci_write(function, control, 2, on ? (uint32_t)PCI_ATS_ENABLE : 0);
	if (!on)
		update_ports(function);
}
