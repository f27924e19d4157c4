/* Isolation groups over made-up trees, and the ids that requests show. */
#include "drivers/pci/pci_groups.h"

#include "tests/unit/pci_fixture.h"

#define ACS_PORT 0x1fu
#define ACS_AT 0x140u

static int set_up(void **state)
{
	pci_fixture_set_up(state);
	fake_pci_add_ecam(&fixture_acpi.mcfg, FAKE_PCI_ECAM_BASE, 0, 0, 15);
	fake_pci_add((struct pci_address){0, 0, 0, 0}, 0x8086, 0x29c0, 0x0600);
	return 0;
}

static struct fake_pci *port(uint8_t bus, uint8_t device, unsigned type, uint8_t secondary, uint8_t last, uint16_t acs)
{
	struct fake_pci *bridge = fake_pci_add_bridge((struct pci_address){0, bus, device, 0}, secondary, last);

	if (type != PCI_EXPRESS_NONE)
		fake_pci_make_express(bridge, type);
	if (acs != 0)
		fake_pci_add_acs(bridge, ACS_AT, acs);
	return bridge;
}

static struct fake_pci *endpoint(uint8_t bus, uint8_t device, uint8_t function)
{
	struct fake_pci *model = fake_pci_add((struct pci_address){0, bus, device, function}, 1, 2, 0x0200);

	fake_pci_make_express(model, bus == 0 ? PCI_EXPRESS_ROOT_ENDPOINT : PCI_EXPRESS_ENDPOINT);
	return model;
}

static uint32_t group(uint8_t bus, uint8_t device, uint8_t function)
{
	const struct pci_function *found = pci_find((struct pci_address){0, bus, device, function});

	assert_non_null(found);
	return found->group;
}

static void count_member(const struct pci_function *member, void *context)
{
	(void)member;
	(*(unsigned *)context)++;
}

static unsigned members(uint8_t bus, uint8_t device, uint8_t function)
{
	unsigned count = 0;

	pci_group_members(pci_find((struct pci_address){0, bus, device, function}), count_member, &count);
	return count;
}

static void single_functions_are_apart(void **state)
{
	(void)state;
	endpoint(0, 2, 0);
	fake_pci_add((struct pci_address){0, 0, 3, 0}, 1, 2, 0x00ff); /* conventional, on the root bus */
	assert_int_equal(pci_scan(), STATUS_OK);
	assert_int_equal(group(0, 0, 0), 0);
	assert_int_equal(group(0, 2, 0), 1);
	assert_int_equal(group(0, 3, 0), 2);
	assert_int_equal(members(0, 2, 0), 1);
}

static void functions_of_one_device(void **state)
{
	(void)state;
	endpoint(0, 2, 0)->bytes[PCI_HEADER_TYPE] = 0x80;
	endpoint(0, 2, 1);
	fake_pci_add_acs(endpoint(0, 3, 0), ACS_AT, PCI_ACS_REQUEST_REDIRECT | PCI_ACS_COMPLETION_REDIRECT);
	fake_pci_find((struct pci_address){0, 0, 3, 0})->bytes[PCI_HEADER_TYPE] = 0x80;
	fake_pci_add_acs(endpoint(0, 3, 1), ACS_AT, 0); /* cannot send to its neighbours at all */
	assert_int_equal(pci_scan(), STATUS_OK);
	assert_int_equal(group(0, 2, 0), group(0, 2, 1));
	assert_int_equal(members(0, 2, 1), 2);
	assert_int_not_equal(group(0, 3, 0), group(0, 3, 1));
}

/* On a link device numbers are the upper part of function numbers (ARI). */
static void functions_beyond_eight(void **state)
{
	(void)state;
	port(0, 1, PCI_EXPRESS_ROOT_PORT, 1, 1, ACS_PORT);
	endpoint(1, 0, 0)->bytes[PCI_HEADER_TYPE] = 0x80;
	endpoint(1, 1, 0);
	endpoint(0, 2, 0)->bytes[PCI_HEADER_TYPE] = 0x80;
	endpoint(0, 3, 0);
	assert_int_equal(pci_scan(), STATUS_OK);
	assert_int_equal(group(1, 0, 0), group(1, 1, 0));
	assert_int_not_equal(group(0, 2, 0), group(0, 3, 0));
}

static void root_ports(void **state)
{
	struct fake_pci *with = port(0, 1, PCI_EXPRESS_ROOT_PORT, 1, 1, ACS_PORT);

	(void)state;
	port(0, 2, PCI_EXPRESS_ROOT_PORT, 2, 2, 0);
	endpoint(1, 0, 0);
	endpoint(2, 0, 0);
	assert_int_equal(pci_scan(), STATUS_OK);
	assert_int_not_equal(group(1, 0, 0), group(0, 1, 0));
	assert_int_equal(group(2, 0, 0), group(0, 2, 0));
	assert_int_not_equal(group(2, 0, 0), group(1, 0, 0));
	/* Source validation, translation blocking, both redirections, upstream forwarding. */
	assert_int_equal(fake_pci_get(with, ACS_AT + PCI_ACS_CONTROL, 2), 0x1f);
}

/* Firmware may have let some requests go straight to neighbours: by name, or because they say that they are translated. */
static void ways_past_redirection_are_closed(void **state)
{
	struct fake_pci *bridge = port(0, 1, PCI_EXPRESS_ROOT_PORT, 1, 1, 0x7f);

	(void)state;
	fake_pci_set(bridge, ACS_AT + PCI_ACS_CONTROL, 2, 0x60);
	endpoint(1, 0, 0);
	assert_int_equal(pci_scan(), STATUS_OK);
	assert_int_equal(fake_pci_get(bridge, ACS_AT + PCI_ACS_CONTROL, 2), 0x1f);
}

static void a_port_whose_acs_does_not_stay_on(void **state)
{
	struct fake_pci *bridge = port(0, 1, PCI_EXPRESS_ROOT_PORT, 1, 1, ACS_PORT);

	(void)state;
	fake_pci_allow(bridge, ACS_AT + PCI_ACS_CONTROL, 2, 0);
	endpoint(1, 0, 0);
	assert_int_equal(pci_scan(), STATUS_OK);
	assert_int_equal(group(1, 0, 0), group(0, 1, 0));
}

static void add_switch(uint16_t first_acs, uint16_t second_acs)
{
	port(0, 1, PCI_EXPRESS_ROOT_PORT, 1, 5, ACS_PORT);
	port(1, 0, PCI_EXPRESS_UPSTREAM_PORT, 2, 5, 0);
	port(2, 0, PCI_EXPRESS_DOWNSTREAM_PORT, 3, 3, first_acs);
	port(2, 1, PCI_EXPRESS_DOWNSTREAM_PORT, 4, 4, second_acs);
	endpoint(3, 0, 0);
	endpoint(4, 0, 0);
	assert_int_equal(pci_scan(), STATUS_OK);
}

static void switches(void **state)
{
	(void)state;
	add_switch(ACS_PORT, ACS_PORT);
	assert_int_not_equal(group(3, 0, 0), group(4, 0, 0));
	assert_int_equal(members(3, 0, 0), 1);
}

/* One port that routes to its neighbours is enough: they cannot defend themselves. */
static void a_switch_with_a_port_without_acs(void **state)
{
	(void)state;
	add_switch(ACS_PORT, 0);
	assert_int_equal(group(3, 0, 0), group(4, 0, 0));
	assert_int_equal(members(3, 0, 0), 5);
	assert_int_not_equal(group(0, 1, 0), group(3, 0, 0));
}

static void conventional_buses(void **state)
{
	uint16_t ids[PCI_MAX_REQUESTER_IDS];

	(void)state;
	port(0, 1, PCI_EXPRESS_ROOT_PORT, 1, 3, ACS_PORT);
	port(1, 0, PCI_EXPRESS_TO_PCI_BRIDGE, 2, 3, 0);
	port(2, 4, PCI_EXPRESS_NONE, 3, 3, 0);
	fake_pci_add((struct pci_address){0, 2, 1, 0}, 1, 2, 0x0200);
	fake_pci_add((struct pci_address){0, 3, 2, 0}, 1, 2, 0x0200);
	port(0, 2, PCI_EXPRESS_NONE, 9, 9, 0);
	fake_pci_add((struct pci_address){0, 9, 2, 1}, 1, 2, 0x0200); /* without function 0: is not there */
	fake_pci_add((struct pci_address){0, 9, 3, 0}, 1, 2, 0x0200);
	assert_int_equal(pci_scan(), STATUS_OK);
	assert_int_equal(group(2, 1, 0), group(1, 0, 0));
	assert_int_equal(group(3, 2, 0), group(1, 0, 0));
	assert_int_equal(members(3, 2, 0), 4);
	assert_int_equal(pci_requester_ids(pci_find((struct pci_address){0, 3, 2, 0}), ids), 2);
	assert_int_equal(ids[0], 0x310);
	assert_int_equal(ids[1], 0x200);
	assert_int_equal(pci_requester_ids(pci_find((struct pci_address){0, 9, 3, 0}), ids), 2);
	assert_int_equal(ids[1], 0x010); /* the bridge itself */
	assert_int_equal(pci_requester_ids(pci_find((struct pci_address){0, 1, 0, 0}), ids), 1);
	assert_int_equal(ids[0], 0x100);
}

/* Bridges that say that they are something else are buses that all see. */
static void strange_bridges(void **state)
{
	(void)state;
	port(0, 1, PCI_EXPRESS_ENDPOINT, 1, 1, ACS_PORT);
	port(0, 2, 15, 2, 2, ACS_PORT);
	port(0, 3, PCI_EXPRESS_DOWNSTREAM_PORT, 3, 3, 0); /* on the root bus */
	endpoint(1, 0, 0);
	endpoint(2, 0, 0);
	endpoint(3, 0, 0);
	assert_int_equal(pci_scan(), STATUS_OK);
	for (uint8_t i = 1; i <= 3; i++)
		assert_int_equal(group(i, 0, 0), group(0, i, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(single_functions_are_apart, set_up),
		cmocka_unit_test_setup(functions_of_one_device, set_up),
		cmocka_unit_test_setup(functions_beyond_eight, set_up),
		cmocka_unit_test_setup(root_ports, set_up),
		cmocka_unit_test_setup(ways_past_redirection_are_closed, set_up),
		cmocka_unit_test_setup(a_port_whose_acs_does_not_stay_on, set_up),
		cmocka_unit_test_setup(switches, set_up),
		cmocka_unit_test_setup(a_switch_with_a_port_without_acs, set_up),
		cmocka_unit_test_setup(conventional_buses, set_up),
		cmocka_unit_test_setup(strange_bridges, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
