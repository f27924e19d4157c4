/* Sizes of base address registers and ROMs: honest, shared and absurd ones. */
#include "tests/unit/pci_fixture.h"

#define ADDRESS(device) ((struct pci_address){0, 0, device, 0})
#define FLAGS_64 0x4u
#define FLAGS_64_PREFETCHABLE 0xcu

static uint8_t before[FAKE_PCI_CONFIG_SIZE];

/* A register may change only while the function decodes nothing. */
static void decodes_nothing(struct fake_pci *function, unsigned offset, unsigned size)
{
	(void)size;
	if (offset >= PCI_BARS && offset < PCI_BARS + 24)
		assert_int_equal(fake_pci_get(function, PCI_COMMAND, 2) & 3, 0);
	if (offset == PCI_ROM) {
		assert_int_equal(fake_pci_get(function, PCI_COMMAND, 2) & 3, 0);
		assert_true(fake_pci_get(function, PCI_ROM, 4) == 0xfeb00001 || (fake_pci_get(function, PCI_ROM, 4) & 1) == 0);
	}
}

static void expect(const struct pci_bar *bar, enum pci_bar_kind kind, uint64_t address, uint64_t size)
{
	assert_int_equal(bar->kind, kind);
	assert_int_equal(bar->address, address);
	assert_int_equal(bar->size, size);
}

static void sizes_are_found_and_nothing_is_lost(void **state)
{
	struct fake_pci *model = fake_pci_add(ADDRESS(1), 1, 1, 0x0200);
	const struct pci_function *function;

	(void)state;
	fake_pci_add_bar(model, 0x10, 0xc000, 0x20, 1);
	fake_pci_add_bar(model, 0x14, 0xfebc0000, 0x1000, 8);
	fake_pci_add_bar(model, 0x18, 0x4000000000, 0x200000000, FLAGS_64_PREFETCHABLE);
	fake_pci_add_bar(model, 0x20, 0, 0x4000, 0); /* never given an address */
	fake_pci_set(model, PCI_ROM, 4, 0xfeb00001);
	fake_pci_allow(model, PCI_ROM, 4, 0xffff0001);
	fake_pci_set(model, PCI_COMMAND, 2, 0x407);
	model->written = decodes_nothing;
	memcpy(before, model->bytes, sizeof(before));
	assert_int_equal(pci_scan(), STATUS_OK);
	function = pci_get(0);
	expect(&function->bars[0], PCI_BAR_PORT, 0xc000, 0x20);
	expect(&function->bars[1], PCI_BAR_MEMORY_32, 0xfebc0000, 0x1000);
	assert_true(function->bars[1].prefetchable);
	expect(&function->bars[2], PCI_BAR_MEMORY_64, 0x4000000000, 0x200000000);
	assert_true(function->bars[2].prefetchable);
	expect(&function->bars[3], PCI_BAR_NONE, 0, 0);
	expect(&function->bars[4], PCI_BAR_MEMORY_32, 0, 0x4000);
	expect(&function->bars[5], PCI_BAR_NONE, 0, 0);
	expect(&function->rom, PCI_BAR_MEMORY_32, 0xfeb00000, 0x10000);
	/* All as before, but quarantine: no bus mastering. */
	before[PCI_COMMAND] &= (uint8_t)~PCI_COMMAND_BUS_MASTER;
	assert_memory_equal(model->bytes, before, sizeof(before));
	assert_int_equal(fixture_log_lines, 0);
}

static void absurd_ones_are_not_used(void **state)
{
	struct fake_pci *model = fake_pci_add(ADDRESS(1), 1, 1, 0x0200);
	const struct pci_function *function;

	(void)state;
	fake_pci_set(model, 0x10, 4, 0xfe000000); /* cannot be moved */
	fake_pci_set(model, 0x14, 4, 0xfe000000);
	fake_pci_allow(model, 0x14, 4, 0xff00f000); /* holes */
	fake_pci_set(model, 0x18, 4, FLAGS_64);
	fake_pci_allow(model, 0x1c, 4, 0xff000000); /* 2^56 bytes */
	fake_pci_set(model, 0x20, 4, 0xfe001000);
	fake_pci_allow(model, 0x20, 4, 0xfff00000); /* not at a multiple of its size */
	fake_pci_set(model, 0x24, 4, 0xfe000004); /* 64 bits, but there is no second half */
	fake_pci_allow(model, 0x24, 4, 0xfff00000);
	assert_int_equal(pci_scan(), STATUS_OK);
	function = pci_get(0);
	for (unsigned i = 0; i < PCI_MAX_BARS - 1; i++)
		assert_int_equal(function->bars[i].size, 0);
	expect(&function->bars[5], PCI_BAR_MEMORY_32, 0xfe000000, 0x100000);
	assert_int_equal(fixture_log_lines, 4);
	assert_non_null(strstr(fixture_log, "0000:00:01.0: base address register 1 has an absurd size"));
}

/* All of the register can be written, its kind too. */
static void registers_of_all_ones(void **state)
{
	struct fake_pci *model = fake_pci_add(ADDRESS(1), 1, 1, 0x0200);

	(void)state;
	memset(model->writable + PCI_BARS, 0xff, 24);
	assert_int_equal(pci_scan(), STATUS_OK);
	for (unsigned i = 0; i < PCI_MAX_BARS; i++)
		assert_true(pci_get(0)->bars[i].size <= 16);
	memset(model->bytes + PCI_BARS, 0xff, 24);
	assert_int_equal(pci_scan(), STATUS_OK);
	for (unsigned i = 0; i < PCI_MAX_BARS; i++)
		expect(&pci_get(0)->bars[i], PCI_BAR_NONE, 0, 0);
}

static void what_decodes_for_ever_is_left_alone(void **state)
{
	struct fake_pci *host = fake_pci_add(ADDRESS(0), 1, 1, 0x0600), *stuck = fake_pci_add(ADDRESS(1), 1, 2, 0x0200);

	(void)state;
	fake_pci_add_bar(host, 0x10, 0xf0000000, 0x1000, 8);
	fake_pci_add_bar(stuck, 0x10, 0xfeb00000, 0x1000, 0);
	fake_pci_add_bar(stuck, 0x14, 0xc000, 0x20, 1);
	fake_pci_allow(stuck, PCI_COMMAND, 2, 0x545); /* memory stays on */
	host->written = decodes_nothing;
	assert_int_equal(pci_scan(), STATUS_OK);
	expect(&pci_get(0)->bars[0], PCI_BAR_MEMORY_32, 0xf0000000, 0);
	expect(&pci_get(1)->bars[0], PCI_BAR_MEMORY_32, 0xfeb00000, 0);
	expect(&pci_get(1)->bars[1], PCI_BAR_PORT, 0xc000, 0x20);
	assert_int_equal(fake_pci_get(host, PCI_COMMAND, 2), 7);
	assert_int_equal(fixture_log_lines, 0);
}

static void bridges_have_two(void **state)
{
	struct fake_pci *bridge = fake_pci_add_bridge(ADDRESS(1), 1, 1), *unknown = fake_pci_add(ADDRESS(2), 1, 3, 0x0604);

	(void)state;
	fake_pci_add_bar(bridge, 0x10, 0xfe800000, 0x4000, 0);
	fake_pci_set(bridge, PCI_BRIDGE_ROM, 4, 0xfe900000);
	fake_pci_allow(bridge, PCI_BRIDGE_ROM, 4, 0xfffff801);
	fake_pci_set(unknown, PCI_HEADER_TYPE, 1, 0x7f); /* a layout that nobody knows */
	fake_pci_add_bar(unknown, 0x10, 0xfebc0000, 0x1000, 0);
	assert_int_equal(pci_scan(), STATUS_OK);
	expect(&pci_get(0)->bars[0], PCI_BAR_MEMORY_32, 0xfe800000, 0x4000);
	expect(&pci_get(0)->bars[2], PCI_BAR_NONE, 0, 0); /* the bus numbers */
	expect(&pci_get(0)->rom, PCI_BAR_MEMORY_32, 0xfe900000, 0x800);
	assert_int_equal(pci_get(0)->secondary_bus, 1);
	expect(&pci_get(1)->bars[0], PCI_BAR_NONE, 0, 0);
}

static void pages_with_neighbours(void **state)
{
	(void)state;
	fake_pci_add_bar(fake_pci_add(ADDRESS(1), 1, 1, 0x0200), 0x10, 0xfeb00000, 0x100, 0);
	fake_pci_add_bar(fake_pci_add(ADDRESS(2), 1, 1, 0x0200), 0x10, 0xfeb00800, 0x100, 0);
	fake_pci_add_bar(fake_pci_add(ADDRESS(3), 1, 1, 0x0200), 0x10, 0xfeb01000, 0x100, 0);
	fake_pci_add_bar(fake_pci_add(ADDRESS(4), 1, 1, 0x0200), 0x14, 0xb000, 0x20, 1);
	assert_int_equal(pci_scan(), STATUS_OK);
	assert_false(pci_bar_is_alone(pci_get(0), &pci_get(0)->bars[0]));
	assert_false(pci_bar_is_alone(pci_get(1), &pci_get(1)->bars[0]));
	assert_true(pci_bar_is_alone(pci_get(2), &pci_get(2)->bars[0]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(sizes_are_found_and_nothing_is_lost, pci_fixture_set_up),
		cmocka_unit_test_setup(absurd_ones_are_not_used, pci_fixture_set_up),
		cmocka_unit_test_setup(registers_of_all_ones, pci_fixture_set_up),
		cmocka_unit_test_setup(what_decodes_for_ever_is_left_alone, pci_fixture_set_up),
		cmocka_unit_test_setup(bridges_have_two, pci_fixture_set_up),
		cmocka_unit_test_setup(pages_with_neighbours, pci_fixture_set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
