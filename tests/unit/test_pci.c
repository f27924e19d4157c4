/* Enumeration and configuration access against a made-up machine, by ports and by ECAM. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/pci_fixture.h"

#define SEGMENT_1_BASE 0x50000000ull

static struct fake_pci *add(uint8_t bus, uint8_t device, uint8_t function, uint16_t vendor, uint16_t id, uint16_t class)
{
	return fake_pci_add((struct pci_address){0, bus, device, function}, vendor, id, class);
}

static void test_scan_by_ports(void **state)
{
	const struct pci_function *function;

	(void)state;
	add(0, 0, 0, 0x8086, 0x1237, 0x0600);
	add(0, 1, 0, 0x8086, 0x7000, 0x0601)->bytes[14] = 0x80;
	add(0, 1, 3, 0x8086, 0x7113, 0x0680);
	add(0, 2, 1, 0x1234, 0x1111, 0x0300); /* no function 0: is not there */
	add(0, 3, 0, 0x1af4, 0x1000, 0x0200);
	add(0, 3, 5, 0x1af4, 0x1001, 0x0200); /* its device has one function only */
	fake_pci_add_bridge((struct pci_address){0, 0, 4, 0}, 7, 9);
	add(7, 31, 0, 0x8086, 0x10d3, 0x0200);

	assert_int_equal(pci_scan(), STATUS_OK);
	assert_int_equal(pci_count(), 6);
	assert_int_equal(pci_get(1)->device_id, 0x7000);
	assert_int_equal(pci_get(2)->address.function, 3);
	assert_int_equal(pci_get(4)->header_type, 1);
	assert_int_equal(pci_get(4)->secondary_bus, 7);
	assert_int_equal(pci_get(4)->subordinate_bus, 9);
	function = pci_find((struct pci_address){0, 7, 31, 0});
	assert_ptr_equal(function, pci_get(5));
	assert_null(pci_find((struct pci_address){0, 7, 30, 0}));
	assert_null(pci_get(6));
	assert_ptr_equal(pci_find_class(2, 0, 1), function);
	assert_null(pci_find_class(2, 0, 2));
	assert_ptr_equal(function->parent, pci_get(4));
	assert_true(pci_is_behind(function, pci_get(4)));
	assert_false(pci_is_behind(pci_get(4), function));
	assert_false(pci_is_behind(pci_get(0), NULL));
	assert_true(pci_get(2)->multi_function);
	assert_false(pci_get(3)->multi_function);
	assert_int_equal(pci_config_size(0, 7), 256);
	assert_int_equal(pci_config_size(1, 7), 0);
}

/* Bridges whose buses make rings: every way up ends. */
static void test_hostile_bridges(void **state)
{
	(void)state;
	fake_pci_add_bridge((struct pci_address){0, 0, 1, 0}, 0, 255);
	fake_pci_add_bridge((struct pci_address){0, 0, 2, 0}, 1, 255);
	fake_pci_add_bridge((struct pci_address){0, 0, 3, 0}, 1, 255);
	fake_pci_add_bridge((struct pci_address){0, 1, 0, 0}, 2, 255);
	fake_pci_add_bridge((struct pci_address){0, 2, 0, 0}, 1, 255);
	fake_pci_add_bridge((struct pci_address){0, 2, 1, 0}, 2, 255);
	add(2, 2, 0, 1, 1, 0x0200);
	assert_int_equal(pci_scan(), STATUS_OK);
	assert_int_equal(pci_count(), 7);
	assert_null(pci_get(0)->parent);
	assert_ptr_equal(pci_get(3)->parent, pci_get(1));
	assert_ptr_equal(pci_get(4)->parent, pci_get(3));
	assert_ptr_equal(pci_get(6)->parent, pci_get(3));
	assert_true(pci_is_behind(pci_get(6), pci_get(1)));
}

static void test_too_many(void **state)
{
	(void)state;
	for (unsigned i = 0; i < PCI_MAX_FUNCTIONS + 10; i++)
		add((uint8_t)(i / 256), i / 8 % 32, i % 8, 1, (uint16_t)i, 0)->bytes[14] = 0x80;
	assert_int_equal(pci_scan(), STATUS_NO_MEMORY);
	assert_int_equal(pci_count(), PCI_MAX_FUNCTIONS);
	assert_int_equal(pci_get(PCI_MAX_FUNCTIONS - 1)->device_id, PCI_MAX_FUNCTIONS - 1);
	assert_int_equal(fixture_log_lines, 1);
}

/* Their memory is taken as they are found. */
static void test_no_memory(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 40; i++)
		add((uint8_t)(i / 8), i % 8, 0, 1, (uint16_t)i, 0);
	pool_fail_at = 1;
	assert_int_equal(pci_scan(), STATUS_NO_MEMORY);
	assert_int_equal(pci_count(), 39);
	assert_int_equal(pci_get(38)->index, 38);
	assert_int_equal(pci_get(38)->device_id, 39);
	assert_non_null(strstr(fixture_log, "1 functions are left out"));
	assert_int_equal(pci_scan(), STATUS_OK);
	assert_int_equal(pci_count(), 40);
}

static uint64_t ready_at;

static void not_ready(struct fake_pci *function, unsigned offset, unsigned size)
{
	(void)offset, (void)size;
	fake_pci_set(function, PCI_VENDOR, 4, fake_tsc < ready_at ? 0xffff0001 : 0x00020001);
}

/* Root ports are made to show it, so that no CPU stands still for it; nobody makes the boot wait for ever. */
static void test_not_ready(void **state)
{
	struct fake_pci *port, *late, *never;
	uint64_t start;

	(void)state;
	port = fake_pci_add_bridge((struct pci_address){0, 0, 1, 0}, 1, 1);
	fake_pci_make_express(port, PCI_EXPRESS_ROOT_PORT);
	fake_pci_set(port, 0x40 + PCI_EXPRESS_ROOT_CAPABILITIES, 2, 1);
	fake_pci_allow(port, 0x40 + PCI_EXPRESS_ROOT_CONTROL, 2, 0x1f);
	late = add(1, 0, 0, 1, 2, 0x0200);
	late->reading = not_ready;
	ready_at = fake_tsc + FIXTURE_HZ / 2;
	assert_int_equal(pci_scan(), STATUS_OK);
	assert_int_equal(pci_count(), 2);
	assert_int_equal(pci_get(1)->device_id, 2);
	assert_int_equal(fake_pci_get(port, 0x40 + PCI_EXPRESS_ROOT_CONTROL, 2), PCI_EXPRESS_SHOW_RETRY);
	never = add(0, 2, 0, 1, 2, 0x0200);
	never->reading = late->reading = not_ready;
	ready_at = UINT64_MAX;
	start = fake_tsc;
	assert_int_equal(pci_scan(), STATUS_OK);
	assert_int_equal(pci_count(), 1);
	assert_true(fake_tsc - start < 2 * (uint64_t)FIXTURE_HZ);
	assert_non_null(strstr(fixture_log, "0000:00:02.0: does not get ready"));
}

static void test_no_pci(void **state)
{
	(void)state;
	fake_pci_ports_answer = false;
	assert_int_equal(pci_scan(), STATUS_NOT_FOUND);
	assert_int_equal(pci_config_size(0, 0), 0);
	assert_int_equal(pci_config_read((struct pci_address){0, 0, 0, 0}, 0, 2), 0xffff);
}

static void test_config_access(void **state)
{
	struct pci_address address = {0, 0, 5, 0}, bad = {0, 0, 32, 0};
	struct fake_pci *model = add(0, 5, 0, 0x1234, 0x5678, 0);

	(void)state;
	fake_pci_allow(model, 0x40, 4, UINT32_MAX);
	fake_pci_allow(model, 0x44, 4, UINT32_MAX);
	assert_int_equal(pci_scan(), STATUS_OK);
	assert_int_equal(pci_config_read(address, 0, 4), 0x56781234);
	assert_int_equal(pci_config_read(address, 3, 1), 0x56);
	assert_int_equal(pci_config_read(address, 2, 2), 0x5678);
	assert_int_equal(pci_config_read(address, 2, 4), 0xffffffff); /* not aligned */
	assert_int_equal(pci_config_read(address, 0, 3), 0xffffff);
	assert_int_equal(pci_config_read(address, 256, 1), 0xff);
	assert_int_equal(pci_config_read(address, 4096, 1), 0xff);
	assert_int_equal(pci_config_read(bad, 0, 1), 0xff);
	pci_config_write(address, 0x41, 1, 0xab);
	pci_config_write(address, 0x42, 2, 0xcdef);
	pci_config_write(address, 0x44, 4, 0x12345678);
	pci_config_write(address, 0x100, 4, 1);
	assert_int_equal(pci_config_read(address, 0x40, 4), 0xcdefab00);
	assert_int_equal(model->bytes[0x47], 0x12);
	pci_config_update(address, 0x44, 2, 0x00ff, 0x8001);
	pci_config_update(address, 0x45, 2, 0xffff, 0); /* not aligned */
	assert_int_equal(pci_config_read(address, 0x44, 4), 0x1234d601);
	assert_int_equal(model->bytes[0], 0x34);
}

static void test_ecam(void **state)
{
	struct pci_address address = {0, 1, 2, 3};
	struct fake_pci *model;

	(void)state;
	add(0, 0, 0, 0x8086, 0x29c0, 0x0600);
	add(1, 2, 0, 1, 2, 0)->bytes[14] = 0x80;
	model = add(1, 2, 3, 1, 3, 0);
	fake_pci_allow(model, 0x100, 4, UINT32_MAX);
	fake_pci_add_ecam(&fixture_acpi.mcfg, FAKE_PCI_ECAM_BASE, 0, 0, 2);
	add(9, 0, 0, 1, 9, 0); /* behind the window: by ports */
	assert_int_equal(pci_scan(), STATUS_OK);
	assert_int_equal(pci_count(), 4);
	assert_int_equal(fixture_log_lines, 0);
	assert_int_equal(pci_config_size(0, 1), 4096);
	assert_int_equal(pci_config_size(0, 9), 256);
	pci_config_write(address, 0x100, 4, 0x89abcdef);
	pci_config_write(address, 0x101, 1, 0x11);
	pci_config_write(address, 0x102, 2, 0x2233);
	assert_int_equal(fake_pci_get(model, 0x100, 4), 0x223311ef);
	assert_int_equal(pci_config_read(address, 0x100, 4), 0x223311ef);
	assert_int_equal(pci_config_read(address, 0x102, 2), 0x2233);
	assert_int_equal(pci_config_read(address, 0x103, 1), 0x22);
}

static void test_ecam_that_lies(void **state)
{
	(void)state;
	add(0, 0, 0, 0x8086, 0x29c0, 0x0600);
	fixture_acpi.mcfg.ecams[fixture_acpi.mcfg.ecam_count++] = (struct acpi_ecam){hpa(SEGMENT_1_BASE), 0, 0, 0}; /* plain memory */
	assert_int_equal(pci_scan(), STATUS_OK);
	assert_int_equal(fixture_log_lines, 1);
	assert_int_equal(pci_config_size(0, 0), 256);
	assert_int_equal(pci_get(0)->device_id, 0x29c0);

	fixture_unmappable = SEGMENT_1_BASE;
	assert_int_equal(pci_scan(), STATUS_OK);
	assert_int_equal(pci_config_size(0, 0), 256);
	fake_pci_ports_answer = false;
	assert_int_equal(pci_scan(), STATUS_NOT_FOUND);
}

static void test_segments(void **state)
{
	(void)state;
	add(0, 0, 0, 0x8086, 1, 0x0600);
	fake_pci_add((struct pci_address){1, 3, 0, 0}, 0x8086, 2, 0x0600);
	fake_pci_add_bridge((struct pci_address){1, 3, 1, 0}, 5, 5);
	fake_pci_add((struct pci_address){1, 5, 0, 0}, 0x8086, 3, 0x0200);
	add(5, 0, 0, 0x8086, 4, 0x0200); /* not behind the bridge of the other segment */
	fake_pci_add_ecam(&fixture_acpi.mcfg, FAKE_PCI_ECAM_BASE, 0, 0, 5);
	fake_pci_add_ecam(&fixture_acpi.mcfg, SEGMENT_1_BASE, 1, 3, 5);
	assert_int_equal(pci_scan(), STATUS_OK);
	assert_int_equal(pci_count(), 5);
	assert_int_equal(pci_get(2)->address.segment, 1);
	assert_ptr_equal(pci_find((struct pci_address){1, 5, 0, 0})->parent, pci_get(3));
	assert_null(pci_find((struct pci_address){0, 5, 0, 0})->parent);
}

static void test_addresses(void **state)
{
	static const char *const wrong[] = {
		"", "0000:00:00", "0000:00:00.8", "0000:00:20.0", "000:00:00.0", "0000:00:00.00", "0000:00:0g.0", "0000;00:00.0", "00:00.0",
	};
	struct pci_address address;

	(void)state;
	assert_true(pci_address_parse("12aB:cD:1f.7", &address));
	assert_int_equal(address.segment, 0x12ab);
	assert_int_equal(address.bus, 0xcd);
	assert_int_equal(address.device, 31);
	assert_int_equal(address.function, 7);
	for (unsigned i = 0; i < array_count(wrong); i++)
		assert_false(pci_address_parse(wrong[i], &address));
}

static void test_names(void **state)
{
	(void)state;
	assert_string_equal(pci_class_name(2, 0), "Ethernet controller");
	assert_string_equal(pci_class_name(2, 0x42), "network controller");
	assert_string_equal(pci_class_name(0x99, 0), "device of unknown class");
	assert_string_equal(pci_capability_name(PCI_CAPABILITY_MSIX), "MSI-X");
	assert_string_equal(pci_capability_name(0xee), "?");
	assert_string_equal(pci_extended_capability_name(PCI_EXTENDED_ACS), "ACS");
	assert_string_equal(pci_extended_capability_name(0xeee), "?");
	assert_string_equal(pci_vendor_name(0x8086), "Intel");
	assert_string_equal(pci_vendor_name(0), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_scan_by_ports, pci_fixture_set_up),
		cmocka_unit_test_setup(test_hostile_bridges, pci_fixture_set_up),
		cmocka_unit_test_setup(test_too_many, pci_fixture_set_up),
		cmocka_unit_test_setup(test_no_memory, pci_fixture_set_up),
		cmocka_unit_test_setup(test_not_ready, pci_fixture_set_up),
		cmocka_unit_test_setup(test_no_pci, pci_fixture_set_up),
		cmocka_unit_test_setup(test_config_access, pci_fixture_set_up),
		cmocka_unit_test_setup(test_ecam, pci_fixture_set_up),
		cmocka_unit_test_setup(test_ecam_that_lies, pci_fixture_set_up),
		cmocka_unit_test_setup(test_segments, pci_fixture_set_up),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
