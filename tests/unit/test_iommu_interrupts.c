/* Interrupt remapping: a device raises what it was given and nothing else; the host's I/O APICs go through entries too. */
#include "drivers/iommu/vtd_unit.h"
#include "tests/unit/iommu_fixture.h"

static struct iommu_interrupt interrupt, others[VTD_INTERRUPT_ENTRIES];

static uint8_t raise(uint8_t bus, uint8_t device, uint64_t address, uint8_t *vector, uint32_t *destination)
{
	uint64_t low = 0, high = 0;
	uint8_t reason = model_msi(0, fixture_requester(bus, device), address, &low, &high);

	*vector = (uint8_t)(low >> 16);
	*destination = (uint32_t)(low >> 32);
	return reason;
}

static void assert_raises(uint8_t bus, uint8_t device, uint8_t expected_vector, uint32_t expected_destination)
{
	uint32_t destination;
	uint8_t vector;

	assert_int_equal(raise(bus, device, interrupt.address, &vector, &destination), MODEL_OK);
	assert_int_equal(vector, expected_vector);
	assert_int_equal(destination, expected_destination);
}

static void assert_fault(uint8_t bus, uint8_t device, uint64_t address, uint8_t reason)
{
	uint32_t destination;
	uint8_t vector;

	assert_int_equal(raise(bus, device, address, &vector, &destination), reason);
	iommu_poll_faults();
}

static void an_entry_is_for_one_device(void **state)
{
	const char *why;

	(void)state;
	fixture_start_plain();
	assert_true(iommu_isolates_interrupts(&why));
	assert_int_equal(iommu_interrupt_allocate(fixture_find(0, 2), &interrupt), STATUS_OK);
	assert_fault(0, 2, interrupt.address, 0x22);
	assert_int_equal(iommu_interrupt_route(&interrupt, 0x51, 3), STATUS_OK);
	assert_raises(0, 2, 0x51, 3 << 8);
	assert_fault(0, 3, interrupt.address, 0x26);
	assert_non_null(strstr(fixture_log, "quarantine: device 0000:00:03.0: interrupt by entry 0 blocked: the interrupt entry belongs "
					    "to another device"));
	/* The format of old, all CPUs, vector in the data; and entries that are none. */
	assert_fault(0, 2, 0xfee00000, 0x25);
	assert_fault(0, 2, 0xfee00010 | 7 << 5, 0x22);
	assert_fault(0, 2, 0xfee00010 | 5000 << 5, 0x21);
	assert_non_null(strstr(fixture_log, "not in the remappable format"));
	iommu_interrupt_free(&interrupt);
}

static void routes_change_at_once(void **state)
{
	(void)state;
	fixture_start_plain();
	assert_int_equal(iommu_interrupt_allocate(fixture_find(0, 2), &interrupt), STATUS_OK);
	assert_int_equal(iommu_interrupt_route(&interrupt, 0x51, 0), STATUS_OK);
	assert_raises(0, 2, 0x51, 0);
	assert_int_equal(iommu_interrupt_route(&interrupt, 0x60, 1), STATUS_OK);
	assert_raises(0, 2, 0x60, 1 << 8);
	/* Never absent in between, which would lose an interrupt that comes then. */
	assert_int_equal(models[0].absent_entries, 0);
	assert_int_equal(iommu_interrupt_block(&interrupt), STATUS_OK);
	assert_fault(0, 2, interrupt.address, 0x22);
	assert_int_equal(iommu_interrupt_route(&interrupt, 0x61, 1), STATUS_OK);
	assert_raises(0, 2, 0x61, 1 << 8);
	iommu_interrupt_free(&interrupt);
	assert_false(interrupt.allocated);
	assert_fault(0, 2, interrupt.address, 0x22);
	assert_int_equal(iommu_interrupt_route(&interrupt, 0x61, 1), STATUS_INVALID);
}

static void refusals(void **state)
{
	(void)state;
	fixture_start_plain();
	assert_int_equal(iommu_interrupt_allocate(fixture_find(0, 2), &interrupt), STATUS_OK);
	assert_int_equal(iommu_interrupt_route(&interrupt, 0x0f, 0), STATUS_OUT_OF_RANGE);
	assert_int_equal(iommu_interrupt_route(&interrupt, 0x50, 255), STATUS_OUT_OF_RANGE);
	assert_int_equal(iommu_interrupt_post(&interrupt, 0x50, hpa(32 * MIB)), STATUS_UNSUPPORTED);
	assert_int_equal(iommu_interrupt_post(&interrupt, 0x50, hpa(32 * MIB + 8)), STATUS_OUT_OF_RANGE);
	assert_false(iommu_posts_interrupts(fixture_find(0, 2)));
	assert_fault(0, 2, interrupt.address, 0x22);
	for (unsigned i = 0; i < array_count(others) - 1; i++)
		assert_int_equal(iommu_interrupt_allocate(fixture_find(0, 3), &others[i]), STATUS_OK);
	assert_int_equal(iommu_interrupt_allocate(fixture_find(0, 3), &others[array_count(others) - 1]), STATUS_NO_MEMORY);
	iommu_interrupt_free(&others[5]);
	assert_int_equal(iommu_interrupt_allocate(fixture_find(0, 3), &others[6]), STATUS_OK);
}

/* Not given to anybody else: the unit may still let the old owner's through. */
static void an_entry_that_cannot_be_taken_back_stays_taken(void **state)
{
	struct iommu_interrupt other;
	uint16_t index;

	(void)state;
	fixture_start_plain();
	assert_int_equal(iommu_interrupt_allocate(fixture_find(0, 2), &interrupt), STATUS_OK);
	assert_int_equal(iommu_interrupt_route(&interrupt, 0x51, 0), STATUS_OK);
	index = interrupt.index;
	models[0].stuck = true;
	assert_int_equal(iommu_interrupt_route(&interrupt, 0x52, 0), STATUS_TIMEOUT);
	iommu_interrupt_free(&interrupt);
	models[0].stuck = false;
	assert_int_equal(iommu_interrupt_allocate(fixture_find(0, 3), &other), STATUS_OK);
	assert_int_not_equal(other.index, index);
}

static void x2apic_ids_have_32_bits(void **state)
{
	(void)state;
	fixture_x2apic = true;
	fixture_start_plain();
	assert_true(models[0].interrupt_table & BIT(11));
	assert_int_equal(iommu_interrupt_allocate(fixture_find(0, 2), &interrupt), STATUS_OK);
	assert_int_equal(iommu_interrupt_route(&interrupt, 0x51, 0x12345), STATUS_OK);
	assert_raises(0, 2, 0x51, 0x12345);
}

static void posted_where_the_unit_can(void **state)
{
	uint64_t low, high;

	(void)state;
	models[0].capability |= BIT(59);
	fixture_start_plain();
	assert_true(iommu_posts_interrupts(fixture_find(0, 2)));
	assert_int_equal(iommu_interrupt_allocate(fixture_find(0, 2), &interrupt), STATUS_OK);
	assert_int_equal(iommu_interrupt_post(&interrupt, 0x51, hpa(0x1234567c0)), STATUS_OK);
	assert_int_equal(model_msi(0, fixture_requester(0, 2), interrupt.address, &low, &high), MODEL_OK);
	assert_true(low & BIT(15));
	assert_int_equal(low >> 16 & 0xff, 0x51);
	assert_int_equal((low >> 38 << 6) | high >> 32 << 32, 0x1234567c0);
}

static void the_hosts_io_apic_has_entries(void **state)
{
	uint16_t index = IOAPIC_NO_ENTRY, other = IOAPIC_NO_ENTRY;
	uint64_t low, high;

	(void)state;
	fixture_start_plain();
	assert_non_null(fixture_remapper);
	assert_int_equal(fixture_remapper(IO_APIC_ID, 0x40, 1, true, &index), STATUS_OK);
	assert_int_equal(model_msi(0, IO_APIC_SOURCE, 0xfee00010 | (uint64_t)index << 5, &low, &high), MODEL_OK);
	assert_int_equal(low, 1 | BIT(4) | 0x40 << 16 | 1ull << 40);
	/* The same input again keeps its entry. */
	assert_int_equal(fixture_remapper(IO_APIC_ID, 0x41, 0, false, &index), STATUS_OK);
	assert_int_equal(model_msi(0, IO_APIC_SOURCE, 0xfee00010 | (uint64_t)index << 5, &low, &high), MODEL_OK);
	assert_int_equal(low, 1 | 0x41 << 16);
	assert_int_equal(fixture_remapper(IO_APIC_ID, 0x42, 0, false, &other), STATUS_OK);
	assert_int_not_equal(other, index);
	assert_int_equal(fixture_remapper(IO_APIC_ID + 1, 0x42, 0, false, &other), STATUS_NOT_FOUND);
}

static void assert_not_isolated(const char *reason)
{
	const char *why;

	assert_int_equal(fixture_start(), STATUS_OK);
	assert_true(iommu_is_available(&why));
	assert_false(iommu_isolates_interrupts(&why));
	assert_non_null(strstr(why, reason));
	assert_false(models[0].status & VTD_INTERRUPT_REMAPPING);
	assert_null(fixture_remapper);
	assert_int_equal(iommu_interrupt_allocate(fixture_find(0, 2), &interrupt), STATUS_UNSUPPORTED);
}

static void without_the_firmwares_word_nothing_is_remapped(void **state)
{
	(void)state;
	fixture_add_io_apic(fixture_add_unit(true));
	models[0].status = (uint32_t)VTD_INTERRUPT_REMAPPING; /* left on by firmware */
	fixture_acpi.dmar.interrupt_remapping = false;
	assert_not_isolated("says that this machine does not remap");
}

static void without_the_io_apics_source_nothing_is_remapped(void **state)
{
	(void)state;
	fixture_add_unit(true);
	assert_not_isolated("does not tell the source of I/O APIC 2");
}

static void units_that_cannot_are_named(void **state)
{
	(void)state;
	models[0].extended &= ~BIT(3);
	fixture_add_io_apic(fixture_add_unit(true));
	assert_not_isolated("VT-d unit at 0xfed90000: it cannot remap interrupts");
}

static void units_that_do_not_start_are_told(void **state)
{
	(void)state;
	models[0].deaf_to = (uint32_t)VTD_INTERRUPT_REMAPPING;
	fixture_add_io_apic(fixture_add_unit(true));
	assert_not_isolated("interrupt remapping does not start: ");
}

/* On in all units or in none: the host's inputs go through one of them, in one format. */
static void one_that_does_not_start_stops_the_others(void **state)
{
	(void)state;
	fixture_add_io_apic(fixture_add_unit(true));
	fixture_add_scope(&fixture_add_unit(false)->scopes, ACPI_SCOPE_ENDPOINT, 0, 3, 0);
	models[1].deaf_to = (uint32_t)VTD_INTERRUPT_REMAPPING;
	assert_not_isolated("interrupt remapping does not start: ");
	assert_false(models[0].status & VTD_INTERRUPT_REMAPPING);
	assert_null(fixture_remapper);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, iommu_fixture_set_up, iommu_fixture_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(an_entry_is_for_one_device),
		TEST(routes_change_at_once),
		TEST(refusals),
		TEST(an_entry_that_cannot_be_taken_back_stays_taken),
		TEST(x2apic_ids_have_32_bits),
		TEST(posted_where_the_unit_can),
		TEST(the_hosts_io_apic_has_entries),
		TEST(without_the_firmwares_word_nothing_is_remapped),
		TEST(without_the_io_apics_source_nothing_is_remapped),
		TEST(units_that_cannot_are_named),
		TEST(units_that_do_not_start_are_told),
		TEST(one_that_does_not_start_stops_the_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
