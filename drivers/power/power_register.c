#include "drivers/power/power_register.h"

#include "arch/x86/insn.h"
#include "arch/x86/mm/host_paging.h"
#include "arch/x86/mmio.h"
#include "lib/bits.h"
#include "lib/checked.h"

#define PCI_PORT_ADDRESS 0xcf8u
#define PCI_PORT_DATA 0xcfcu
#define PORT_LIMIT 0x10000u

static enum status check(const struct acpi_register *where, unsigned offset, unsigned size)
{
	if (where->address == 0)
		return STATUS_NOT_FOUND;
	if (where->space == ACPI_SPACE_PORT && !range_within(where->address, offset + size, PORT_LIMIT))
		return STATUS_INVALID;
	if (where->space == ACPI_SPACE_MEMORY && !is_aligned(where->address + offset, size))
		return STATUS_INVALID;
	return STATUS_OK;
}

enum status power_register_read(const struct acpi_register *where, unsigned offset, unsigned size, uint16_t *value)
{
	enum status status = check(where, offset, size);
	const uint8_t *pointer;

	if (status != STATUS_OK)
		return status;
	if (where->space == ACPI_SPACE_PORT) {
		uint16_t port = (uint16_t)(where->address + offset);

		*value = size == 1 ? insn_in8(port) : insn_in16(port);
		return STATUS_OK;
	}
	if (where->space != ACPI_SPACE_MEMORY)
		return STATUS_UNSUPPORTED;
	pointer = host_paging_map_device(hpa(where->address + offset), size, false);
	if (pointer == NULL)
		return STATUS_NO_MEMORY;
	*value = size == 1 ? mmio_read8(pointer) : mmio_read16(pointer);
	return STATUS_OK;
}

static enum status write_pci(const struct acpi_register *where, uint16_t value)
{
	uint32_t device = (uint32_t)bits_get(where->address, 47, 32), function = (uint32_t)bits_get(where->address, 31, 16);
	uint32_t offset = (uint32_t)bits_get(where->address, 15, 0);

	if (device > 31 || function > 7 || offset > 0xff)
		return STATUS_INVALID;
	insn_out32(PCI_PORT_ADDRESS, 0x80000000u | device << 11 | function << 8 | (offset & 0xfcu));
	insn_out8((uint16_t)(PCI_PORT_DATA + (offset & 3)), (uint8_t)value);
	return STATUS_OK;
}

static void write_port(uint16_t port, unsigned size, uint16_t value)
{
	if (size == 1)
		insn_out8(port, (uint8_t)value);
	else
		insn_out16(port, value);
}

enum status power_register_write(const struct acpi_register *where, unsigned offset, unsigned size, uint16_t value)
{
	enum status status = check(where, offset, size);
	uint8_t *pointer;

	if (status != STATUS_OK)
		return status;
	if (where->space == ACPI_SPACE_PORT) {
		write_port((uint16_t)(where->address + offset), size, value);
		return STATUS_OK;
	}
	if (where->space == ACPI_SPACE_PCI && size == 1)
		return write_pci(where, value);
	if (where->space != ACPI_SPACE_MEMORY)
		return STATUS_UNSUPPORTED;
	pointer = host_paging_map_device(hpa(where->address + offset), size, false);
	if (pointer == NULL)
		return STATUS_NO_MEMORY;
	if (size == 1)
		mmio_write8(pointer, (uint8_t)value);
	else
		mmio_write16(pointer, value);
	return STATUS_OK;
}
