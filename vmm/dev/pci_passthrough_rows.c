/*
 * What guests see of a passed-through function's configuration space, and what their writes do. Whatever no row names
 * reads as zero and cannot be written. PCI Local Bus Specification, "Configuration Space", "Message Signaled
 * Interrupts"; PCI Bus Power Management Interface Specification; PCI Express Base Specification, "PCI Express
 * Capability Structure".
 */
#include "vmm/dev/pci_passthrough.h"

#include "drivers/pci/pci_registers.h"
#include "lib/string.h"

#define ROW_MAX_SIZE 4u
#define STATUS_ERRORS 0xf900u         /* cleared by writing 1 */
#define STATUS_SHOWN 0x06e8u          /* timing, and that INTx is active */
#define COMMAND_KEPT 0x0547u          /* ports, memory, bus master, parity, SERR#, INTx off */
#define MSI_FLAG_64 BIT(7)
#define MSI_FLAG_MASKS BIT(8)
#define EXPRESS_FLAG_VERSION_2 BIT(1)
#define MSIX_SIZE_BITS 0x07ffu
#define EXPRESS_TYPE_SHIFT 4

struct config_row {
	uint8_t offset, size;       /* size: 1, 2, 4 [bytes] */
	uint8_t effect;             /* enum pci_passthrough_effect */
	uint32_t fixed;             /* bits that are as the function has them when it is attached */
	uint32_t set;               /* bits that are always 1 */
	uint32_t kept;              /* bits that the guest may write and read back, without effect on the function by themselves */
	uint32_t host_read, host_write, host_clear; /* see struct pci_passthrough_config */
	uint16_t with, without;     /* capabilities: only if their second word has all these bits, and none of those */
};

/* Ids, class, BARs and ROM are filled in by code: virtual functions and MSI-X tables make them differ from the
 * registers. */
static const struct config_row header_rows[] = {
	{.offset = PCI_COMMAND, .size = 2, .kept = COMMAND_KEPT, .effect = PCI_EFFECT_COMMAND},
	{.offset = PCI_STATUS, .size = 2, .host_read = STATUS_SHOWN | STATUS_ERRORS, .host_clear = STATUS_ERRORS},
	{.offset = PCI_CACHE_LINE_SIZE, .size = 1, .kept = 0xff},
	{.offset = PCI_LATENCY_TIMER, .size = 1, .kept = 0xff},
	{.offset = PCI_INTERRUPT_LINE, .size = 1, .kept = 0xff},
};

/* Power states are accepted and stay without effect: leaving one would undo what the hypervisor has programmed. */
static const struct config_row power_rows[] = {
	{.offset = 2, .size = 2, .fixed = 0x0027},
	{.offset = PCI_POWER_CONTROL, .size = 2, .set = PCI_POWER_NO_SOFT_RESET, .kept = PCI_POWER_STATE},
};

/* One message; the function is programmed with another one. */
static const struct config_row msi_rows[] = {
	{.offset = 2, .size = 2, .fixed = MSI_FLAG_64 | MSI_FLAG_MASKS, .kept = 1, .effect = PCI_EFFECT_MSI},
	{.offset = 4, .size = 4, .kept = 0xfffffffc, .effect = PCI_EFFECT_MSI},
	{.offset = 8, .size = 2, .kept = 0xffff, .effect = PCI_EFFECT_MSI, .without = MSI_FLAG_64},
	{.offset = 12, .size = 4, .kept = 1, .effect = PCI_EFFECT_MSI, .with = MSI_FLAG_MASKS, .without = MSI_FLAG_64},
	{.offset = 16, .size = 4, .host_read = 1, .with = MSI_FLAG_MASKS, .without = MSI_FLAG_64},
	{.offset = 8, .size = 4, .kept = 0xffffffff, .effect = PCI_EFFECT_MSI, .with = MSI_FLAG_64},
	{.offset = 12, .size = 2, .kept = 0xffff, .effect = PCI_EFFECT_MSI, .with = MSI_FLAG_64},
	{.offset = 16, .size = 4, .kept = 1, .effect = PCI_EFFECT_MSI, .with = MSI_FLAG_64 | MSI_FLAG_MASKS},
	{.offset = 20, .size = 4, .host_read = 1, .with = MSI_FLAG_64 | MSI_FLAG_MASKS},
};

static const struct config_row msix_rows[] = {
	{.offset = 2, .size = 2, .fixed = MSIX_SIZE_BITS, .kept = 0xc000, .effect = PCI_EFFECT_MSIX},
	{.offset = 4, .size = 4, .fixed = 0xffffffff},
	{.offset = 8, .size = 4, .fixed = 0xffffffff},
};

/* An endpoint of the root complex, since the guest's bus has no ports: without link and slot. No reset by the guest. */
static const struct config_row express_rows[] = {
	{.offset = PCI_EXPRESS_CAPABILITIES, .size = 2, .fixed = 0x000f, .set = PCI_EXPRESS_ROOT_ENDPOINT << EXPRESS_TYPE_SHIFT},
	{.offset = PCI_EXPRESS_DEVICE_CAPABILITIES, .size = 4, .fixed = 0x00008fff},
	/* Relaxed ordering, extended tags, no snoop and the size of read requests are the function's own; error reports
	 * are not. */
	{.offset = PCI_EXPRESS_DEVICE_CONTROL, .size = 2, .kept = 0x000f, .host_read = 0x79f0, .host_write = 0x7910},
	{.offset = PCI_EXPRESS_DEVICE_STATUS, .size = 2, .host_read = 0x003f, .host_clear = 0x000f},
	{.offset = PCI_EXPRESS_DEVICE_CAPABILITIES_2, .size = 4, .fixed = 0x0000001f, .with = EXPRESS_FLAG_VERSION_2},
	{.offset = PCI_EXPRESS_DEVICE_CONTROL_2, .size = 2, .kept = 0x001f, .with = EXPRESS_FLAG_VERSION_2},
};

static const struct capability_rows {
	uint8_t id;
	const struct config_row *rows;
	unsigned count;
} capabilities[] = {
	{PCI_CAPABILITY_POWER, power_rows, array_count(power_rows)},
	{PCI_CAPABILITY_MSI, msi_rows, array_count(msi_rows)},
	{PCI_CAPABILITY_EXPRESS, express_rows, array_count(express_rows)},
	{PCI_CAPABILITY_MSIX, msix_rows, array_count(msix_rows)},
};

static void put(uint8_t *bytes, unsigned size, uint32_t value)
{
	for (unsigned i = 0; i < size; i++)
		bytes[i] = (uint8_t)(value >> (8 * i));
}

uint32_t pci_passthrough_get32(const struct pci_passthrough *function, unsigned offset)
{
	const uint8_t *value = &function->config.value[offset];

	return (uint32_t)value[0] | (uint32_t)value[1] << 8 | (uint32_t)value[2] << 16 | (uint32_t)value[3] << 24;
}

uint16_t pci_passthrough_get16(const struct pci_passthrough *function, unsigned offset)
{
	return (uint16_t)(function->config.value[offset] | function->config.value[offset + 1] << 8);
}

void pci_passthrough_set32(struct pci_passthrough *function, unsigned offset, uint32_t value)
{
	put(&function->config.value[offset], 4, value);
}

static void apply_row(struct pci_passthrough *function, const struct config_row *row, unsigned base)
{
	struct pci_passthrough_config *config = &function->config;
	unsigned offset = base + row->offset;
	uint32_t host;

	if (offset + row->size > PCI_PASSTHROUGH_SPACE)
		return;
	host = row->fixed != 0 ? pci_config_read(function->host->address, (uint16_t)offset, row->size) : 0;
	put(&config->value[offset], row->size, (host & row->fixed) | row->set);
	put(&config->kept[offset], row->size, row->kept);
	put(&config->host_read[offset], row->size, row->host_read);
	put(&config->host_write[offset], row->size, row->host_write);
	put(&config->host_clear[offset], row->size, row->host_clear);
	memset(&config->effect[offset], row->effect, row->size);
}

static void apply_rows(struct pci_passthrough *function, const struct config_row *rows, unsigned count, unsigned base)
{
	uint32_t flags = base != 0 ? pci_config_read(function->host->address, (uint16_t)(base + 2), 2) : 0;

	for (unsigned i = 0; i < count; i++)
		if ((flags & rows[i].with) == rows[i].with && (flags & rows[i].without) == 0)
			apply_row(function, &rows[i], base);
}

static const struct capability_rows *find_rows(const struct pci_passthrough *function, uint8_t id)
{
	if (id == PCI_CAPABILITY_MSIX && function->message_count == 0)
		return NULL;
	for (unsigned i = 0; i < array_count(capabilities); i++)
		if (capabilities[i].id == id)
			return &capabilities[i];
	return NULL;
}

static void note_place(struct pci_passthrough_config *config, uint8_t id, uint8_t offset)
{
	if (id == PCI_CAPABILITY_MSI)
		config->msi = offset;
	if (id == PCI_CAPABILITY_MSIX)
		config->msix = offset;
}

/* Each kind once; @link: where the offset of the next one is written. */
static void build_capabilities(struct pci_passthrough *function)
{
	const struct pci_function *host = function->host;
	struct pci_passthrough_config *config = &function->config;
	unsigned link = PCI_CAPABILITIES;

	for (uint32_t i = 0; i < host->capability_count; i++) {
		const struct pci_capability *capability = &host->capabilities[i];
		const struct capability_rows *found = find_rows(function, capability->id);

		if (found == NULL || pci_find_capability(host, capability->id) != capability->offset || capability->offset > 0xc0)
			continue;
		apply_rows(function, found->rows, found->count, capability->offset);
		config->value[capability->offset] = capability->id;
		config->value[link] = capability->offset;
		link = capability->offset + 1u;
		note_place(config, capability->id, capability->offset);
	}
	if (link != PCI_CAPABILITIES)
		config->value[PCI_STATUS] |= PCI_STATUS_CAPABILITIES;
}

static void limit_msix(struct pci_passthrough *function)
{
	struct pci_passthrough_config *config = &function->config;

	if (config->msix != 0)
		put(&config->value[config->msix + 2], 2, function->message_count - 1);
}

void pci_passthrough_build_config(struct pci_passthrough *function)
{
	const struct pci_function *host = function->host;
	struct pci_passthrough_config *config = &function->config;

	memset(config, 0, sizeof(*config));
	apply_rows(function, header_rows, array_count(header_rows), 0);
	put(&config->value[PCI_VENDOR], 2, host->vendor_id);
	put(&config->value[PCI_DEVICE], 2, host->device_id);
	put(&config->value[PCI_REVISION], 4, (uint32_t)host->class_code << 24 | (uint32_t)host->subclass << 16 |
		(uint32_t)host->programming_interface << 8 | host->revision);
	put(&config->value[PCI_SUBSYSTEM_VENDOR], 2, host->subsystem_vendor_id);
	put(&config->value[PCI_SUBSYSTEM], 2, host->subsystem_id);
	build_capabilities(function);
	limit_msix(function);
}
