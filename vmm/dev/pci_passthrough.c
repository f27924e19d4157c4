/*
 * Functions of the machine on a VM's PCI bus, one device each in the order of the configuration. The VM owns them and
 * its IOMMU domain confines them (vmm/passthrough.h); here is what the guest sees of them.
 */
#include "vmm/dev/pci_passthrough.h"

#include "drivers/pci/pci_owner.h"
#include "drivers/pci/pci_registers.h"
#include "vmm/passthrough.h"
#include "vmm/platform.h"
#include "vmm/vm.h"

#define FIRST_DEVICE 1u /* device 0 is the host bridge */
#define PIN_A 1u

extern const struct io_device_class pci_passthrough_class;

static struct pci_passthrough *function_of(struct pci_model *model)
{
	return container_of(model, struct pci_passthrough, model);
}

static struct pci_passthrough_bus *bus_of(struct io_device *device)
{
	return container_of(device, struct pci_passthrough_bus, device);
}

/* ---- configuration space ---- */

static uint32_t config_read(struct pci_model *model, unsigned offset, unsigned size)
{
	const struct pci_passthrough *function = function_of(model);
	const struct pci_passthrough_config *config = &function->config;
	uint32_t from_host = 0, value = 0;

	for (unsigned i = 0; i < size; i++) {
		value |= (uint32_t)config->value[offset + i] << (8 * i);
		from_host |= (uint32_t)config->host_read[offset + i] << (8 * i);
	}
	if (from_host != 0)
		value = (value & ~from_host) | (pci_config_read(function->host->address, (uint16_t)offset, size) & from_host);
	return value;
}

/* Byte by byte, so that bits which writing 1 clears in one byte are left alone by a write to another. */
static void write_host_byte(const struct pci_passthrough *function, unsigned offset, uint8_t value)
{
	const struct pci_passthrough_config *config = &function->config;
	uint8_t written = config->host_write[offset], cleared = (uint8_t)(config->host_clear[offset] & value);

	if (written != 0)
		pci_config_update(function->host->address, (uint16_t)offset, 1, written, value & written);
	if (cleared != 0)
		pci_config_write(function->host->address, (uint16_t)offset, 1, cleared);
}

static void update_bus_master(struct pci_passthrough *function, uint16_t before)
{
	uint16_t command = pci_passthrough_get16(function, PCI_COMMAND);
	bool on = command & PCI_COMMAND_BUS_MASTER;

	if (((command ^ before) & PCI_COMMAND_BUS_MASTER) == 0)
		return;
	/* Cut off after a storm of faults: it does not come on any more. */
	if (pci_set_bus_master(function->host, on) != STATUS_OK)
		function->config.value[PCI_COMMAND] &= (uint8_t)~PCI_COMMAND_BUS_MASTER;
}

static void update_command(struct pci_passthrough *function, uint16_t before)
{
	uint16_t changed = (uint16_t)(pci_passthrough_get16(function, PCI_COMMAND) ^ before);

	update_bus_master(function, before);
	if (changed & (PCI_COMMAND_PORTS | PCI_COMMAND_MEMORY))
		pci_passthrough_update_bars(function);
	if (changed & PCI_COMMAND_INTERRUPT_DISABLE)
		pci_passthrough_rearm_line(function);
}

static void config_write(struct pci_model *model, unsigned offset, unsigned size, uint32_t value)
{
	struct pci_passthrough *function = function_of(model);
	struct pci_passthrough_config *config = &function->config;
	uint16_t command = pci_passthrough_get16(function, PCI_COMMAND);
	unsigned effects = 0;

	for (unsigned i = offset; i < offset + size; i++, value >>= 8) {
		config->value[i] = (uint8_t)((config->value[i] & ~config->kept[i]) | (value & config->kept[i]));
		write_host_byte(function, i, (uint8_t)value);
		effects |= 1u << config->effect[i];
	}
	if (effects & 1u << PCI_EFFECT_COMMAND)
		update_command(function, command);
	if (effects & 1u << PCI_EFFECT_BARS)
		pci_passthrough_update_bars(function);
	if (effects & 1u << PCI_EFFECT_MSI)
		pci_passthrough_update_msi(function);
	if (effects & 1u << PCI_EFFECT_MSIX)
		pci_passthrough_update_msix(function);
}

static const struct pci_model_ops model_ops = {.read = config_read, .write = config_write};

/* ---- life ---- */

static void line_ended(struct io_device *device, unsigned line)
{
	struct pci_passthrough_bus *bus = bus_of(device);

	for (uint32_t i = 0; i < bus->count; i++)
		if (bus->functions[i]->guest_line == line && bus->functions[i]->line_raised)
			pci_passthrough_rearm_line(bus->functions[i]);
}

static void targets_changed(struct io_device *device)
{
	struct pci_passthrough_bus *bus = bus_of(device);

	for (uint32_t i = 0; i < bus->count; i++)
		pci_passthrough_aim_messages(bus->functions[i]);
}

/* As after a reset of the machine. The function itself was reset when it was attached; it decodes its own addresses as
 * long as it is the VM's, whatever the guest's command register says: no address of the machine is the guest's choice.
 * */
static void reset_function(struct pci_passthrough *function)
{
	pci_passthrough_stop_messages(function);
	pci_passthrough_stop_holding(function);
	pci_passthrough_remove_bars(function);
	(void)!pci_set_bus_master(function->host, false);
	pci_config_update(function->host->address, PCI_COMMAND, 2, 0, PCI_COMMAND_PORTS | PCI_COMMAND_MEMORY);
	pci_passthrough_build_config(function);
	pci_passthrough_show_bars(function);
	pci_passthrough_rearm_line(function);
	if (!function->has_line)
		return;
	function->config.value[PCI_INTERRUPT_LINE] = (uint8_t)function->guest_line;
	function->config.value[PCI_INTERRUPT_PIN] = PIN_A;
}

static void reset(struct io_device *device)
{
	struct pci_passthrough_bus *bus = bus_of(device);

	for (uint32_t i = 0; i < bus->count; i++)
		reset_function(bus->functions[i]);
}

static enum status start_function(struct pci_passthrough *function)
{
	enum status status;

	pci_passthrough_start_counting(function);
	pci_passthrough_find_msix(function);
	status = pci_passthrough_map_msix(function);
	if (status == STATUS_OK)
		status = pci_passthrough_build_bars(function);
	if (status == STATUS_OK)
		status = pci_host_add(function->vm, &function->model);
	if (status == STATUS_OK)
		pci_passthrough_start_line(function);
	return status;
}

static enum status add_function(struct pci_passthrough_bus *bus, struct vm *vm, const struct pci_function *host)
{
	struct pci_passthrough *function = io_device_allocate(sizeof(*function));
	uint32_t index = bus->count;
	enum status status;

	if (function == NULL)
		return STATUS_NO_MEMORY;
	function->model = (struct pci_model){.address = PCI_ADDRESS(FIRST_DEVICE + index, 0), .ops = &model_ops};
	function->bus = bus;
	function->vm = vm;
	function->host = host;
	function->posts = vm->posting.descriptors != NULL && iommu_posts_interrupts(host);
	function->guest_line = PLATFORM_PCI_LINE(FIRST_DEVICE + index);
	status = start_function(function);
	if (status != STATUS_OK) {
		io_device_free(function, sizeof(*function));
		return status;
	}
	bus->functions[bus->count++] = function;
	return STATUS_OK;
}

static void destroy(struct io_device *device)
{
	struct pci_passthrough_bus *bus = bus_of(device);

	irq_routing_set_line_ended(device->vm, NULL, NULL);
	irq_routing_set_targets_changed(device->vm, NULL, NULL);
	for (uint32_t i = 0; i < bus->count; i++) {
		struct pci_passthrough *function = bus->functions[i];

		pci_passthrough_stop_messages(function);
		pci_passthrough_stop_line(function);
		pci_passthrough_stop_holding(function);
		pci_passthrough_remove_bars(function);
	}
	/* A place is compared with those of all others while it is given up: so they are freed last. */
	while (bus->count != 0)
		io_device_free(bus->functions[--bus->count], sizeof(struct pci_passthrough));
}

static bool wanted(const struct vm_config *config)
{
	return config->pci_count != 0;
}

static enum status create(struct vm *vm, struct io_device **device)
{
	struct pci_passthrough_bus *bus = io_device_allocate(sizeof(*bus));
	enum status status = STATUS_OK;

	if (bus == NULL)
		return STATUS_NO_MEMORY;
	bus->device.class = &pci_passthrough_class;
	bus->device.vm = vm;
	for (uint32_t i = 0; i < vm->passthrough.count && status == STATUS_OK; i++)
		status = add_function(bus, vm, vm->passthrough.functions[i].function);
	if (status != STATUS_OK) {
		destroy(&bus->device);
		io_device_free(bus, sizeof(*bus));
		return status;
	}
	irq_routing_set_line_ended(vm, line_ended, &bus->device);
	irq_routing_set_targets_changed(vm, targets_changed, &bus->device);
	*device = &bus->device;
	return STATUS_OK;
}

static unsigned count_ways(const struct pci_passthrough *function, unsigned *posted)
{
	unsigned count = function->msi.interrupt.bound;

	*posted = function->msi.interrupt.posted_to != NULL;
	for (uint32_t i = 0; i < function->message_count; i++) {
		count += function->messages[i].interrupt.bound;
		*posted += function->messages[i].interrupt.posted_to != NULL;
	}
	return count;
}

static void describe(struct io_device *device, void (*print)(const char *format, ...))
{
	const struct pci_passthrough_bus *bus = bus_of(device);

	for (uint32_t i = 0; i < bus->count; i++) {
		const struct pci_passthrough *function = bus->functions[i];
		uint16_t command = pci_passthrough_get16(function, PCI_COMMAND);
		unsigned posted, ways = count_ways(function, &posted);

		print("PCI 00:%02x.0 is " PCI_ADDRESS_FORMAT " of this machine: %s%s%u messages", function->model.address >> 3,
		      PCI_ADDRESS_ARGUMENTS(function->host->address), command & PCI_COMMAND_MEMORY ? "memory, " : "",
		      command & PCI_COMMAND_BUS_MASTER ? "bus master, " : "", ways);
		if (posted != 0)
			print(" (%u posted)", posted);
		if (function->has_line)
			print(", INTx at line %u", function->guest_line);
		if (function->hold_count != 0)
			print(", held back %llu times", (unsigned long long)function->hold_count);
		print("\n");
	}
}

const struct io_device_class pci_passthrough_class = {
	.name = "pci_passthrough",
	.order = 40,
	.wanted = wanted,
	.create = create,
	.reset = reset,
	.destroy = destroy,
	.describe = describe,
	.has_interrupts = true,
};
IO_DEVICE_CLASS(pci_passthrough_class);
