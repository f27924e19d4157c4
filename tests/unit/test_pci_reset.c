/* Resets in all ways, of functions that come back, come back late, different or never. */
#include "drivers/pci/pci_reset.h"

#include "drivers/pci/pci_owner.h"
#include "tests/unit/pci_fixture.h"

#define MILLISECOND (FIXTURE_HZ / 1000u)
#define NEVER UINT64_MAX
#define POWER_AT 0x80u
#define ADVANCED_AT 0x90u
#define BAR 0xfe800000u

static struct fake_pci *model, *bridge;
static uint64_t away_until; /* [TSC ticks] */
static uint64_t away_for;   /* [TSC ticks] how long a reset takes */
static unsigned resets;
static bool moved; /* comes back with an address that cannot be written */
static uint16_t vendor_meanwhile; /* what it shows instead of nothing */

static void forget(struct fake_pci *function)
{
	resets++;
	away_until = away_for == NEVER ? NEVER : fake_tsc + away_for;
	fake_pci_set(function, PCI_BARS, 4, 0);
	fake_pci_set(function, PCI_BARS + 4, 4, 4);
	fake_pci_set(function, PCI_BARS + 8, 4, 0);
	fake_pci_set(function, PCI_COMMAND, 2, 0);
	fake_pci_set(function, PCI_CACHE_LINE_SIZE, 1, 0);
	fake_pci_set(function, PCI_INTERRUPT_LINE, 1, 0);
	fake_pci_set(function, 0x48, 2, 0x2010);
	if (fake_pci_get(function, 0x100, 2) == PCI_EXTENDED_LINK_SUBSTATES) {
		fake_pci_set(function, 0x108, 4, 0);
		fake_pci_set(function, 0x10c, 4, 0);
	}
	if (moved)
		fake_pci_allow(function, PCI_BARS, 4, 0);
}

static void come_back(struct fake_pci *function, unsigned offset, unsigned size)
{
	(void)offset, (void)size;
	function->absent = fake_tsc < away_until && vendor_meanwhile == 0;
	fake_pci_set(function, PCI_VENDOR, 2, fake_tsc < away_until && vendor_meanwhile != 0 ? vendor_meanwhile : 0x8086);
}

static void written(struct fake_pci *function, unsigned offset, unsigned size)
{
	static unsigned power_state;

	(void)size;
	if (offset == 0x48 && (fake_pci_get(function, 0x48, 2) & PCI_EXPRESS_START_FLR) != 0) {
		assert_int_equal(fake_pci_get(function, PCI_COMMAND, 2) & PCI_COMMAND_BUS_MASTER, 0);
		forget(function);
	}
	if (offset == ADVANCED_AT + PCI_ADVANCED_CONTROL && (fake_pci_get(function, offset, 1) & PCI_ADVANCED_START_FLR) != 0)
		forget(function);
	if (offset != POWER_AT + PCI_POWER_CONTROL)
		return;
	if (power_state == 3 && (fake_pci_get(function, offset, 2) & 3) == 0)
		forget(function);
	power_state = fake_pci_get(function, offset, 2) & 3;
}

static void bridge_written(struct fake_pci *function, unsigned offset, unsigned size)
{
	static uint64_t since;

	(void)size;
	if (offset != PCI_BRIDGE_CONTROL)
		return;
	if ((fake_pci_get(function, offset, 2) & PCI_BRIDGE_CONTROL_RESET) != 0) {
		since = fake_tsc;
	} else {
		assert_true(fake_tsc - since >= MILLISECOND);
		forget(model);
	}
}

static int set_up(void **state)
{
	pci_fixture_set_up(state);
	fake_pci_add_ecam(&fixture_acpi.mcfg, FAKE_PCI_ECAM_BASE, 0, 0, 1);
	fake_pci_add((struct pci_address){0, 0, 0, 0}, 0x8086, 0x29c0, 0x0600);
	bridge = fake_pci_add_bridge((struct pci_address){0, 0, 1, 0}, 1, 1);
	bridge->written = bridge_written;
	model = fake_pci_add((struct pci_address){0, 1, 0, 0}, 0x8086, 2, 0x0200);
	fake_pci_add_bar(model, PCI_BARS, BAR, 0x1000, 0);
	fake_pci_add_bar(model, PCI_BARS + 4, 0x4000000000, 0x100000, 4);
	fake_pci_set(model, PCI_CACHE_LINE_SIZE, 1, 16);
	fake_pci_set(model, PCI_INTERRUPT_LINE, 1, 11);
	model->written = written;
	model->reading = come_back;
	away_until = 0;
	away_for = 150 * MILLISECOND;
	resets = 0;
	moved = false;
	vendor_meanwhile = 0;
	return 0;
}

static void make_flr(void)
{
	fake_pci_make_express(model, PCI_EXPRESS_ENDPOINT);
	fake_pci_set(model, 0x44, 4, (uint32_t)PCI_EXPRESS_CAN_FLR);
	fake_pci_allow(model, 0x48, 2, 0xffff);
	fake_pci_set(model, 0x48, 2, 0x5930);
}

static void make_power(uint16_t control)
{
	fake_pci_add_capability(model, POWER_AT, PCI_CAPABILITY_POWER);
	fake_pci_set(model, POWER_AT + PCI_POWER_CONTROL, 2, control);
	fake_pci_allow(model, POWER_AT + PCI_POWER_CONTROL, 2, 3);
}

static const struct pci_function *scan(void)
{
	assert_int_equal(pci_scan(), STATUS_OK);
	assert_int_equal(pci_count(), 3);
	return pci_get(2);
}

/* Resets it and sees that all is as it was, without bus mastering. */
static void reset_well_in(const char *way, uint64_t least, uint64_t most)
{
	const struct pci_function *function = scan();
	const char *how;
	uint64_t start;

	fake_pci_set(model, PCI_COMMAND, 2, 0x0547);
	start = fake_tsc;
	assert_int_equal(pci_reset_function(function, &how), STATUS_OK);
	assert_string_equal(how, way);
	assert_int_equal(resets, 1);
	assert_true(fake_tsc - start >= least);
	assert_true(fake_tsc - start < most);
	assert_true(fixture_long_work_steps > 100);
	assert_int_equal(fake_pci_get(model, PCI_BARS, 4), BAR);
	assert_int_equal(fake_pci_get(model, PCI_BARS + 4, 4), 4);
	assert_int_equal(fake_pci_get(model, PCI_BARS + 8, 4), 0x40);
	assert_int_equal(fake_pci_get(model, PCI_COMMAND, 2), 0x0543);
	assert_int_equal(fake_pci_get(model, PCI_CACHE_LINE_SIZE, 1), 16);
	assert_int_equal(fake_pci_get(model, PCI_INTERRUPT_LINE, 1), 11);
	assert_false(function->dead);
	assert_int_equal(fixture_log_lines, 0);
}

static void reset_well(const char *way)
{
	reset_well_in(way, 150 * MILLISECOND, 500 * MILLISECOND);
}

static void by_flr(void **state)
{
	(void)state;
	make_flr();
	make_power(0); /* the second choice */
	reset_well("FLR");
	assert_int_equal(fake_pci_get(model, 0x48, 2), 0x5930);
}

static void by_flr_that_shows_that_it_is_not_ready(void **state)
{
	(void)state;
	make_flr();
	vendor_meanwhile = 1;
	reset_well("FLR");
}

static void by_advanced_flr(void **state)
{
	(void)state;
	fake_pci_add_capability(model, ADVANCED_AT, PCI_CAPABILITY_ADVANCED);
	fake_pci_set(model, ADVANCED_AT + PCI_ADVANCED_CAPABILITIES, 1, 3);
	fake_pci_allow(model, ADVANCED_AT + PCI_ADVANCED_CONTROL, 1, 1);
	reset_well("AF FLR");
}

static void by_power_state(void **state)
{
	(void)state;
	make_power(0);
	reset_well("power state");
	assert_int_equal(fake_pci_get(model, POWER_AT + PCI_POWER_CONTROL, 2), 0);
}

static void by_secondary_bus(void **state)
{
	(void)state;
	make_power(PCI_POWER_NO_SOFT_RESET);
	/* Conventional functions may initialize themselves for 2^25 clocks. */
	reset_well_in("secondary bus reset", 1000 * MILLISECOND, 1500 * MILLISECOND);
	assert_int_equal(fake_pci_get(bridge, PCI_BRIDGE_CONTROL, 2), 0);
}

static void link_comes_up(struct fake_pci *function, unsigned offset, unsigned size)
{
	(void)size;
	if (offset == 0x40 + PCI_EXPRESS_LINK_STATUS)
		fake_pci_set(function, offset, 2, fake_tsc < away_until ? 0 : (uint32_t)PCI_EXPRESS_LINK_IS_UP);
}

/* 100 ms after the link is up, not after the reset. */
static void by_secondary_bus_of_a_link(void **state)
{
	(void)state;
	fake_pci_make_express(bridge, PCI_EXPRESS_ROOT_PORT);
	fake_pci_set(bridge, 0x40 + PCI_EXPRESS_LINK_CAPABILITIES, 4, (uint32_t)PCI_EXPRESS_TELLS_LINK);
	bridge->reading = link_comes_up;
	fake_pci_make_express(model, PCI_EXPRESS_ENDPOINT);
	away_for = 300 * MILLISECOND;
	reset_well_in("secondary bus reset", 400 * MILLISECOND, 700 * MILLISECOND);
}

static void one_that_is_gone(void **state)
{
	const struct pci_function *function;
	const char *how;
	uint64_t start;

	(void)state;
	make_flr();
	function = scan();
	model->absent = true;
	away_until = NEVER;
	start = fake_tsc;
	assert_int_equal(pci_reset_function(function, &how), STATUS_TIMEOUT);
	assert_true(fake_tsc - start < 50 * MILLISECOND);
	assert_true(function->dead);
	assert_int_equal(resets, 0);
}

/* The link's deep states before its shallow ones; no phantom functions, whatever was on. */
static void what_is_written_back(void **state)
{
	(void)state;
	make_flr();
	fake_pci_set(model, 0x48, 2, 0x5b30);
	fake_pci_add_extended(model, 0x100, PCI_EXTENDED_LINK_SUBSTATES);
	fake_pci_set(model, 0x108, 4, 0x0f);
	fake_pci_set(model, 0x10c, 4, 0x28);
	fake_pci_allow(model, 0x108, 4, 0x0f);
	fake_pci_allow(model, 0x10c, 4, 0xff);
	reset_well("FLR");
	assert_int_equal(fake_pci_get(model, 0x48, 2), 0x5930);
	assert_int_equal(fake_pci_get(model, 0x108, 4), 0x0f);
	assert_int_equal(fake_pci_get(model, 0x10c, 4), 0x28);
}

static void no_way(void **state)
{
	const char *how;

	(void)state;
	fake_pci_add((struct pci_address){0, 1, 1, 0}, 1, 3, 0x0200); /* a neighbour that the bus reset would hit */
	assert_int_equal(pci_scan(), STATUS_OK);
	assert_int_equal(pci_reset_function(pci_get(2), &how), STATUS_NOT_FOUND);
	assert_string_equal(how, "no reset");
	assert_int_equal(resets, 0);
	assert_false(pci_get(2)->dead);
	assert_int_equal(pci_reset_function(pci_get(0), &how), STATUS_DENIED);
	assert_int_equal(pci_reset_function(pci_get(1), &how), STATUS_DENIED);
}

static void one_that_never_ends(void **state)
{
	const struct pci_function *function;
	const char *how;
	uint64_t start;

	(void)state;
	make_flr();
	function = scan();
	away_for = NEVER;
	start = fake_tsc;
	assert_int_equal(pci_claim(function, PCI_OWNER_VM, "web"), STATUS_OK);
	assert_int_equal(pci_reset_function(function, &how), STATUS_TIMEOUT);
	assert_true(fake_tsc - start < 6000ull * MILLISECOND);
	assert_true(function->dead);
	assert_non_null(strstr(fixture_log, "0000:01:00.0: FLR: it does not come back: it is not used any more"));
	assert_int_equal(pci_set_bus_master(function, true), STATUS_DENIED);
	pci_release(function);
	assert_int_equal(pci_claim(function, PCI_OWNER_VM, "web"), STATUS_IO);
	/* It may be tried again. */
	away_until = 0;
	away_for = MILLISECOND;
	assert_int_equal(pci_reset_function(function, &how), STATUS_OK);
	assert_int_equal(fake_pci_get(model, PCI_BARS, 4), BAR);
	assert_int_equal(pci_claim(function, PCI_OWNER_VM, "web"), STATUS_OK);
}

static void one_that_comes_back_elsewhere(void **state)
{
	const char *how;

	(void)state;
	make_flr();
	scan();
	moved = true;
	assert_int_equal(pci_reset_function(pci_get(2), &how), STATUS_IO);
	assert_true(pci_get(2)->dead);
	assert_int_equal(fake_pci_get(model, PCI_COMMAND, 2) & 7, 0);
}

static void one_that_waits_for_answers(void **state)
{
	const char *how;

	(void)state;
	make_flr();
	fake_pci_set(model, 0x40 + PCI_EXPRESS_DEVICE_STATUS, 2, PCI_EXPRESS_PENDING);
	scan();
	assert_int_equal(pci_reset_function(pci_get(2), &how), STATUS_OK);
	assert_int_equal(resets, 1);
	assert_non_null(strstr(fixture_log, "still waits for answers"));
}

/* What a guest did to the addresses, and its sleep, are undone. */
static void one_that_sleeps_elsewhere(void **state)
{
	const char *how;

	(void)state;
	make_flr();
	make_power(0);
	scan();
	pci_config_write(model->address, POWER_AT + PCI_POWER_CONTROL, 2, 3);
	fake_pci_set(model, PCI_BARS, 4, 0x12345000);
	away_for = MILLISECOND;
	assert_int_equal(pci_reset_function(pci_get(2), &how), STATUS_OK);
	assert_int_equal(resets, 2);
	assert_int_equal(fake_pci_get(model, POWER_AT + PCI_POWER_CONTROL, 2), 0);
	assert_int_equal(fake_pci_get(model, PCI_BARS, 4), BAR);
}

static void a_reset_ends_the_cut(void **state)
{
	const char *how;

	(void)state;
	make_flr();
	scan();
	assert_int_equal(pci_claim(pci_get(2), PCI_OWNER_VM, "web"), STATUS_OK);
	pci_cut_off(pci_get(2));
	assert_int_equal(pci_set_bus_master(pci_get(2), true), STATUS_DENIED);
	assert_int_equal(pci_reset_function(pci_get(2), &how), STATUS_OK);
	assert_int_equal(pci_set_bus_master(pci_get(2), true), STATUS_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(by_flr, set_up),
		cmocka_unit_test_setup(by_flr_that_shows_that_it_is_not_ready, set_up),
		cmocka_unit_test_setup(by_advanced_flr, set_up),
		cmocka_unit_test_setup(by_power_state, set_up),
		cmocka_unit_test_setup(by_secondary_bus, set_up),
		cmocka_unit_test_setup(by_secondary_bus_of_a_link, set_up),
		cmocka_unit_test_setup(one_that_is_gone, set_up),
		cmocka_unit_test_setup(what_is_written_back, set_up),
		cmocka_unit_test_setup(no_way, set_up),
		cmocka_unit_test_setup(one_that_never_ends, set_up),
		cmocka_unit_test_setup(one_that_comes_back_elsewhere, set_up),
		cmocka_unit_test_setup(one_that_waits_for_answers, set_up),
		cmocka_unit_test_setup(one_that_sleeps_elsewhere, set_up),
		cmocka_unit_test_setup(a_reset_ends_the_cut, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
