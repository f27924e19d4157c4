#include "drivers/pci/pci.h"

#include "arch/x86/acpi/acpi.h"
#include "arch/x86/log.h"
#include "arch/x86/mm/page_pool.h"
#include "drivers/pci/pci_groups.h"
#include "drivers/pci/pci_internal.h"
#include "drivers/pci/pci_owner.h"
#include "lib/string.h"

#define BUSES 256u
#define READY_STEP 10000u /* [us] */
#define READY_STEPS 100u

#define FUNCTIONS_PER_PAGE (PAGE_SIZE / sizeof(struct pci_function))
#define PAGES ((PCI_MAX_FUNCTIONS + FUNCTIONS_PER_PAGE - 1) / FUNCTIONS_PER_PAGE)

/* Machines have a handful or hundreds, and each is large: pages of them, taken when needed, never given back. */
static struct pci_function *pages[PAGES];
static uint32_t function_count, functions_lost;
static unsigned ready_steps; /* left, to wait for functions */

static struct pci_function *place_of(uint32_t index)
{
	return &pages[index / FUNCTIONS_PER_PAGE][index % FUNCTIONS_PER_PAGE];
}

struct pci_function *pci_writable(const struct pci_function *function)
{
	return place_of(function->index);
}

bool pci_reserve(uint32_t count)
{
	if (count > PCI_MAX_FUNCTIONS - function_count)
		return false;
	for (uint32_t i = function_count; i < function_count + count; i++) {
		struct pci_function **page = &pages[i / FUNCTIONS_PER_PAGE];

		if (*page == NULL)
			*page = page_pool_allocate_pointer();
		if (*page == NULL)
			return false;
	}
	return true;
}

struct pci_function *pci_append(struct pci_address address)
{
	struct pci_function *function;

	if (!pci_reserve(1))
		return NULL;
	function = place_of(function_count);
	*function = (struct pci_function){.address = address, .index = (uint16_t)function_count++};
	return function;
}

void pci_read_identity(struct pci_function *function)
{
	function->class_code = (uint8_t)pci_read(function, PCI_CLASS, 1);
	function->subclass = (uint8_t)pci_read(function, PCI_SUBCLASS, 1);
	function->programming_interface = (uint8_t)pci_read(function, PCI_INTERFACE, 1);
	function->revision = (uint8_t)pci_read(function, PCI_REVISION, 1);
	if (function->header_type != 0)
		return;
	function->subsystem_vendor_id = (uint16_t)pci_read(function, PCI_SUBSYSTEM_VENDOR, 2);
	function->subsystem_id = (uint16_t)pci_read(function, PCI_SUBSYSTEM, 2);
}

void pci_remove_last(uint32_t count)
{
	function_count -= count;
}

/* Else a CPU that reads a register of a function which is not ready, after a reset, would stand until it is. */
static void show_retries(const struct pci_function *port)
{
	unsigned capabilities = pci_express_register(port, PCI_EXPRESS_ROOT_CAPABILITIES);

	if (port->express_type != PCI_EXPRESS_ROOT_PORT ||
	    (pci_read(port, capabilities, 2) & PCI_EXPRESS_CAN_SHOW_RETRY) == 0)
		return;
	pci_update(port, pci_express_register(port, PCI_EXPRESS_ROOT_CONTROL), 2, 0, PCI_EXPRESS_SHOW_RETRY);
}

/*
 * One read of each place, of which there are thousands, nearly all empty. All that are not ready yet share one second, which is what
 * each may take after its reset.
 */
static uint16_t read_vendor(struct pci_address address)
{
	const uint32_t not_ready = PCI_VENDOR_NOT_READY | (uint32_t)PCI_VENDOR_NONE << 16;
	uint32_t id;

	for (; (id = pci_config_read(address, PCI_VENDOR, 4)) == not_ready; ready_steps--) {
		if (ready_steps == 0) {
			log_warning("PCI: " PCI_ADDRESS_FORMAT ": does not get ready: it is left out",
				    PCI_ADDRESS_ARGUMENTS(address));
			return PCI_VENDOR_NONE;
		}
		pci_wait(READY_STEP);
	}
	return (uint16_t)id;
}

static void read_function(struct pci_function *function)
{
	function->device_id = (uint16_t)pci_read(function, PCI_DEVICE, 2);
	function->interrupt_line = (uint8_t)pci_read(function, PCI_INTERRUPT_LINE, 1);
	function->interrupt_pin = (uint8_t)pci_read(function, PCI_INTERRUPT_PIN, 1);
	pci_read_identity(function);
	if (function->header_type != 0) {
		function->secondary_bus = (uint8_t)pci_read(function, PCI_SECONDARY_BUS, 1);
		function->subordinate_bus = (uint8_t)pci_read(function, PCI_SUBORDINATE_BUS, 1);
	}
	pci_read_bars(function);
	pci_read_capabilities(function);
	show_retries(function);
	pci_sriov_init(function);
	if (function->capabilities_broken)
		log_warning("PCI: " PCI_ADDRESS_FORMAT
			    ": its list of capabilities is broken: the rest of it is not used",
			    PCI_ADDRESS_ARGUMENTS(function->address));
}

/* Adds the function at @address if there is one; *@multi_function: there may be others, as its function 0 said. */
static bool add_function(struct pci_address address, bool *multi_function)
{
	uint16_t vendor = read_vendor(address);
	struct pci_function *function;
	uint8_t header;

	if (vendor == PCI_VENDOR_NONE || vendor == 0)
		return false;
	header = (uint8_t)pci_config_read(address, PCI_HEADER_TYPE, 1);
	if (address.function == 0)
		*multi_function = (header & PCI_HEADER_MULTI_FUNCTION) != 0;
	function = pci_append(address);
	if (function == NULL) {
		functions_lost++;
		return true;
	}
	function->vendor_id = vendor;
	function->header_type = header & PCI_HEADER_LAYOUT;
	function->multi_function = *multi_function;
	read_function(function);
	return true;
}

static void scan_device(struct pci_address address)
{
	bool multi_function = false;

	if (!add_function(address, &multi_function) || !multi_function)
		return;
	for (uint8_t function = 1; function < PCI_FUNCTIONS_PER_DEVICE; function++) {
		address.function = function;
		(void)add_function(address, &multi_function);
	}
}

static void scan_buses(uint16_t segment, unsigned first, unsigned last)
{
	for (unsigned bus = first; bus <= last; bus++) {
		if (pci_config_size(segment, (uint8_t)bus) == 0)
			continue;
		for (uint8_t device = 0; device < PCI_DEVICES_PER_BUS; device++)
			scan_device((struct pci_address){.segment = segment, .bus = (uint8_t)bus, .device = device});
	}
}

/* The bus of a parent has a lower number: however hostile bridges are, going up ends. */
static void find_parent(struct pci_function *function)
{
	for (uint32_t i = 0; i < function_count; i++) {
		const struct pci_function *bridge = place_of(i);

		if (!pci_is_bridge(bridge) || bridge->address.segment != function->address.segment)
			continue;
		if (bridge->secondary_bus != function->address.bus || bridge->address.bus >= function->address.bus)
			continue;
		function->parent = bridge;
		return;
	}
}

enum status pci_scan(void)
{
	const struct acpi_mcfg *mcfg = &acpi_get()->mcfg;

	function_count = functions_lost = 0;
	ready_steps = READY_STEPS;
	memset(pages, 0, sizeof(pages));
	pci_config_init();
	scan_buses(0, 0, BUSES - 1);
	for (uint32_t i = 0; i < mcfg->ecam_count; i++)
		if (mcfg->ecams[i].segment != 0)
			scan_buses(mcfg->ecams[i].segment, mcfg->ecams[i].first_bus, mcfg->ecams[i].last_bus);
	for (uint32_t i = 0; i < function_count; i++)
		find_parent(place_of(i));
	pci_groups_init();
	pci_owner_init();
	if (functions_lost > 0) {
		log_warning("PCI: %u functions are left out: more than %u, or than memory is left for", functions_lost,
			    PCI_MAX_FUNCTIONS);
		return STATUS_NO_MEMORY;
	}
	return function_count > 0 ? STATUS_OK : STATUS_NOT_FOUND;
}

uint32_t pci_count(void)
{
	return function_count;
}

const struct pci_function *pci_get(uint32_t index)
{
	return index < function_count ? place_of(index) : NULL;
}

const struct pci_function *pci_find(struct pci_address address)
{
	for (uint32_t i = 0; i < function_count; i++) {
		const struct pci_address *found = &place_of(i)->address;

		if (found->segment == address.segment && found->bus == address.bus && found->device == address.device &&
		    found->function == address.function)
			return place_of(i);
	}
	return NULL;
}

const struct pci_function *pci_find_class(uint8_t class_code, uint8_t subclass, uint32_t nth)
{
	for (uint32_t i = 0; i < function_count; i++) {
		const struct pci_function *function = place_of(i);

		if (function->class_code != class_code || function->subclass != subclass)
			continue;
		if (nth-- == 0)
			return function;
	}
	return NULL;
}

bool pci_is_bridge(const struct pci_function *function)
{
	return function->header_type == 1 || function->header_type == 2;
}

bool pci_is_behind(const struct pci_function *function, const struct pci_function *bridge)
{
	while (function != NULL && function->parent != bridge)
		function = function->parent;
	return function != NULL && bridge != NULL;
}
