/* The parsers of single tables: right tables, and tables that end too early or contradict themselves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "arch/x86/acpi/acpi_dmar.h"
#include "arch/x86/acpi/acpi_fadt.h"
#include "arch/x86/acpi/acpi_hpet.h"
#include "arch/x86/acpi/acpi_madt.h"
#include "arch/x86/acpi/acpi_mcfg.h"
#include "arch/x86/acpi/acpi_root.h"
#include "arch/x86/acpi/acpi_sleep.h"
#include "arch/x86/acpi/acpi_table.h"
#include "tests/unit/acpi_builder.h"

static struct acpi_builder table;
static struct acpi_madt madt;
static struct acpi_dmar dmar;

/* A copy that ends with its block, so that ASan sees one byte too many. */
static void *exact(const void *bytes, size_t length)
{
	void *copy = malloc(length > 0 ? length : 1);

	memcpy(copy, bytes, length);
	return copy;
}

static void put_local_apic(uint8_t acpi_id, uint8_t apic_id, uint32_t flags)
{
	put(&table, 0, 1);
	put(&table, 8, 1);
	put(&table, acpi_id, 1);
	put(&table, apic_id, 1);
	put(&table, flags, 4);
}

static void put_x2apic(uint32_t acpi_id, uint32_t apic_id, uint32_t flags)
{
	put(&table, 9, 1);
	put(&table, 16, 1);
	put(&table, 0, 2);
	put(&table, apic_id, 4);
	put(&table, flags, 4);
	put(&table, acpi_id, 4);
}

static void put_override(uint8_t source, uint32_t gsi, uint16_t flags)
{
	put(&table, 2, 1);
	put(&table, 10, 1);
	put(&table, 0, 1);
	put(&table, source, 1);
	put(&table, gsi, 4);
	put(&table, flags, 2);
}

static void begin_madt(void)
{
	begin_table(&table, "APIC", 44);
	set(&table, 36, 0xfee00000, 4);
	set(&table, 40, 1, 4);
}

static enum status parse_madt(void)
{
	void *copy = exact(table.bytes, table.length);
	enum status status = acpi_madt_parse(copy, table.length, &madt);

	free(copy);
	return status;
}

static void test_bytes(void **state)
{
	static const uint8_t bytes[] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
	struct acpi_bytes all = acpi_bytes(bytes, sizeof(bytes));

	(void)state;
	assert_int_equal(acpi_read(all, 0, 1), 1);
	assert_int_equal(acpi_read(all, 1, 8), 0x0908070605040302);
	assert_int_equal(acpi_read(all, 2, 8), 0);
	assert_int_equal(acpi_read(all, SIZE_MAX, 2), 0);
	assert_int_equal(acpi_read(all, 0, 9), 0);
	assert_int_equal(acpi_bytes_part(all, 4, 100).length, 5);
	assert_int_equal(acpi_bytes_part(all, 9, 1).length, 0);
	assert_int_equal(acpi_bytes_part(all, SIZE_MAX, SIZE_MAX).length, 0);
	assert_int_equal(acpi_bytes(NULL, 10).length, 0);
	assert_false(acpi_checksum_is_right(acpi_bytes(bytes, 0)));
	assert_true(acpi_signature_is(all, "\1\2"));
	assert_false(acpi_signature_is(acpi_bytes(bytes, 1), "\1\2"));
}

static void test_table_check(void **state)
{
	(void)state;
	begin_table(&table, "TEST", 50);
	end_table(&table);
	assert_int_equal(acpi_table_check(acpi_bytes(table.bytes, 50)), STATUS_OK);
	assert_int_equal(acpi_table_check(acpi_bytes(table.bytes, 49)), STATUS_TRUNCATED);
	assert_int_equal(acpi_table_check(acpi_bytes(table.bytes, 35)), STATUS_TRUNCATED);
	table.bytes[49] ^= 1;
	assert_int_equal(acpi_table_check(acpi_bytes(table.bytes, 50)), STATUS_BAD_CHECKSUM);
}

static void make_rsdp(uint8_t bytes[64], uint8_t revision)
{
	uint8_t sum = 0;

	memset(bytes, 0, 64);
	memcpy(bytes, "RSD PTR ", 8);
	bytes[15] = revision;
	bytes[17] = 0x12; /* RSDT at 0x1200 */
	bytes[20] = 36;
	bytes[25] = 0x34; /* XSDT at 0x3400 */
	for (unsigned i = 0; i < 20; i++)
		sum = (uint8_t)(sum + bytes[i]);
	bytes[8] = (uint8_t)-sum;
	sum = 0;
	for (unsigned i = 0; i < 36; i++)
		sum = (uint8_t)(sum + bytes[i]);
	bytes[32] = (uint8_t)-sum;
}

static void test_rsdp(void **state)
{
	uint8_t bytes[64];
	struct acpi_rsdp rsdp;

	(void)state;
	make_rsdp(bytes, 0);
	assert_int_equal(acpi_rsdp_parse(bytes, 20, &rsdp), STATUS_OK);
	assert_int_equal(rsdp.rsdt.value, 0x1200);
	assert_int_equal(rsdp.xsdt.value, 0);
	assert_int_equal(acpi_rsdp_parse(bytes, 19, &rsdp), STATUS_TRUNCATED);

	make_rsdp(bytes, 2);
	assert_int_equal(acpi_rsdp_parse(bytes, 36, &rsdp), STATUS_OK);
	assert_int_equal(rsdp.xsdt.value, 0x3400);
	assert_int_equal(acpi_rsdp_parse(bytes, 35, &rsdp), STATUS_TRUNCATED);
	bytes[26] = 1;
	assert_int_equal(acpi_rsdp_parse(bytes, 36, &rsdp), STATUS_BAD_CHECKSUM);
	bytes[10] = 1;
	assert_int_equal(acpi_rsdp_parse(bytes, 36, &rsdp), STATUS_BAD_CHECKSUM);
	bytes[0] = 'X';
	assert_int_equal(acpi_rsdp_parse(bytes, 36, &rsdp), STATUS_BAD_FORMAT);
	make_rsdp(bytes, 2);
	bytes[20] = 35; /* shorter than its own fields */
	assert_int_equal(acpi_rsdp_parse(bytes, 64, &rsdp), STATUS_TRUNCATED);
}

static void test_rsdp_search(void **state)
{
	static uint8_t area[1024];
	size_t offset = 0;

	(void)state;
	memset(area, 0, sizeof(area));
	assert_int_equal(acpi_rsdp_search(area, sizeof(area), &offset), STATUS_NOT_FOUND);
	make_rsdp(area + 40, 2); /* not on a 16-byte boundary */
	assert_int_equal(acpi_rsdp_search(area, sizeof(area), &offset), STATUS_NOT_FOUND);
	make_rsdp(area + 320, 2);
	area[329] ^= 1; /* broken, a good one follows */
	make_rsdp(area + 960, 2);
	assert_int_equal(acpi_rsdp_search(area, sizeof(area), &offset), STATUS_OK);
	assert_int_equal(offset, 960);
	assert_int_equal(acpi_rsdp_search(area, 970, &offset), STATUS_NOT_FOUND);
	assert_int_equal(acpi_rsdp_search(NULL, 0, &offset), STATUS_NOT_FOUND);
}

static void test_root(void **state)
{
	(void)state;
	begin_table(&table, "XSDT", 36);
	put(&table, 0x123456789a, 8);
	put(&table, 0xfff, 4);
	assert_int_equal(acpi_root_count(table.length, 8), 1);
	assert_int_equal(acpi_root_count(table.length, 4), 3);
	assert_int_equal(acpi_root_entry(table.bytes, table.length, 8, 0).value, 0x123456789a);
	assert_int_equal(acpi_root_entry(table.bytes, table.length, 4, 0).value, 0x3456789a);
	assert_int_equal(acpi_root_entry(table.bytes, table.length, 8, 1).value, 0);
	assert_int_equal(acpi_root_count(35, 4), 0);
}

static void test_madt_processors(void **state)
{
	(void)state;
	begin_madt();
	put_local_apic(1, 0, 1);
	put_local_apic(2, 4, 0);      /* neither enabled nor capable */
	put_local_apic(3, 6, 2);      /* may be enabled later */
	put_local_apic(4, 255, 1);    /* no APIC id */
	put_x2apic(7, 300, 1);
	put_x2apic(1, 0, 1);          /* the first one again */
	assert_int_equal(parse_madt(), STATUS_OK);
	assert_true(madt.present && madt.has_8259);
	assert_int_equal(madt.local_apic.value, 0xfee00000);
	assert_int_equal(madt.processor_count, 3);
	assert_int_equal(madt.processors[0].acpi_id, 1);
	assert_true(madt.processors[0].enabled);
	assert_int_equal(madt.processors[1].apic_id, 6);
	assert_false(madt.processors[1].enabled);
	assert_true(madt.processors[1].online_capable);
	assert_int_equal(madt.processors[2].apic_id, 300);
	assert_int_equal(madt.processors[2].acpi_id, 7);
}

static void test_madt_overflow(void **state)
{
	(void)state;
	begin_madt();
	for (unsigned i = 0; i < ACPI_MAX_PROCESSORS + 5; i++)
		put_x2apic(i, i, 1);
	for (unsigned i = 0; i < ACPI_MAX_IO_APICS + 2; i++) {
		put(&table, 1 | 12 << 8 | i << 16, 4);
		put(&table, 0xfec00000 + 0x1000 * i, 4);
		put(&table, 24 * i, 4);
	}
	for (unsigned i = 0; i < ACPI_MAX_OVERRIDES + 3; i++)
		put_override((uint8_t)(i % 16), i, 0);
	assert_int_equal(parse_madt(), STATUS_OK);
	assert_int_equal(madt.processor_count, ACPI_MAX_PROCESSORS);
	assert_int_equal(madt.processors_lost, 5);
	assert_int_equal(madt.io_apic_count, ACPI_MAX_IO_APICS);
	assert_int_equal(madt.io_apics_lost, 2);
	assert_int_equal(madt.io_apics[15].address.value, 0xfec0f000);
	assert_int_equal(madt.io_apics[15].gsi_base, 360);
	assert_int_equal(madt.overrides_lost, 3);
}

static void test_madt_overrides(void **state)
{
	struct acpi_override found;

	(void)state;
	begin_madt();
	put_override(0, 2, 0);
	put_override(9, 9, 0xd);
	put_override(10, 10, 0xf);
	put_override(16, 1, 0); /* no ISA line */
	put(&table, 5 | 12 << 8, 4);
	put(&table, 0x1fee00000, 8);
	assert_int_equal(parse_madt(), STATUS_OK);
	assert_int_equal(madt.override_count, 3);
	assert_int_equal(madt.local_apic.value, 0x1fee00000);
	found = acpi_madt_isa_gsi(&madt, 0);
	assert_int_equal(found.gsi, 2);
	assert_int_equal(found.trigger, ACPI_TRIGGER_EDGE);
	assert_int_equal(found.polarity, ACPI_POLARITY_HIGH);
	found = acpi_madt_isa_gsi(&madt, 9);
	assert_int_equal(found.trigger, ACPI_TRIGGER_LEVEL);
	assert_int_equal(found.polarity, ACPI_POLARITY_HIGH);
	assert_int_equal(acpi_madt_isa_gsi(&madt, 10).polarity, ACPI_POLARITY_LOW);
	assert_int_equal(acpi_madt_isa_gsi(&madt, 4).gsi, 4);
}

static void test_madt_nmis(void **state)
{
	(void)state;
	begin_madt();
	put(&table, 4 | 6 << 8 | 0xffu << 16, 3);
	put(&table, 0xd, 2);
	put(&table, 1, 1);
	put(&table, 10 | 12 << 8 | 5u << 16, 4);
	put(&table, 0xffffffff, 4);
	put(&table, 1, 4);
	put(&table, 3 | 8 << 8, 4);
	put(&table, 17, 4);
	assert_int_equal(parse_madt(), STATUS_OK);
	assert_int_equal(madt.nmi_count, 3);
	assert_true(madt.nmis[0].local);
	assert_int_equal(madt.nmis[0].acpi_id, ACPI_NMI_ALL_PROCESSORS);
	assert_int_equal(madt.nmis[0].pin, 1);
	assert_int_equal(madt.nmis[0].trigger, ACPI_TRIGGER_LEVEL);
	assert_int_equal(madt.nmis[1].acpi_id, ACPI_NMI_ALL_PROCESSORS);
	assert_int_equal(madt.nmis[1].pin, 1);
	assert_false(madt.nmis[2].local);
	assert_int_equal(madt.nmis[2].gsi, 17);
}

static void test_madt_broken(void **state)
{
	(void)state;
	begin_madt();
	table.length = 43;
	assert_int_equal(parse_madt(), STATUS_TRUNCATED);
	assert_false(madt.present);

	begin_madt();
	put_local_apic(0, 0, 1);
	put(&table, 0, 2); /* length 0 would never end */
	assert_int_equal(parse_madt(), STATUS_TRUNCATED);
	assert_true(madt.present);
	assert_int_equal(madt.processor_count, 1);

	begin_madt();
	put_local_apic(0, 0, 1);
	table.length -= 3; /* over the end */
	assert_int_equal(parse_madt(), STATUS_TRUNCATED);
	assert_int_equal(madt.processor_count, 0);

	begin_madt();
	put(&table, 1 | 4 << 8, 4); /* an I/O APIC too short to be one */
	put(&table, 0x77 | 3 << 8, 3); /* unknown type */
	put_local_apic(0, 9, 1);
	assert_int_equal(parse_madt(), STATUS_OK);
	assert_int_equal(madt.io_apic_count, 0);
	assert_int_equal(madt.processors[0].apic_id, 9);
}

static void put_ecam(uint64_t base, uint16_t segment, uint8_t first, uint8_t last)
{
	put(&table, base, 8);
	put(&table, segment, 2);
	put(&table, first, 1);
	put(&table, last, 1);
	put(&table, 0, 4);
}

static void test_mcfg(void **state)
{
	struct acpi_mcfg mcfg;

	(void)state;
	begin_table(&table, "MCFG", 44);
	put_ecam(0xb0000000, 0, 0, 255);
	put_ecam(0xc0000000, 1, 5, 4);     /* no bus */
	put_ecam(0xc0001000, 1, 0, 4);     /* not aligned */
	put_ecam(0xffffffffffe00000, 1, 0, 4); /* wraps */
	put_ecam(0x4000000000, 2, 8, 15);
	assert_int_equal(acpi_mcfg_parse(table.bytes, table.length, &mcfg), STATUS_OK);
	assert_int_equal(mcfg.ecam_count, 2);
	assert_int_equal(mcfg.ecams_lost, 3);
	assert_int_equal(mcfg.ecams[1].base.value, 0x4000000000);
	assert_int_equal(mcfg.ecams[1].segment, 2);
	assert_int_equal(mcfg.ecams[1].last_bus, 15);
	assert_int_equal(acpi_mcfg_parse(table.bytes, table.length - 1, &mcfg), STATUS_TRUNCATED);
	assert_int_equal(mcfg.ecam_count, 1);
	assert_int_equal(acpi_mcfg_parse(table.bytes, 43, &mcfg), STATUS_TRUNCATED);
	assert_false(mcfg.present);
}

static void test_hpet(void **state)
{
	struct acpi_hpet hpet;

	(void)state;
	begin_table(&table, "HPET", 56);
	set(&table, 44, 0xfed00000, 8);
	assert_int_equal(acpi_hpet_parse(table.bytes, table.length, &hpet), STATUS_OK);
	assert_int_equal(hpet.address.value, 0xfed00000);
	assert_int_equal(acpi_hpet_parse(table.bytes, 55, &hpet), STATUS_TRUNCATED);
	set(&table, 40, 1, 1);
	assert_int_equal(acpi_hpet_parse(table.bytes, table.length, &hpet), STATUS_UNSUPPORTED);
	assert_false(hpet.present);
}

static void test_fadt(void **state)
{
	struct acpi_fadt fadt;

	(void)state;
	begin_table(&table, "FACP", 276);
	set(&table, 40, 0x11000, 4);
	set(&table, 48, 0xb2, 4);
	set(&table, 52, 0xf1, 1);
	set(&table, 56, 0x600, 4);
	set(&table, 64, 0x604, 4);
	set(&table, 76, 0x608, 4);
	set(&table, 88, 4, 1);
	set(&table, 89, 2, 1);
	set(&table, 91, 4, 1);
	set(&table, 108, 0x32, 1);
	set(&table, 112, ACPI_FADT_TIMER_32_BIT | ACPI_FADT_RESET_REGISTER, 4);
	set(&table, 116, 1, 1);
	set(&table, 120, 0xcf9, 8);
	set(&table, 128, 0xf, 1);
	assert_int_equal(acpi_fadt_parse(table.bytes, table.length, &fadt), STATUS_OK);
	assert_int_equal(fadt.dsdt.value, 0x11000);
	assert_int_equal(fadt.smi_command, 0xb2);
	assert_int_equal(fadt.acpi_enable, 0xf1);
	assert_int_equal(fadt.pm1a_event.address, 0x600);
	assert_int_equal(fadt.pm1a_event.bit_width, 32);
	assert_int_equal(fadt.pm1a_control.address, 0x604);
	assert_int_equal(fadt.pm1a_control.space, ACPI_SPACE_PORT);
	assert_int_equal(fadt.pm1b_control.address, 0);
	assert_int_equal(fadt.pm_timer.address, 0x608);
	assert_int_equal(fadt.century, 0x32);
	assert_int_equal(fadt.reset.address, 0xcf9);
	assert_int_equal(fadt.reset_value, 0xf);

	/* Extended fields come first, unless no port can be meant. */
	set(&table, 140, 0x222000, 8);
	set(&table, 172, 0, 1);
	set(&table, 176, 0xfe001000, 8);
	set(&table, 208, 1, 1);
	set(&table, 212, 0x10000, 8);
	assert_int_equal(acpi_fadt_parse(table.bytes, table.length, &fadt), STATUS_OK);
	assert_int_equal(fadt.dsdt.value, 0x222000);
	assert_int_equal(fadt.pm1a_control.address, 0xfe001000);
	assert_int_equal(fadt.pm1a_control.space, ACPI_SPACE_MEMORY);
	assert_int_equal(fadt.pm_timer.address, 0x608);

	/* The first version ends before all that. */
	assert_int_equal(acpi_fadt_parse(table.bytes, 116, &fadt), STATUS_OK);
	assert_int_equal(fadt.dsdt.value, 0x11000);
	assert_int_equal(fadt.reset.address, 0);
	assert_int_equal(acpi_fadt_parse(table.bytes, 115, &fadt), STATUS_TRUNCATED);
	assert_false(fadt.present);

	set(&table, 91, 0, 1);
	assert_int_equal(acpi_fadt_parse(table.bytes, table.length, &fadt), STATUS_OK);
	assert_int_equal(fadt.pm_timer.address, 0);
}

static enum status find_s5(const char *aml, size_t size, struct acpi_sleep_type *s5)
{
	void *copy;
	enum status status;

	begin_table(&table, "DSDT", 36);
	put_bytes(&table, aml, size);
	copy = exact(table.bytes, table.length);
	status = acpi_sleep_find_s5(copy, table.length, s5);
	free(copy);
	return status;
}
#define FIND_S5(aml, s5) find_s5(aml, sizeof(aml) - 1, s5)

static void test_s5(void **state)
{
	struct acpi_sleep_type s5;

	(void)state;
	assert_int_equal(FIND_S5("xx\x08_S5_\x12\x06\x04\0\0\0\0", &s5), STATUS_OK);
	assert_true(s5.present && s5.type_a == 0 && s5.type_b == 0);
	assert_int_equal(FIND_S5("\x08\\_S5_\x12\x07\x02\x0a\x05\x0a\x07", &s5), STATUS_OK);
	assert_true(s5.type_a == 5 && s5.type_b == 7);
	assert_int_equal(FIND_S5("\x08_S5_\x12\x47\x00\x04\x01\x0b\x06\x00\0\0", &s5), STATUS_OK);
	assert_true(s5.type_a == 1 && s5.type_b == 6);
	assert_int_equal(FIND_S5("\x08_S5_\x12\x05\x01\x0b\x03\x04", &s5), STATUS_OK);
	assert_true(s5.type_a == 3 && s5.type_b == 4);
	/* The first is no name object, the second is the one. */
	assert_int_equal(FIND_S5("_S5_\x12\x06\x04\1\1\0\0\x08_S5_\x12\x06\x04\x0a\x02\1\0\0", &s5), STATUS_OK);
	assert_true(s5.type_a == 2 && s5.type_b == 1);
}

static void test_s5_broken(void **state)
{
	struct acpi_sleep_type s5;

	(void)state;
	assert_int_equal(FIND_S5("", &s5), STATUS_NOT_FOUND);
	assert_int_equal(FIND_S5("\x08_S5", &s5), STATUS_NOT_FOUND);
	assert_int_equal(FIND_S5("\x08_S5_", &s5), STATUS_NOT_FOUND);
	assert_int_equal(FIND_S5("\x08_S5_\x12\xc7", &s5), STATUS_NOT_FOUND);
	assert_int_equal(FIND_S5("\x08_S5_\x12\x06\x02\x0a", &s5), STATUS_NOT_FOUND);
	assert_int_equal(FIND_S5("\x08_S5_\x12\x06\x02\x0a\x01", &s5), STATUS_NOT_FOUND);
	assert_int_equal(FIND_S5("\x08_S5_\x12\x06\x00\x00\x00", &s5), STATUS_NOT_FOUND);
	assert_int_equal(FIND_S5("\x08_S5_\x12\x06\x02\x0a\x08\x00", &s5), STATUS_NOT_FOUND);
	assert_int_equal(FIND_S5("\x08_S5_\x11\x06\x02\x00\x00\x00", &s5), STATUS_NOT_FOUND);
	assert_int_equal(FIND_S5("\x08_S5_\x12\x06\x02\x5b\x30\x00", &s5), STATUS_NOT_FOUND);
	assert_false(s5.present);
}

static void put_scope(uint8_t type, uint8_t id, uint8_t bus, unsigned path_length)
{
	put(&table, type, 1);
	put(&table, 6 + 2 * path_length, 1);
	put(&table, 0, 2);
	put(&table, id, 1);
	put(&table, bus, 1);
	for (unsigned i = 0; i < path_length; i++)
		put(&table, (i + 1) | (i % 8) << 8, 2);
}

static void begin_dmar(void)
{
	begin_table(&table, "DMAR", 48);
	set(&table, 36, 38, 1);
	set(&table, 37, 5, 1);
}

static void put_structure(uint16_t type, uint16_t length, uint64_t word_4)
{
	put(&table, type, 2);
	put(&table, length, 2);
	put(&table, word_4, 4);
}

static void test_dmar(void **state)
{
	(void)state;
	begin_dmar();
	put_structure(0, 16 + 8 + 10, 0x00010200); /* DRHD, 4 pages, segment 1 */
	put(&table, 0xfed90000, 8);
	put_scope(ACPI_SCOPE_ENDPOINT, 0, 0, 1);
	put_scope(ACPI_SCOPE_IO_APIC, 2, 0xf0, 2);
	put_structure(0, 16, 1); /* DRHD for all others */
	put(&table, 0xfed91000, 8);
	put_structure(1, 24 + 8, 0);
	put(&table, 0x7a000000, 8);
	put(&table, 0x7a0fffff, 8);
	put_scope(ACPI_SCOPE_ENDPOINT, 0, 0, 1);
	put_structure(2, 8, 1);
	put_structure(3, 20, 0);
	put(&table, 0xfed90000, 8);
	put(&table, 3, 4);
	put_structure(4, 8 + 9, 0x01000000);
	put_bytes(&table, "\\_SB.I\x01""2", 9);
	put_structure(5, 8, 0);

	assert_int_equal(acpi_dmar_parse(table.bytes, table.length, &dmar), STATUS_OK);
	assert_int_equal(dmar.address_width, 39);
	assert_true(dmar.interrupt_remapping && dmar.dma_opt_in && !dmar.x2apic_opt_out);
	assert_int_equal(dmar.drhd_count, 2);
	assert_int_equal(dmar.drhds[0].length, 0x4000);
	assert_int_equal(dmar.drhds[0].segment, 1);
	assert_int_equal(dmar.drhds[0].scopes.count, 2);
	assert_int_equal(dmar.drhds[0].scopes.scopes[1].enumeration_id, 2);
	assert_int_equal(dmar.drhds[0].scopes.scopes[1].path_length, 2);
	assert_int_equal(dmar.drhds[0].scopes.scopes[1].path[1].device, 2);
	assert_int_equal(dmar.drhds[0].scopes.scopes[1].path[1].function, 1);
	assert_true(dmar.drhds[1].include_all);
	assert_int_equal(dmar.rmrrs[0].limit.value, 0x7a0fffff);
	assert_true(dmar.atsrs[0].all_ports);
	assert_int_equal(dmar.rhsas[0].proximity_domain, 3);
	assert_string_equal(dmar.andds[0].name, "\\_SB.I?2");
	assert_int_equal(dmar.andds[0].device_number, 1);
	assert_int_equal(dmar.structures_unknown, 1);
	assert_int_equal(dmar.structures_lost, 0);
}

static void test_dmar_broken(void **state)
{
	(void)state;
	begin_dmar();
	put_structure(0, 16, 0);
	put(&table, 0xfed90001, 8); /* not aligned */
	put_structure(0, 16 + 6 + 22 + 5, 0);
	put(&table, 0xfed90000, 8);
	put_scope(1, 0, 0, 0);  /* no path */
	put_scope(1, 0, 0, 8);
	put(&table, 0, 5);      /* a scope shorter than its header */
	put_structure(1, 8, 0); /* too short */
	for (unsigned i = 0; i < ACPI_MAX_ATSRS + 2; i++)
		put_structure(2, 8, 0);
	put_structure(3, 0, 0);
	assert_int_equal(acpi_dmar_parse(table.bytes, table.length, &dmar), STATUS_TRUNCATED);
	assert_int_equal(dmar.drhd_count, 1);
	assert_int_equal(dmar.drhds[0].scopes.count, 1);
	assert_int_equal(dmar.drhds[0].scopes.lost, 2);
	assert_int_equal(dmar.rmrr_count, 0);
	assert_int_equal(dmar.atsr_count, ACPI_MAX_ATSRS);
	assert_int_equal(dmar.structures_lost, 4);
	assert_int_equal(acpi_dmar_parse(table.bytes, 47, &dmar), STATUS_TRUNCATED);
	assert_false(dmar.present);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_table_check),
		cmocka_unit_test(test_rsdp),
		cmocka_unit_test(test_rsdp_search),
		cmocka_unit_test(test_root),
		cmocka_unit_test(test_madt_processors),
		cmocka_unit_test(test_madt_overflow),
		cmocka_unit_test(test_madt_overrides),
		cmocka_unit_test(test_madt_nmis),
		cmocka_unit_test(test_madt_broken),
		cmocka_unit_test(test_mcfg),
		cmocka_unit_test(test_hpet),
		cmocka_unit_test(test_fadt),
		cmocka_unit_test(test_s5),
		cmocka_unit_test(test_s5_broken),
		cmocka_unit_test(test_dmar),
		cmocka_unit_test(test_dmar_broken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
