/* VT-d units as the firmware tells of them: whose requests pass which, tables that lie, units that fail while they start. */
#include "drivers/iommu/vtd_capabilities.h"
#include "drivers/iommu/vtd_scope.h"
#include "drivers/iommu/vtd_units.h"
#include "tests/unit/iommu_fixture.h"

static void assert_fails(enum status status, const char *reason)
{
	const char *why;

	assert_int_equal(fixture_start(), status);
	assert_false(iommu_is_available(&why));
	assert_non_null(strstr(why, reason));
	assert_false(iommu_covers(fixture_find(0, 2), &why));
	assert_false(iommu_isolates_interrupts(&why));
}

/* ---- whose is what ---- */

static void explicit_scopes_come_before_the_unit_for_all(void **state)
{
	struct acpi_drhd *all, *some;

	(void)state;
	all = fixture_add_unit(true);
	some = fixture_add_unit(false);
	fixture_add_io_apic(all);
	fixture_add_scope(&some->scopes, ACPI_SCOPE_ENDPOINT, 0, 3, 0);
	fixture_add_scope(&some->scopes, ACPI_SCOPE_BRIDGE, 0, 0x1c, 0);
	assert_int_equal(fixture_start(), STATUS_OK);
	assert_int_equal(vtd_unit_of(fixture_find(0, 2))->index, 0);
	assert_int_equal(vtd_unit_of(fixture_find(0, 3))->index, 1);
	assert_int_equal(vtd_unit_of(fixture_find(0, 0x1c))->index, 1);
	assert_int_equal(vtd_unit_of(fixture_find(1, 0))->index, 1);
}

static void paths_lead_through_bridges(void **state)
{
	struct acpi_drhd *unit;
	struct acpi_scope *scope;

	(void)state;
	fixture_add_io_apic(fixture_add_unit(true));
	unit = fixture_add_unit(false);
	scope = fixture_add_scope(&unit->scopes, ACPI_SCOPE_ENDPOINT, 0, 0x1c, 0);
	scope->path_length = 2; /* 00:1c.0, then device 0 on its bus */
	assert_int_equal(fixture_start(), STATUS_OK);
	assert_int_equal(vtd_unit_of(fixture_find(1, 0))->index, 1);
	assert_int_equal(vtd_unit_of(fixture_find(0, 0x1c))->index, 0);
	assert_int_equal(vtd_scopes_unresolved(0, &unit->scopes), 0);
	/* Through a function that is no bridge, and to one that is not there. */
	scope->path[0].device = 2;
	assert_int_equal(vtd_scopes_unresolved(0, &unit->scopes), 1);
	assert_int_equal(vtd_unit_of(fixture_find(1, 0))->index, 0);
	scope->path_length = 1;
	scope->path[0].device = 31;
	assert_int_equal(vtd_scopes_unresolved(0, &unit->scopes), 1);
	scope->path_length = 0;
	assert_int_equal(vtd_scopes_unresolved(0, &unit->scopes), 1);
	assert_int_equal(vtd_scopes_unresolved(1, &unit->scopes), 1);
}

static void a_function_of_no_unit_is_not_given_away(void **state)
{
	struct iommu_domain *domain;
	const char *why;

	(void)state;
	fixture_add_scope(&fixture_add_unit(false)->scopes, ACPI_SCOPE_ENDPOINT, 0, 3, 0);
	assert_int_equal(fixture_start(), STATUS_OK);
	assert_true(iommu_covers(fixture_find(0, 3), &why));
	assert_false(iommu_covers(fixture_find(0, 2), &why));
	assert_string_equal(why, "no VT-d unit translates for it");
	assert_non_null(strstr(fixture_log, "no unit translates for 3 functions"));
	assert_int_equal(iommu_domain_create("x", &domain), STATUS_OK);
	assert_int_equal(iommu_attach(domain, fixture_find(0, 2)), STATUS_NOT_FOUND);
}

/* A domain over two units: both have dropped what is unmapped; the worse one decides what tables look like. */
static void a_domain_spans_units(void **state)
{
	struct iommu_domain *domain;
	uint64_t reached;

	(void)state;
	fixture_add_io_apic(fixture_add_unit(true));
	fixture_add_scope(&fixture_add_unit(false)->scopes, ACPI_SCOPE_ENDPOINT, 0, 3, 0);
	/* 3 levels, pages of 4 KiB only, past the caches. */
	models[1].capability = (models[1].capability & ~(BIT(34) | BIT(10) | BIT(39) | 0x3full << 16)) | 38ull << 16;
	models[1].extended &= ~BIT(0);
	assert_int_equal(fixture_start(), STATUS_OK);
	assert_int_equal(iommu_domain_create("both", &domain), STATUS_OK);
	assert_int_equal(iommu_domain_limit(domain), (uint64_t)1 << 39);
	assert_int_equal(iommu_attach(domain, fixture_find(0, 2)), STATUS_OK);
	assert_int_equal(iommu_attach(domain, fixture_find(0, 3)), STATUS_OK);
	assert_int_equal(iommu_domain_map(domain, GIB, hpa(64 * MIB), PAGE_SIZE_2M, PAGE_READ | PAGE_WRITE), STATUS_OK);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(model_dma(i, fixture_requester(0, (uint8_t)(2 + i)), GIB + 0x5678, true, &reached), MODEL_OK);
		assert_int_equal(reached, 64 * MIB + 0x5678);
	}
	assert_int_equal(iommu_domain_unmap(domain, GIB, PAGE_SIZE_2M), STATUS_OK);
	assert_int_equal(model_dma(0, fixture_requester(0, 2), GIB + 0x5678, true, &reached), 5);
	assert_int_equal(model_dma(1, fixture_requester(0, 3), GIB + 0x5678, true, &reached), 5);
}

static void five_levels_where_there_are_no_four(void **state)
{
	struct iommu_domain *domain;
	uint64_t reached;

	(void)state;
	models[0].capability = (models[0].capability & ~(BIT(10) | 0x3full << 16)) | BIT(11) | 56ull << 16;
	fixture_start_plain();
	assert_int_equal(iommu_domain_create("five", &domain), STATUS_OK);
	assert_int_equal(iommu_domain_limit(domain), (uint64_t)1 << 57);
	assert_int_equal(iommu_domain_map(domain, BIT(56), hpa(PAGE_SIZE_1G), PAGE_SIZE_1G, PAGE_READ | PAGE_WRITE), STATUS_OK);
	assert_int_equal(iommu_attach(domain, fixture_find(0, 2)), STATUS_OK);
	assert_int_equal(model_dma(0, fixture_requester(0, 2), BIT(56) + 12345, true, &reached), MODEL_OK);
	assert_int_equal(reached, PAGE_SIZE_1G + 12345);
	assert_int_equal(iommu_domain_table(domain)->table_pages, 3);
}

/* ---- what firmware left behind ---- */

static void translation_that_was_on_stays_on(void **state)
{
	uint64_t reached;

	(void)state;
	models[0].status = (uint32_t)(VTD_TRANSLATION | VTD_QUEUED_INVALIDATION | VTD_SET_ROOT_TABLE);
	models[0].queue_head = models[0].queue_tail = 0x40;
	models[0].root_table = 48 * MIB;
	models[0].protected_memory = (uint32_t)VTD_PROTECTED_ENABLE | 1;
	models[0].capability |= BIT(5);
	fixture_start_plain();
	assert_int_equal(models[0].translation_off, 0);
	assert_int_equal(models[0].protected_memory, 0);
	assert_int_equal(model_dma(0, fixture_requester(0, 2), 48 * MIB, true, &reached), 1);
}

/* Tables of scalable mode cannot be exchanged for ours while they are in use. */
static void translation_of_another_mode_is_interrupted(void **state)
{
	uint64_t reached;

	(void)state;
	models[0].status = (uint32_t)VTD_TRANSLATION;
	models[0].root_table = models[0].root_table_next = 48 * MIB | BIT(10);
	fixture_start_plain();
	assert_int_equal(models[0].translation_off, 1);
	assert_true(models[0].status & VTD_TRANSLATION);
	assert_int_equal(model_dma(0, fixture_requester(0, 2), 48 * MIB, true, &reached), 1);
}

static void a_queue_that_firmware_left_broken_is_replaced(void **state)
{
	(void)state;
	models[0].status = (uint32_t)VTD_QUEUED_INVALIDATION;
	models[0].queue_address = 40 * MIB;
	models[0].queue_tail = 0x40; /* of nothing: descriptors of type 0, which it refuses */
	models[0].fault_status = VTD_QUEUE_ERROR;
	fixture_start_plain();
	assert_non_null(strstr(fixture_log, "firmware left invalidations in its queue that do not end"));
	assert_int_equal(models[0].queue_head, models[0].queue_tail);
	assert_int_equal(models[0].fault_status & VTD_QUEUE_ERRORS, 0);
}

static void faults_of_before_are_not_told(void **state)
{
	(void)state;
	models[0].status = (uint32_t)VTD_TRANSLATION;
	for (unsigned i = 0; i < 2 * MODEL_RECORDS; i++)
		model_fault(&models[0], 0x10, 2, true, 0);
	fixture_start_plain();
	iommu_poll_faults();
	assert_null(strstr(fixture_log, "blocked"));
}

/* ---- tables that lie ---- */

static void no_table(void **state)
{
	(void)state;
	assert_fails(STATUS_NOT_FOUND, "tells of no VT-d unit");
	fixture_acpi.dmar.present = false;
	assert_fails(STATUS_NOT_FOUND, "tells of no VT-d unit");
}

static void tables_that_lie_are_not_trusted(void **state)
{
	struct acpi_drhd *first, *second;

	(void)state;
	first = fixture_add_unit(true);
	second = fixture_add_unit(true);
	assert_fails(STATUS_BAD_FORMAT, "VT-d unit at 0xfed91000: another unit of its segment claims all functions");
	second->include_all = false;
	second->registers = first->registers;
	assert_fails(STATUS_BAD_FORMAT, "its registers are another unit's too");
	second->registers = hpa(model_address(1));
	second->scopes.lost = 1;
	assert_fails(STATUS_BAD_FORMAT, "list of its devices is broken or too long");
	second->scopes.lost = 0;
	fixture_acpi.dmar.structures_lost = 1;
	assert_fails(STATUS_BAD_FORMAT, "units may be missing");
	fixture_acpi.dmar.structures_lost = 0;
	second->registers = hpa(model_address(2));
	fixture_unmappable = model_address(2);
	assert_fails(STATUS_UNSUPPORTED, "VT-d unit at 0xfed92000: its registers cannot be mapped");
	fixture_unmappable = 0;
	models[2].absent = true;
	assert_fails(STATUS_UNSUPPORTED, "VT-d unit at 0xfed92000: its registers do not answer");
}

static void reserved_memory_must_be_firmwares(void **state)
{
	hpa_t base;
	uint64_t length;

	(void)state;
	fixture_add_rmrr(RAM_END - PAGE_SIZE, 2 * PAGE_SIZE, 2); /* reaches into RAM */
	fixture_add_rmrr(3 * GIB, PAGE_SIZE / 2, 2);
	fixture_add_rmrr(3 * GIB, 8 * GIB, 2);
	fixture_add_rmrr(3 * GIB + PAGE_SIZE, PAGE_SIZE, 2);
	fixture_start_plain();
	assert_true(iommu_reserved_memory(fixture_find(0, 2), 0, &base, &length));
	assert_int_equal(base.value, 3 * GIB + PAGE_SIZE);
	assert_false(iommu_reserved_memory(fixture_find(0, 2), 1, &base, &length));
	assert_non_null(strstr(fixture_log, "memory 0x3ffff000..0x40000fff that firmware wants for devices is not given to them"));
}

static void reserved_ranges_may_overlap(void **state)
{
	uint64_t reached;

	(void)state;
	fixture_add_rmrr(3 * GIB, 4 * PAGE_SIZE, 2);
	fixture_add_rmrr(3 * GIB + 2 * PAGE_SIZE, 4 * PAGE_SIZE, 2);
	fixture_start_plain();
	for (unsigned i = 0; i < 6; i++) {
		assert_int_equal(model_dma(0, fixture_requester(0, 2), 3 * GIB + i * PAGE_SIZE, true, &reached), MODEL_OK);
		assert_int_equal(reached, 3 * GIB + i * PAGE_SIZE);
	}
	assert_int_equal(model_dma(0, fixture_requester(0, 2), 3 * GIB + 6 * PAGE_SIZE, true, &reached), 5);
}

/* It costs the firmware its memory, and leaves nothing behind. */
static void no_memory_for_reserved_ranges(void **state)
{
	uint64_t reached;

	(void)state;
	fixture_add_rmrr(3 * GIB, PAGE_SIZE, 2);
	fixture_add_io_apic(fixture_add_unit(true));
	pool_fail_at = 4; /* functions, root table, the domain's root; then a table of it */
	assert_int_equal(fixture_start(), STATUS_OK);
	assert_non_null(strstr(fixture_log, "firmware keeps for 0000:00:02.0 cannot be mapped: no memory"));
	assert_int_equal(page_pool_owned_bytes(PAGE_OWNER_TABLE), 0);
	assert_int_not_equal(model_dma(0, fixture_requester(0, 2), 3 * GIB, true, &reached), MODEL_OK);
}

/* ---- units that fail ---- */

static void steps_that_fail_are_named(void **state)
{
	static const struct { uint64_t deaf_to; const char *reason; } rows[] = {
		{VTD_QUEUED_INVALIDATION, "its invalidation queue does not start"},
		{VTD_SET_ROOT_TABLE, "it does not take its root table"},
		{VTD_TRANSLATION, "it does not switch translation on"},
	};

	(void)state;
	fixture_add_io_apic(fixture_add_unit(true));
	for (size_t i = 0; i < array_count(rows); i++) {
		models[0].status = 0;
		models[0].deaf_to = (uint32_t)rows[i].deaf_to;
		assert_fails(STATUS_TIMEOUT, rows[i].reason);
	}
	models[0].status = models[0].deaf_to = 0;
	models[0].stuck = true;
	assert_fails(STATUS_TIMEOUT, "it does not invalidate");
}

static void without_memory_nothing_is_switched_on(void **state)
{
	(void)state;
	fixture_add_io_apic(fixture_add_unit(true));
	pool_fail_at = 1; /* the first is for the machine's functions */
	assert_fails(STATUS_NO_MEMORY, "no memory for VT-d's tables");
	pool_fail_at = 2;
	assert_fails(STATUS_NO_MEMORY, "its invalidation queue does not start");
	assert_false(models[0].status & VTD_TRANSLATION);
}

static void capabilities_that_cannot_be(void **state)
{
	static const struct { uint64_t clear, set, extended_clear, extended_set; const char *reason; } rows[] = {
		{~0ull, 0, 0, 0, "its registers do not answer"},
		{0, ~0ull, 0, 0, "its registers do not answer"},
		{0x1full << 8, 0, 0, 0, "it offers no second-stage tables of 3, 4 or 5 levels"},
		{0x1full << 8, 0x11ull << 8, 0, 0, "it offers no second-stage tables of 3, 4 or 5 levels"},
		{0x3ffull << 24, 0, 0, 0, "its fault records lie where none can be"},
		{0, 0, 0x3ffull << 8, 0, "its IOTLB registers lie where none can be"},
		{0, 0, 0x3ffull << 8, 0x22ull << 8, "its IOTLB registers lie in its fault records"},
	};
	struct vtd_capabilities capabilities;

	(void)state;
	assert_null(vtd_capabilities_decode(MODEL_CAPABILITY, MODEL_EXTENDED, &capabilities));
	for (size_t i = 0; i < array_count(rows); i++)
		assert_string_equal(vtd_capabilities_decode((MODEL_CAPABILITY & ~rows[i].clear) | rows[i].set,
							    (MODEL_EXTENDED & ~rows[i].extended_clear) | rows[i].extended_set,
							    &capabilities), rows[i].reason);
}

/* CAP and ECAP of QEMU 7.2's unit. */
static void capabilities_of_a_known_unit(void **state)
{
	struct vtd_capabilities capabilities;

	(void)state;
	assert_null(vtd_capabilities_decode(0xd2008c222f0606, 0xf00f4a, &capabilities));
	assert_int_equal(capabilities.domain_count, 65536);
	assert_int_equal(capabilities.width, 48);
	assert_int_equal(capabilities.level_mask, BIT(3) | BIT(4));
	assert_int_equal(capabilities.fault_records, 1);
	assert_int_equal(capabilities.fault_offset, 0x220);
	assert_int_equal(capabilities.iotlb_offset, 0xf0);
	assert_int_equal(capabilities.page_mask_limit, 18);
	assert_true(capabilities.page_2m && capabilities.page_1g && capabilities.page_selective);
	assert_true(capabilities.queued_invalidation && capabilities.interrupt_remapping);
	assert_false(capabilities.coherent || capabilities.device_tlb || capabilities.extended_interrupts ||
		     capabilities.posted_interrupts || capabilities.snoop_control || capabilities.caching_mode);
	/* What is built on something that is missing is missing. */
	assert_null(vtd_capabilities_decode(0xd2008c222f0606 | BIT(59), 0xf00f4a & ~BIT(1), &capabilities));
	assert_false(capabilities.interrupt_remapping || capabilities.posted_interrupts);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, iommu_fixture_set_up, iommu_fixture_tear_down)
	const struct CMUnitTest tests[] = {
		/* Before others have found a unit. */
		TEST(no_table),
		TEST(tables_that_lie_are_not_trusted),
		TEST(steps_that_fail_are_named),
		TEST(without_memory_nothing_is_switched_on),
		TEST(explicit_scopes_come_before_the_unit_for_all),
		TEST(paths_lead_through_bridges),
		TEST(a_function_of_no_unit_is_not_given_away),
		TEST(a_domain_spans_units),
		TEST(five_levels_where_there_are_no_four),
		TEST(translation_that_was_on_stays_on),
		TEST(translation_of_another_mode_is_interrupted),
		TEST(a_queue_that_firmware_left_broken_is_replaced),
		TEST(faults_of_before_are_not_told),
		TEST(reserved_memory_must_be_firmwares),
		TEST(reserved_ranges_may_overlap),
		TEST(no_memory_for_reserved_ranges),
		TEST(capabilities_that_cannot_be),
		TEST(capabilities_of_a_known_unit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
