/* Reading bytes of tables within their bounds. Everything that firmware wrote goes through here. */
#pragma once

#include "lib/status.h"
#include "lib/types.h"

#define ACPI_HEADER_SIZE 36u
#define ACPI_MAX_TABLE_LENGTH ((uint32_t)16 << 20) /* more is a broken length field */

struct acpi_bytes {
	const uint8_t *start;
	size_t length;
};

/** acpi_bytes() - @length bytes at @pointer, which are lent. */
struct acpi_bytes acpi_bytes(const void *pointer, size_t length);
/** acpi_read() - a little-endian field of @size bytes (1..8) at @offset; 0 for a field that does not lie inside. */
uint64_t acpi_read(struct acpi_bytes bytes, size_t offset, unsigned size);
/** acpi_bytes_part() - [@offset, @offset + @length) cut to what is there. */
struct acpi_bytes acpi_bytes_part(struct acpi_bytes bytes, size_t offset, size_t length);
/** acpi_signature_is() - @signature's bytes (without NUL) stand at the beginning. */
bool acpi_signature_is(struct acpi_bytes bytes, const char *signature);
/** acpi_checksum_is_right() - all bytes sum up to 0 modulo 256; an empty range does not. */
bool acpi_checksum_is_right(struct acpi_bytes bytes);

/** acpi_table_check() - header's length equals @bytes' and the checksum is right: STATUS_OK, _TRUNCATED, _BAD_CHECKSUM. */
must_check enum status acpi_table_check(struct acpi_bytes bytes);
