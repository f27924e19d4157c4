/* From the RSDP to struct acpi_info: tables are found, checked, and left out when they are broken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "arch/x86/acpi/acpi.h"
#include "arch/x86/log.h"
#include "tests/unit/acpi_builder.h"

#define MEMORY_SIZE 0x100000u
#define EBDA 0x9fc00u
#define XSDT 0x20000u
#define RSDT 0x21000u
#define FADT 0x22000u
#define DSDT 0x23000u
#define MADT 0x24000u
#define SSDT 0x25000u

static uint8_t memory[MEMORY_SIZE]; /* physical memory from 0 on */
static uint64_t hole;               /* an address that cannot be mapped */
static char last_log[256];
static unsigned log_lines;

void log_write(enum log_level level, const char *format, ...)
{
	va_list arguments;

	(void)level;
	va_start(arguments, format);
	vsnprintf(last_log, sizeof(last_log), format, arguments);
	va_end(arguments);
	log_lines++;
}

static const void *map(hpa_t address, uint64_t length)
{
	if (address.value > MEMORY_SIZE || length > MEMORY_SIZE - address.value || address.value == hole)
		return NULL;
	return memory + address.value;
}

static void place(uint32_t address, struct acpi_builder *table)
{
	end_table(table);
	memcpy(memory + address, table->bytes, table->length);
}

static void place_root(uint32_t address, const char *signature, unsigned entry_size, const uint32_t *entries, unsigned count)
{
	struct acpi_builder table;

	begin_table(&table, signature, 36);
	for (unsigned i = 0; i < count; i++)
		put(&table, entries[i], entry_size);
	place(address, &table);
}

static void place_rsdp(uint32_t address, uint8_t revision)
{
	uint8_t *rsdp = memory + address, sum = 0;
	uint32_t rsdt = RSDT;
	uint64_t xsdt = XSDT;

	memset(rsdp, 0, 36);
	memcpy(rsdp, "RSD PTR ", 8);
	rsdp[15] = revision;
	memcpy(rsdp + 16, &rsdt, 4);
	rsdp[20] = 36;
	memcpy(rsdp + 24, &xsdt, 8);
	for (unsigned i = 0; i < 20; i++)
		sum = (uint8_t)(sum + rsdp[i]);
	rsdp[8] = (uint8_t)-sum;
	sum = 0;
	for (unsigned i = 0; i < 36; i++)
		sum = (uint8_t)(sum + rsdp[i]);
	rsdp[32] = (uint8_t)-sum;
}

static void place_aml(uint32_t address, const char *signature, const char *aml, size_t size)
{
	struct acpi_builder table;

	begin_table(&table, signature, 36);
	put_bytes(&table, aml, size);
	place(address, &table);
}

/* A machine with FADT, DSDT and MADT, an RSDP at 0xe1230. */
static int set_up(void **state)
{
	static const uint32_t entries[] = {FADT, MADT, SSDT};
	struct acpi_builder table;

	(void)state;
	memset(memory, 0, sizeof(memory));
	hole = UINT64_MAX;
	log_lines = 0;
	place_rsdp(0xe1230, 2);
	place_root(XSDT, "XSDT", 8, entries, 3);
	place_root(RSDT, "RSDT", 4, entries, 2);
	begin_table(&table, "FACP", 244);
	set(&table, 40, DSDT, 4);
	set(&table, 64, 0xb004, 4);
	set(&table, 89, 2, 1);
	place(FADT, &table);
	place_aml(DSDT, "DSDT", "\x08_S5_\x12\x06\x02\x0a\x05\x00", 12);
	begin_table(&table, "APIC", 44);
	set(&table, 36, 0xfee00000, 4);
	put(&table, 0x0000000100000800, 8);
	place(MADT, &table);
	place_aml(SSDT, "SSDT", "\x08_S5_\x12\x06\x02\x0a\x06\x00", 12);
	return 0;
}

static void test_given(void **state)
{
	const struct acpi_info *info = acpi_get();

	(void)state;
	assert_int_equal(acpi_init(hpa(0xe1230), map), STATUS_OK);
	assert_true(info->present && info->fadt.present && info->madt.present);
	assert_false(info->mcfg.present || info->hpet.present || info->dmar.present);
	assert_int_equal(info->rsdp.value, 0xe1230);
	assert_int_equal(info->table_count, 5); /* XSDT, FADT, MADT, SSDT, DSDT */
	assert_string_equal(info->tables[1].signature, "FACP");
	assert_int_equal(info->tables[1].length, 244);
	assert_true(info->s5.present);
	assert_int_equal(info->s5.type_a, 5);
	assert_int_equal(info->madt.processor_count, 1);
	assert_int_equal(log_lines, 0);
}

static void test_searched(void **state)
{
	(void)state;
	assert_int_equal(acpi_init(hpa(0), map), STATUS_OK);
	assert_int_equal(acpi_get()->rsdp.value, 0xe1230);

	/* The EBDA comes first. */
	memory[0x40e] = EBDA >> 4 & 0xff;
	memory[0x40f] = EBDA >> 12;
	place_rsdp(EBDA + 16, 2);
	assert_int_equal(acpi_init(hpa(0), map), STATUS_OK);
	assert_int_equal(acpi_get()->rsdp.value, EBDA + 16);

	memset(memory + 0x80000, 0, 0x80000);
	assert_int_equal(acpi_init(hpa(0), map), STATUS_NOT_FOUND);
	assert_false(acpi_get()->present || acpi_get()->madt.present);
}

static void test_falls_back_to_rsdt(void **state)
{
	(void)state;
	memory[XSDT + 40] ^= 1;
	assert_int_equal(acpi_init(hpa(0xe1230), map), STATUS_OK);
	assert_non_null(strstr(last_log, "XSDT"));
	assert_true(acpi_get()->fadt.present);
	place_rsdp(0xe1230, 0);
	log_lines = 0;
	assert_int_equal(acpi_init(hpa(0xe1230), map), STATUS_OK);
	assert_int_equal(log_lines, 0);
	memory[RSDT] = 'X';
	memory[RSDT + 1]--; /* the sum stays right */
	assert_int_equal(acpi_init(hpa(0xe1230), map), STATUS_BAD_FORMAT);
	assert_false(acpi_get()->present);
}

static void test_broken_tables_are_left_out(void **state)
{
	const struct acpi_info *info = acpi_get();

	(void)state;
	memory[MADT + 40] ^= 1;
	assert_int_equal(acpi_init(hpa(0xe1230), map), STATUS_OK);
	assert_false(info->madt.present);
	assert_true(info->fadt.present);
	assert_non_null(strstr(last_log, "APIC"));
	assert_int_equal(log_lines, 1);
	assert_false(info->tables[2].valid);

	set_up(NULL);
	memory[MADT + 4] = 35; /* shorter than its header */
	assert_int_equal(acpi_init(hpa(0xe1230), map), STATUS_OK);
	assert_false(info->madt.present);

	set_up(NULL);
	memory[MADT + 7] = 0xff; /* 4 GiB long */
	assert_int_equal(acpi_init(hpa(0xe1230), map), STATUS_OK);
	assert_false(info->madt.present);

	set_up(NULL);
	hole = MADT;
	assert_int_equal(acpi_init(hpa(0xe1230), map), STATUS_OK);
	assert_false(info->madt.present);
	assert_non_null(strstr(last_log, "mapped"));
	assert_true(info->s5.present);
}

static void test_s5_in_ssdt(void **state)
{
	(void)state;
	memory[DSDT + 40] ^= 1;
	assert_int_equal(acpi_init(hpa(0xe1230), map), STATUS_OK);
	assert_true(acpi_get()->s5.present);
	assert_int_equal(acpi_get()->s5.type_a, 6);
}

static void test_many_tables(void **state)
{
	static uint32_t entries[200];

	(void)state;
	for (unsigned i = 0; i < 200; i++)
		entries[i] = MADT;
	entries[3] = 0;
	place_root(XSDT, "XSDT", 8, entries, 200);
	assert_int_equal(acpi_init(hpa(0xe1230), map), STATUS_OK);
	assert_int_equal(acpi_get()->table_count, ACPI_MAX_TABLES);
	assert_true(acpi_get()->tables_lost > 0);
	assert_int_equal(acpi_get()->madt.processor_count, 1);
}

static void test_bad_addresses(void **state)
{
	(void)state;
	assert_int_equal(acpi_init(hpa(UINT64_MAX - 4), map), STATUS_NOT_FOUND);
	assert_int_equal(acpi_init(hpa(MEMORY_SIZE - 8), map), STATUS_NOT_FOUND);
	assert_int_equal(acpi_init(hpa(0x5000), map), STATUS_NOT_FOUND);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_given, set_up),
		cmocka_unit_test_setup(test_searched, set_up),
		cmocka_unit_test_setup(test_falls_back_to_rsdt, set_up),
		cmocka_unit_test_setup(test_broken_tables_are_left_out, set_up),
		cmocka_unit_test_setup(test_s5_in_ssdt, set_up),
		cmocka_unit_test_setup(test_many_tables, set_up),
		cmocka_unit_test_setup(test_bad_addresses, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
