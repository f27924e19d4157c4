/* What units can and lack changes what is done: each kind of unit does what is asked of it, and each refusal of one is survived. */
#include "tests/unit/iommu_fixture.h"

#define MAPPED 0x40000000ull
#define TARGET (32 * MIB)
#define LARGE_PAGES (BIT(34) | BIT(35))
#define SNOOP_CONTROL BIT(7)

static struct iommu_domain *domain;

static void start(void)
{
	fixture_start_plain();
	assert_int_equal(iommu_domain_create("vm web", &domain), STATUS_OK);
	assert_int_equal(iommu_attach(domain, fixture_find(0, 2)), STATUS_OK);
}

static void map(uint64_t input, uint64_t length)
{
	assert_int_equal(iommu_domain_map(domain, input, hpa(TARGET), length, PAGE_READ | PAGE_WRITE), STATUS_OK);
}

static uint8_t dma(uint64_t input)
{
	uint64_t reached;

	return model_dma(0, fixture_requester(0, 2), input, true, &reached);
}

/* A unit in caching mode keeps what is absent as well, so that it must be told of all that comes. */
static void caching_mode(void **state)
{
	(void)state;
	models[0].capability |= BIT(7);
	fixture_start_plain();
	assert_int_equal(dma(MAPPED), 1);
	assert_int_equal(iommu_domain_create("vm web", &domain), STATUS_OK);
	assert_int_not_equal(domain, NULL);
	assert_int_equal(iommu_attach(domain, fixture_find(0, 2)), STATUS_OK);
	assert_int_equal(dma(MAPPED), 5);
	map(MAPPED, PAGE_SIZE);
	assert_int_equal(dma(MAPPED), MODEL_OK);
	assert_int_equal(iommu_domain_unmap(domain, MAPPED, PAGE_SIZE), STATUS_OK);
	assert_int_equal(dma(MAPPED), 5);
	assert_int_equal(iommu_detach(fixture_find(0, 2)), STATUS_OK);
	assert_int_equal(dma(MAPPED), 2);
	assert_int_equal(iommu_attach(domain, fixture_find(0, 2)), STATUS_OK);
	map(MAPPED, PAGE_SIZE);
	assert_int_equal(dma(MAPPED), MODEL_OK);
}

/* Number 0 is what a unit in caching mode gives to what is absent. */
static void find_domain(void *context, uint16_t segment, uint16_t requester, hpa_t table, const struct iommu_domain *found)
{
	(void)segment, (void)requester, (void)table;
	*(bool *)context = found != NULL;
}

static void no_domain_has_number_0(void **state)
{
	static const struct iommu_visitor visitor = {.context_entry = find_domain};
	bool found = false;

	(void)state;
	start();
	iommu_audit(&visitor, &found);
	assert_true(found);
	(void)dma(MAPPED);
	for (unsigned i = 0; i < MODEL_CACHE; i++)
		assert_true(!models[0].contexts[i].valid || models[0].contexts[i].high >> 8 != 0);
}

/* What the CPU has written may stay on its way to memory until the buffer between is flushed. */
static void write_buffers(void **state)
{
	unsigned before;

	(void)state;
	models[0].capability |= BIT(4);
	start();
	before = models[0].write_buffer_flushes;
	assert_true(before > 0);
	map(MAPPED, PAGE_SIZE);
	assert_int_equal(models[0].write_buffer_flushes, before + 1);
	assert_int_equal(iommu_domain_unmap(domain, MAPPED, PAGE_SIZE), STATUS_OK);
	assert_int_equal(models[0].write_buffer_flushes, before + 2);
}

static void snooping_only_where_it_is_controlled(void **state)
{
	(void)state;
	models[0].extended &= ~SNOOP_CONTROL;
	start();
	map(MAPPED, PAGE_SIZE);
	assert_int_equal(dma(MAPPED), MODEL_OK);
	assert_int_equal(models[0].reserved_bits, 0);
}

static void snooping_where_it_is(void **state)
{
	struct page_table_leaf leaf;

	(void)state;
	start();
	map(MAPPED, PAGE_SIZE);
	assert_int_equal(page_table_lookup(iommu_domain_table(domain), MAPPED, &leaf), STATUS_OK);
	assert_true(leaf.attributes & PAGE_SNOOP);
}

/* Depths of tables, and widths of addresses that are less than they reach. */
static void depths_and_widths(void **state)
{
	static const struct { uint64_t depths, width; unsigned limit; } rows[] = {
		{BIT(9), 39, 39}, {BIT(10), 48, 48}, {BIT(11), 57, 57}, {BIT(9) | BIT(10) | BIT(11), 57, 48},
		{BIT(10), 39, 39}, {BIT(9) | BIT(11), 57, 57}, {BIT(11), 52, 52},
	};

	for (size_t i = 0; i < array_count(rows); i++) {
		uint64_t last;

		iommu_fixture_tear_down(state);
		iommu_fixture_set_up(state);
		models[0].capability = (MODEL_CAPABILITY & ~(0x1full << 8 | 0x3full << 16)) | rows[i].depths | (rows[i].width - 1) << 16;
		start();
		last = ((uint64_t)1 << rows[i].limit) - PAGE_SIZE;
		assert_int_equal(iommu_domain_limit(domain), (uint64_t)1 << rows[i].limit);
		map(last, PAGE_SIZE);
		assert_int_equal(dma(last), MODEL_OK);
		assert_int_equal(dma(last + PAGE_SIZE), 4);
		assert_int_equal(iommu_domain_map(domain, last + PAGE_SIZE, hpa(TARGET), PAGE_SIZE, PAGE_READ), STATUS_OUT_OF_RANGE);
	}
}

static uint64_t leaf_size(uint64_t large_pages)
{
	struct page_table_leaf leaf;
	void *state = NULL;

	iommu_fixture_tear_down(&state);
	iommu_fixture_set_up(&state);
	models[0].capability = (MODEL_CAPABILITY & ~LARGE_PAGES) | large_pages;
	start();
	assert_int_equal(iommu_domain_map(domain, GIB, hpa(GIB), GIB, PAGE_READ | PAGE_WRITE), STATUS_OK);
	assert_int_equal(dma(GIB + 12345 * PAGE_SIZE), MODEL_OK);
	assert_int_equal(page_table_lookup(iommu_domain_table(domain), GIB, &leaf), STATUS_OK);
	return leaf.page_size;
}

static void sizes_of_pages(void **state)
{
	(void)state;
	assert_int_equal(leaf_size(0), PAGE_SIZE);
	assert_int_equal(leaf_size(BIT(34)), PAGE_SIZE_2M);
	assert_int_equal(leaf_size(BIT(34) | BIT(35)), PAGE_SIZE_1G);
	assert_int_equal(leaf_size(BIT(35)), PAGE_SIZE); /* cannot be */
}

/* Without selective invalidation, or beyond the largest that it takes, all of the domain is dropped. */
static void invalidation_of_what_the_unit_can(void **state)
{
	(void)state;
	models[0].capability &= ~BIT(39);
	start();
	map(MAPPED, PAGE_SIZE);
	assert_int_equal(dma(MAPPED), MODEL_OK);
	assert_int_equal(iommu_domain_unmap(domain, MAPPED, PAGE_SIZE), STATUS_OK);
	assert_int_equal(models[0].page_invalidations, 0);
	assert_int_equal(dma(MAPPED), 5);
}

static void large_invalidations(void **state)
{
	(void)state;
	models[0].capability = (models[0].capability & ~(0x3full << 48)) | 9ull << 48;
	start();
	map(MAPPED, 4 * MIB);
	assert_int_equal(dma(MAPPED), MODEL_OK);
	assert_int_equal(iommu_domain_unmap(domain, MAPPED, 2 * MIB), STATUS_OK);
	assert_int_equal(models[0].page_invalidations, 1);
	assert_int_equal(iommu_domain_unmap(domain, MAPPED, 4 * MIB), STATUS_OK);
	assert_int_equal(models[0].page_invalidations, 1);
	assert_int_equal(dma(MAPPED + 2 * MIB), 5);
}

static void protected_memory_is_released_after_translation_is_on(void **state)
{
	(void)state;
	models[0].capability |= BIT(6);
	models[0].protected_memory = (uint32_t)VTD_PROTECTED_ENABLE | 1;
	start();
	assert_int_equal(models[0].protected_memory, 0);
	assert_true(models[0].protected_while_off);
}

/* Each kind of descriptor refused: the caller is told, the queue goes on, and what was asked for is done when it is asked again. */
static void refused_descriptors(void **state)
{
	struct iommu_interrupt interrupt;

	(void)state;
	start();
	map(MAPPED, PAGE_SIZE);
	models[0].refuse_descriptor = VTD_DESCRIPTOR_CONTEXT;
	assert_int_equal(iommu_attach(domain, fixture_find(0, 3)), STATUS_IO);
	assert_null(iommu_domain_of(fixture_find(0, 3)));
	models[0].refuse_descriptor = VTD_DESCRIPTOR_WAIT;
	assert_int_equal(iommu_domain_unmap(domain, MAPPED, PAGE_SIZE), STATUS_IO);
	assert_int_equal(iommu_interrupt_allocate(fixture_find(0, 2), &interrupt), STATUS_OK);
	models[0].refuse_descriptor = VTD_DESCRIPTOR_INTERRUPT;
	assert_int_equal(iommu_interrupt_route(&interrupt, 0x51, 0), STATUS_IO);
	assert_int_equal(iommu_interrupt_route(&interrupt, 0x51, 0), STATUS_OK);
	assert_int_equal(iommu_domain_unmap(domain, MAPPED, PAGE_SIZE), STATUS_OK);
	assert_int_equal(dma(MAPPED), 5);
	assert_int_equal(models[0].queue_head, models[0].queue_tail);
	iommu_interrupt_free(&interrupt);
}

/* A unit that is gone reads as all ones: nothing waits for ever for it, and nothing is believed of it. */
static void a_unit_that_goes_away(void **state)
{
	(void)state;
	start();
	map(MAPPED, PAGE_SIZE);
	models[0].absent = true;
	assert_int_not_equal(iommu_domain_unmap(domain, MAPPED, PAGE_SIZE), STATUS_OK);
	assert_int_not_equal(iommu_attach(domain, fixture_find(0, 3)), STATUS_OK);
	fixture_log[0] = '\0';
	iommu_poll_faults();
	assert_string_equal(fixture_log, "");
	iommu_domain_destroy(domain);
	assert_non_null(strstr(fixture_log, "not given back"));
	models[0].absent = false;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, iommu_fixture_set_up, iommu_fixture_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(caching_mode),
		TEST(no_domain_has_number_0),
		TEST(write_buffers),
		TEST(snooping_only_where_it_is_controlled),
		TEST(snooping_where_it_is),
		TEST(depths_and_widths),
		TEST(sizes_of_pages),
		TEST(invalidation_of_what_the_unit_can),
		TEST(large_invalidations),
		TEST(protected_memory_is_released_after_translation_is_on),
		TEST(refused_descriptors),
		TEST(a_unit_that_goes_away),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
