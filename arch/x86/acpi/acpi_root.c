#include "arch/x86/acpi/acpi_root.h"

#include "arch/x86/acpi/acpi_table.h"

enum {
	RSDP_REVISION = 15,
	RSDP_RSDT = 16,
	RSDP_LENGTH = 20,
	RSDP_XSDT = 24,
};

enum status acpi_rsdp_parse(const void *rsdp, size_t length, struct acpi_rsdp *result)
{
	struct acpi_bytes bytes = acpi_bytes(rsdp, length);
	uint64_t full_length;

	*result = (struct acpi_rsdp){0};
	if (bytes.length < ACPI_RSDP_SIZE_1)
		return STATUS_TRUNCATED;
	if (!acpi_signature_is(bytes, "RSD PTR "))
		return STATUS_BAD_FORMAT;
	if (!acpi_checksum_is_right(acpi_bytes_part(bytes, 0, ACPI_RSDP_SIZE_1)))
		return STATUS_BAD_CHECKSUM;

	result->revision = (uint8_t)acpi_read(bytes, RSDP_REVISION, 1);
	result->rsdt = hpa(acpi_read(bytes, RSDP_RSDT, 4));
	if (result->revision < 2)
		return STATUS_OK;

	full_length = acpi_read(bytes, RSDP_LENGTH, 4);
	if (full_length < ACPI_RSDP_SIZE_2 || full_length > bytes.length)
		return STATUS_TRUNCATED;
	if (!acpi_checksum_is_right(acpi_bytes_part(bytes, 0, full_length)))
		return STATUS_BAD_CHECKSUM;
	result->xsdt = hpa(acpi_read(bytes, RSDP_XSDT, 8));
	return STATUS_OK;
}

enum status acpi_rsdp_search(const void *area, size_t length, size_t *offset)
{
	struct acpi_bytes bytes = acpi_bytes(area, length);
	struct acpi_rsdp rsdp;

	for (size_t i = 0; i < bytes.length; i += 16) {
		struct acpi_bytes rest = acpi_bytes_part(bytes, i, bytes.length);

		if (acpi_rsdp_parse(rest.start, rest.length, &rsdp) != STATUS_OK)
			continue;
		*offset = i;
		return STATUS_OK;
	}
	return STATUS_NOT_FOUND;
}

uint32_t acpi_root_count(size_t length, unsigned entry_size)
{
	if (length < ACPI_HEADER_SIZE || length > ACPI_MAX_TABLE_LENGTH)
		return 0;
	return (uint32_t)((length - ACPI_HEADER_SIZE) / entry_size);
}

hpa_t acpi_root_entry(const void *root, size_t length, unsigned entry_size, uint32_t index)
{
	return hpa(acpi_read(acpi_bytes(root, length), ACPI_HEADER_SIZE + (size_t)index * entry_size, entry_size));
}
