#include "drivers/pci/pci_groups.h"

#include "drivers/pci/pci_ats.h"
#include "drivers/pci/pci_internal.h"

/*
 * What a port must do so that nothing behind it reaches its neighbours, and a function so that it does not reach others
 * of its device.
 */
#define PORT_ACS \
	(PCI_ACS_SOURCE_VALIDATION | PCI_ACS_REQUEST_REDIRECT | PCI_ACS_COMPLETION_REDIRECT | \
	 PCI_ACS_UPSTREAM_FORWARDING)
#define FUNCTION_ACS (PCI_ACS_REQUEST_REDIRECT | PCI_ACS_COMPLETION_REDIRECT)

static uint16_t labels[PCI_MAX_FUNCTIONS]; /* the least index of each function's group */

static void join(const struct pci_function *a, const struct pci_function *b)
{
	uint16_t first = labels[a->index], second = labels[b->index];
	uint16_t kept = first < second ? first : second, gone = first < second ? second : first;

	for (uint32_t i = 0; i < pci_count(); i++)
		if (labels[i] == gone)
			labels[i] = kept;
}

static void join_all_behind(const struct pci_function *bridge)
{
	for (uint32_t i = 0; i < pci_count(); i++)
		if (pci_is_behind(pci_get(i), bridge))
			join(bridge, pci_get(i));
}

/* What is forbidden by name or claims to be translated would go straight to its neighbours all the same. */
static void switch_acs_on(const struct pci_function *function)
{
	uint16_t acs = pci_find_extended_capability(function, PCI_EXTENDED_ACS);
	uint64_t wanted = pci_is_bridge(function) ? PORT_ACS : FUNCTION_ACS;

	if (acs == 0)
		return;
	pci_update(function, acs + PCI_ACS_CONTROL, 2, PCI_ACS_EGRESS_CONTROL | PCI_ACS_DIRECT_TRANSLATED,
		   pci_read(function, acs + PCI_ACS_CAPABILITIES, 2) & wanted);
	if (pci_is_bridge(function))
		pci_ats_update_port(function);
}

/*
 * A function that leaves a kind of @needed out of its ACS capability never routes in the way that this kind would stop.
 */
static bool has_acs(const struct pci_function *function, uint64_t needed)
{
	uint16_t acs = pci_find_extended_capability(function, PCI_EXTENDED_ACS);

	if (acs == 0)
		return false;
	needed &= pci_read(function, acs + PCI_ACS_CAPABILITIES, 2);
	return (pci_read(function, acs + PCI_ACS_CONTROL, 2) & needed) == needed;
}

static void join_by_bridge(const struct pci_function *bridge)
{
	switch (bridge->express_type) {
	case PCI_EXPRESS_UPSTREAM_PORT:
		return;
	case PCI_EXPRESS_ROOT_PORT:
		if (!has_acs(bridge, PORT_ACS))
			join_all_behind(bridge);
		return;
	case PCI_EXPRESS_DOWNSTREAM_PORT:
		/* It lets requests go straight to what is behind its neighbours in the switch. */
		if (!has_acs(bridge, PORT_ACS))
			join_all_behind(bridge->parent != NULL ? bridge->parent : bridge);
		return;
	default: /* a bus that all see */
		join_all_behind(bridge);
		return;
	}
}

/* A link has one device at its end: with ARI the numbers of its functions fill the place of device numbers as well. */
static bool is_on_link(const struct pci_function *function)
{
	const struct pci_function *port = function->parent;

	return port != NULL &&
	       (port->express_type == PCI_EXPRESS_ROOT_PORT || port->express_type == PCI_EXPRESS_DOWNSTREAM_PORT);
}

static bool same_device(const struct pci_function *a, const struct pci_function *b)
{
	return a->physical == NULL && b->physical == NULL && a->address.segment == b->address.segment &&
	       a->address.bus == b->address.bus && (a->address.device == b->address.device || is_on_link(a));
}

/* Virtual functions are made to be apart from each other and from their physical one. */
static void join_by_device(const struct pci_function *function)
{
	if (!function->multi_function || has_acs(function, FUNCTION_ACS))
		return;
	for (uint32_t i = 0; i < pci_count(); i++)
		if (same_device(function, pci_get(i)))
			join(function, pci_get(i));
}

void pci_groups_init(void)
{
	uint32_t next = 0;

	for (uint32_t i = 0; i < pci_count(); i++) {
		labels[i] = (uint16_t)i;
		switch_acs_on(pci_get(i));
	}
	for (uint32_t i = 0; i < pci_count(); i++) {
		if (pci_is_bridge(pci_get(i)))
			join_by_bridge(pci_get(i));
		join_by_device(pci_get(i));
	}
	for (uint32_t i = 0; i < pci_count(); i++)
		pci_writable(pci_get(i))->group = labels[i] == i ? next++ : pci_get(labels[i])->group;
}

void pci_group_members(const struct pci_function *function,
		       void (*visit)(const struct pci_function *member, void *context), void *context)
{
	for (uint32_t i = 0; i < pci_count(); i++)
		if (pci_get(i)->group == function->group)
			visit(pci_get(i), context);
}

uint16_t pci_requester_id(const struct pci_function *function)
{
	const struct pci_address *address = &function->address;

	return (uint16_t)(address->bus << 8 | address->device << 3 | address->function);
}

uint32_t pci_requester_ids(const struct pci_function *function, uint16_t ids[PCI_MAX_REQUESTER_IDS])
{
	uint32_t count = 1;

	ids[0] = pci_requester_id(function);
	for (const struct pci_function *bridge = function->parent; bridge != NULL; bridge = bridge->parent) {
		if (bridge->express_type == PCI_EXPRESS_TO_PCI_BRIDGE)
			ids[1] = (uint16_t)(bridge->secondary_bus << 8);
		else if (bridge->express_type == PCI_EXPRESS_NONE)
			ids[1] = pci_requester_id(bridge);
		else
			continue;
		count = 2;
	}
	return count;
}
