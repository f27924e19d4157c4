/*
 * ACPI readers on hostile bytes. The first byte of the input chooses: one parser on the rest as its table, or the rest as
 * the first bytes of physical memory, with the RSDP at offset 0, in which acpi_init() finds its way.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "arch/x86/acpi/acpi.h"
#include "arch/x86/acpi/acpi_root.h"
#include "arch/x86/acpi/acpi_table.h"
#include "arch/x86/log.h"

#define MEMORY_BASE 0x1000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t *memory;
static size_t memory_size;

void log_write(enum log_level level, const char *format, ...)
{
	(void)level;
	(void)format;
}

/* Exactly the bytes asked for, in a block of their own, so that one byte more is seen; they live up to the next input. */
static void *blocks[4096];
static size_t block_count;

static const void *map(hpa_t address, uint64_t length)
{
	uint64_t offset = address.value - MEMORY_BASE;
	void *block;

	if (address.value < MEMORY_BASE || offset > memory_size || length > memory_size - offset || length == 0)
		return NULL;
	if (block_count == sizeof(blocks) / sizeof(blocks[0]))
		abort(); /* more mappings than a bounded reader makes */
	block = malloc(length);
	memcpy(block, memory + offset, length);
	blocks[block_count++] = block;
	return block;
}

/* Broken checksums would hide everything behind them: makes the sum of a table right. */
static void mend_checksum(uint8_t *table, size_t length, size_t checksum_offset)
{
	uint8_t sum = 0;

	if (checksum_offset >= length)
		return;
	for (size_t i = 0; i < length; i++)
		sum = (uint8_t)(sum + table[i]);
	table[checksum_offset] = (uint8_t)(table[checksum_offset] - sum);
}

static void check_counts(const struct acpi_info *info)
{
	if (info->madt.processor_count > ACPI_MAX_PROCESSORS || info->madt.io_apic_count > ACPI_MAX_IO_APICS ||
	    info->madt.override_count > ACPI_MAX_OVERRIDES || info->madt.nmi_count > ACPI_MAX_NMIS ||
	    info->mcfg.ecam_count > ACPI_MAX_ECAMS || info->dmar.drhd_count > ACPI_MAX_DRHDS ||
	    info->table_count > ACPI_MAX_TABLES || info->s5.type_a > 7 || info->s5.type_b > 7)
		abort();
}

static void fuzz_machine(uint8_t *bytes, size_t size)
{
	memory = bytes;
	memory_size = size;
	block_count = 0;
	mend_checksum(bytes, size < 20 ? size : 20, 8);
	mend_checksum(bytes, size < 36 ? size : 36, 32);
	/* Every table of the input, wherever its signature stands. */
	for (size_t i = 36; i + ACPI_HEADER_SIZE <= size; i += 4) {
		struct acpi_bytes table = acpi_bytes(bytes + i, size - i);
		uint64_t length = acpi_read(table, 4, 4);

		if (length >= ACPI_HEADER_SIZE && length <= table.length && bytes[i] >= 'A' && bytes[i] <= 'Z')
			mend_checksum(bytes + i, length, 9);
	}
	(void)!acpi_init(hpa(MEMORY_BASE), map);
	check_counts(acpi_get());
	while (block_count > 0)
		free(blocks[--block_count]);
}

static struct acpi_info info;

static void fuzz_parser(uint8_t choice, const uint8_t *table, size_t size)
{
	size_t offset;

	switch (choice % 7) {
	case 1:
		acpi_madt_parse(table, size, &info.madt);
		(void)acpi_madt_isa_gsi(&info.madt, choice);
		break;
	case 2:
		acpi_fadt_parse(table, size, &info.fadt);
		break;
	case 3:
		acpi_mcfg_parse(table, size, &info.mcfg);
		break;
	case 4:
		acpi_hpet_parse(table, size, &info.hpet);
		break;
	case 5:
		acpi_dmar_parse(table, size, &info.dmar);
		break;
	default:
		(void)!acpi_sleep_find_s5(table, size, &info.s5);
		(void)!acpi_rsdp_search(table, size, &offset);
		break;
	}
	check_counts(&info);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy;

	if (size == 0)
		return 0;
	copy = malloc(size);
	memcpy(copy, data + 1, size - 1);
	/* The block ends with the table. */
	copy = realloc(copy, size > 1 ? size - 1 : 1);
	if (data[0] % 7 == 0)
		fuzz_machine(copy, size - 1);
	else
		fuzz_parser(data[0], copy, size - 1);
	free(copy);
	return 0;
}
