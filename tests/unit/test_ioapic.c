/* The host's I/O APICs and the 8259s: what is routed, what stays masked, and tables that lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86/irq/ioapic.h"
#include "arch/x86/irq/pic.h"
#include "arch/x86/mm/host_paging.h"
#include "fake_cpu.h"
#include "fake_physmap.h"
#include "lib/bits.h"

#define FIRST 0xfec00000u
#define SECOND 0xfec01000u
#define ABSENT 0xfec02000u

struct model { uint32_t select, version, entries[48]; unsigned unmasked_while_written; };
static struct model models[2];

static uint64_t model_read(void *context, uint64_t offset, unsigned size)
{
	struct model *model = context;

	assert_int_equal(size, 4);
	assert_int_equal(offset, 0x10);
	if (model->select == 1)
		return model->version;
	assert_in_range(model->select, 0x10, 0x3f);
	return model->entries[model->select - 0x10];
}

static void model_write(void *context, uint64_t offset, unsigned size, uint64_t value)
{
	struct model *model = context;

	assert_int_equal(size, 4);
	if (offset == 0) {
		model->select = (uint32_t)value;
		return;
	}
	assert_int_equal(offset, 0x10);
	assert_in_range(model->select, 0x10, 0x3f);
	if ((model->select & 1) && !(model->entries[(model->select - 0x10) & ~1u] & BIT(16)))
		model->unmasked_while_written++;
	model->entries[model->select - 0x10] = (uint32_t)value;
}

void *host_paging_map_device(hpa_t address, uint64_t length, bool write_combining)
{
	assert_false(write_combining);
	assert_true(length >= 0x14);
	return address.value >= FIRST && address.value <= ABSENT ? physmap_pointer(address) : NULL;
}

static uint64_t all_ones(void *context, uint64_t offset, unsigned size)
{
	(void)context;
	(void)offset;
	(void)size;
	return 0xffffffff;
}

static void ignore_write(void *context, uint64_t offset, unsigned size, uint64_t value)
{
	(void)context;
	(void)offset;
	(void)size;
	(void)value;
}

static void test_add(void **state)
{
	(void)state;
	assert_int_equal(ioapic_input_count(), 0);
	assert_int_equal(ioapic_add(1, hpa(FIRST), 0), STATUS_OK);
	assert_int_equal(ioapic_input_count(), 24);
	for (unsigned input = 0; input < 24; input++)
		assert_int_equal(models[0].entries[2 * input], BIT(16));
}

static void test_refusals(void **state)
{
	(void)state;
	assert_int_equal(ioapic_add(2, hpa(SECOND), 23), STATUS_EXISTS);
	assert_int_equal(ioapic_add(3, hpa(ABSENT), 100), STATUS_IO);
	assert_int_equal(ioapic_add(4, hpa(0x1000), 100), STATUS_NO_MEMORY);
	assert_int_equal(ioapic_input_count(), 24);
	assert_int_equal(models[1].entries[0], 0); /* not touched */
	assert_int_equal(ioapic_add(2, hpa(SECOND), 24), STATUS_OK);
	assert_int_equal(ioapic_input_count(), 32);
}

static void test_route(void **state)
{
	uint64_t entry;

	(void)state;
	assert_int_equal(ioapic_route(4, 0x40, 3, false, false), STATUS_OK);
	assert_int_equal(models[0].entries[8], 0x40);
	assert_int_equal(models[0].entries[9], 3u << 24);
	assert_int_equal(ioapic_route(9, 0x30, 0xfe, true, true), STATUS_OK);
	assert_int_equal(models[0].entries[18], 0x30 | BIT(15) | BIT(13));
	assert_int_equal(ioapic_route(31, 0x50, 0, true, false), STATUS_OK); /* last input of the second */
	assert_int_equal(models[1].entries[14], 0x50 | BIT(15));
	assert_int_equal(ioapic_read_entry(9, &entry), STATUS_OK);
	assert_int_equal(entry, 0xfeull << 56 | 0x30 | BIT(15) | BIT(13));
	assert_int_equal(models[0].unmasked_while_written, 0);
	assert_int_equal(ioapic_route(9, 0x31, 1, false, false), STATUS_OK); /* a live entry is masked before it changes */
	assert_int_equal(models[0].unmasked_while_written, 0);
}

static void test_route_refusals(void **state)
{
	uint64_t entry = 7;

	(void)state;
	assert_int_equal(ioapic_route(32, 0x40, 0, false, false), STATUS_NOT_FOUND);
	assert_int_equal(ioapic_route(UINT32_MAX, 0x40, 0, false, false), STATUS_NOT_FOUND);
	assert_int_equal(ioapic_route(4, 0x0f, 0, false, false), STATUS_OUT_OF_RANGE);
	assert_int_equal(ioapic_route(4, 0x40, 0xff, false, false), STATUS_OUT_OF_RANGE);
	assert_int_equal(ioapic_route(4, 0x40, 0x100, false, false), STATUS_OUT_OF_RANGE);
	assert_int_equal(models[0].entries[8], 0x40);
	assert_int_equal(ioapic_mask(32), STATUS_NOT_FOUND);
	assert_int_equal(ioapic_unmask(UINT32_MAX), STATUS_NOT_FOUND);
	assert_int_equal(ioapic_read_entry(32, &entry), STATUS_NOT_FOUND);
	assert_int_equal(entry, 7);
}

static void test_mask(void **state)
{
	(void)state;
	assert_int_equal(ioapic_mask(4), STATUS_OK);
	assert_int_equal(models[0].entries[8], 0x40 | BIT(16));
	assert_int_equal(ioapic_unmask(4), STATUS_OK);
	assert_int_equal(models[0].entries[8], 0x40);
}

/* ---- remapping, by an IOMMU whose entries are counted from 5 ---- */

static unsigned remap_calls, next_index = 5;
static enum status remap_status, enable_status;

static enum status remap(uint32_t io_apic, uint8_t vector, uint32_t apic_id, bool level, uint16_t *index)
{
	(void)apic_id;
	assert_in_range(io_apic, 1, 2);
	assert_in_range(vector, 0x10, 0xff);
	assert_int_equal(level, vector == 0x50);
	remap_calls++;
	if (remap_status == STATUS_OK && *index == IOAPIC_NO_ENTRY)
		*index = (uint16_t)next_index++;
	return remap_status;
}

static enum status enable(void)
{
	for (unsigned i = 0; i < 2; i++)
		for (unsigned input = 0; input < (i == 0 ? 24 : 8); input++)
			assert_true(models[i].entries[2 * input] & BIT(16));
	return enable_status;
}

static void test_remap_refused(void **state)
{
	struct model before = models[0];

	(void)state;
	assert_int_equal(ioapic_route(9, 0x31, 1, false, true), STATUS_OK);
	assert_int_equal(ioapic_mask(9), STATUS_OK);
	before = models[0];
	remap_status = STATUS_NO_MEMORY;
	assert_int_equal(ioapic_remap_all(remap, enable), STATUS_NO_MEMORY);
	remap_status = STATUS_OK;
	enable_status = STATUS_TIMEOUT;
	assert_int_equal(ioapic_remap_all(remap, enable), STATUS_TIMEOUT);
	assert_memory_equal(before.entries, models[0].entries, sizeof(before.entries));
	/* As if it had not been tried. */
	assert_int_equal(ioapic_route(4, 0x40, 0xff, false, false), STATUS_OUT_OF_RANGE);
	enable_status = STATUS_OK;
}

static void test_remap_all(void **state)
{
	(void)state;
	next_index = 5;
	remap_calls = 0;
	assert_int_equal(ioapic_remap_all(remap, enable), STATUS_OK);
	assert_int_equal(remap_calls, 3);
	/* Bit 48: remappable format, the index above it; vector, trigger mode, polarity and mask stay. */
	assert_int_equal(models[0].entries[8], 0x40);
	assert_int_equal(models[0].entries[9], 5 << 17 | 1 << 16);
	assert_int_equal(models[0].entries[18], 0x31 | BIT(13) | BIT(16));
	assert_int_equal(models[0].entries[19], 6 << 17 | 1 << 16);
	assert_int_equal(models[1].entries[14], 0x50 | BIT(15));
	assert_int_equal(models[1].entries[15], 7 << 17 | 1 << 16);
	/* A new route of an input keeps its entry; APIC ids are the remapper's matter. */
	assert_int_equal(ioapic_route(4, 0x44, 0x12345, false, false), STATUS_OK);
	assert_int_equal(models[0].entries[8], 0x44);
	assert_int_equal(models[0].entries[9], 5 << 17 | 1 << 16);
	assert_int_equal(ioapic_route(5, 0x45, 0, false, false), STATUS_OK);
	assert_int_equal(models[0].entries[11], 8 << 17 | 1 << 16);
	remap_status = STATUS_OUT_OF_RANGE;
	assert_int_equal(ioapic_route(5, 0x46, 0x12345, false, false), STATUS_OUT_OF_RANGE);
	assert_int_equal(models[0].entries[10], 0x45 | BIT(16));
	remap_status = STATUS_OK;
	assert_int_equal(models[0].unmasked_while_written, 0);
}

static struct { uint16_t port; uint8_t value; } pic_writes[16];
static unsigned pic_write_count;

static void pic_write(void *context, uint16_t port, unsigned size, uint32_t value)
{
	(void)context;
	assert_int_equal(size, 1);
	assert_in_range(pic_write_count, 0, 15);
	pic_writes[pic_write_count].port = port;
	pic_writes[pic_write_count++].value = (uint8_t)value;
}

static void test_pic(void **state)
{
	uint8_t master_base = 0, slave_base = 0;

	(void)state;
	fake_port_add(&(struct fake_port_device){0x20, 2, NULL, pic_write, NULL});
	fake_port_add(&(struct fake_port_device){0xa0, 2, NULL, pic_write, NULL});
	pic_disable();
	assert_int_equal(pic_write_count, 10);
	for (unsigned i = 0; i < pic_write_count; i++) {
		if (pic_writes[i].port == 0x21 && master_base == 0)
			master_base = pic_writes[i].value;
		if (pic_writes[i].port == 0xa1 && slave_base == 0)
			slave_base = pic_writes[i].value;
	}
	assert_true(master_base >= 0x20 && slave_base >= 0x20 && master_base != slave_base);
	assert_int_equal(pic_writes[8].port, 0x21);
	assert_int_equal(pic_writes[8].value, 0xff);
	assert_int_equal(pic_writes[9].port, 0xa1);
	assert_int_equal(pic_writes[9].value, 0xff);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_add),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_route),
		cmocka_unit_test(test_route_refusals),
		cmocka_unit_test(test_mask),
		cmocka_unit_test(test_remap_refused),
		cmocka_unit_test(test_remap_all),
		cmocka_unit_test(test_pic),
	};

	fake_cpu_reset();
	models[0].version = 0x00170020;
	models[1].version = 0x00070020;
	fake_mmio_add(&(struct fake_mmio_device){physmap_pointer(hpa(FIRST)), 0x20, model_read, model_write, &models[0]});
	fake_mmio_add(&(struct fake_mmio_device){physmap_pointer(hpa(SECOND)), 0x20, model_read, model_write, &models[1]});
	fake_mmio_add(&(struct fake_mmio_device){physmap_pointer(hpa(ABSENT)), 0x20, all_ones, ignore_write, NULL});
	return cmocka_run_group_tests(tests, NULL, NULL);
}
