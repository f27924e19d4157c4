/* Who owns what, and that nobody's functions are quiet. */
#include "drivers/pci/pci_owner.h"

#include "tests/unit/pci_fixture.h"

static struct fake_pci *add(uint8_t device, uint16_t class)
{
	return fake_pci_add((struct pci_address){0, 0, device, 0}, 1, device, class);
}

static uint32_t command(const struct fake_pci *model)
{
	return fake_pci_get(model, PCI_COMMAND, 2);
}

static void first_owners(void **state)
{
	static const struct { uint16_t class; enum pci_owner owner; } rows[] = {
		{0x0600, PCI_OWNER_HYPERVISOR}, {0x0601, PCI_OWNER_HYPERVISOR}, {0x0680, PCI_OWNER_HYPERVISOR},
		{0x0c05, PCI_OWNER_HYPERVISOR}, {0x0806, PCI_OWNER_HYPERVISOR}, {0x0800, PCI_OWNER_HYPERVISOR},
		{0x0580, PCI_OWNER_HYPERVISOR}, {0x0200, PCI_OWNER_QUARANTINE}, {0x0108, PCI_OWNER_QUARANTINE},
		{0x0300, PCI_OWNER_QUARANTINE}, {0x0700, PCI_OWNER_QUARANTINE}, {0x0805, PCI_OWNER_QUARANTINE},
		{0x0c03, PCI_OWNER_QUARANTINE},
	};
	struct fake_pci *models[array_count(rows)];

	(void)state;
	for (uint8_t i = 0; i < array_count(rows); i++)
		models[i] = add(i, rows[i].class);
	assert_int_equal(pci_scan(), STATUS_OK);
	for (uint32_t i = 0; i < array_count(rows); i++) {
		assert_int_equal(pci_get(i)->owner, rows[i].owner);
		assert_int_equal(command(models[i]), rows[i].owner == PCI_OWNER_HYPERVISOR ? 0x007 : 0x403);
	}
	assert_string_equal(pci_owner_name(pci_get(0)), "hypervisor");
	assert_string_equal(pci_owner_name(pci_get(7)), "quarantine");
}

static void the_console_is_the_hypervisors(void **state)
{
	struct fake_pci *display = add(1, 0x0300), *serial = add(2, 0x0700), *other = add(3, 0x0300);

	(void)state;
	fake_pci_add_bar(display, 0x10, 0xc0000000, 16 * MIB, 8);
	fake_pci_add_bar(serial, 0x10, 0x6000, 0x20, 1);
	fake_pci_add_bar(other, 0x10, 0xc1000000, 16 * MIB, 8);
	fixture_serial_port = 0x6008;
	fixture_framebuffer = hpa(0xc0000000 + 15 * MIB);
	assert_int_equal(pci_scan(), STATUS_OK);
	assert_int_equal(pci_get(0)->owner, PCI_OWNER_HYPERVISOR);
	assert_int_equal(pci_get(1)->owner, PCI_OWNER_HYPERVISOR);
	assert_int_equal(pci_get(2)->owner, PCI_OWNER_QUARANTINE);
	assert_int_equal(pci_claim(pci_get(0), PCI_OWNER_VM, "web"), STATUS_DENIED);
	pci_release(pci_get(0));
	assert_int_equal(pci_get(0)->owner, PCI_OWNER_HYPERVISOR);
	assert_int_equal(command(display), 7);
}

static void from_hand_to_hand(void **state)
{
	struct fake_pci *model = add(1, 0x0200);
	const struct pci_function *function;

	(void)state;
	fake_pci_add_capability(model, 0x50, PCI_CAPABILITY_MSI);
	fake_pci_allow(model, 0x52, 2, 0xffff);
	fake_pci_add_capability(model, 0x60, PCI_CAPABILITY_MSIX);
	fake_pci_allow(model, 0x62, 2, 0xffff);
	assert_int_equal(pci_scan(), STATUS_OK);
	function = pci_get(0);
	assert_int_equal(pci_set_bus_master(function, true), STATUS_DENIED);
	assert_int_equal(pci_claim(function, PCI_OWNER_QUARANTINE, "web"), STATUS_INVALID);
	assert_int_equal(pci_claim(function, PCI_OWNER_VM, "web"), STATUS_OK);
	assert_int_equal(pci_claim(function, PCI_OWNER_VM, "worker"), STATUS_BUSY);
	assert_string_equal(pci_owner_name(function), "web");
	assert_int_equal(command(model) & 4, 0);
	assert_int_equal(pci_set_bus_master(function, true), STATUS_OK);
	assert_int_equal(command(model) & 4, 4);
	fake_pci_set(model, 0x52, 2, 0x0081);
	fake_pci_set(model, 0x62, 2, 0x8003);
	pci_release(function);
	assert_int_equal(function->owner, PCI_OWNER_QUARANTINE);
	assert_string_equal(pci_owner_name(function), "quarantine");
	assert_int_equal(command(model), 0x403);
	assert_int_equal(fake_pci_get(model, 0x52, 2), 0x0080);
	assert_int_equal(fake_pci_get(model, 0x62, 2), 0x0003);
	assert_int_equal(pci_claim(function, PCI_OWNER_VM, "a name that is much longer than any of a VM may be"), STATUS_OK);
	assert_int_equal(strlen(pci_owner_name(function)), PCI_OWNER_NAME_SIZE - 1);
}

static void cut_off(void **state)
{
	struct fake_pci *model = add(1, 0x0200);
	const struct pci_function *function;

	(void)state;
	assert_int_equal(pci_scan(), STATUS_OK);
	function = pci_get(0);
	assert_int_equal(pci_claim(function, PCI_OWNER_VM, "web"), STATUS_OK);
	assert_int_equal(pci_set_bus_master(function, true), STATUS_OK);
	pci_cut_off(function);
	assert_true(function->cut_off);
	assert_int_equal(command(model) & 4, 0);
	assert_int_equal(pci_set_bus_master(function, true), STATUS_DENIED);
	assert_int_equal(pci_set_bus_master(function, false), STATUS_OK);
	pci_release(function);
	assert_false(function->cut_off);
	assert_int_equal(pci_claim(function, PCI_OWNER_VM, "web"), STATUS_OK);
	assert_int_equal(pci_set_bus_master(function, true), STATUS_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(first_owners, pci_fixture_set_up),
		cmocka_unit_test_setup(the_console_is_the_hypervisors, pci_fixture_set_up),
		cmocka_unit_test_setup(from_hand_to_hand, pci_fixture_set_up),
		cmocka_unit_test_setup(cut_off, pci_fixture_set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
