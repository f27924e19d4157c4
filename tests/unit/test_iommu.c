/* Domains on a VT-d unit that caches everything it may: what devices reach, what they do not, and what a unit can do wrong. */
#include "tests/unit/iommu_fixture.h"

#define MAPPED 0x40000000ull /* in a domain */
#define TARGET (32 * MIB)    /* in RAM */

static struct iommu_domain *domain;

static void make_domain(void)
{
	assert_int_equal(iommu_domain_create("vm web", &domain), STATUS_OK);
}

static void map(uint64_t input, uint64_t output, uint64_t length, uint32_t attributes)
{
	assert_int_equal(iommu_domain_map(domain, input, hpa(output), length, attributes), STATUS_OK);
}

static void assert_reaches(uint16_t requester, uint64_t input, uint64_t output)
{
	uint64_t reached;

	assert_int_equal(model_dma(0, requester, input, true, &reached), MODEL_OK);
	assert_int_equal(reached, output);
	assert_int_equal(model_dma(0, requester, input, false, &reached), MODEL_OK);
	assert_int_equal(reached, output);
}

static void assert_blocked(uint16_t requester, uint64_t input, uint8_t write_reason)
{
	uint64_t reached;

	assert_int_equal(model_dma(0, requester, input, true, &reached), write_reason);
	iommu_poll_faults();
}

static void everything_is_blocked_from_the_start(void **state)
{
	uint64_t reached;

	(void)state;
	assert_int_equal(model_dma(0, fixture_requester(0, 2), TARGET, true, &reached), MODEL_BYPASS);
	fixture_start_plain();
	for (uint32_t i = 0; i < pci_count(); i++)
		assert_blocked(pci_requester_id(pci_get(i)), TARGET, 1);
	assert_int_equal(models[0].fault_status & (VTD_FAULT_PENDING | VTD_FAULT_OVERFLOW), 0);
	assert_non_null(strstr(fixture_log, "quarantine: device 0000:00:02.0: write to 0x2000000 blocked: its bus has no domain"));
	assert_null(iommu_domain_of(fixture_find(0, 2)));
}

static void a_domain_is_what_its_functions_reach(void **state)
{
	(void)state;
	fixture_start_plain();
	make_domain();
	map(MAPPED, TARGET, 4 * PAGE_SIZE, PAGE_READ | PAGE_WRITE);
	assert_int_equal(iommu_attach(domain, fixture_find(0, 2)), STATUS_OK);
	assert_reaches(fixture_requester(0, 2), MAPPED, TARGET);
	assert_reaches(fixture_requester(0, 2), MAPPED + 4 * PAGE_SIZE - 1, TARGET + 4 * PAGE_SIZE - 1);
	assert_blocked(fixture_requester(0, 2), MAPPED + 4 * PAGE_SIZE, 5);
	assert_blocked(fixture_requester(0, 2), TARGET, 5);
	assert_blocked(fixture_requester(0, 3), MAPPED, 2);
	assert_blocked(fixture_requester(1, 0), MAPPED, 1);
	assert_ptr_equal(iommu_domain_of(fixture_find(0, 2)), domain);
	assert_string_equal(iommu_domain_name(domain), "vm web");
	assert_non_null(strstr(fixture_log, "vm web: device 0000:00:02.0: write to 0x40004000 blocked: not mapped for writing"));
}

static void what_is_unmapped_is_out_of_the_caches(void **state)
{
	uint64_t tables;

	(void)state;
	fixture_start_plain();
	make_domain();
	map(MAPPED, TARGET, 2 * PAGE_SIZE_2M, PAGE_READ | PAGE_WRITE);
	assert_int_equal(iommu_attach(domain, fixture_find(0, 2)), STATUS_OK);
	assert_reaches(fixture_requester(0, 2), MAPPED, TARGET);
	assert_reaches(fixture_requester(0, 2), MAPPED + PAGE_SIZE_2M, TARGET + PAGE_SIZE_2M);
	/* From the middle of a large page. */
	assert_int_equal(iommu_domain_unmap(domain, MAPPED + PAGE_SIZE, PAGE_SIZE), STATUS_OK);
	assert_int_equal(models[0].page_invalidations, 1);
	assert_reaches(fixture_requester(0, 2), MAPPED, TARGET);
	assert_blocked(fixture_requester(0, 2), MAPPED + PAGE_SIZE, 5);
	assert_reaches(fixture_requester(0, 2), MAPPED + 2 * PAGE_SIZE, TARGET + 2 * PAGE_SIZE);
	/* Tables that a unit may have noted the place of stay until the domain ends. */
	tables = iommu_domain_table(domain)->table_pages;
	assert_int_equal(iommu_domain_unmap(domain, MAPPED, 2 * PAGE_SIZE_2M), STATUS_OK);
	assert_int_equal(iommu_domain_table(domain)->table_pages, tables);
	assert_blocked(fixture_requester(0, 2), MAPPED, 5);
	assert_blocked(fixture_requester(0, 2), MAPPED + PAGE_SIZE_2M, 5);
	/* The same place again, with other memory behind it. */
	map(MAPPED, TARGET + GIB / 2, PAGE_SIZE_2M, PAGE_READ);
	assert_blocked(fixture_requester(0, 2), MAPPED, 5);
	assert_int_equal(iommu_domain_unmap(domain, MAPPED, PAGE_SIZE_2M), STATUS_OK);
}

static void a_detached_function_reaches_nothing(void **state)
{
	unsigned used;

	(void)state;
	fixture_start_plain();
	make_domain();
	map(MAPPED, TARGET, PAGE_SIZE, PAGE_READ | PAGE_WRITE);
	assert_int_equal(iommu_attach(domain, fixture_find(1, 0)), STATUS_OK);
	assert_int_equal(iommu_attach(domain, fixture_find(1, 0)), STATUS_EXISTS);
	used = pool_used;
	assert_reaches(fixture_requester(1, 0), MAPPED, TARGET);
	assert_int_equal(iommu_detach(fixture_find(1, 0)), STATUS_OK);
	assert_blocked(fixture_requester(1, 0), MAPPED, 2);
	assert_int_equal(iommu_detach(fixture_find(1, 0)), STATUS_OK);
	/* Destroying detaches, and gives all tables back. */
	assert_int_equal(iommu_attach(domain, fixture_find(1, 0)), STATUS_OK);
	assert_reaches(fixture_requester(1, 0), MAPPED, TARGET);
	iommu_domain_destroy(domain);
	assert_blocked(fixture_requester(1, 0), MAPPED, 2);
	assert_true(pool_used < used);
	assert_int_equal(page_pool_owned_bytes(PAGE_OWNER_TABLE), 0);
	/* The next domain has the same id and nothing of the old one. */
	make_domain();
	assert_int_equal(iommu_attach(domain, fixture_find(1, 0)), STATUS_OK);
	assert_blocked(fixture_requester(1, 0), MAPPED, 5);
}

static void refusals_change_nothing(void **state)
{
	uint64_t reached;

	(void)state;
	fixture_start_plain();
	make_domain();
	map(MAPPED, TARGET, PAGE_SIZE, PAGE_READ);
	assert_int_equal(iommu_domain_map(domain, MAPPED, hpa(TARGET), PAGE_SIZE, PAGE_READ), STATUS_EXISTS);
	assert_int_equal(iommu_domain_map(domain, iommu_domain_limit(domain), hpa(0), PAGE_SIZE, PAGE_READ), STATUS_OUT_OF_RANGE);
	assert_int_equal(iommu_domain_map(domain, MAPPED + 1, hpa(0), PAGE_SIZE, PAGE_READ), STATUS_INVALID);
	assert_int_equal(iommu_domain_limit(domain), (uint64_t)1 << 48);
	assert_int_equal(iommu_attach(domain, fixture_find(0, 2)), STATUS_OK);
	assert_int_equal(model_dma(0, fixture_requester(0, 2), MAPPED, false, &reached), MODEL_OK);
	assert_blocked(fixture_requester(0, 2), MAPPED, 5);
	pool_fail_at = 0;
	assert_int_equal(iommu_attach(domain, fixture_find(1, 0)), STATUS_NO_MEMORY);
	pool_fail_at = 0;
	assert_int_equal(iommu_domain_create("x", &domain), STATUS_NO_MEMORY);
	assert_blocked(fixture_requester(1, 0), MAPPED, 1);
	pool_fail_at = UINT32_MAX;
}

/* Nothing is read but what was flushed; what never was reads as all ones. */
static void a_unit_past_the_caches_sees_every_change(void **state)
{
	(void)state;
	for (unsigned i = 0; i < MODEL_UNITS; i++)
		models[i].extended &= ~BIT(0);
	fixture_start_plain();
	assert_blocked(fixture_requester(0, 2), MAPPED, 1);
	make_domain();
	map(MAPPED, TARGET, PAGE_SIZE_2M, PAGE_READ | PAGE_WRITE);
	assert_int_equal(iommu_attach(domain, fixture_find(0, 2)), STATUS_OK);
	assert_reaches(fixture_requester(0, 2), MAPPED, TARGET);
	assert_int_equal(iommu_domain_unmap(domain, MAPPED + 8 * PAGE_SIZE, PAGE_SIZE), STATUS_OK);
	assert_reaches(fixture_requester(0, 2), MAPPED + 7 * PAGE_SIZE, TARGET + 7 * PAGE_SIZE);
	assert_blocked(fixture_requester(0, 2), MAPPED + 8 * PAGE_SIZE, 5);
	assert_int_equal(iommu_detach(fixture_find(0, 2)), STATUS_OK);
	assert_blocked(fixture_requester(0, 2), MAPPED, 2);
}

static void registers_do_where_there_is_no_queue(void **state)
{
	const char *why;

	(void)state;
	models[0].extended &= ~BIT(1);
	fixture_start_plain();
	assert_false(iommu_isolates_interrupts(&why));
	assert_non_null(strstr(why, "cannot remap interrupts"));
	make_domain();
	map(MAPPED, TARGET, PAGE_SIZE, PAGE_READ | PAGE_WRITE);
	assert_int_equal(iommu_attach(domain, fixture_find(0, 2)), STATUS_OK);
	assert_reaches(fixture_requester(0, 2), MAPPED, TARGET);
	assert_int_equal(iommu_domain_unmap(domain, MAPPED, PAGE_SIZE), STATUS_OK);
	assert_blocked(fixture_requester(0, 2), MAPPED, 5);
	assert_int_equal(models[0].queue_runs, 0);
	models[0].stuck = true;
	assert_int_equal(iommu_domain_unmap(domain, MAPPED, PAGE_SIZE), STATUS_TIMEOUT);
	models[0].stuck = false;
}

static void a_queue_that_stands_still_is_told(void **state)
{
	unsigned used;

	(void)state;
	fixture_start_plain();
	make_domain();
	map(MAPPED, TARGET, PAGE_SIZE, PAGE_READ | PAGE_WRITE);
	assert_int_equal(iommu_attach(domain, fixture_find(0, 2)), STATUS_OK);
	models[0].stuck = true;
	assert_int_equal(iommu_domain_unmap(domain, MAPPED, PAGE_SIZE), STATUS_TIMEOUT);
	/* Not for ever: the queue is not overrun by asking again and again. */
	for (unsigned i = 0; i < 200; i++)
		assert_int_equal(iommu_domain_unmap(domain, MAPPED, PAGE_SIZE), STATUS_TIMEOUT);
	assert_int_equal(iommu_attach(domain, fixture_find(0, 3)), STATUS_TIMEOUT);
	assert_ptr_not_equal(iommu_domain_of(fixture_find(0, 3)), domain);
	/* Tables that a unit may still read stay taken. */
	used = pool_used;
	fixture_log[0] = '\0';
	iommu_domain_destroy(domain);
	assert_int_equal(pool_used, used);
	assert_non_null(strstr(fixture_log, "not given back"));
	models[0].stuck = false;
}

static void errors_of_the_queue_do_not_stop_it(void **state)
{
	(void)state;
	fixture_start_plain();
	make_domain();
	map(MAPPED, TARGET, PAGE_SIZE, PAGE_READ | PAGE_WRITE);
	assert_int_equal(iommu_attach(domain, fixture_find(0, 2)), STATUS_OK);
	assert_reaches(fixture_requester(0, 2), MAPPED, TARGET);
	models[0].refuse_descriptor = VTD_DESCRIPTOR_IOTLB;
	assert_int_equal(iommu_domain_unmap(domain, MAPPED, PAGE_SIZE), STATUS_IO);
	assert_non_null(strstr(fixture_log, "refuses an invalidation"));
	assert_int_equal(models[0].queue_head, models[0].queue_tail);
	assert_int_equal(iommu_domain_unmap(domain, MAPPED, PAGE_SIZE), STATUS_OK);
	assert_blocked(fixture_requester(0, 2), MAPPED, 5);
}

/* The queue has 256 places and goes round. */
static void the_queue_wraps(void **state)
{
	(void)state;
	fixture_start_plain();
	make_domain();
	assert_int_equal(iommu_attach(domain, fixture_find(0, 2)), STATUS_OK);
	for (unsigned i = 0; i < 600; i++) {
		map(MAPPED, TARGET + (i % 8) * PAGE_SIZE, PAGE_SIZE, PAGE_READ | PAGE_WRITE);
		assert_reaches(fixture_requester(0, 2), MAPPED, TARGET + (i % 8) * PAGE_SIZE);
		assert_int_equal(iommu_domain_unmap(domain, MAPPED, PAGE_SIZE), STATUS_OK);
	}
}

static void firmware_keeps_its_memory_and_no_more(void **state)
{
	hpa_t base;
	uint64_t length;

	(void)state;
	fixture_add_rmrr(2 * GIB, 16 * PAGE_SIZE, 3);
	fixture_add_rmrr(TARGET, PAGE_SIZE, 2); /* RAM that is the hypervisor's */
	fixture_start_plain();
	assert_reaches(fixture_requester(0, 3), 2 * GIB + PAGE_SIZE, 2 * GIB + PAGE_SIZE);
	assert_blocked(fixture_requester(0, 3), 2 * GIB + 16 * PAGE_SIZE, 5);
	assert_blocked(fixture_requester(0, 2), TARGET, 2);
	assert_null(iommu_domain_of(fixture_find(0, 3)));
	assert_true(iommu_reserved_memory(fixture_find(0, 3), 0, &base, &length));
	assert_int_equal(base.value, 2 * GIB);
	assert_int_equal(length, 16 * PAGE_SIZE);
	assert_false(iommu_reserved_memory(fixture_find(0, 3), 1, &base, &length));
	assert_false(iommu_reserved_memory(fixture_find(0, 2), 0, &base, &length));
	/* In a VM it has what the VM has; afterwards the firmware has it again. */
	make_domain();
	assert_int_equal(iommu_attach(domain, fixture_find(0, 3)), STATUS_OK);
	assert_blocked(fixture_requester(0, 3), 2 * GIB, 5);
	assert_int_equal(iommu_detach(fixture_find(0, 3)), STATUS_OK);
	assert_reaches(fixture_requester(0, 3), 2 * GIB, 2 * GIB);
}

static unsigned audited_contexts, audited_domains, audited_pages;

static void audit_context(void *context, uint16_t segment, uint16_t requester, hpa_t table, const struct iommu_domain *found)
{
	(void)context, (void)segment;
	audited_contexts++;
	assert_int_equal(requester, fixture_requester(0, 2));
	assert_ptr_equal(found, domain);
	assert_int_equal(table.value, iommu_domain_table(domain)->root.value);
}

static void audit_domain(void *context, const struct iommu_domain *found)
{
	(void)context, (void)found;
	audited_domains++;
}

static void audit_page(void *context, hpa_t page)
{
	(void)context;
	audited_pages++;
	assert_int_equal(page_pool_owned_bytes(PAGE_OWNER_HYPERVISOR) % PAGE_SIZE, 0);
	assert_true(page.value >= POOL_BASE && is_aligned(page.value, PAGE_SIZE));
}

static void audits_see_what_stands_in_memory(void **state)
{
	static const struct iommu_visitor visitor = {.domain = audit_domain, .context_entry = audit_context, .page = audit_page};
	unsigned before;

	(void)state;
	fixture_start_plain();
	/* Those that other tests lost stay for ever. */
	audited_domains = 0;
	iommu_audit(&visitor, NULL);
	before = audited_domains;
	audited_contexts = audited_domains = audited_pages = 0;
	make_domain();
	assert_int_equal(iommu_attach(domain, fixture_find(0, 2)), STATUS_OK);
	iommu_audit(&visitor, NULL);
	assert_true(iommu_domain_has_source(domain, 0, fixture_requester(0, 2)));
	assert_false(iommu_domain_has_source(domain, 0, fixture_requester(0, 3)));
	assert_false(iommu_domain_has_source(domain, 1, fixture_requester(0, 2)));
	assert_int_equal(audited_contexts, 1);
	assert_int_equal(audited_domains, before + 1);
	/* Root, one context table, queue and its status, 4 of interrupt entries; one holds the machine's functions. */
	assert_int_equal(audited_pages, 8);
	assert_int_equal(page_pool_owned_bytes(PAGE_OWNER_HYPERVISOR), (8 + 1) * PAGE_SIZE);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, iommu_fixture_set_up, iommu_fixture_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(everything_is_blocked_from_the_start),
		TEST(a_domain_is_what_its_functions_reach),
		TEST(what_is_unmapped_is_out_of_the_caches),
		TEST(a_detached_function_reaches_nothing),
		TEST(refusals_change_nothing),
		TEST(a_unit_past_the_caches_sees_every_change),
		TEST(registers_do_where_there_is_no_queue),
		TEST(a_queue_that_stands_still_is_told),
		TEST(errors_of_the_queue_do_not_stop_it),
		TEST(the_queue_wraps),
		TEST(firmware_keeps_its_memory_and_no_more),
		TEST(audits_see_what_stands_in_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
