/* Words for the numbers in PCI configuration space. PCI Code and ID Assignment Specification, "Class Codes". */
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

const char *pci_vendor_name(uint16_t vendor_id)
{
	for (size_t i = 0; i < array_count(vendor_names); i++)
		if (vendor_names[i].id == vendor_id)
			return vendor_names[i].name;
	return "";
}
