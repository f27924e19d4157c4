/* Devices that keep translations: when they may, that they forget what is taken from them, and what becomes of one that does not. */
#include "drivers/pci/pci_ats.h"
#include "drivers/pci/pci_internal.h"
#include "tests/unit/iommu_fixture.h"

#define MAPPED 0x40000000ull
#define TARGET (32 * MIB)
#define ATS_AT 0x100u
#define CONTROL (ATS_AT + PCI_ATS_CONTROL)
#define PORT_ACS_AT 0x140u
#define PORT_ACS 0x5fu
#define DEVICE fixture_requester(1, 0)

static struct iommu_domain *domain;
static struct fake_pci *model, *port;

static void add_ats(struct fake_pci *function, unsigned depth)
{
	fake_pci_add_extended(function, ATS_AT, PCI_EXTENDED_ATS);
	fake_pci_set(function, ATS_AT + PCI_ATS_CAPABILITIES, 2, depth);
	fake_pci_allow(function, CONTROL, 2, 0x801f);
}

/* 01:00.0 behind the root port 00:1c.0 can, and its port is in an ATSR structure. */
static void start(void)
{
	model = fake_pci_find((struct pci_address){0, 1, 0, 0});
	port = fake_pci_find((struct pci_address){0, 0, 0x1c, 0});
	add_ats(model, 8);
	fake_pci_set(model, CONTROL, 2, 0x8003); /* as firmware left it */
	fake_pci_add_acs(port, PORT_ACS_AT, PORT_ACS);
	fake_pci_set(port, PORT_ACS_AT + PCI_ACS_CONTROL, 2, 0x40);
	fixture_acpi.dmar.atsr_count = 1;
	fixture_add_scope(&fixture_acpi.dmar.atsrs[0].scopes, ACPI_SCOPE_BRIDGE, 0, 0x1c, 0);
	fixture_start_plain();
	assert_int_equal(iommu_domain_create("vm web", &domain), STATUS_OK);
	assert_int_equal(iommu_domain_map(domain, MAPPED, hpa(TARGET), 4 * PAGE_SIZE, PAGE_READ | PAGE_WRITE), STATUS_OK);
	assert_int_equal(iommu_domain_map(domain, GIB * 4, hpa(TARGET), PAGE_SIZE_2M, PAGE_READ | PAGE_WRITE), STATUS_OK);
}

static void start_attached(void)
{
	const char *why;

	start();
	assert_int_equal(iommu_attach(domain, fixture_find(1, 0)), STATUS_OK);
	assert_int_equal(iommu_enable_ats(fixture_find(1, 0), &why), STATUS_OK);
}

static bool port_blocks(void)
{
	return (fake_pci_get(port, PORT_ACS_AT + PCI_ACS_CONTROL, 2) & PCI_ACS_TRANSLATION_BLOCKING) != 0;
}

static void nothing_is_kept_unless_it_is_allowed(void **state)
{
	(void)state;
	start();
	assert_int_equal(fake_pci_get(model, CONTROL, 2), 0);
	/* The port lets nothing through that claims to be translated, and leads nothing past the unit. */
	assert_int_equal(fake_pci_get(port, PORT_ACS_AT + PCI_ACS_CONTROL, 2), 0x1f);
	assert_int_equal(iommu_attach(domain, fixture_find(1, 0)), STATUS_OK);
	assert_int_equal(fake_pci_get(model, CONTROL, 2), 0);
	assert_int_equal(model_ask(0, DEVICE, MAPPED), MODEL_MAY_NOT_TRANSLATE);
	assert_int_equal(model_translated(0, DEVICE), MODEL_MAY_NOT_TRANSLATE);
	assert_int_equal(iommu_domain_unmap(domain, MAPPED, PAGE_SIZE), STATUS_OK);
	assert_int_equal(models[0].device_invalidations, 0);
}

static void on_until_it_is_detached(void **state)
{
	(void)state;
	start_attached();
	assert_int_equal(fake_pci_get(model, CONTROL, 2), 0x8000);
	assert_true(fixture_find(1, 0)->ats);
	assert_false(port_blocks());
	assert_int_equal(models[0].device_invalidations, 1);
	assert_int_equal(models[0].last_device_invalidation, 3 | 8u << 16 | (uint64_t)DEVICE << 32);
	assert_int_equal(model_ask(0, DEVICE, MAPPED), MODEL_OK);
	assert_int_equal(iommu_detach(fixture_find(1, 0)), STATUS_OK);
	assert_false(model_keeps(0, DEVICE, MAPPED));
	assert_int_equal(fake_pci_get(model, CONTROL, 2), 0);
	assert_false(fixture_find(1, 0)->ats);
	assert_true(port_blocks());
	assert_int_not_equal(model_translated(0, DEVICE), MODEL_OK);
	/* Each attachment begins without. */
	assert_int_equal(iommu_attach(domain, fixture_find(1, 0)), STATUS_OK);
	assert_int_equal(model_translated(0, DEVICE), MODEL_MAY_NOT_TRANSLATE);
}

static void what_is_unmapped_is_forgotten_by_the_device(void **state)
{
	(void)state;
	start_attached();
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(model_ask(0, DEVICE, MAPPED + i * PAGE_SIZE), MODEL_OK);
	assert_int_equal(model_ask(0, DEVICE, GIB * 4), MODEL_OK);
	/* One page; two; a large one, by a part of it. */
	assert_int_equal(iommu_domain_unmap(domain, MAPPED + PAGE_SIZE, PAGE_SIZE), STATUS_OK);
	assert_false(model_keeps(0, DEVICE, MAPPED + PAGE_SIZE));
	assert_true(model_keeps(0, DEVICE, MAPPED));
	assert_true(model_keeps(0, DEVICE, MAPPED + 2 * PAGE_SIZE));
	assert_int_equal(iommu_domain_unmap(domain, MAPPED + 2 * PAGE_SIZE, 2 * PAGE_SIZE), STATUS_OK);
	assert_false(model_keeps(0, DEVICE, MAPPED + 2 * PAGE_SIZE));
	assert_false(model_keeps(0, DEVICE, MAPPED + 3 * PAGE_SIZE));
	assert_true(model_keeps(0, DEVICE, MAPPED));
	assert_true(model_keeps(0, DEVICE, GIB * 4));
	assert_int_equal(iommu_domain_unmap(domain, GIB * 4 + 5 * PAGE_SIZE, PAGE_SIZE), STATUS_OK);
	assert_false(model_keeps(0, DEVICE, GIB * 4));
	assert_true(model_keeps(0, DEVICE, MAPPED));
	/* A range across a border of large powers of two. */
	assert_int_equal(iommu_domain_unmap(domain, 0, GIB * 8), STATUS_OK);
	assert_false(model_keeps(0, DEVICE, MAPPED));
	assert_int_equal(models[0].device_invalidations, 5);
}

static void refused(uint8_t bus, uint8_t device, const char *words)
{
	unsigned before = models[0].device_invalidations;
	const char *why = "";

	assert_int_equal(iommu_enable_ats(fixture_find(bus, device), &why), STATUS_UNSUPPORTED);
	assert_non_null(strstr(why, words));
	assert_false(fixture_find(bus, device)->ats);
	assert_int_equal(models[0].device_invalidations, before);
}

static void what_cannot_be(void **state)
{
	const char *why;

	(void)state;
	start();
	assert_int_equal(iommu_enable_ats(fixture_find(1, 0), &why), STATUS_NOT_FOUND);
	assert_int_equal(iommu_attach(domain, fixture_find(1, 0)), STATUS_OK);
	assert_int_equal(iommu_attach(domain, fixture_find(0, 2)), STATUS_OK);
	refused(0, 2, "no address translation service");
	fixture_acpi.dmar.atsr_count = 0;
	refused(1, 0, "DMAR table does not allow it");
	fixture_acpi.dmar.atsr_count = 1;
	assert_int_equal(iommu_enable_ats(fixture_find(1, 0), &why), STATUS_OK);
}

static void a_unit_that_serves_no_translations(void **state)
{
	(void)state;
	models[0].extended &= ~BIT(2);
	start();
	assert_int_equal(iommu_attach(domain, fixture_find(1, 0)), STATUS_OK);
	refused(1, 0, "serves no translations");
}

/* What is integrated in the root complex has no port that firmware could name; what is behind a conventional bridge is no source. */
static void functions_without_a_port(void **state)
{
	struct fake_pci *far;
	const char *why;

	(void)state;
	add_ats(fake_pci_find((struct pci_address){0, 0, 2, 0}), 0);
	fake_pci_make_express(fake_pci_add_bridge((struct pci_address){0, 1, 1, 0}, 2, 2), PCI_EXPRESS_TO_PCI_BRIDGE);
	far = fixture_add_endpoint(2, 3);
	add_ats(far, 0);
	start();
	assert_int_equal(iommu_attach(domain, fixture_find(0, 2)), STATUS_OK);
	assert_int_equal(iommu_enable_ats(fixture_find(0, 2), &why), STATUS_OK);
	assert_int_equal(pci_ats_queue_depth(fixture_find(0, 2)), 32);
	assert_int_equal(iommu_attach(domain, fixture_find(2, 3)), STATUS_OK);
	refused(2, 3, "no address translation service");
}

static void one_that_forgets_nothing_is_cut_off(void **state)
{
	uint64_t reached;

	(void)state;
	start_attached();
	assert_int_equal(iommu_attach(domain, fixture_find(0, 2)), STATUS_OK);
	assert_int_equal(pci_claim(fixture_find(1, 0), PCI_OWNER_VM, "web"), STATUS_OK);
	assert_int_equal(pci_set_bus_master(fixture_find(1, 0), true), STATUS_OK);
	assert_int_equal(model_ask(0, DEVICE, MAPPED), MODEL_OK);
	models[0].device_timeout = true;
	/* What is unmapped is safe all the same, so that its memory can be used for something else. */
	assert_int_equal(iommu_domain_unmap(domain, MAPPED, PAGE_SIZE), STATUS_OK);
	assert_true(model_keeps(0, DEVICE, MAPPED));
	assert_int_equal(model_translated(0, DEVICE), 2);
	assert_int_equal(model_dma(0, DEVICE, MAPPED + PAGE_SIZE, true, &reached), 2);
	assert_true(iommu_is_cut_off(fixture_find(1, 0)));
	assert_int_equal(fake_pci_get(model, PCI_COMMAND, 2) & PCI_COMMAND_BUS_MASTER, 0);
	assert_int_equal(pci_set_bus_master(fixture_find(1, 0), true), STATUS_DENIED);
	assert_int_equal(fake_pci_get(model, CONTROL, 2), 0);
	assert_non_null(strstr(fixture_log, "vm web: device 0000:01:00.0 does not drop translations that it keeps: it is cut off"));
	/* The others of the domain go on, and nobody waits for it again. */
	assert_int_equal(model_dma(0, fixture_requester(0, 2), MAPPED + PAGE_SIZE, true, &reached), MODEL_OK);
	assert_int_equal(iommu_domain_unmap(domain, MAPPED + PAGE_SIZE, PAGE_SIZE), STATUS_OK);
	assert_int_equal(models[0].device_invalidations, 3); /* enabled, asked, asked again */
	assert_int_equal(iommu_detach(fixture_find(1, 0)), STATUS_OK);
	assert_false(iommu_is_cut_off(fixture_find(1, 0)));
	iommu_domain_destroy(domain);
	assert_null(strstr(fixture_log, "not given back"));
}

static void one_that_does_not_answer_from_the_start(void **state)
{
	const char *why;

	(void)state;
	start();
	assert_int_equal(iommu_attach(domain, fixture_find(1, 0)), STATUS_OK);
	models[0].device_timeout = true;
	assert_int_equal(iommu_enable_ats(fixture_find(1, 0), &why), STATUS_TIMEOUT);
	assert_string_equal(why, "an invalidation of what it keeps does not end");
	assert_int_equal(fake_pci_get(model, CONTROL, 2), 0);
	assert_int_equal(model_translated(0, DEVICE), MODEL_MAY_NOT_TRANSLATE);
}

static void a_unit_that_stands_still_is_no_fault_of_the_device(void **state)
{
	unsigned used;

	(void)state;
	start_attached();
	models[0].stuck = true;
	assert_int_equal(iommu_domain_unmap(domain, MAPPED, PAGE_SIZE), STATUS_TIMEOUT);
	used = pool_used;
	iommu_domain_destroy(domain);
	assert_int_equal(pool_used, used);
	models[0].stuck = false;
}

/* The unit tells late of one device while another's invalidation waits, which is lost by that. */
static void the_fault_of_one_is_not_told_of_another(void **state)
{
	(void)state;
	start_attached();
	assert_int_equal(model_ask(0, DEVICE, MAPPED), MODEL_OK);
	models[0].late_timeout = true;
	assert_int_equal(iommu_domain_unmap(domain, MAPPED, PAGE_SIZE), STATUS_OK);
	assert_false(model_keeps(0, DEVICE, MAPPED));
	models[0].completion_error = true;
	assert_int_equal(iommu_domain_unmap(domain, MAPPED + PAGE_SIZE, PAGE_SIZE), STATUS_OK);
	assert_false(iommu_is_cut_off(fixture_find(1, 0)));
}

static void units_that_count_by_physical_function_are_told_it(void **state)
{
	(void)state;
	models[0].extended |= BIT(41);
	start_attached();
	assert_int_equal(models[0].last_device_invalidation,
			 3 | (DEVICE & 15u) << 12 | 8u << 16 | (uint64_t)DEVICE << 32 | (uint64_t)(DEVICE >> 4) << 52);
}

static void virtual_functions_share_their_physical_ones_queue(void **state)
{
	const struct pci_function *physical;
	const char *why;

	(void)state;
	add_ats(fixture_add_endpoint(1, 4), 16);
	models[0].extended |= BIT(41);
	start();
	physical = fixture_find(1, 4);
	pci_writable(fixture_find(1, 0))->physical = physical;
	assert_int_equal(iommu_attach(domain, fixture_find(1, 0)), STATUS_OK);
	assert_int_equal(iommu_enable_ats(fixture_find(1, 0), &why), STATUS_OK);
	assert_int_equal(models[0].last_device_invalidation,
			 3 | 0u << 12 | 16u << 16 | (uint64_t)DEVICE << 32 | (uint64_t)(pci_requester_id(physical) >> 4) << 52);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, iommu_fixture_set_up, iommu_fixture_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(nothing_is_kept_unless_it_is_allowed),
		TEST(on_until_it_is_detached),
		TEST(what_is_unmapped_is_forgotten_by_the_device),
		TEST(what_cannot_be),
		TEST(a_unit_that_serves_no_translations),
		TEST(functions_without_a_port),
		TEST(one_that_forgets_nothing_is_cut_off),
		TEST(one_that_does_not_answer_from_the_start),
		TEST(a_unit_that_stands_still_is_no_fault_of_the_device),
		TEST(the_fault_of_one_is_not_told_of_another),
		TEST(units_that_count_by_physical_function_are_told_it),
		TEST(virtual_functions_share_their_physical_ones_queue),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
