/* Puts ACPI tables together byte by byte. */
#pragma once

#include <assert.h>
#include <stdint.h>
#include <string.h>

struct acpi_builder {
	uint8_t bytes[4096];
	size_t length;
};

static inline void put(struct acpi_builder *builder, uint64_t value, unsigned size)
{
	assert(builder->length + size <= sizeof(builder->bytes));
	for (unsigned i = 0; i < size; i++)
		builder->bytes[builder->length++] = (uint8_t)(value >> 8 * i);
}

static inline void set(struct acpi_builder *builder, size_t offset, uint64_t value, unsigned size)
{
	assert(offset + size <= builder->length);
	for (unsigned i = 0; i < size; i++)
		builder->bytes[offset + i] = (uint8_t)(value >> 8 * i);
}

static inline void put_bytes(struct acpi_builder *builder, const void *bytes, size_t size)
{
	assert(builder->length + size <= sizeof(builder->bytes));
	memcpy(builder->bytes + builder->length, bytes, size);
	builder->length += size;
}

/* The 36-byte header and @size bytes of zeros in all. */
static inline void begin_table(struct acpi_builder *builder, const char *signature, size_t size)
{
	memset(builder, 0, sizeof(*builder));
	memcpy(builder->bytes, signature, 4);
	builder->bytes[8] = 1;
	builder->length = size;
}

/* Length and checksum. */
static inline void end_table(struct acpi_builder *builder)
{
	uint8_t sum = 0;

	set(builder, 4, builder->length, 4);
	builder->bytes[9] = 0;
	for (size_t i = 0; i < builder->length; i++)
		sum = (uint8_t)(sum + builder->bytes[i]);
	builder->bytes[9] = (uint8_t)-sum;
}
