/* Results and flags are those of the CPU that runs the test; registers, memory and string pointers change as the manual says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86/cr.h"
#include "arch/x86/virt.h"
#include "lib/types.h"
#include "vmm/emul/emulate.h"

#define ARITHMETIC_FLAGS (RFLAGS_CF | RFLAGS_PF | RFLAGS_AF | RFLAGS_ZF | RFLAGS_SF | RFLAGS_OF)

/* ---- arithmetic, against the CPU ---- */

/* The stack pointer first leaves the red zone alone. */
#define RUN(instruction)                                                                                                    \
	__asm__ volatile("lea -128(%%rsp), %%rsp\n\tpush %[flags]\n\tpopfq\n\t" instruction "\n\tpushfq\n\tpop %[flags]\n\t" \
			 "lea 128(%%rsp), %%rsp"                                                                             \
			 : [a] "+r"(a), [flags] "+r"(flags)                                                                  \
			 : [b] "r"(b)                                                                                        \
			 : "cc", "memory")

#define NATIVE_WORDS(name, two, one)                                                                              \
	static uint64_t native_##name(uint64_t a, uint64_t b, unsigned size, uint64_t *rflags)                    \
	{                                                                                                         \
		uint64_t flags = *rflags;                                                                         \
		switch (size) {                                                                                   \
		case 2: RUN(two("w", "%w[b]") one("w") "%w[a]"); break;                                        \
		case 4: RUN(two("l", "%k[b]") one("l") "%k[a]"); break;                                        \
		case 8: RUN(two("q", "%q[b]") one("q") "%q[a]"); break;                                        \
		default: BYTE_CASE(name, two, one) break;                                                         \
		}                                                                                                 \
		*rflags = flags;                                                                                  \
		return a & size_mask(size);                                                                       \
	}

#define BYTE_CASE(name, two, one) RUN(two("b", "%b[b]") one("b") "%b[a]");
#define NOTHING(suffix) ""
#define NOTHING_2(suffix, b) ""
#define TWO(name, suffix, b) name suffix " " b ", "
#define DEFINE_TWO(name) NATIVE_WORDS(name, TWO_##name, NOTHING)
#define DEFINE_ONE(name) NATIVE_WORDS(name, NOTHING_2, ONE_##name)
#define TWO_add(s, b) TWO("add", s, b)
#define TWO_or(s, b) TWO("or", s, b)
#define TWO_adc(s, b) TWO("adc", s, b)
#define TWO_sbb(s, b) TWO("sbb", s, b)
#define TWO_and(s, b) TWO("and", s, b)
#define TWO_sub(s, b) TWO("sub", s, b)
#define TWO_xor(s, b) TWO("xor", s, b)
#define TWO_cmp(s, b) TWO("cmp", s, b)
#define TWO_test(s, b) TWO("test", s, b)
#define ONE_not(s) "not" s " "
#define ONE_neg(s) "neg" s " "
#define ONE_inc(s) "inc" s " "
#define ONE_dec(s) "dec" s " "
DEFINE_TWO(add)
DEFINE_TWO(or)
DEFINE_TWO(adc)
DEFINE_TWO(sbb)
DEFINE_TWO(and)
DEFINE_TWO(sub)
DEFINE_TWO(xor)
DEFINE_TWO(cmp)
DEFINE_TWO(test)
DEFINE_ONE(not)
DEFINE_ONE(neg)
DEFINE_ONE(inc)
DEFINE_ONE(dec)
/* There is no bit test of bytes. */
#undef BYTE_CASE
#define BYTE_CASE(name, two, one) abort();
#define TWO_bt(s, b) TWO("bt", s, b)
#define TWO_bts(s, b) TWO("bts", s, b)
#define TWO_btr(s, b) TWO("btr", s, b)
#define TWO_btc(s, b) TWO("btc", s, b)
DEFINE_TWO(bt)
DEFINE_TWO(bts)
DEFINE_TWO(btr)
DEFINE_TWO(btc)

static const struct operation {
	enum instruction_operation operation;
	uint64_t (*native)(uint64_t a, uint64_t b, unsigned size, uint64_t *rflags);
	uint64_t undefined_flags;
	bool result_is_lost, no_bytes;
} operations[] = {
	{INSTRUCTION_ADD, native_add, 0, false, false}, {INSTRUCTION_ADC, native_adc, 0, false, false},
	{INSTRUCTION_SUB, native_sub, 0, false, false}, {INSTRUCTION_SBB, native_sbb, 0, false, false},
	{INSTRUCTION_CMP, native_cmp, 0, true, false}, {INSTRUCTION_OR, native_or, RFLAGS_AF, false, false},
	{INSTRUCTION_AND, native_and, RFLAGS_AF, false, false}, {INSTRUCTION_XOR, native_xor, RFLAGS_AF, false, false},
	{INSTRUCTION_TEST, native_test, RFLAGS_AF, true, false}, {INSTRUCTION_NOT, native_not, 0, false, false},
	{INSTRUCTION_NEG, native_neg, 0, false, false}, {INSTRUCTION_INC, native_inc, 0, false, false},
	{INSTRUCTION_DEC, native_dec, 0, false, false},
	{INSTRUCTION_BT, native_bt, ARITHMETIC_FLAGS & ~RFLAGS_CF, false, true},
	{INSTRUCTION_BTS, native_bts, ARITHMETIC_FLAGS & ~RFLAGS_CF, false, true},
	{INSTRUCTION_BTR, native_btr, ARITHMETIC_FLAGS & ~RFLAGS_CF, false, true},
	{INSTRUCTION_BTC, native_btc, ARITHMETIC_FLAGS & ~RFLAGS_CF, false, true},
};

static void compare(const struct operation *row, uint64_t a, uint64_t b, unsigned size, uint64_t flags_before)
{
	uint64_t theirs = RFLAGS_FIXED | RFLAGS_IF | flags_before, ours = theirs, compared = ~row->undefined_flags;
	uint64_t expected = row->native(a, b, size, &theirs);
	uint64_t result = emulate_arithmetic(row->operation, a, b, size, &ours);

	if (!row->result_is_lost && result != expected)
		fail_msg("operation %d, %u bytes, %#lx with %#lx: %#lx instead of %#lx", row->operation, size, a, b, result, expected);
	if ((ours & compared) != (theirs & compared))
		fail_msg("operation %d, %u bytes, %#lx with %#lx, flags %#lx: %#lx instead of %#lx", row->operation, size, a, b,
			 flags_before, ours, theirs);
}

static uint64_t random_value(void)
{
	static const uint64_t edges[] = {0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff,
					 INT64_MAX, (uint64_t)INT64_MIN, UINT64_MAX, 0x0f, 0x10};
	uint64_t value = ((uint64_t)rand() << 42) ^ ((uint64_t)rand() << 21) ^ (uint64_t)rand();

	return rand() % 2 ? value : edges[(unsigned)rand() % array_count(edges)];
}

static void test_arithmetic(void **state)
{
	(void)state;
	srand(1);
	for (unsigned i = 0; i < array_count(operations); i++) {
		for (unsigned size = operations[i].no_bytes ? 2 : 1; size <= 8; size *= 2) {
			for (unsigned n = 0; n < 4000; n++)
				compare(&operations[i], random_value(), random_value(), size, (uint64_t)rand() & ARITHMETIC_FLAGS);
		}
	}
}

/* ---- whole instructions ---- */

/* A CPU with one operand in memory and, for strings, 64 bytes of memory at address 0 of each segment. */
static struct machine {
	uint64_t gpr[GPR_COUNT], rflags, operand;
	uint8_t bytes[VIRT_SEGMENT_COUNT][64];
	enum status read_status, write_status;
	unsigned reads, writes, size;
} machine;

static uint64_t register_read(void *context, unsigned number)
{
	assert_ptr_equal(context, &machine);
	assert_in_range(number, 0, GPR_COUNT - 1);
	return machine.gpr[number];
}

static void register_write(void *context, unsigned number, uint64_t value)
{
	assert_ptr_equal(context, &machine);
	assert_in_range(number, 0, GPR_COUNT - 1);
	machine.gpr[number] = value;
}

static uint64_t flags_read(void *context)
{
	(void)context;
	return machine.rflags;
}

static void flags_write(void *context, uint64_t rflags)
{
	(void)context;
	machine.rflags = rflags;
}

static enum status operand_read(void *context, unsigned size, uint64_t *value)
{
	(void)context;
	machine.reads++;
	machine.size = size;
	*value = machine.operand & size_mask(size);
	return machine.read_status;
}

static enum status operand_write(void *context, unsigned size, uint64_t value)
{
	(void)context;
	machine.size = size;
	assert_int_equal(value & ~size_mask(size), 0);
	if (machine.write_status != STATUS_OK)
		return machine.write_status;
	machine.writes++;
	machine.operand = (machine.operand & ~size_mask(size)) | value;
	return STATUS_OK;
}

static enum status string_read(void *context, unsigned segment, uint64_t offset, unsigned size, uint64_t *value)
{
	(void)context;
	if (machine.read_status != STATUS_OK)
		return machine.read_status;
	assert_in_range(offset + size, 1, 64);
	*value = 0;
	memcpy(value, machine.bytes[segment] + offset, size);
	return STATUS_OK;
}

static enum status string_write(void *context, unsigned segment, uint64_t offset, unsigned size, uint64_t value)
{
	(void)context;
	if (machine.write_status != STATUS_OK)
		return machine.write_status;
	assert_in_range(offset + size, 1, 64);
	memcpy(machine.bytes[segment] + offset, &value, size);
	return STATUS_OK;
}

static const struct emulate_ops ops = {register_read, register_write, flags_read, flags_write, operand_read, operand_write, string_read,
				       string_write};

static bool finished;

static enum status run(enum decoder_mode mode, const uint8_t *bytes, size_t size)
{
	struct instruction instruction;

	assert_int_equal(decoder_decode(bytes, size, mode, &instruction), STATUS_OK);
	assert_int_equal(instruction.length, size);
	finished = false;
	return emulate(&instruction, &ops, &machine, &finished);
}

#define RUN_BYTES(mode, ...) run(mode, (const uint8_t[]){__VA_ARGS__}, sizeof((uint8_t[]){__VA_ARGS__}))
#define RUN_64(...) assert_int_equal(RUN_BYTES(DECODER_64, __VA_ARGS__), STATUS_OK)

static int set_up(void **state)
{
	(void)state;
	memset(&machine, 0, sizeof(machine));
	for (unsigned i = 0; i < GPR_COUNT; i++)
		machine.gpr[i] = 0x1111111111111111u * i;
	machine.operand = 0x8877665544332281;
	machine.rflags = RFLAGS_FIXED;
	return 0;
}

static void test_loads(void **state)
{
	(void)state;
	RUN_64(0x8b, 0x08); /* mov (%rax),%ecx */
	assert_int_equal(machine.gpr[GPR_RCX], 0x44332281);
	assert_int_equal(machine.size, 4);
	assert_true(finished);
	RUN_64(0x66, 0x8b, 0x10);
	assert_int_equal(machine.gpr[GPR_RDX], 0x2222222222222281);
	RUN_64(0x8a, 0x18);
	assert_int_equal(machine.gpr[GPR_RBX], 0x3333333333333381);
	RUN_64(0x8a, 0x38); /* bh */
	assert_int_equal(machine.gpr[GPR_RBX], 0x3333333333338181);
	RUN_64(0x4c, 0x8b, 0x38);
	assert_int_equal(machine.gpr[GPR_R15], 0x8877665544332281);
	RUN_64(0x0f, 0xb6, 0x30);
	assert_int_equal(machine.gpr[GPR_RSI], 0x81);
	RUN_64(0x0f, 0xbe, 0x30);
	assert_int_equal(machine.gpr[GPR_RSI], 0xffffff81);
	RUN_64(0x48, 0x0f, 0xbe, 0x30);
	assert_int_equal(machine.gpr[GPR_RSI], 0xffffffffffffff81);
	RUN_64(0x66, 0x0f, 0xbe, 0x38);
	assert_int_equal(machine.gpr[GPR_RDI], 0x777777777777ff81);
	RUN_64(0x48, 0x63, 0x30);
	assert_int_equal(machine.gpr[GPR_RSI], 0x44332281);
	assert_int_equal(machine.writes, 0);
	assert_int_equal(machine.rflags, RFLAGS_FIXED);
}

static void test_stores(void **state)
{
	(void)state;
	RUN_64(0x89, 0x18);
	assert_int_equal(machine.operand, 0x8877665533333333);
	RUN_64(0x88, 0x20); /* ah */
	assert_int_equal(machine.operand, 0x8877665533333300);
	machine.gpr[GPR_RAX] = 0x1234;
	RUN_64(0x88, 0x20);
	assert_int_equal(machine.operand, 0x8877665533333312);
	RUN_64(0x66, 0xc7, 0x00, 0xfe, 0xca);
	assert_int_equal(machine.operand, 0x887766553333cafe);
	RUN_64(0x48, 0xc7, 0x00, 0xff, 0xff, 0xff, 0xff);
	assert_int_equal(machine.operand, UINT64_MAX);
	assert_int_equal(machine.reads, 0);
}

static void test_modifies(void **state)
{
	(void)state;
	RUN_64(0x83, 0x08, 0x7e); /* orl $0x7e */
	assert_int_equal(machine.operand, 0x88776655443322ff);
	assert_int_equal(machine.rflags & (RFLAGS_CF | RFLAGS_ZF | RFLAGS_SF), 0);
	RUN_64(0x80, 0x00, 0x01); /* addb $1 */
	assert_int_equal(machine.operand, 0x8877665544332200);
	assert_int_equal(machine.rflags & (RFLAGS_CF | RFLAGS_ZF), RFLAGS_CF | RFLAGS_ZF);
	RUN_64(0x83, 0x10, 0x00); /* adcl $0 */
	assert_int_equal(machine.operand, 0x8877665544332201);
	machine.writes = 0;
	RUN_64(0x81, 0x38, 0x01, 0x22, 0x33, 0x44); /* cmpl: nothing is written */
	assert_int_equal(machine.rflags & RFLAGS_ZF, RFLAGS_ZF);
	RUN_64(0x3b, 0x00); /* cmp (%rax),%eax */
	assert_int_equal(machine.rflags & RFLAGS_CF, RFLAGS_CF);
	RUN_64(0x84, 0x00);
	RUN_64(0x0f, 0xba, 0x20, 0x00); /* bt $0 */
	assert_int_equal(machine.rflags & RFLAGS_CF, RFLAGS_CF);
	assert_int_equal(machine.writes, 0);
	RUN_64(0x03, 0x18); /* add (%rax),%ebx */
	assert_int_equal(machine.gpr[GPR_RBX], 0x77665534);
	RUN_64(0x0f, 0xba, 0x28, 0x23); /* btsl $35: the number is taken modulo 32 */
	assert_int_equal(machine.operand, 0x8877665544332209);
	RUN_64(0x87, 0x18); /* xchg */
	assert_int_equal(machine.operand, 0x8877665577665534);
	assert_int_equal(machine.gpr[GPR_RBX], 0x44332209);
	RUN_64(0xf7, 0x10); /* not: no flag changes */
	assert_int_equal(machine.operand, 0x887766558899aacb);
}

/* A memory access that is refused leaves registers and flags as they were. */
static void test_refused_accesses(void **state)
{
	static const uint8_t reading[][3] = {{0x8b, 0x18}, {0x03, 0x18}, {0x01, 0x18}, {0x87, 0x18}, {0xff, 0x00}, {0x83, 0x38, 1}, {0xa4}, {0xac}};
	static const uint8_t writing[][3] = {{0x89, 0x18}, {0x01, 0x18}, {0x87, 0x18}, {0xff, 0x00}, {0xa4}, {0xaa}};
	static const uint8_t reading_size[] = {2, 2, 2, 2, 2, 3, 1, 1}, writing_size[] = {2, 2, 2, 2, 1, 1};
	struct machine before;

	(void)state;
	machine.gpr[GPR_RSI] = machine.gpr[GPR_RDI] = 0;
	before = machine;
	for (unsigned i = 0; i < array_count(reading_size); i++) {
		machine.read_status = STATUS_DENIED;
		assert_int_equal(run(DECODER_64, reading[i], reading_size[i]), STATUS_DENIED);
		assert_memory_equal(before.gpr, machine.gpr, sizeof(before.gpr));
		assert_int_equal(machine.rflags, before.rflags);
		assert_int_equal(machine.writes, 0);
	}
	machine.read_status = STATUS_OK;
	for (unsigned i = 0; i < array_count(writing_size); i++) {
		machine.write_status = STATUS_NOT_FOUND;
		assert_int_equal(run(DECODER_64, writing[i], writing_size[i]), STATUS_NOT_FOUND);
		assert_memory_equal(before.gpr, machine.gpr, sizeof(before.gpr));
		assert_int_equal(machine.rflags, before.rflags);
	}
}

static void test_strings(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 64; i++)
		machine.bytes[VIRT_DS][i] = machine.bytes[VIRT_FS][i] = (uint8_t)(i + 1);
	machine.bytes[VIRT_FS][8] = 0xf5;
	machine.gpr[GPR_RSI] = 8;
	machine.gpr[GPR_RDI] = 16;
	RUN_64(0xa5); /* movsl */
	assert_true(finished);
	assert_memory_equal(machine.bytes[VIRT_ES] + 16, machine.bytes[VIRT_DS] + 8, 4);
	assert_int_equal(machine.bytes[VIRT_ES][20], 0);
	assert_int_equal(machine.gpr[GPR_RSI], 12);
	assert_int_equal(machine.gpr[GPR_RDI], 20);
	assert_int_equal(machine.gpr[GPR_RCX], 0x1111111111111111);
	machine.gpr[GPR_RSI] = 8;
	machine.rflags |= RFLAGS_DF;
	RUN_64(0x64, 0xac); /* lods %fs:(%rsi),%al, downwards */
	assert_int_equal(machine.gpr[GPR_RAX], 0xf5);
	assert_int_equal(machine.gpr[GPR_RSI], 7);
	RUN_64(0x66, 0xab); /* stosw */
	assert_int_equal(machine.bytes[VIRT_ES][20], 0xf5);
	assert_int_equal(machine.gpr[GPR_RDI], 18);
}

/* One element at a time: RIP stays until the count is zero. */
static void test_repeated_strings(void **state)
{
	(void)state;
	machine.gpr[GPR_RDI] = 4;
	machine.gpr[GPR_RAX] = 0xaa;
	machine.gpr[GPR_RCX] = 2;
	RUN_64(0xf3, 0xaa);
	assert_false(finished);
	assert_int_equal(machine.gpr[GPR_RCX], 1);
	RUN_64(0xf3, 0xaa);
	assert_true(finished);
	assert_int_equal(machine.gpr[GPR_RCX], 0);
	assert_int_equal(machine.gpr[GPR_RDI], 6);
	RUN_64(0xf3, 0xaa); /* nothing left to do */
	assert_true(finished);
	assert_int_equal(machine.gpr[GPR_RDI], 6);
	assert_memory_equal(machine.bytes[VIRT_ES] + 4, "\xaa\xaa\0", 3);
	/* 32-bit addresses: upper halves are cleared where a register is written, and do not count. */
	machine.gpr[GPR_RCX] = 0x500000001;
	machine.gpr[GPR_RDI] = 0x700000008;
	RUN_64(0xf3, 0x67, 0xaa);
	assert_true(finished);
	assert_int_equal(machine.gpr[GPR_RCX], 0);
	assert_int_equal(machine.gpr[GPR_RDI], 9);
	/* 16-bit addresses: only the lower 16 bits move, and they wrap. */
	machine.gpr[GPR_RCX] = 0x30000;
	machine.gpr[GPR_RDI] = 0x1234ffff;
	assert_int_equal(RUN_BYTES(DECODER_16, 0xf3, 0xaa), STATUS_OK);
	assert_int_equal(machine.gpr[GPR_RDI], 0x1234ffff);
	machine.rflags |= RFLAGS_DF;
	machine.gpr[GPR_RCX] = 0x30002;
	machine.gpr[GPR_RDI] = 0x12340000;
	assert_int_equal(RUN_BYTES(DECODER_16, 0xf3, 0xaa), STATUS_OK);
	assert_int_equal(machine.gpr[GPR_RDI], 0x1234ffff);
	assert_int_equal(machine.gpr[GPR_RCX], 0x30001);
	assert_false(finished);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_arithmetic),
		cmocka_unit_test_setup(test_loads, set_up),
		cmocka_unit_test_setup(test_stores, set_up),
		cmocka_unit_test_setup(test_modifies, set_up),
		cmocka_unit_test_setup(test_refused_accesses, set_up),
		cmocka_unit_test_setup(test_strings, set_up),
		cmocka_unit_test_setup(test_repeated_strings, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
