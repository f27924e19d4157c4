#include "arch/x86/acpi/acpi_table.h"

#include "lib/checked.h"
#include "lib/string.h"

struct acpi_bytes acpi_bytes(const void *pointer, size_t length)
{
	return (struct acpi_bytes){pointer, pointer != NULL ? length : 0};
}

uint64_t acpi_read(struct acpi_bytes bytes, size_t offset, unsigned size)
{
	uint64_t value = 0;

	if (size > sizeof(value) || !range_within(offset, size, bytes.length))
		return 0;
	for (unsigned i = size; i-- > 0;)
		value = value << 8 | bytes.start[offset + i];
	return value;
}

struct acpi_bytes acpi_bytes_part(struct acpi_bytes bytes, size_t offset, size_t length)
{
	if (offset >= bytes.length)
		return (struct acpi_bytes){bytes.start, 0};
	return (struct acpi_bytes){bytes.start + offset, min_u64(length, bytes.length - offset)};
}

bool acpi_signature_is(struct acpi_bytes bytes, const char *signature)
{
	size_t length = strlen(signature);

	return bytes.length >= length && memcmp(bytes.start, signature, length) == 0;
}

bool acpi_checksum_is_right(struct acpi_bytes bytes)
{
	uint8_t sum = 0;

	for (size_t i = 0; i < bytes.length; i++)
		sum = (uint8_t)(sum + bytes.start[i]);
	return bytes.length > 0 && sum == 0;
}

enum status acpi_table_check(struct acpi_bytes bytes)
{
	if (bytes.length < ACPI_HEADER_SIZE || acpi_read(bytes, 4, 4) != bytes.length)
		return STATUS_TRUNCATED;
	return acpi_checksum_is_right(bytes) ? STATUS_OK : STATUS_BAD_CHECKSUM;
}
