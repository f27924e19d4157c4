/*
 * Every form of instruction that may meet device registers, once on the I/O APIC and once on RAM: memory, register and
 * flags must come out the same. Bytes and words go to the I/O APIC's selector, longer operands to its window on a
 * redirection entry that stays masked.
 */
#include "runtime/guest.h"

#include "runtime/apic.h"
#include "runtime/cpu.h"

const char guest_name[] = "mmio_forms";

#define ENTRY_INDEX 0x3e       /* low half of pin 23 */
#define ENTRY_BITS 0x1afffu    /* that can be written */
#define ENTRY_START 0x1a5a5u   /* masked */
#define SELECTOR_BITS 0xffu
#define SELECTOR_START 0x3cu

#define CF 0x001u
#define ARITHMETIC 0x8d5u /* CF PF AF ZF SF OF */
#define LOGIC 0x8c5u      /* without AF, which is undefined */
#define NO_FLAGS 0u

struct outcome {
	uint64_t reg, flags, memory;
};

struct form {
	const char *name;
	unsigned size;
	uint32_t flags;
	uint64_t reg;
	void (*run)(volatile void *memory, struct outcome *outcome);
};

#define FORM(function, code) \
	static void function(volatile void *memory, struct outcome *outcome) \
	{ \
		__asm__ volatile("stc; " code "; pushfq; pop %1" : "+a"(outcome->reg), "=&r"(outcome->flags) : "r"(memory), "r"(0ul) : "memory", "cc"); \
	}

FORM(mov_from_8, "movb (%2), %%al")
FORM(mov_from_high_8, "movb (%2), %%ah")
FORM(mov_from_16, "movw (%2), %%ax")
FORM(mov_from_32, "movl (%2), %%eax")
FORM(mov_to_8, "movb %%al, (%2)")
FORM(mov_to_high_8, "movb %%ah, (%2)")
FORM(mov_to_16, "movw %%ax, (%2)")
FORM(mov_to_32, "movl %%eax, (%2)")
FORM(mov_immediate_8, "movb $0x21, (%2)")
FORM(mov_immediate_16, "movw $0x21, (%2)")
FORM(mov_immediate_32, "movl $0x10fed, (%2)")
FORM(mov_displaced, "movl 0x7f(%2), %%eax")
FORM(mov_scaled, "movl (%2,%3,4), %%eax")
FORM(movzx_8_to_16, "movzbw (%2), %%ax")
FORM(movzx_8, "movzbl (%2), %%eax")
FORM(movzx_8_to_64, "movzbq (%2), %%rax")
FORM(movzx_16, "movzwl (%2), %%eax")
FORM(movsx_8, "movsbl (%2), %%eax")
FORM(movsx_8_to_64, "movsbq (%2), %%rax")
FORM(movsx_16, "movswq (%2), %%rax")
FORM(movsx_32, "movslq (%2), %%rax")
FORM(xchg_8, "xchgb %%al, (%2)")
FORM(xchg_32, "xchgl %%eax, (%2)")
FORM(not_32, "notl (%2)")
FORM(test_8, "testb %%al, (%2)")
FORM(test_32, "testl %%eax, (%2)")
FORM(test_immediate_8, "testb $0x18, (%2)")
FORM(test_immediate_32, "testl $0x8000, (%2)")
FORM(inc_8, "incb (%2)")
FORM(inc_32, "incl (%2)")
FORM(dec_16, "decw (%2)")
FORM(dec_32, "decl (%2)")
FORM(bt_32, "btl $5, (%2)")
FORM(bts_32, "btsl $9, (%2)")
FORM(btr_32, "btrl $7, (%2)")
FORM(btc_32, "btcl $2, (%2)")
FORM(lock_or_32, "lock orl %%eax, (%2)")
FORM(lock_bts_32, "lock btsl $1, (%2)")

#define FORMS_OF(operation) \
	FORM(operation##_to_8, #operation "b %%al, (%2)") \
	FORM(operation##_to_16, #operation "w %%ax, (%2)") \
	FORM(operation##_to_32, #operation "l %%eax, (%2)") \
	FORM(operation##_from_8, #operation "b (%2), %%al") \
	FORM(operation##_from_16, #operation "w (%2), %%ax") \
	FORM(operation##_from_32, #operation "l (%2), %%eax") \
	FORM(operation##_immediate_8, #operation "b $0x15, (%2)") \
	FORM(operation##_short_32, #operation "l $0x15, (%2)") \
	FORM(operation##_immediate_32, #operation "l $0x8765, (%2)")

FORMS_OF(add)
FORMS_OF(or)
FORMS_OF(adc)
FORMS_OF(sbb)
FORMS_OF(and)
FORMS_OF(sub)
FORMS_OF(xor)
FORMS_OF(cmp)

#define ROW(function, size, flags, reg) { #function, size, flags, reg, function }
#define ROWS_OF(operation, flags) \
	ROW(operation##_to_8, 1, flags, 0x11), ROW(operation##_to_16, 2, flags, 0x7), ROW(operation##_to_32, 4, flags, 0x10123), \
	ROW(operation##_from_8, 1, flags, 0xaa), ROW(operation##_from_16, 2, flags, 0x5555), \
	ROW(operation##_from_32, 4, flags, 0xfffffffffedcba98), ROW(operation##_immediate_8, 1, flags, 0), \
	ROW(operation##_short_32, 4, flags, 0), ROW(operation##_immediate_32, 4, flags, 0)

static const struct form forms[] = {
	ROW(mov_from_8, 1, NO_FLAGS, ~0ull), ROW(mov_from_high_8, 1, NO_FLAGS, ~0ull), ROW(mov_from_16, 2, NO_FLAGS, ~0ull),
	ROW(mov_from_32, 4, NO_FLAGS, ~0ull), ROW(mov_to_8, 1, NO_FLAGS, 0x77), ROW(mov_to_high_8, 1, NO_FLAGS, 0x4200),
	ROW(mov_to_16, 2, NO_FLAGS, 0x78), ROW(mov_to_32, 4, NO_FLAGS, 0x10abc), ROW(mov_immediate_8, 1, NO_FLAGS, 0),
	ROW(mov_immediate_16, 2, NO_FLAGS, 0), ROW(mov_immediate_32, 4, NO_FLAGS, 0), ROW(mov_scaled, 4, NO_FLAGS, ~0ull),
	ROW(movzx_8_to_16, 1, NO_FLAGS, ~0ull), ROW(movzx_8, 1, NO_FLAGS, ~0ull), ROW(movzx_8_to_64, 1, NO_FLAGS, ~0ull),
	ROW(movzx_16, 2, NO_FLAGS, ~0ull), ROW(movsx_8, 1, NO_FLAGS, ~0ull), ROW(movsx_8_to_64, 1, NO_FLAGS, 0),
	ROW(movsx_16, 2, NO_FLAGS, 0), ROW(movsx_32, 4, NO_FLAGS, 0), ROW(xchg_8, 1, NO_FLAGS, 0x99), ROW(xchg_32, 4, NO_FLAGS, 0x10321),
	ROW(not_32, 4, NO_FLAGS, 0), ROW(test_8, 1, LOGIC, 0xc3), ROW(test_32, 4, LOGIC, 0x18000), ROW(test_immediate_8, 1, LOGIC, 0),
	ROW(test_immediate_32, 4, LOGIC, 0), ROW(inc_8, 1, ARITHMETIC, 0), ROW(inc_32, 4, ARITHMETIC, 0), ROW(dec_16, 2, ARITHMETIC, 0),
	ROW(dec_32, 4, ARITHMETIC, 0), ROW(bt_32, 4, CF, 0), ROW(bts_32, 4, CF, 0), ROW(btr_32, 4, CF, 0), ROW(btc_32, 4, CF, 0),
	ROW(lock_or_32, 4, LOGIC, 0x0248), ROW(lock_bts_32, 4, CF, 0),
	ROWS_OF(add, ARITHMETIC), ROWS_OF(or, LOGIC), ROWS_OF(adc, ARITHMETIC), ROWS_OF(sbb, ARITHMETIC),
	ROWS_OF(and, LOGIC), ROWS_OF(sub, ARITHMETIC), ROWS_OF(xor, LOGIC), ROWS_OF(cmp, ARITHMETIC),
};

static void try_form(const struct form *form)
{
	static uint64_t ram[2];
	bool wide = form->size >= 4;
	uint32_t start = wide ? ENTRY_START : SELECTOR_START, bits = wide ? ENTRY_BITS : SELECTOR_BITS;
	struct outcome expected = { form->reg, 0, 0 }, seen = { form->reg, 0, 0 };

	ram[0] = start;
	form->run(ram, &expected);
	expected.memory = ram[0] & bits;
	io_apic_write(ENTRY_INDEX, ENTRY_START);
	mmio_write(IO_APIC_SELECT, wide ? ENTRY_INDEX : SELECTOR_START);
	form->run((volatile void *)(wide ? IO_APIC_WINDOW : IO_APIC_SELECT), &seen);
	seen.memory = mmio_read(wide ? IO_APIC_WINDOW : IO_APIC_SELECT) & bits;
	guest_check(seen.reg == expected.reg, "%s: RAX %llx, expected %llx", form->name, (unsigned long long)seen.reg,
		    (unsigned long long)expected.reg);
	guest_check(seen.memory == expected.memory, "%s: memory %llx, expected %llx", form->name, (unsigned long long)seen.memory,
		    (unsigned long long)expected.memory);
	guest_check(((seen.flags ^ expected.flags) & form->flags) == 0, "%s: flags %llx, expected %llx", form->name,
		    (unsigned long long)(seen.flags & form->flags), (unsigned long long)(expected.flags & form->flags));
}

static void displaced(void)
{
	struct outcome seen = { ~0ull, 0, 0 };

	io_apic_write(ENTRY_INDEX, ENTRY_START);
	mov_displaced((volatile void *)(IO_APIC_WINDOW - 0x7f), &seen);
	guest_check(seen.reg == ENTRY_START, "a displacement leads to %llx", (unsigned long long)seen.reg);
	seen.reg = ~0ull;
	wrmsr(0xc0000100, IO_APIC);
	__asm__ volatile("movl %%fs:0x10, %%eax" : "=a"(seen.reg));
	guest_check(seen.reg == ENTRY_START, "the base of FS leads to %llx", (unsigned long long)seen.reg);
	__asm__ volatile("movabs 0xfec00010, %%eax" : "=a"(seen.reg));
	guest_check((uint32_t)seen.reg == ENTRY_START, "an absolute address leads to %llx", (unsigned long long)seen.reg);
	__asm__ volatile("movl (%1), %%r15d; mov %%r15, %0" : "=r"(seen.reg) : "r"(IO_APIC_WINDOW) : "r15");
	guest_check(seen.reg == ENTRY_START, "R15 got %llx", (unsigned long long)seen.reg);
}

static void strings(void)
{
	uint32_t buffer[8] = { 0 };
	void *to = buffer;
	const void *from = (const void *)IO_APIC_WINDOW;
	uint64_t count = 2;
	uint32_t loaded;

	io_apic_write(ENTRY_INDEX, ENTRY_START);
	__asm__ volatile("rep movsl" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
	guest_check(buffer[0] == ENTRY_START && count == 0 && to == buffer + 2, "REP MOVSL from the window: %x, %llu left", buffer[0],
		    (unsigned long long)count);
	buffer[0] = 0x10777;
	to = (void *)IO_APIC_WINDOW;
	from = buffer;
	__asm__ volatile("movsl" : "+D"(to), "+S"(from) : : "memory");
	guest_check(mmio_read(IO_APIC_WINDOW) == (0x10777 & ENTRY_BITS), "MOVSL to the window: %x", mmio_read(IO_APIC_WINDOW));
	to = (void *)IO_APIC_WINDOW;
	__asm__ volatile("stosl" : "+D"(to) : "a"(0x10123) : "memory");
	guest_check(mmio_read(IO_APIC_WINDOW) == 0x10123 && (uint64_t)to == IO_APIC_WINDOW + 4, "STOSL to the window: %x", mmio_read(IO_APIC_WINDOW));
	to = (void *)IO_APIC_WINDOW;
	count = 3;
	__asm__ volatile("std; rep stosl; cld" : "+D"(to), "+c"(count) : "a"(0x10456) : "memory");
	guest_check(count == 0 && (uint64_t)to == IO_APIC_WINDOW - 12, "REP STOSL downwards");
	mmio_write(IO_APIC_SELECT, ENTRY_INDEX);
	from = (const void *)IO_APIC_WINDOW;
	__asm__ volatile("lodsl" : "=a"(loaded), "+S"(from));
	guest_check(loaded == (0x10456 & ENTRY_BITS) && (uint64_t)from == IO_APIC_WINDOW + 4, "LODSL of the window: %x", loaded);
}

void guest_main(void)
{
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++)
		try_form(&forms[i]);
	displaced();
	strings();
	guest_check((mmio_read(LOCAL_APIC + APIC_VERSION) & 0xff) >= 0x10, "the local APIC's version is %x", mmio_read(LOCAL_APIC + APIC_VERSION));
}
