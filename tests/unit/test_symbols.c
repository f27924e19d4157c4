/* Symbols by address, backtraces over good and broken stacks, and the rows of instructions that may fault. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86/cpu/backtrace.h"
#include "arch/x86/cpu/symbols.h"
#include "arch/x86/exception_fixup.h"
#include "lib/compiler.h"

/* boot_entry64, panic, vm_create: 0x80 is "_e", 0x81 "cr", 0x82 "cre". */
static const uint16_t steps[] = {0x0, 0x100, 0x40};
static const uint8_t pairs[][2] = {{'_', 'e'}, {'c', 'r'}, {0x81, 'e'}};
static const uint8_t names[] = "boot\x80ntry64\0panic\0vm_\x82" "ate";
static const struct symbol_table table = {
	.base = 0xffffffff80200000, .limit = 0x200, .count = 3, .names_size = sizeof(names), .steps = steps, .names = names, .pairs = pairs,
};

static void expect_name(const struct symbol_table *from, uint64_t address, const char *expected, uint64_t expected_offset)
{
	char name[SYMBOL_NAME_SIZE];
	uint64_t offset;

	assert_true(symbols_find(from, address, name, &offset));
	assert_string_equal(name, expected);
	assert_int_equal(offset, expected_offset);
}

static void expect_none(const struct symbol_table *from, uint64_t address)
{
	char name[SYMBOL_NAME_SIZE];
	uint64_t offset;

	assert_false(symbols_find(from, address, name, &offset));
}

static void test_symbols_find(void **state)
{
	(void)state;
	expect_name(&table, table.base, "boot_entry64", 0);
	expect_name(&table, table.base + 0xff, "boot_entry64", 0xff);
	expect_name(&table, table.base + 0x100, "panic", 0);
	expect_name(&table, table.base + 0x1ff, "vm_create", 0xbf);
	expect_none(&table, table.base - 1);
	expect_none(&table, table.base + 0x200);
	expect_none(&table, UINT64_MAX);
	expect_none(NULL, table.base);
}

static void test_symbols_of_odd_tables(void **state)
{
	static const uint8_t endless_pairs[][2] = {{0x80, 0x80}};
	static const uint8_t endless[] = "\x80";
	uint8_t lengthy[200];
	char name[SYMBOL_NAME_SIZE];
	struct symbol_table odd = table;
	uint64_t offset;

	(void)state;
	odd.count = 0;
	expect_none(&odd, odd.base);
	odd = table;
	odd.steps = steps + 1; /* nothing at the beginning of the code */
	odd.count = 2;
	expect_none(&odd, odd.base + 0x80);
	odd = table;
	odd.names_size = 10; /* one name for three functions */
	expect_name(&odd, odd.base, "boot_entry6", 0);
	expect_none(&odd, odd.base + 0x150);
	/* What is no end of a name, or stands for itself, ends all the same. */
	memset(lengthy, 'x', sizeof(lengthy));
	odd.names = lengthy;
	odd.names_size = sizeof(lengthy);
	assert_true(symbols_find(&odd, odd.base, name, &offset));
	assert_int_equal(strlen(name), SYMBOL_NAME_SIZE - 1);
	odd.names = endless;
	odd.names_size = sizeof(endless);
	odd.pairs = endless_pairs;
	assert_true(symbols_find(&odd, odd.base, name, &offset));
	assert_int_equal(name[0], '?');
}

static void test_symbols_print(void **state)
{
	char text[64], small[8];

	(void)state;
	symbols_print(&table, table.base + 0x112, text, sizeof(text));
	assert_string_equal(text, "0xffffffff80200112 <panic+0x12>");
	symbols_print(&table, 0x1234, text, sizeof(text));
	assert_string_equal(text, "0x1234");
	assert_int_equal(symbols_print(&table, table.base, small, sizeof(small)), strlen("0xffffffff80200000 <boot_entry64+0>"));
	assert_int_equal(strlen(small), 7);
	assert_null(symbols_table()); /* the tests are linked without one */
}

/* A stack of 64 quadwords; a frame is {caller's frame pointer, return address}. */
static uint64_t stack[64];
#define AT(index) ((uint64_t)(uintptr_t)&stack[index])
#define LOW AT(0)
#define HIGH ((uint64_t)(uintptr_t)(stack + 64))

static unsigned walk(uint64_t frame_pointer, uint64_t *addresses, unsigned limit)
{
	return backtrace_walk(frame_pointer, LOW, HIGH, addresses, limit);
}

static int clear_stack(void **state)
{
	(void)state;
	memset(stack, 0, sizeof(stack));
	return 0;
}

static void test_backtrace_chain(void **state)
{
	uint64_t addresses[8];

	(void)state;
	stack[10] = AT(20); stack[11] = 0x1111;
	stack[20] = AT(62); stack[21] = 0x2222;
	stack[62] = 0;      stack[63] = 0x3333;
	assert_int_equal(walk(AT(10), addresses, 8), 3);
	assert_int_equal(addresses[0], 0x1111);
	assert_int_equal(addresses[1], 0x2222);
	assert_int_equal(addresses[2], 0x3333);
	assert_int_equal(walk(AT(10), addresses, 2), 2);
	assert_int_equal(walk(AT(10), addresses, 0), 0);
}

static void test_backtrace_broken_chains(void **state)
{
	uint64_t addresses[BACKTRACE_MAX_FRAMES];

	(void)state;
	assert_int_equal(walk(0, addresses, 8), 0);
	assert_int_equal(walk(UINT64_MAX, addresses, 8), 0);
	assert_int_equal(walk(UINT64_MAX & ~7ull, addresses, 8), 0);
	assert_int_equal(walk(LOW - 8, addresses, 8), 0);
	assert_int_equal(walk(HIGH, addresses, 8), 0);
	assert_int_equal(walk(HIGH - 8, addresses, 8), 0); /* half a frame */
	assert_int_equal(walk(AT(3) + 1, addresses, 8), 0);
	stack[10] = AT(10); stack[11] = 0x1111; /* points to itself */
	assert_int_equal(walk(AT(10), addresses, BACKTRACE_MAX_FRAMES), 1);
	stack[10] = AT(5); stack[5] = AT(10); stack[6] = 0x2222; /* backwards */
	assert_int_equal(walk(AT(10), addresses, BACKTRACE_MAX_FRAMES), 1);
	stack[10] = AT(11); stack[11] = 0x1111; stack[12] = 0x2222; /* frames that overlap */
	assert_int_equal(walk(AT(10), addresses, BACKTRACE_MAX_FRAMES), 1);
	stack[11] = 0; /* no caller */
	assert_int_equal(walk(AT(10), addresses, BACKTRACE_MAX_FRAMES), 0);
}

static const struct exception_fixup fixups[2] __attribute__((used, retain, section("exception_fixups"))) = {
	{0x1000, 0x2000}, {0x3000, 0x4000},
};

static void test_fixups(void **state)
{
	uint64_t resume = 7;

	(void)state;
	assert_int_equal(exception_fixup_count(), 2);
	assert_true(exception_fixup_find(0x3000, &resume));
	assert_int_equal(resume, 0x4000);
	assert_true(exception_fixup_find(0x1000, &resume));
	assert_int_equal(resume, 0x2000);
	assert_false(exception_fixup_find(0x1001, &resume));
	assert_int_equal(resume, 0x2000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_symbols_find),
		cmocka_unit_test(test_symbols_of_odd_tables),
		cmocka_unit_test(test_symbols_print),
		cmocka_unit_test_setup(test_backtrace_chain, clear_stack),
		cmocka_unit_test_setup(test_backtrace_broken_chains, clear_stack),
		cmocka_unit_test(test_fixups),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
