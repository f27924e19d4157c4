/*
 * Host bridge and configuration mechanism 1. PCI Local Bus Specification, "Configuration Mechanism #1".
 *
 * The bridge is Red Hat's generic one (1b36:0008): guests take it by its class, and no operating system has workarounds
 * for its id, as they have for those of real chip sets (Linux treats 8086:1237 as a Natoma with its faults).
 */
#include "vmm/dev/pci_host.h"

#include "vmm/dev/port_device.h"
#include "vmm/dev/reset_ports.h"
#include "vmm/platform.h"
#include "vmm/vm.h"

#include "lib/bits.h"

#define ADDRESS_ENABLE BIT(31)
#define ADDRESS_BITS (ADDRESS_ENABLE | BITS(23, 2))

#define REGION_LENGTH 8u
#define RESET_OFFSET (PLATFORM_RESET_PORT - PLATFORM_PCI_ADDRESS_PORT)
#define DATA_OFFSET (PLATFORM_PCI_DATA_PORT - PLATFORM_PCI_ADDRESS_PORT)

#define COMMAND_OFFSET 0x04u
#define COMMAND_WRITABLE 0x0107u /* I/O, memory, bus master, SERR# */
#define BRIDGE_SPACE 0x40u /* the bridge has the standard header only */

struct pci_host {
	struct io_device device;
	uint32_t address;
	uint8_t reset_control;
	unsigned count;
	struct pci_model *functions[PCI_MODEL_MAX];
	struct pci_model bridge;
	uint16_t bridge_command;
};

extern const struct io_device_class pci_host_class;

static struct pci_host *pci_host_from_device(struct io_device *device)
{
	return container_of(device, struct pci_host, device);
}

static uint32_t bridge_register(const struct pci_host *host, unsigned offset)
{
	switch (offset) {
	case 0x00: return 0x00081b36; /* device, vendor */
	case COMMAND_OFFSET: return host->bridge_command;
	case 0x08: return 0x06000000; /* class: host bridge; revision 0 */
	case 0x2c: return 0x11001af4; /* subsystem, as that bridge has it */
	default: return 0;
	}
}

static uint32_t bridge_read(struct pci_model *model, unsigned offset, unsigned size)
{
	const struct pci_host *host = container_of(model, struct pci_host, bridge);

	if (offset >= BRIDGE_SPACE)
		return 0;
	return (uint32_t)(bridge_register(host, offset & ~3u) >> (8 * (offset & 3)) & size_mask(size));
}

static void bridge_write(struct pci_model *model, unsigned offset, unsigned size, uint32_t value)
{
	struct pci_host *host = container_of(model, struct pci_host, bridge);
	unsigned shift = 8 * (offset & 3);
	uint32_t mask = (uint32_t)size_mask(size) << shift;

	if ((offset & ~3u) == COMMAND_OFFSET)
		host->bridge_command = (uint16_t)(((host->bridge_command & ~mask) | (value << shift & mask)) & COMMAND_WRITABLE);
}

static struct pci_model *pci_host_find(const struct pci_host *host, uint32_t address)
{
	/* One bus: the devices of all others are absent. */
	if ((address & ADDRESS_ENABLE) == 0 || bits_get(address, 23, 16) != 0)
		return NULL;
	for (unsigned i = 0; i < host->count; i++) {
		if (host->functions[i]->address == bits_get(address, 15, 8))
			return host->functions[i];
	}
	return NULL;
}

enum status pci_host_add(struct vm *vm, struct pci_model *model)
{
	list_for_each(link, &vm->devices) {
		struct io_device *device = list_entry(link, struct io_device, link);
		struct pci_host *host = pci_host_from_device(device);

		if (device->class != &pci_host_class)
			continue;
		if (pci_host_find(host, (uint32_t)ADDRESS_ENABLE | (uint32_t)model->address << 8) != NULL)
			return STATUS_EXISTS;
		if (host->count == PCI_MODEL_MAX)
			return STATUS_NO_MEMORY;
		host->functions[host->count++] = model;
		return STATUS_OK;
	}
	return STATUS_NOT_FOUND;
}

static uint32_t config_read(struct pci_host *host, unsigned byte, unsigned size)
{
	struct pci_model *model = pci_host_find(host, host->address);

	if (model == NULL)
		return (uint32_t)size_mask(size);
	return model->ops->read(model, (host->address & 0xfc) + byte, size) & (uint32_t)size_mask(size);
}

static void config_write(struct pci_host *host, unsigned byte, unsigned size, uint32_t value)
{
	struct pci_model *model = pci_host_find(host, host->address);

	if (model != NULL)
		model->ops->write(model, (host->address & 0xfc) + byte, size, value);
}

/* The address register answers to whole double words only; of the rest, 0xcf9 alone has a meaning. */
static enum status host_read(struct io_device *device, struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t *value)
{
	struct pci_host *host = pci_host_from_device(device);

	(void)vcpu;
	*value = size_mask(size);
	if (offset == 0 && size == 4)
		*value = host->address;
	else if (offset == RESET_OFFSET && size == 1)
		*value = host->reset_control;
	else if (offset >= DATA_OFFSET && is_aligned(offset, size))
		*value = config_read(host, (unsigned)(offset - DATA_OFFSET), size);
	else
		return STATUS_NOT_FOUND;
	return STATUS_OK;
}

static enum status host_write(struct io_device *device, struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t value)
{
	struct pci_host *host = pci_host_from_device(device);

	(void)vcpu;
	if (offset == 0 && size == 4)
		host->address = (uint32_t)(value & ADDRESS_BITS);
	else if (offset == RESET_OFFSET && size == 1)
		reset_control_write(device->vm, &host->reset_control, (uint8_t)value);
	else if (offset >= DATA_OFFSET && is_aligned(offset, size))
		config_write(host, (unsigned)(offset - DATA_OFFSET), size, (uint32_t)value);
	else
		return STATUS_NOT_FOUND;
	return STATUS_OK;
}

static void pci_host_reset(struct io_device *device)
{
	struct pci_host *host = pci_host_from_device(device);

	host->address = 0;
	host->reset_control = 0;
	host->bridge_command = 0;
}

static void pci_host_describe(struct io_device *device, void (*print)(const char *format, ...))
{
	struct pci_host *host = pci_host_from_device(device);

	for (unsigned i = 0; i < host->count; i++) {
		struct pci_model *model = host->functions[i];
		uint32_t ids = model->ops->read(model, 0, 4);

		print("PCI 00:%02x.%u: %04x:%04x\n", model->address >> 3, model->address & 7, ids & 0xffff, ids >> 16);
	}
}

static enum status pci_host_create(struct vm *vm, struct io_device **device)
{
	static const struct pci_model_ops bridge_ops = {.read = bridge_read, .write = bridge_write};
	static const struct io_ops ops = {.read = host_read, .write = host_write};
	static const struct port_range range = {PLATFORM_PCI_ADDRESS_PORT, REGION_LENGTH, &ops, "PCI configuration"};
	enum status status = port_device_create(vm, &pci_host_class, sizeof(struct pci_host), &range, 1, device);
	struct pci_host *host;

	if (status != STATUS_OK)
		return status;
	host = pci_host_from_device(*device);
	host->bridge = (struct pci_model){.address = PCI_ADDRESS(0, 0), .ops = &bridge_ops};
	host->functions[host->count++] = &host->bridge;
	return STATUS_OK;
}

const struct io_device_class pci_host_class = {
	.name = "pci_host",
	.order = 30,
	.create = pci_host_create,
	.reset = pci_host_reset,
	.describe = pci_host_describe,
};
IO_DEVICE_CLASS(pci_host_class);
