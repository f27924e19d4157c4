#include "arch/x86/cpu/gdt.h"

#include "arch/x86/insn.h"
#include "arch/x86/mm/page_pool.h"
#include "lib/bits.h"

/* Flat 64-bit segments of privilege 0, accessed bit set so that the processor does not write them. */
#define DESCRIPTOR_CODE 0x00af9b000000ffffull
#define DESCRIPTOR_DATA 0x00cf93000000ffffull
#define DESCRIPTOR_PRESENT BIT(47)
#define DESCRIPTOR_TYPE_TSS_AVAILABLE (0x9ull << 40)

#define STACKS_SIZE (GDT_STACK_COUNT * GDT_INTERRUPT_STACK_SIZE)
#define STACKS_PAGES ((unsigned)(STACKS_SIZE / PAGE_SIZE))

/* The boot processor's, which must catch exceptions before there is a page pool. */
static struct gdt_tables boot_tables;
static uint8_t boot_stacks[STACKS_SIZE] aligned_to(4096);

void gdt_make_tss_descriptor(uint64_t base, uint32_t size, uint64_t descriptor[2])
{
	uint64_t limit = size - 1;

	descriptor[0] = DESCRIPTOR_PRESENT | DESCRIPTOR_TYPE_TSS_AVAILABLE | bits_get(limit, 15, 0) |
			bits_get(limit, 19, 16) << 48 | bits_get(base, 23, 0) << 16 | bits_get(base, 31, 24) << 56;
	descriptor[1] = base >> 32;
}

void gdt_build(struct gdt_tables *tables, uint8_t *stacks)
{
	*tables = (struct gdt_tables){
		.gdt = {0, DESCRIPTOR_CODE, DESCRIPTOR_DATA},
		.tss.io_map_base = sizeof(struct gdt_tss), /* behind the limit: no port is open to user mode */
		.interrupt_stacks = stacks,
	};
	for (unsigned i = 0; i < GDT_STACK_COUNT; i++)
		tables->tss.ist[i] = (uint64_t)(uintptr_t)(stacks + (i + 1) * GDT_INTERRUPT_STACK_SIZE);
	gdt_make_tss_descriptor((uint64_t)(uintptr_t)&tables->tss, sizeof(struct gdt_tss), &tables->gdt[GDT_SELECTOR_TSS / 8]);
}

enum status gdt_create(struct pcpu *pcpu)
{
	struct gdt_tables *tables = &boot_tables;
	uint8_t *stacks = boot_stacks;

	if (pcpu->index != 0) {
		tables = page_pool_allocate_pointer();
		if (tables == NULL)
			return STATUS_NO_MEMORY;
		stacks = page_pool_allocate_contiguous(STACKS_PAGES);
		if (stacks == NULL) {
			page_pool_free_pointer(tables);
			return STATUS_NO_MEMORY;
		}
	}
	gdt_build(tables, stacks);
	pcpu->descriptor_tables = tables;
	return STATUS_OK;
}

void gdt_load(struct pcpu *pcpu)
{
	struct gdt_tables *tables = pcpu->descriptor_tables;
	const struct descriptor_table_register gdtr = {sizeof(tables->gdt) - 1, (uint64_t)(uintptr_t)tables->gdt};

	insn_lgdt(&gdtr);
	insn_load_segments(GDT_SELECTOR_CODE, GDT_SELECTOR_DATA);
	pcpu_set_current(pcpu); /* loading a null selector cleared the base of GS */
	/* LTR refuses a TSS that is marked busy, as it is when this CPU loads its tables again. */
	gdt_make_tss_descriptor((uint64_t)(uintptr_t)&tables->tss, sizeof(struct gdt_tss), &tables->gdt[GDT_SELECTOR_TSS / 8]);
	insn_ltr(GDT_SELECTOR_TSS);
	insn_lldt(0);
}

uint64_t gdt_find_interrupt_stack(const struct pcpu *pcpu, uint64_t address)
{
	const struct gdt_tables *tables = pcpu->descriptor_tables;

	if (tables == NULL)
		return 0;
	for (unsigned i = 0; i < GDT_STACK_COUNT; i++)
		if (address < tables->tss.ist[i] && address >= tables->tss.ist[i] - GDT_INTERRUPT_STACK_SIZE)
			return tables->tss.ist[i];
	return 0;
}
