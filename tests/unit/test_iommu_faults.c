/* What units record: told in words, with device and domain, not too often, and a storm ends. */
#include "drivers/iommu/iommu_fault.h"
#include "drivers/iommu/vtd_fault.h"
#include "tests/unit/iommu_fixture.h"

#define ADDRESS 0x123456000ull

static struct iommu_domain *domain;

static void dma(uint16_t requester, bool write)
{
	uint64_t reached;

	(void)model_dma(0, requester, ADDRESS, write, &reached);
}

static unsigned count_in_log(const char *text)
{
	unsigned count = 0;

	for (const char *at = strstr(fixture_log, text); at != NULL; at = strstr(at + 1, text))
		count++;
	return count;
}

static void the_units_interrupt_brings_them(void **state)
{
	(void)state;
	fixture_start_plain();
	assert_non_null(fixture_fault_handler);
	dma(fixture_requester(0, 2), false);
	assert_int_equal(models[0].events, 1);
	fixture_fault_handler(INTERRUPT_VECTOR_IOMMU);
	assert_int_equal(count_in_log("IOMMU 0: quarantine: device 0000:00:02.0: read of 0x123456000 blocked: its bus has no domain "
				      "(reason 0x1)"), 1);
	fixture_fault_handler(INTERRUPT_VECTOR_IOMMU);
	assert_int_equal(count_in_log("blocked"), 1);
}

static void all_records_are_taken_in_their_order(void **state)
{
	(void)state;
	fixture_start_plain();
	for (unsigned round = 0; round < 3; round++) {
		fixture_log[0] = '\0';
		dma(fixture_requester(0, 2), true);
		dma(fixture_requester(0, 3), true);
		dma(fixture_requester(1, 0), true);
		iommu_poll_faults();
		assert_true(strstr(fixture_log, "00:02.0") < strstr(fixture_log, "00:03.0"));
		assert_true(strstr(fixture_log, "00:03.0") < strstr(fixture_log, "01:00.0"));
		assert_int_equal(count_in_log("blocked"), 3);
	}
}

static void faults_beyond_the_records_do_not_stop_later_ones(void **state)
{
	(void)state;
	fixture_start_plain();
	for (unsigned i = 0; i < MODEL_RECORDS + 3; i++)
		dma(fixture_requester(0, 2), true);
	assert_true(models[0].fault_status & VTD_FAULT_OVERFLOW);
	iommu_poll_faults();
	assert_false(models[0].fault_status & (VTD_FAULT_OVERFLOW | VTD_FAULT_PENDING));
	assert_int_equal(count_in_log("blocked"), MODEL_RECORDS);
	dma(fixture_requester(0, 3), true);
	iommu_poll_faults();
	assert_int_equal(count_in_log("00:03.0"), 1);
}

static void storm(uint16_t requester)
{
	for (unsigned i = 0; i < IOMMU_STORM_FAULTS; i++) {
		dma(requester, true);
		iommu_poll_faults();
	}
}

static void a_storm_ends_with_the_device_cut_off(void **state)
{
	const struct pci_function *function;
	struct fake_pci *model;
	uint64_t recorded, reached;

	(void)state;
	fixture_start_plain();
	function = fixture_find(0, 2);
	model = fake_pci_find(function->address);
	assert_int_equal(iommu_domain_create("vm web", &domain), STATUS_OK);
	assert_int_equal(iommu_domain_map(domain, 0, hpa(32 * MIB), PAGE_SIZE, PAGE_READ | PAGE_WRITE), STATUS_OK);
	assert_int_equal(iommu_attach(domain, function), STATUS_OK);
	assert_int_equal(pci_claim(function, PCI_OWNER_VM, "web"), STATUS_OK);
	fake_pci_allow(model, PCI_COMMAND, 2, 0x407);
	assert_int_equal(pci_set_bus_master(function, true), STATUS_OK);

	storm(fixture_requester(0, 2));
	assert_int_equal(count_in_log("vm web: device 0000:00:02.0: write to"), LOG_LIMIT_PER_SECOND);
	assert_int_equal(count_in_log("faults in a storm: it is cut off from memory"), 1);
	assert_true(iommu_is_cut_off(function));
	assert_false(fake_pci_get(model, PCI_COMMAND, 2) & PCI_COMMAND_BUS_MASTER);
	/* Whatever it does now is blocked, also what was mapped, and not even recorded. */
	recorded = models[0].events;
	assert_int_equal(model_dma(0, fixture_requester(0, 2), 0, true, &reached), 2);
	dma(fixture_requester(0, 2), true);
	assert_int_equal(models[0].events, recorded);
	/* Others go on being told. */
	assert_false(iommu_is_cut_off(fixture_find(0, 3)));
	dma(fixture_requester(0, 3), true);
	iommu_poll_faults();
	assert_int_equal(count_in_log("00:03.0"), 1);
	/* Detached and attached again, it has a new start. */
	assert_int_equal(iommu_detach(function), STATUS_OK);
	assert_false(iommu_is_cut_off(function));
	assert_int_equal(iommu_attach(domain, function), STATUS_OK);
	assert_int_equal(model_dma(0, fixture_requester(0, 2), 0, true, &reached), MODEL_OK);
}

static void slow_faults_are_no_storm(void **state)
{
	(void)state;
	fixture_start_plain();
	for (unsigned i = 0; i < 3 * IOMMU_STORM_FAULTS; i++) {
		fake_tsc += FIXTURE_HZ / (IOMMU_STORM_FAULTS / 2);
		dma(fixture_requester(0, 2), true);
		iommu_poll_faults();
	}
	assert_false(iommu_is_cut_off(fixture_find(0, 2)));
}

/* Requests from behind a bridge of conventional PCI show the bridge: all behind it are cut off, and it goes on carrying others'. */
static void a_storm_behind_a_bridge(void **state)
{
	struct fake_pci *bridge, *first, *second;

	(void)state;
	bridge = fake_pci_add_bridge((struct pci_address){0, 0, 5, 0}, 3, 3);
	first = fake_pci_add((struct pci_address){0, 3, 1, 0}, 0x10ec, 0x8139, 0x0200);
	second = fake_pci_add((struct pci_address){0, 3, 2, 0}, 0x10ec, 0x8139, 0x0200);
	fixture_start_plain();
	assert_int_equal(iommu_domain_create("vm web", &domain), STATUS_OK);
	for (uint8_t device = 1; device <= 2; device++) {
		assert_int_equal(iommu_attach(domain, fixture_find(3, device)), STATUS_OK);
		assert_int_equal(pci_claim(fixture_find(3, device), PCI_OWNER_VM, "web"), STATUS_OK);
		assert_int_equal(pci_set_bus_master(fixture_find(3, device), true), STATUS_OK);
	}
	storm(fixture_requester(0, 5));
	assert_int_equal(count_in_log("vm web: device 0000:00:05.0 faults in a storm"), 1);
	assert_false(fake_pci_get(first, PCI_COMMAND, 2) & PCI_COMMAND_BUS_MASTER);
	assert_false(fake_pci_get(second, PCI_COMMAND, 2) & PCI_COMMAND_BUS_MASTER);
	assert_true(fake_pci_get(bridge, PCI_COMMAND, 2) & PCI_COMMAND_BUS_MASTER);
	assert_true(iommu_is_cut_off(fixture_find(3, 1)));
	assert_false(fixture_find(0, 5)->cut_off);
}

/* Units tell of a fault only if none was recorded before: none may be left, however many come while they are read. */
static void a_flood_leaves_no_record(void **state)
{
	uint64_t events;

	(void)state;
	fixture_start_plain();
	models[0].flood = 1000;
	dma(fixture_requester(0, 2), true);
	fixture_fault_handler(INTERRUPT_VECTOR_IOMMU);
	assert_true(models[0].flood < 1000 && models[0].flood > 0);
	assert_false(models[0].fault_status & (VTD_FAULT_PENDING | VTD_FAULT_OVERFLOW));
	models[0].flood = 0;
	events = models[0].events;
	dma(fixture_requester(0, 3), true);
	assert_int_equal(models[0].events, events + 1);
}

/* A source that is no function of this machine; more of them than there is room to remember. */
static void strange_sources_are_silenced_too(void **state)
{
	uint64_t events;

	(void)state;
	fixture_start_plain();
	for (unsigned i = 0; i < 40; i++) {
		dma((uint16_t)(0x4200 + i), true);
		iommu_poll_faults();
		fixture_log[0] = '\0';
	}
	storm(0x4242);
	assert_int_equal(count_in_log("42:08.2"), LOG_LIMIT_PER_SECOND + 1);
	events = models[0].events;
	dma(0x4242, true);
	assert_int_equal(models[0].events, events);
}

static void records_are_put_in_words(void **state)
{
	static const struct { uint64_t low, high; bool interrupt, write; const char *words; } rows[] = {
		{ADDRESS, 0x5ull << 32 | 0x10, false, true, "not mapped for writing"},
		{ADDRESS, BIT(62) | 0x6ull << 32 | 0x10, false, false, "not mapped for reading"},
		{ADDRESS, 0x4ull << 32 | 0x10, false, true, "the address is beyond what the domain can map"},
		{17ull << 48, 0x26ull << 32 | 0x10, true, true, "the interrupt entry belongs to another device"},
		{17ull << 48, 0x25ull << 32 | 0x10, true, true, "not in the remappable format"},
		{~0ull, ~0ull, false, false, "for a reason that is not known"},
	};
	struct vtd_unit unit = {.description = &fixture_acpi.dmar.drhds[0], .index = 3};

	(void)state;
	for (size_t i = 0; i < array_count(rows); i++) {
		struct iommu_fault fault = vtd_fault_decode(&unit, rows[i].low, rows[i].high);

		assert_int_equal(fault.interrupt, rows[i].interrupt);
		assert_int_equal(fault.write, rows[i].write);
		assert_string_equal(fault.words, rows[i].words);
		assert_int_equal(fault.unit, 3);
		assert_int_equal(fault.requester, (uint16_t)rows[i].high);
		assert_int_equal(fault.address, rows[i].low & ~0xfffull);
		assert_int_equal(fault.index, rows[i].low >> 48);
	}
}

static char described[8192];

static void print(const char *format, ...)
{
	size_t length = strlen(described);
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(described + length, sizeof(described) - length, format, arguments);
	va_end(arguments);
}

static void the_shell_shows_units_domains_and_faults(void **state)
{
	(void)state;
	models[0].extended &= ~BIT(7);
	fixture_acpi.dmar.rhsa_count = 2;
	fixture_acpi.dmar.rhsas[0] = (struct acpi_rhsa){.registers = hpa(model_address(1)), .proximity_domain = 5};
	fixture_acpi.dmar.rhsas[1] = (struct acpi_rhsa){.registers = hpa(model_address(0)), .proximity_domain = 7};
	fixture_start_plain();
	assert_int_equal(iommu_domain_create("vm web", &domain), STATUS_OK);
	assert_int_equal(iommu_attach(domain, fixture_find(1, 0)), STATUS_OK);
	dma(fixture_requester(1, 0), true);
	iommu_poll_faults();
	described[0] = '\0';
	iommu_describe(print);
	assert_non_null(strstr(described, "unit 0 at 0xfed90000, segment 0000"));
	assert_non_null(strstr(described, "translation on, remapping on, invalidation by queue"));
	assert_non_null(strstr(described, "  proximity domain 7\n"));
	assert_null(strstr(described, "proximity domain 5"));
	assert_non_null(strstr(described, "no snoop control: a device may bypass the caches"));
	assert_non_null(strstr(described, "vm web"));
	assert_non_null(strstr(described, "      0000:01:00.0\n"));
	assert_non_null(strstr(described, "0000:01:00.0: write to 0x123456000 blocked: not mapped for writing"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, iommu_fixture_set_up, iommu_fixture_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(the_units_interrupt_brings_them),
		TEST(all_records_are_taken_in_their_order),
		TEST(faults_beyond_the_records_do_not_stop_later_ones),
		TEST(a_storm_ends_with_the_device_cut_off),
		TEST(slow_faults_are_no_storm),
		TEST(a_storm_behind_a_bridge),
		TEST(a_flood_leaves_no_record),
		TEST(strange_sources_are_silenced_too),
		TEST(records_are_put_in_words),
		TEST(the_shell_shows_units_domains_and_faults),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
