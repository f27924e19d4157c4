#include "arch/x86/acpi/acpi_fadt.h"

#include "arch/x86/acpi/acpi_table.h"
#include "lib/string.h"

enum {
	FADT_DSDT = 40,
	FADT_SCI_INTERRUPT = 46,
	FADT_SMI_COMMAND = 48,
	FADT_ACPI_ENABLE = 52,
	FADT_ACPI_DISABLE = 53,
	FADT_PM1A_EVENT = 56,
	FADT_PM1B_EVENT = 60,
	FADT_PM1A_CONTROL = 64,
	FADT_PM1B_CONTROL = 68,
	FADT_PM_TIMER = 76,
	FADT_PM1_EVENT_LENGTH = 88,
	FADT_PM1_CONTROL_LENGTH = 89,
	FADT_PM_TIMER_LENGTH = 91,
	FADT_CENTURY = 108,
	FADT_BOOT_FLAGS = 109,
	FADT_FLAGS = 112,
	FADT_SIZE_1 = 116, /* of the first version */
	FADT_RESET_REGISTER = 116,
	FADT_RESET_VALUE = 128,
	FADT_X_DSDT = 140,
	FADT_X_PM1A_EVENT = 148,
	FADT_X_PM1B_EVENT = 160,
	FADT_X_PM1A_CONTROL = 172,
	FADT_X_PM1B_CONTROL = 184,
	FADT_X_PM_TIMER = 208,
	FADT_SLEEP_CONTROL = 244,
	FADT_SLEEP_STATUS = 256,
};

#define REVISION_OFFSET 8u
#define PORT_LIMIT 0x10000u
#define PM_TIMER_LENGTH 4u

/* An address structure; an address that no port can have counts as none. */
static struct acpi_register read_register(struct acpi_bytes bytes, size_t offset)
{
	struct acpi_register result = {
		.space = (uint8_t)acpi_read(bytes, offset, 1),
		.bit_width = (uint8_t)acpi_read(bytes, offset + 1, 1),
		.bit_offset = (uint8_t)acpi_read(bytes, offset + 2, 1),
		.access_size = (uint8_t)acpi_read(bytes, offset + 3, 1),
		.address = acpi_read(bytes, offset + 4, 8),
	};

	if (result.space == ACPI_SPACE_PORT && result.address >= PORT_LIMIT)
		result.address = 0;
	return result;
}

/* A register that the first version told as a port number (@offset, length at @length_offset) and later ones in full. */
static struct acpi_register read_block(struct acpi_bytes bytes, size_t extended_offset, size_t offset, size_t length_offset)
{
	struct acpi_register result = read_register(bytes, extended_offset);
	uint64_t port = acpi_read(bytes, offset, 4);

	if (result.address != 0)
		return result;
	result = (struct acpi_register){.space = ACPI_SPACE_PORT};
	if (port < PORT_LIMIT) {
		result.address = port;
		result.bit_width = (uint8_t)(acpi_read(bytes, length_offset, 1) * 8);
	}
	return result;
}

static void read_registers(struct acpi_bytes bytes, struct acpi_fadt *fadt)
{
	fadt->pm1a_event = read_block(bytes, FADT_X_PM1A_EVENT, FADT_PM1A_EVENT, FADT_PM1_EVENT_LENGTH);
	fadt->pm1b_event = read_block(bytes, FADT_X_PM1B_EVENT, FADT_PM1B_EVENT, FADT_PM1_EVENT_LENGTH);
	fadt->pm1a_control = read_block(bytes, FADT_X_PM1A_CONTROL, FADT_PM1A_CONTROL, FADT_PM1_CONTROL_LENGTH);
	fadt->pm1b_control = read_block(bytes, FADT_X_PM1B_CONTROL, FADT_PM1B_CONTROL, FADT_PM1_CONTROL_LENGTH);
	/* The timer is optional: without it its length is 0, whatever the address says. */
	if (acpi_read(bytes, FADT_PM_TIMER_LENGTH, 1) == PM_TIMER_LENGTH)
		fadt->pm_timer = read_block(bytes, FADT_X_PM_TIMER, FADT_PM_TIMER, FADT_PM_TIMER_LENGTH);
	fadt->reset = read_register(bytes, FADT_RESET_REGISTER);
	fadt->sleep_control = read_register(bytes, FADT_SLEEP_CONTROL);
	fadt->sleep_status = read_register(bytes, FADT_SLEEP_STATUS);
}

enum status acpi_fadt_parse(const void *table, size_t length, struct acpi_fadt *fadt)
{
	struct acpi_bytes bytes = acpi_bytes(table, length);
	uint64_t smi_command;

	memset(fadt, 0, sizeof(*fadt));
	if (bytes.length < FADT_SIZE_1)
		return STATUS_TRUNCATED;
	fadt->present = true;
	fadt->revision = (uint8_t)acpi_read(bytes, REVISION_OFFSET, 1);
	fadt->flags = (uint32_t)acpi_read(bytes, FADT_FLAGS, 4);
	fadt->boot_flags = (uint16_t)acpi_read(bytes, FADT_BOOT_FLAGS, 2);
	fadt->sci_interrupt = (uint16_t)acpi_read(bytes, FADT_SCI_INTERRUPT, 2);
	smi_command = acpi_read(bytes, FADT_SMI_COMMAND, 4);
	fadt->smi_command = smi_command < PORT_LIMIT ? (uint16_t)smi_command : 0;
	fadt->acpi_enable = (uint8_t)acpi_read(bytes, FADT_ACPI_ENABLE, 1);
	fadt->acpi_disable = (uint8_t)acpi_read(bytes, FADT_ACPI_DISABLE, 1);
	fadt->century = (uint8_t)acpi_read(bytes, FADT_CENTURY, 1);
	fadt->reset_value = (uint8_t)acpi_read(bytes, FADT_RESET_VALUE, 1);
	fadt->dsdt = hpa(acpi_read(bytes, FADT_X_DSDT, 8));
	if (fadt->dsdt.value == 0)
		fadt->dsdt = hpa(acpi_read(bytes, FADT_DSDT, 4));
	read_registers(bytes, fadt);
	return STATUS_OK;
}
