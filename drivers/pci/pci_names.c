/*
 * Words for the numbers in PCI configuration space, and addresses as text. PCI Code and ID Assignment Specification,
 * "Class Codes".
 */
#include "drivers/pci/pci.h"

#define ANY_SUBCLASS 0xffu

/* A base class's own row comes after those of its subclasses. */
static const struct {
	uint8_t class_code, subclass;
	const char *name;
} class_names[] = {
	{0x00, 0x01, "VGA-compatible device"},
	{0x00, ANY_SUBCLASS, "device older than class codes"},
	{0x01, 0x00, "SCSI controller"},
	{0x01, 0x01, "IDE controller"},
	{0x01, 0x04, "RAID controller"},
	{0x01, 0x06, "SATA controller"},
	{0x01, 0x07, "SAS controller"},
	{0x01, 0x08, "NVMe controller"},
	{0x01, ANY_SUBCLASS, "mass storage controller"},
	{0x02, 0x00, "Ethernet controller"},
	{0x02, ANY_SUBCLASS, "network controller"},
	{0x03, 0x00, "VGA display controller"},
	{0x03, 0x02, "3D display controller"},
	{0x03, ANY_SUBCLASS, "display controller"},
	{0x04, 0x01, "audio device"},
	{0x04, 0x03, "HD audio device"},
	{0x04, ANY_SUBCLASS, "multimedia device"},
	{0x05, 0x00, "RAM controller"},
	{0x05, ANY_SUBCLASS, "memory controller"},
	{0x06, 0x00, "host bridge"},
	{0x06, 0x01, "ISA bridge"},
	{0x06, 0x04, "PCI bridge"},
	{0x06, 0x07, "CardBus bridge"},
	{0x06, ANY_SUBCLASS, "bridge"},
	{0x07, 0x00, "serial controller"},
	{0x07, ANY_SUBCLASS, "communication controller"},
	{0x08, 0x00, "interrupt controller"},
	{0x08, 0x03, "real-time clock"},
	{0x08, 0x05, "SD host controller"},
	{0x08, 0x06, "IOMMU"},
	{0x08, ANY_SUBCLASS, "system peripheral"},
	{0x09, ANY_SUBCLASS, "input device controller"},
	{0x0a, ANY_SUBCLASS, "docking station"},
	{0x0b, ANY_SUBCLASS, "processor"},
	{0x0c, 0x00, "FireWire controller"},
	{0x0c, 0x03, "USB controller"},
	{0x0c, 0x05, "SMBus controller"},
	{0x0c, ANY_SUBCLASS, "serial bus controller"},
	{0x0d, ANY_SUBCLASS, "wireless controller"},
	{0x0e, ANY_SUBCLASS, "intelligent I/O controller"},
	{0x0f, ANY_SUBCLASS, "satellite communication controller"},
	{0x10, ANY_SUBCLASS, "encryption controller"},
	{0x11, ANY_SUBCLASS, "signal processing controller"},
	{0x12, ANY_SUBCLASS, "processing accelerator"},
	{0x13, ANY_SUBCLASS, "non-essential instrumentation"},
};

static const struct {
	uint8_t id;
	const char *name;
} capability_names[] = {
	{0x01, "power management"},
	{0x02, "AGP"},
	{0x03, "vital product data"},
	{0x05, "MSI"},
	{0x07, "PCI-X"},
	{0x09, "vendor-specific"},
	{0x0a, "debug port"},
	{0x0d, "bridge subsystem"},
	{0x10, "PCI Express"},
	{0x11, "MSI-X"},
	{0x12, "SATA"},
	{0x13, "advanced features"},
};

static const struct {
	uint16_t id;
	const char *name;
} extended_capability_names[] = {
	{0x0001, "advanced error reporting"},
	{0x0002, "virtual channel"},
	{0x0003, "device serial number"},
	{0x0004, "power budgeting"},
	{0x0009, "virtual channel"},
	{0x000b, "vendor-specific"},
	{0x000d, "ACS"},
	{0x000e, "ARI"},
	{0x000f, "ATS"},
	{0x0010, "SR-IOV"},
	{0x0012, "multicast"},
	{0x0013, "page requests"},
	{0x0015, "resizable BAR"},
	{0x0016, "dynamic power allocation"},
	{0x0017, "TPH requester"},
	{0x0018, "latency tolerance reporting"},
	{0x0019, "secondary PCI Express"},
	{0x001b, "PASID"},
	{0x001d, "downstream port containment"},
	{0x001e, "L1 PM substates"},
	{0x001f, "precision time measurement"},
	{0x0023, "designated vendor-specific"},
	{0x0025, "data link feature"},
	{0x0026, "physical layer 16 GT/s"},
	{0x0027, "lane margining"},
};

static const struct {
	uint16_t id;
	const char *name;
} vendor_names[] = {
	{0x1002, "AMD"},
	{0x1022, "AMD"},
	{0x106b, "Apple"},
	{0x10de, "NVIDIA"},
	{0x10ec, "Realtek"},
	{0x1106, "VIA"},
	{0x1234, "QEMU or Bochs"},
	{0x144d, "Samsung"},
	{0x14e4, "Broadcom"},
	{0x15ad, "VMware"},
	{0x15b3, "Mellanox"},
	{0x15b7, "Sandisk"},
	{0x1af4, "virtio"},
	{0x1b21, "ASMedia"},
	{0x1b36, "Red Hat"},
	{0x1b4b, "Marvell"},
	{0x8086, "Intel"},
};

const char *pci_class_name(uint8_t class_code, uint8_t subclass)
{
	for (size_t i = 0; i < array_count(class_names); i++) {
		if (class_names[i].class_code != class_code)
			continue;
		if (class_names[i].subclass == subclass || class_names[i].subclass == ANY_SUBCLASS)
			return class_names[i].name;
	}
	return "device of unknown class";
}

const char *pci_capability_name(uint8_t id)
{
	for (size_t i = 0; i < array_count(capability_names); i++)
		if (capability_names[i].id == id)
			return capability_names[i].name;
	return "?";
}

const char *pci_extended_capability_name(uint16_t id)
{
	for (size_t i = 0; i < array_count(extended_capability_names); i++)
		if (extended_capability_names[i].id == id)
			return extended_capability_names[i].name;
	return "?";
}

const char *pci_vendor_name(uint16_t vendor_id)
{
	for (size_t i = 0; i < array_count(vendor_names); i++)
		if (vendor_names[i].id == vendor_id)
			return vendor_names[i].name;
	return "";
}

/* @digits hexadecimal digits and then @end; *@text moves behind it. */
static bool parse_number(const char **text, unsigned digits, char end, unsigned *number)
{
	*number = 0;
	for (; digits > 0; digits--, (*text)++) {
		char c = **text;

		if (c >= '0' && c <= '9')
			*number = *number << 4 | (unsigned)(c - '0');
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			*number = *number << 4 | (unsigned)((c | 0x20) - 'a' + 10);
		else
			return false;
	}
	if (**text != end)
		return false;
	*text += end != '\0';
	return true;
}

bool pci_address_parse(const char *text, struct pci_address *address)
{
	unsigned segment, bus, device, function;

	if (!parse_number(&text, 4, ':', &segment) || !parse_number(&text, 2, ':', &bus) ||
	    !parse_number(&text, 2, '.', &device) || !parse_number(&text, 1, '\0', &function))
		return false;
	if (device >= PCI_DEVICES_PER_BUS || function >= PCI_FUNCTIONS_PER_DEVICE)
		return false;
	*address = (struct pci_address){(uint16_t)segment, (uint8_t)bus, (uint8_t)device, (uint8_t)function};
	return true;
}
