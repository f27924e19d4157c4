#include "drivers/pci/pci.h"

#include "arch/x86/acpi/acpi.h"
#include "arch/x86/log.h"
#include "lib/bits.h"
#include "lib/string.h"

/* Registers of configuration space. */
enum {
	CONFIG_VENDOR = 0x00,
	CONFIG_DEVICE = 0x02,
	CONFIG_STATUS = 0x06,
	CONFIG_REVISION = 0x08,
	CONFIG_INTERFACE = 0x09,
	CONFIG_SUBCLASS = 0x0a,
	CONFIG_CLASS = 0x0b,
	CONFIG_HEADER_TYPE = 0x0e,
	CONFIG_BARS = 0x10,
	CONFIG_CARDBUS_CAPABILITIES = 0x14,
	CONFIG_SECONDARY_BUS = 0x19,
	CONFIG_SUBORDINATE_BUS = 0x1a,
	CONFIG_SUBSYSTEM_VENDOR = 0x2c,
	CONFIG_SUBSYSTEM = 0x2e,
	CONFIG_CAPABILITIES = 0x34,
	CONFIG_INTERRUPT_LINE = 0x3c,
	CONFIG_INTERRUPT_PIN = 0x3d,
	CONFIG_DEVICE_SPECIFIC = 0x40, /* first place for a capability */
};

#define VENDOR_NONE 0xffffu
#define HEADER_MULTI_FUNCTION 0x80u
#define HEADER_LAYOUT 0x7fu
#define STATUS_HAS_CAPABILITIES BIT(4)
#define BAR_IS_PORT BIT(0)
#define BAR_IS_PREFETCHABLE BIT(3)
#define BAR_TYPE_64 2u
#define BUSES 256u

static struct pci_function functions[PCI_MAX_FUNCTIONS];
static uint32_t function_count, functions_lost;

/* How many base address registers each header layout has: functions, PCI bridges, CardBus bridges. */
static const uint8_t bar_counts[] = {6, 2, 1};

static uint32_t read_field(const struct pci_function *function, uint16_t offset, unsigned size)
{
	return pci_config_read(function->address, offset, size);
}

/* The register at @index; returns how many it takes. */
static unsigned read_bar(struct pci_function *function, unsigned index, unsigned count)
{
	uint16_t offset = (uint16_t)(CONFIG_BARS + 4 * index);
	uint32_t low = read_field(function, offset, 4);
	struct pci_bar *bar = &function->bars[index];

	if (low == 0 || low == UINT32_MAX)
		return 1;
	if ((low & BAR_IS_PORT) != 0) {
		bar->kind = PCI_BAR_PORT;
		bar->address = low & ~(uint32_t)3;
		return 1;
	}
	bar->kind = PCI_BAR_MEMORY_32;
	bar->prefetchable = (low & BAR_IS_PREFETCHABLE) != 0;
	bar->address = low & ~(uint32_t)0xf;
	if (bits_get(low, 2, 1) != BAR_TYPE_64 || index + 1 == count)
		return 1;
	bar->kind = PCI_BAR_MEMORY_64;
	bar->address |= (uint64_t)read_field(function, (uint16_t)(offset + 4), 4) << 32;
	return 2;
}

static void read_bars(struct pci_function *function)
{
	unsigned count = function->header_type < array_count(bar_counts) ? bar_counts[function->header_type] : 0;

	for (unsigned i = 0; i < count;)
		i += read_bar(function, i, count);
}

/* Follows the list, which broken devices may tie into a loop or lead out of its place. */
static void read_capabilities(struct pci_function *function)
{
	uint16_t start = function->header_type == 2 ? CONFIG_CARDBUS_CAPABILITIES : CONFIG_CAPABILITIES;
	uint8_t offset;
	uint64_t seen = 0;

	if ((read_field(function, CONFIG_STATUS, 2) & STATUS_HAS_CAPABILITIES) == 0)
		return;
	offset = (uint8_t)(read_field(function, start, 1) & ~3u);
	while (offset >= CONFIG_DEVICE_SPECIFIC && (seen & BIT(offset / 4)) == 0) {
		uint8_t id = (uint8_t)read_field(function, offset, 1);

		if (id == 0xff || function->capability_count == PCI_MAX_CAPABILITIES)
			return;
		seen |= BIT(offset / 4);
		function->capabilities[function->capability_count++] = (struct pci_capability){id, offset};
		offset = (uint8_t)(read_field(function, (uint16_t)(offset + 1), 1) & ~3u);
	}
}

static void read_function(struct pci_function *function)
{
	function->device_id = (uint16_t)read_field(function, CONFIG_DEVICE, 2);
	function->class_code = (uint8_t)read_field(function, CONFIG_CLASS, 1);
	function->subclass = (uint8_t)read_field(function, CONFIG_SUBCLASS, 1);
	function->programming_interface = (uint8_t)read_field(function, CONFIG_INTERFACE, 1);
	function->revision = (uint8_t)read_field(function, CONFIG_REVISION, 1);
	function->interrupt_line = (uint8_t)read_field(function, CONFIG_INTERRUPT_LINE, 1);
	function->interrupt_pin = (uint8_t)read_field(function, CONFIG_INTERRUPT_PIN, 1);
	if (function->header_type == 0) {
		function->subsystem_vendor_id = (uint16_t)read_field(function, CONFIG_SUBSYSTEM_VENDOR, 2);
		function->subsystem_id = (uint16_t)read_field(function, CONFIG_SUBSYSTEM, 2);
	} else {
		function->secondary_bus = (uint8_t)read_field(function, CONFIG_SECONDARY_BUS, 1);
		function->subordinate_bus = (uint8_t)read_field(function, CONFIG_SUBORDINATE_BUS, 1);
	}
	read_bars(function);
	read_capabilities(function);
}

/* Adds the function at @address if there is one; *@multi_function: its device may have others. */
static bool add_function(struct pci_address address, bool *multi_function)
{
	uint16_t vendor = (uint16_t)pci_config_read(address, CONFIG_VENDOR, 2);
	struct pci_function *function;
	uint8_t header;

	if (vendor == VENDOR_NONE || vendor == 0)
		return false;
	header = (uint8_t)pci_config_read(address, CONFIG_HEADER_TYPE, 1);
	*multi_function = (header & HEADER_MULTI_FUNCTION) != 0;
	if (function_count == PCI_MAX_FUNCTIONS) {
		functions_lost++;
		return true;
	}
	function = &functions[function_count++];
	memset(function, 0, sizeof(*function));
	function->address = address;
	function->vendor_id = vendor;
	function->header_type = header & HEADER_LAYOUT;
	read_function(function);
	return true;
}

static void scan_device(struct pci_address address)
{
	bool multi_function = false, ignored;

	if (!add_function(address, &multi_function) || !multi_function)
		return;
	for (uint8_t function = 1; function < PCI_FUNCTIONS_PER_DEVICE; function++) {
		address.function = function;
		(void)add_function(address, &ignored);
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

enum status pci_scan(void)
{
	const struct acpi_mcfg *mcfg = &acpi_get()->mcfg;

	function_count = functions_lost = 0;
	pci_config_init();
	scan_buses(0, 0, BUSES - 1);
	for (uint32_t i = 0; i < mcfg->ecam_count; i++)
		if (mcfg->ecams[i].segment != 0)
			scan_buses(mcfg->ecams[i].segment, mcfg->ecams[i].first_bus, mcfg->ecams[i].last_bus);
	if (functions_lost > 0) {
		log_warning("PCI: %u functions are left out: more than %u", functions_lost, PCI_MAX_FUNCTIONS);
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
	return index < function_count ? &functions[index] : NULL;
}

const struct pci_function *pci_find(struct pci_address address)
{
	for (uint32_t i = 0; i < function_count; i++) {
		const struct pci_address *found = &functions[i].address;

		if (found->segment == address.segment && found->bus == address.bus && found->device == address.device &&
		    found->function == address.function)
			return &functions[i];
	}
	return NULL;
}

const struct pci_function *pci_find_class(uint8_t class_code, uint8_t subclass, uint32_t nth)
{
	for (uint32_t i = 0; i < function_count; i++) {
		if (functions[i].class_code != class_code || functions[i].subclass != subclass)
			continue;
		if (nth-- == 0)
			return &functions[i];
	}
	return NULL;
}

uint8_t pci_find_capability(const struct pci_function *function, uint8_t id)
{
	for (uint32_t i = 0; i < function->capability_count; i++)
		if (function->capabilities[i].id == id)
			return function->capabilities[i].offset;
	return 0;
}
