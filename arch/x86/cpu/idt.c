#include "arch/x86/cpu/idt.h"

#include "arch/x86/cpu/gdt.h"
#include "arch/x86/exception.h"
#include "arch/x86/insn.h"
#include "lib/bits.h"

#define GATE_PRESENT BIT(47)
#define GATE_TYPE_INTERRUPT (0xeull << 40)

/* idt_stubs.asm: IDT_ENTRY_COUNT stubs of IDT_STUB_SIZE bytes each. */
extern const uint8_t idt_stubs[];
#define IDT_STUB_SIZE 16u

static struct idt_entry table[IDT_ENTRY_COUNT] aligned_to(4096);

static const struct { uint8_t vector; enum gdt_interrupt_stack stack; } own_stacks[] = {
	{EXCEPTION_DF, GDT_STACK_DOUBLE_FAULT},
	{EXCEPTION_NMI, GDT_STACK_NMI},
	{EXCEPTION_MC, GDT_STACK_MACHINE_CHECK},
};

struct idt_entry idt_make_entry(uint64_t handler, uint16_t code_selector, unsigned interrupt_stack)
{
	return (struct idt_entry){
		.low = GATE_PRESENT | GATE_TYPE_INTERRUPT | (uint64_t)interrupt_stack << 32 | (uint64_t)code_selector << 16 |
		       bits_get(handler, 15, 0) | bits_get(handler, 31, 16) << 48,
		.high = handler >> 32,
	};
}

static uint64_t stub_address(unsigned vector)
{
	return (uint64_t)(uintptr_t)idt_stubs + vector * IDT_STUB_SIZE;
}

void idt_init(void)
{
	for (unsigned vector = 0; vector < IDT_ENTRY_COUNT; vector++)
		table[vector] = idt_make_entry(stub_address(vector), GDT_SELECTOR_CODE, 0);
	for (size_t i = 0; i < array_count(own_stacks); i++)
		table[own_stacks[i].vector] = idt_make_entry(stub_address(own_stacks[i].vector), GDT_SELECTOR_CODE, own_stacks[i].stack);
}

void idt_load(void)
{
	const struct descriptor_table_register idtr = {sizeof(table) - 1, (uint64_t)(uintptr_t)table};

	insn_lidt(&idtr);
}
