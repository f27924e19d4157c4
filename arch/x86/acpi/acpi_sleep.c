#include "arch/x86/acpi/acpi_sleep.h"

#include "arch/x86/acpi/acpi_table.h"
#include "lib/bits.h"

enum {
	AML_ZERO = 0x00,
	AML_ONE = 0x01,
	AML_NAME = 0x08,
	AML_BYTE = 0x0a,
	AML_WORD = 0x0b,
	AML_DWORD = 0x0c,
	AML_QWORD = 0x0e,
	AML_PACKAGE = 0x12,
	AML_ROOT = '\\',
};

#define SLEEP_TYPE_MAX 7u
#define NAME_LENGTH 4u

/* The integer at *@offset, which moves behind it; false if no constant integer stands there. */
static bool read_integer(struct acpi_bytes bytes, size_t *offset, uint64_t *value)
{
	static const struct { uint8_t opcode, size; } sizes[] = {{AML_BYTE, 1}, {AML_WORD, 2}, {AML_DWORD, 4}, {AML_QWORD, 8}};
	uint8_t opcode = (uint8_t)acpi_read(bytes, *offset, 1);

	if (*offset >= bytes.length)
		return false;
	if (opcode == AML_ZERO || opcode == AML_ONE) {
		*value = opcode;
		*offset += 1;
		return true;
	}
	for (size_t i = 0; i < array_count(sizes); i++) {
		if (sizes[i].opcode != opcode || bytes.length - *offset <= sizes[i].size)
			continue;
		*value = acpi_read(bytes, *offset + 1, sizes[i].size);
		*offset += 1u + sizes[i].size;
		return true;
	}
	return false;
}

/* @bytes begin at what should be the package's opcode. */
static bool read_package(struct acpi_bytes bytes, struct acpi_sleep_type *s5)
{
	size_t offset = 1, length_bytes;
	uint64_t a, b, count;

	if (bytes.length < 4 || bytes.start[0] != AML_PACKAGE)
		return false;
	length_bytes = 1 + bits_get(bytes.start[1], 7, 6);
	offset += length_bytes;
	count = acpi_read(bytes, offset++, 1);
	if (count == 0 || !read_integer(bytes, &offset, &a))
		return false;
	if (count == 1) {
		/* Old firmware packs both into one number. */
		b = bits_get(a, 15, 8);
		a = bits_get(a, 7, 0);
	} else if (!read_integer(bytes, &offset, &b)) {
		return false;
	}
	if (a > SLEEP_TYPE_MAX || b > SLEEP_TYPE_MAX)
		return false;
	*s5 = (struct acpi_sleep_type){.present = true, .type_a = (uint8_t)a, .type_b = (uint8_t)b};
	return true;
}

enum status acpi_sleep_find_s5(const void *table, size_t length, struct acpi_sleep_type *s5)
{
	struct acpi_bytes bytes = acpi_bytes(table, length);

	*s5 = (struct acpi_sleep_type){0};
	for (size_t i = ACPI_HEADER_SIZE; i < bytes.length; i++) {
		struct acpi_bytes rest;
		size_t name = i + 1;

		if (bytes.start[i] != AML_NAME)
			continue;
		if (acpi_read(bytes, name, 1) == AML_ROOT)
			name++;
		rest = acpi_bytes_part(bytes, name, bytes.length);
		if (!acpi_signature_is(rest, "_S5_"))
			continue;
		if (read_package(acpi_bytes_part(rest, NAME_LENGTH, rest.length), s5))
			return STATUS_OK;
	}
	return STATUS_NOT_FOUND;
}
