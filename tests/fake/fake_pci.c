#include "fake_pci.h"

#include <stdlib.h>
#include <string.h>

#include "arch/x86/physmap.h"
#include "drivers/pci/pci_registers.h"
#include "fake_cpu.h"

#define PORT_ADDRESS 0xcf8u
#define PORT_DATA 0xcfcu
#define CONVENTIONAL_SIZE 256u

bool fake_pci_ports_answer;
unsigned fake_pci_write_count;
static struct fake_pci *functions;
static unsigned function_count;
static uint32_t port_address;

static bool same(struct pci_address a, struct pci_address b)
{
	return a.segment == b.segment && a.bus == b.bus && a.device == b.device && a.function == b.function;
}

struct fake_pci *fake_pci_find(struct pci_address address)
{
	for (unsigned i = 0; i < function_count; i++)
		if (same(functions[i].address, address))
			return &functions[i];
	return NULL;
}

void fake_pci_set(struct fake_pci *function, unsigned offset, unsigned size, uint32_t value)
{
	memcpy(function->bytes + offset, &value, size);
}

uint32_t fake_pci_get(const struct fake_pci *function, unsigned offset, unsigned size)
{
	uint32_t value = 0;

	memcpy(&value, function->bytes + offset, size);
	return value;
}

void fake_pci_allow(struct fake_pci *function, unsigned offset, unsigned size, uint32_t bits)
{
	memcpy(function->writable + offset, &bits, size);
}

static uint32_t config_read(struct pci_address address, unsigned offset, unsigned size)
{
	struct fake_pci *function = fake_pci_find(address);

	if (function != NULL && function->reading != NULL)
		function->reading(function, offset, size);
	if (function == NULL || function->absent || (function->conventional && offset >= CONVENTIONAL_SIZE))
		return UINT32_MAX;
	return fake_pci_get(function, offset, size);
}

static void config_write(struct pci_address address, unsigned offset, unsigned size, uint32_t value)
{
	struct fake_pci *function = fake_pci_find(address);

	fake_pci_write_count++;
	if (function == NULL || function->absent || (function->conventional && offset >= CONVENTIONAL_SIZE))
		return;
	for (unsigned i = 0; i < size; i++) {
		uint8_t mask = function->writable[offset + i];

		function->bytes[offset + i] = (uint8_t)((function->bytes[offset + i] & ~mask) | ((value >> 8 * i) & mask));
	}
	if (function->written != NULL)
		function->written(function, offset, size);
}

static struct pci_address address_of_port(void)
{
	return (struct pci_address){0, (uint8_t)(port_address >> 16), port_address >> 11 & 31, port_address >> 8 & 7};
}

static uint32_t port_read(void *context, uint16_t port, unsigned size)
{
	(void)context;
	if (!fake_pci_ports_answer)
		return UINT32_MAX;
	if (port == PORT_ADDRESS)
		return port_address;
	if ((port_address & BIT(31)) == 0)
		return UINT32_MAX;
	return config_read(address_of_port(), (port_address & 0xfc) + (port - PORT_DATA), size);
}

static void port_write(void *context, uint16_t port, unsigned size, uint32_t value)
{
	(void)context;
	if (!fake_pci_ports_answer)
		return;
	if (port == PORT_ADDRESS)
		port_address = value;
	else if ((port_address & BIT(31)) != 0)
		config_write(address_of_port(), (port_address & 0xfc) + (port - PORT_DATA), size, value);
}

static struct pci_address address_in_ecam(const void *context, uint64_t offset)
{
	return (struct pci_address){(uint16_t)(uintptr_t)context, (uint8_t)(offset >> 20), offset >> 15 & 31, offset >> 12 & 7};
}

static uint64_t ecam_read(void *context, uint64_t offset, unsigned size)
{
	return config_read(address_in_ecam(context, offset), offset & 0xfff, size);
}

static void ecam_write(void *context, uint64_t offset, unsigned size, uint64_t value)
{
	config_write(address_in_ecam(context, offset), offset & 0xfff, size, (uint32_t)value);
}

void fake_pci_reset(void)
{
	static const struct fake_port_device device = {PORT_ADDRESS, 8, port_read, port_write, NULL};

	if (functions == NULL)
		functions = calloc(FAKE_PCI_MAX_FUNCTIONS, sizeof(*functions));
	if (functions == NULL)
		abort();
	function_count = 0;
	port_address = 0;
	fake_pci_write_count = 0;
	fake_pci_ports_answer = true;
	fake_port_add(&device);
}

void fake_pci_add_ecam(struct acpi_mcfg *mcfg, uint64_t base, uint16_t segment, uint8_t first_bus, uint8_t last_bus)
{
	struct fake_mmio_device device = {
		physmap_pointer(hpa(base)), ((uint64_t)last_bus + 1) << 20, ecam_read, ecam_write, (void *)(uintptr_t)segment,
	};

	fake_mmio_add(&device);
	mcfg->present = true;
	mcfg->ecams[mcfg->ecam_count++] = (struct acpi_ecam){hpa(base), segment, first_bus, last_bus};
}

struct fake_pci *fake_pci_add(struct pci_address address, uint16_t vendor, uint16_t device, uint16_t class)
{
	struct fake_pci *function = &functions[function_count++];

	if (function_count > FAKE_PCI_MAX_FUNCTIONS)
		abort();
	memset(function, 0, sizeof(*function));
	function->address = address;
	fake_pci_set(function, PCI_VENDOR, 2, vendor);
	fake_pci_set(function, PCI_DEVICE, 2, device);
	fake_pci_set(function, PCI_SUBCLASS, 2, class);
	fake_pci_set(function, PCI_COMMAND, 2, PCI_COMMAND_PORTS | PCI_COMMAND_MEMORY | PCI_COMMAND_BUS_MASTER);
	fake_pci_allow(function, PCI_COMMAND, 2, 0x547);
	fake_pci_allow(function, PCI_INTERRUPT_LINE, 1, 0xff);
	fake_pci_allow(function, PCI_CACHE_LINE_SIZE, 1, 0xff);
	return function;
}

struct fake_pci *fake_pci_add_bridge(struct pci_address address, uint8_t secondary, uint8_t subordinate)
{
	struct fake_pci *bridge = fake_pci_add(address, 0x1b36, 0x000c, 0x0604);

	fake_pci_set(bridge, PCI_HEADER_TYPE, 1, 1);
	fake_pci_set(bridge, PCI_SECONDARY_BUS, 1, secondary);
	fake_pci_set(bridge, PCI_SUBORDINATE_BUS, 1, subordinate);
	fake_pci_allow(bridge, PCI_BRIDGE_CONTROL, 2, 0xffff);
	return bridge;
}

void fake_pci_add_bar(struct fake_pci *function, unsigned offset, uint64_t address, uint64_t size, uint32_t flags)
{
	uint64_t mask = ~(size - 1);

	fake_pci_set(function, offset, 4, (uint32_t)address | flags);
	fake_pci_allow(function, offset, 4, (uint32_t)mask & ~(uint32_t)((flags & PCI_BAR_IS_PORT) != 0 ? 3 : 0xf));
	if ((flags & 7) != PCI_BAR_TYPE_64 << 1)
		return;
	fake_pci_set(function, offset + 4, 4, (uint32_t)(address >> 32));
	fake_pci_allow(function, offset + 4, 4, (uint32_t)(mask >> 32));
}

void fake_pci_add_capability(struct fake_pci *function, unsigned offset, uint8_t id)
{
	fake_pci_set(function, offset, 1, id);
	function->bytes[offset + 1] = function->bytes[PCI_CAPABILITIES];
	function->bytes[PCI_CAPABILITIES] = (uint8_t)offset;
	function->bytes[PCI_STATUS] |= (uint8_t)PCI_STATUS_CAPABILITIES;
}

void fake_pci_add_extended(struct fake_pci *function, unsigned offset, uint16_t id)
{
	unsigned last = PCI_EXTENDED;

	while (fake_pci_get(function, last, 4) >> 20 != 0)
		last = fake_pci_get(function, last, 4) >> 20;
	if (last != offset)
		fake_pci_set(function, last, 4, fake_pci_get(function, last, 4) | offset << 20);
	fake_pci_set(function, offset, 4, id | 1u << 16);
}

void fake_pci_make_express(struct fake_pci *function, unsigned type)
{
	fake_pci_add_capability(function, 0x40, PCI_CAPABILITY_EXPRESS);
	fake_pci_set(function, 0x40 + PCI_EXPRESS_CAPABILITIES, 2, 2 | type << 4);
	fake_pci_allow(function, 0x40 + PCI_EXPRESS_DEVICE_CONTROL, 2, 0x7fff);
	fake_pci_allow(function, 0x40 + PCI_EXPRESS_LINK_CONTROL, 2, 0x03ff);
	fake_pci_allow(function, 0x40 + PCI_EXPRESS_DEVICE_CONTROL_2, 2, 0xffff);
}

void fake_pci_add_acs(struct fake_pci *function, unsigned offset, uint16_t capabilities)
{
	fake_pci_add_extended(function, offset, PCI_EXTENDED_ACS);
	fake_pci_set(function, offset + PCI_ACS_CAPABILITIES, 2, capabilities);
	fake_pci_allow(function, offset + PCI_ACS_CONTROL, 2, capabilities);
}
