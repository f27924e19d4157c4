/* Descriptor tables as the processor reads them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86/cpu/gdt.h"
#include "arch/x86/cpu/idt.h"
#include "arch/x86/cpu/stack.h"
#include "arch/x86/msr.h"
#include "arch/x86/mm/page_pool.h"
#include "fake_cpu.h"
#include "fake_pcpu.h"
#include "fake_physmap.h"
#include "lib/bits.h"

const uint8_t idt_stubs[1];

static void test_tss_descriptor(void **state)
{
	uint64_t descriptor[2];

	(void)state;
	gdt_make_tss_descriptor(0xffff8123456789ab, 0x68, descriptor);
	assert_int_equal(bits_get(descriptor[0], 15, 0), 0x67);
	assert_int_equal(bits_get(descriptor[0], 39, 16), 0x6789ab);
	assert_int_equal(bits_get(descriptor[0], 47, 40), 0x89); /* present, available 64-bit TSS */
	assert_int_equal(bits_get(descriptor[0], 55, 48), 0);
	assert_int_equal(bits_get(descriptor[0], 63, 56), 0x45);
	assert_int_equal(descriptor[1], 0xffff8123);
}

static void test_tss_layout(void **state)
{
	(void)state;
	assert_int_equal(sizeof(struct gdt_tss), 104);
	assert_int_equal(offsetof(struct gdt_tss, rsp), 4);
	assert_int_equal(offsetof(struct gdt_tss, ist), 36);
	assert_int_equal(offsetof(struct gdt_tss, io_map_base), 102);
}

static void test_interrupt_stacks(void **state)
{
	static uint8_t stacks[GDT_STACK_COUNT * GDT_INTERRUPT_STACK_SIZE] aligned_to(16);
	static struct gdt_tables tables;
	struct pcpu *pcpu = pcpu_get(0);
	uint64_t start = (uint64_t)(uintptr_t)stacks, size = GDT_INTERRUPT_STACK_SIZE;

	(void)state;
	assert_int_equal(gdt_find_interrupt_stack(pcpu, start), 0); /* no tables yet */
	gdt_build(&tables, stacks);
	pcpu->descriptor_tables = &tables;
	assert_int_equal(tables.tss.ist[GDT_STACK_DOUBLE_FAULT - 1], start + size);
	assert_int_equal(tables.tss.ist[GDT_STACK_MACHINE_CHECK - 1], start + 3 * size);
	assert_int_equal(tables.tss.ist[3], 0);
	assert_int_equal(gdt_find_interrupt_stack(pcpu, start), start + size);
	assert_int_equal(gdt_find_interrupt_stack(pcpu, start + size - 1), start + size);
	assert_int_equal(gdt_find_interrupt_stack(pcpu, start + size), start + 2 * size);
	assert_int_equal(gdt_find_interrupt_stack(pcpu, start - 1), 0);
	assert_int_equal(gdt_find_interrupt_stack(pcpu, start + 3 * size), 0);
	pcpu->descriptor_tables = NULL;
}

static void test_load(void **state)
{
	struct pcpu *other = pcpu_add(5, 5);
	struct gdt_tables *tables;

	(void)state;
	page_pool_add(hpa(16 * MIB), 16 * MIB);
	assert_int_equal(gdt_create(pcpu_get(0)), STATUS_OK);
	assert_int_equal(gdt_create(other), STATUS_OK);
	assert_ptr_not_equal(pcpu_get(0)->descriptor_tables, other->descriptor_tables);
	tables = other->descriptor_tables;
	gdt_load(other);
	assert_ptr_equal(pcpu_current(), other);
	assert_int_equal(fake_gdtr.base, (uintptr_t)tables->gdt);
	assert_int_equal(fake_gdtr.limit, 39);
	assert_int_equal(fake_tr, GDT_SELECTOR_TSS);
	assert_int_equal(fake_code_selector, GDT_SELECTOR_CODE);
	assert_int_equal(fake_data_selector, GDT_SELECTOR_DATA);
	assert_int_equal(bits_get(tables->gdt[1], 55, 40), 0xaf9b); /* 64-bit code, accessed */
	tables->gdt[3] |= BIT(41); /* LTR marks it busy and would refuse it the next time */
	gdt_load(other);
	assert_false(tables->gdt[3] & BIT(41));
}

static void test_gate(void **state)
{
	struct idt_entry entry = idt_make_entry(0xffffffff8123cdef, 0x08, 2);

	(void)state;
	assert_int_equal(entry.low, 0x81238e020008cdef);
	assert_int_equal(entry.high, 0xffffffff);
	assert_int_equal(idt_make_entry(0, 0, 0).low, 0x00008e0000000000);
}

static void test_idt(void **state)
{
	const struct idt_entry *table;

	(void)state;
	idt_init();
	idt_load();
	assert_int_equal(fake_idtr.limit, 4095);
	table = (const struct idt_entry *)(uintptr_t)fake_idtr.base;
	assert_int_equal(bits_get(table[8].low, 34, 32), GDT_STACK_DOUBLE_FAULT);
	assert_int_equal(bits_get(table[2].low, 34, 32), GDT_STACK_NMI);
	assert_int_equal(bits_get(table[18].low, 34, 32), GDT_STACK_MACHINE_CHECK);
	assert_int_equal(bits_get(table[14].low, 34, 32), 0);
	for (unsigned vector = 0; vector < IDT_ENTRY_COUNT; vector++) {
		uint64_t handler = bits_get(table[vector].low, 15, 0) | bits_get(table[vector].low, 63, 48) << 16 |
				   table[vector].high << 32;

		assert_int_equal(handler, (uintptr_t)idt_stubs + vector * 16);
		assert_int_equal(bits_get(table[vector].low, 47, 40), 0x8e);
	}
}

static void test_frame_layout(void **state)
{
	(void)state;
	assert_int_equal(offsetof(struct idt_frame, vector), 128);
	assert_int_equal(offsetof(struct idt_frame, rip), 144);
	assert_int_equal(sizeof(struct idt_frame), 184);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tss_descriptor),
		cmocka_unit_test(test_tss_layout),
		cmocka_unit_test(test_interrupt_stacks),
		cmocka_unit_test(test_load),
		cmocka_unit_test(test_gate),
		cmocka_unit_test(test_idt),
		cmocka_unit_test(test_frame_layout),
	};

	fake_cpu_reset();
	fake_pcpu_reset();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
