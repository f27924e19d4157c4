/* Both lists of capabilities, with loops, wrong places and too many. */
#include "tests/unit/pci_fixture.h"

static struct fake_pci *add(uint8_t device)
{
	return fake_pci_add((struct pci_address){0, 0, device, 0}, 1, device, 0x0200);
}

static int set_up(void **state)
{
	pci_fixture_set_up(state);
	fake_pci_add_ecam(&fixture_acpi.mcfg, FAKE_PCI_ECAM_BASE, 0, 0, 0);
	add(0);
	return 0;
}

static const struct pci_function *scan(void)
{
	assert_int_equal(pci_scan(), STATUS_OK);
	return pci_get(1);
}

static void set_list(struct fake_pci *model, uint8_t first)
{
	fake_pci_set(model, PCI_STATUS, 2, PCI_STATUS_CAPABILITIES);
	model->bytes[PCI_CAPABILITIES] = first;
}

static void both_lists_are_read(void **state)
{
	struct fake_pci *model = add(1);
	const struct pci_function *function;

	(void)state;
	fake_pci_add_capability(model, 0x70, PCI_CAPABILITY_MSIX);
	fake_pci_make_express(model, PCI_EXPRESS_ROOT_ENDPOINT);
	fake_pci_add_capability(model, 0xfc, PCI_CAPABILITY_POWER);
	model->bytes[PCI_CAPABILITIES] |= 3; /* reserved bits */
	fake_pci_add_extended(model, 0x100, PCI_EXTENDED_ERRORS);
	fake_pci_add_extended(model, 0xffc, PCI_EXTENDED_ACS);
	function = scan();
	assert_int_equal(function->capability_count, 3);
	assert_int_equal(pci_find_capability(function, PCI_CAPABILITY_POWER), 0xfc);
	assert_int_equal(pci_find_capability(function, PCI_CAPABILITY_MSIX), 0x70);
	assert_int_equal(pci_find_capability(function, PCI_CAPABILITY_MSI), 0);
	assert_int_equal(function->express_type, PCI_EXPRESS_ROOT_ENDPOINT);
	assert_int_equal(function->extended_capability_count, 2);
	assert_int_equal(pci_find_extended_capability(function, PCI_EXTENDED_ACS), 0xffc);
	assert_int_equal(pci_find_extended_capability(function, PCI_EXTENDED_ATS), 0);
	assert_false(function->capabilities_broken);
	assert_int_equal(fixture_log_lines, 0);
}

static void loops_end(void **state)
{
	struct fake_pci *model = add(1);

	(void)state;
	set_list(model, 0x40);
	fake_pci_set(model, 0x40, 2, 0x5005);
	fake_pci_set(model, 0x50, 2, 0x4011);
	assert_int_equal(scan()->capability_count, 2);
	assert_true(pci_get(1)->capabilities_broken);
	assert_int_equal(pci_find_capability(pci_get(1), PCI_CAPABILITY_MSIX), 0x50);
	assert_non_null(strstr(fixture_log, "0000:00:01.0: its list of capabilities is broken"));
}

static void extended_loops_end(void **state)
{
	struct fake_pci *model = add(1);

	(void)state;
	fake_pci_set(model, 0x100, 4, 0x20010001);
	fake_pci_set(model, 0x200, 4, 0x1001000d);
	assert_int_equal(scan()->extended_capability_count, 2);
	assert_true(pci_get(1)->capabilities_broken);
}

static void lists_that_leave_their_place(void **state)
{
	struct fake_pci *model = add(1);

	(void)state;
	set_list(model, 0x10); /* into the header */
	fake_pci_set(model, 0x100, 4, 0x0ff10001); /* into the first 256 bytes */
	assert_int_equal(scan()->capability_count, 0);
	assert_int_equal(pci_get(1)->extended_capability_count, 1);
	assert_true(pci_get(1)->capabilities_broken);
}

static void no_list(void **state)
{
	struct fake_pci *model = add(1);

	(void)state;
	model->bytes[PCI_CAPABILITIES] = 0x40; /* the status says that there is none */
	fake_pci_set(model, 0x40, 2, 0x0005);
	assert_int_equal(scan()->capability_count, 0);
	assert_int_equal(pci_get(1)->extended_capability_count, 0);
	assert_int_equal(pci_get(1)->express_type, PCI_EXPRESS_NONE);
	assert_false(pci_get(1)->capabilities_broken);
}

static void too_many(void **state)
{
	struct fake_pci *model = add(1);

	(void)state;
	set_list(model, 0x40);
	for (unsigned i = 0x40; i < 0x100; i += 4)
		fake_pci_set(model, i, 2, 0x09 | (i + 4) << 8);
	for (unsigned i = 0x100; i < 0xffc; i += 4)
		fake_pci_set(model, i, 4, 0x1000b | (i + 4) << 20);
	assert_int_equal(scan()->capability_count, PCI_MAX_CAPABILITIES);
	assert_int_equal(pci_get(1)->extended_capability_count, PCI_MAX_EXTENDED_CAPABILITIES);
	assert_true(pci_get(1)->capabilities_broken);
}

/* A hole in the list, and a list whose head was taken out. */
static void numbers_of_none(void **state)
{
	struct fake_pci *model = add(1);

	(void)state;
	fake_pci_set(model, 0x100, 4, 0x20010000);
	fake_pci_set(model, 0x200, 4, 0x0001000d);
	assert_int_equal(scan()->extended_capability_count, 1);
	assert_int_equal(pci_find_extended_capability(pci_get(1), PCI_EXTENDED_ACS), 0x200);
}

static void no_extended_space(void **state)
{
	struct fake_pci *conventional = add(1), *alias = add(2);

	(void)state;
	conventional->conventional = true;
	memcpy(alias->bytes + 0x100, alias->bytes, 0x100);
	assert_int_equal(scan()->extended_capability_count, 0);
	assert_int_equal(pci_get(2)->extended_capability_count, 0);
	assert_false(pci_get(1)->capabilities_broken);
	assert_false(pci_get(2)->capabilities_broken);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(both_lists_are_read, set_up),
		cmocka_unit_test_setup(loops_end, set_up),
		cmocka_unit_test_setup(extended_loops_end, set_up),
		cmocka_unit_test_setup(lists_that_leave_their_place, set_up),
		cmocka_unit_test_setup(no_list, set_up),
		cmocka_unit_test_setup(too_many, set_up),
		cmocka_unit_test_setup(numbers_of_none, set_up),
		cmocka_unit_test_setup(no_extended_space, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
