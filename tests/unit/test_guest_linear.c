/* A guest's linear addresses: every paging mode, rights, the bits that a walk sets, and tables that lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/access_fixture.h"

#define KERNEL 0xffff800000400000ull /* linear */
#define PAGE 0x5000u                 /* physical */

static struct guest_linear_fault fault;
static gpa_t address;

static int set_up(void **state)
{
	(void)state;
	fixture_start();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	fake_guest_destroy();
	return 0;
}

static enum status translate(uint64_t linear, enum guest_linear_access access)
{
	memset(&fault, 0xee, sizeof(fault));
	address = gpa(UINT64_MAX);
	return guest_linear_translate(&fake_guest.vcpu, gva(linear), access, &address, &fault);
}

static void assert_translates(uint64_t linear, enum guest_linear_access access, uint64_t physical)
{
	assert_int_equal(translate(linear, access), STATUS_OK);
	assert_int_equal(address.value, physical);
}

static void assert_page_fault(uint64_t linear, enum guest_linear_access access, uint32_t code)
{
	assert_int_equal(translate(linear, access), STATUS_DENIED);
	assert_int_equal(fault.vector, EXCEPTION_PF);
	assert_true(fault.has_error_code);
	assert_int_equal(fault.error_code, code);
	assert_int_equal(fault.address, linear);
}

static void assert_general_protection(uint64_t linear)
{
	assert_int_equal(translate(linear, GUEST_LINEAR_READ), STATUS_DENIED);
	assert_int_equal(fault.vector, EXCEPTION_GP);
	assert_true(fault.has_error_code);
	assert_int_equal(fault.error_code, 0);
}

#define READ GUEST_LINEAR_READ
#define WRITE GUEST_LINEAR_WRITE
#define FETCH GUEST_LINEAR_FETCH
#define REFETCH GUEST_LINEAR_REFETCH

/* ---- modes ---- */

static void test_without_paging(void **state)
{
	(void)state;
	assert_translates(0x12345678, READ, 0x12345678);
	assert_translates(0x1fffffff0, READ, 0xfffffff0); /* 32 bits */
	fixture_set_cpl(3);
	assert_translates(0x1000, WRITE, 0x1000);
}

static void test_4_level(void **state)
{
	(void)state;
	fixture_enable_paging_64();
	fixture_map_64(KERNEL, PAGE, TABLE_P);
	*fixture_leaf_64(0x40000000, 21) = 0x800000 | TABLE_P | TABLE_PS;
	*fixture_leaf_64(0x8000000000, 30) = 0x40000000 | TABLE_P | TABLE_PS;
	assert_translates(KERNEL, READ, PAGE);
	assert_translates(KERNEL + 0xfff, READ, PAGE + 0xfff);
	assert_page_fault(KERNEL + 0x1000, READ, 0);
	assert_translates(0x40123456, READ, 0x923456);
	assert_translates(0x8012345678, READ, 0x52345678); /* not RAM, but an address */
	assert_page_fault(0x1000000000, READ, 0);
}

static void test_canonical_addresses(void **state)
{
	(void)state;
	fixture_enable_paging_64();
	fixture_map_64(0x7ffffffff000, PAGE, TABLE_P);
	fixture_map_64(0xffff800000000000, PAGE, TABLE_P);
	assert_translates(0x7fffffffffff, READ, PAGE + 0xfff);
	assert_translates(0xffff800000000000, READ, PAGE);
	assert_general_protection(0x800000000000);
	assert_general_protection(0xffff7fffffffffff);
	assert_general_protection(0x8000000000000000);
}

static void test_compatibility_mode_is_4_level(void **state)
{
	(void)state;
	fixture_enable_paging_64();
	fake_guest.segments[VIRT_CS].attributes = 0x9b | (uint32_t)VIRT_SEGMENT_DB;
	fixture_map_64(0x400000, PAGE, TABLE_P);
	assert_translates(0x400123, READ, PAGE + 0x123);
}

static void test_32_bit(void **state)
{
	(void)state;
	fixture_enable_paging_32(0);
	*fixture_leaf_32(0xc0001000) = PAGE | TABLE_P;
	assert_translates(0xc0001abc, READ, PAGE + 0xabc);
	assert_translates(0x7c0001abc, READ, PAGE + 0xabc); /* linear addresses have 32 bits */
	assert_page_fault(0xc0002000, READ, 0);
	assert_page_fault(0x400000, READ, 0);
	assert_page_fault(0x400000, FETCH, 0); /* no NX in this mode: the I/D bit stays 0 */
	/* 4 MiB pages need CR4.PSE; bits 20:13 are 39:32 of the address. */
	uint32_t *entry = (uint32_t *)(void *)(fake_guest.ram + FIXTURE_TABLES) + 1;
	*entry = 0x80000000 | 1 << 13 | TABLE_P | TABLE_PS;
	fake_guest.registers[VIRT_CR4] = CR4_PSE;
	assert_translates(0x512345, READ, 0x180112345);
	*entry = 0x300000 | TABLE_P | TABLE_PS;
	fake_guest.registers[VIRT_CR4] = 0;
	*(uint32_t *)(void *)(fake_guest.ram + 0x300000 + 0x112 * 4) = PAGE | TABLE_P;
	assert_translates(0x512345, READ, PAGE + 0x345);
}

/* The four top entries are those in the CPU, whatever memory has. */
static void test_pae(void **state)
{
	uint64_t *entry = (uint64_t *)(void *)(fake_guest.ram + 0x300000);

	(void)state;
	fixture_enable_paging_32(CR4_PAE);
	fake_guest.registers[VIRT_EFER] = EFER_NXE;
	fake_guest.registers[VIRT_PDPTE3] = 0x300000 | TABLE_P;
	entry[1] = 0x301000 | TABLE_ALL;
	entry[2] = 0x800000 | TABLE_ALL | TABLE_PS;
	entry[512 + 7] = PAGE | TABLE_ALL | TABLE_NX;
	assert_translates(0xc0207123, READ, PAGE + 0x123);
	assert_translates(0xc0512345, READ, 0x912345);
	assert_translates(0xc0512345, FETCH, 0x912345);
	assert_page_fault(0xc0207000, FETCH, 0x11);
	assert_page_fault(0x80000000, READ, 0);
	assert_page_fault(0xc0600000, FETCH, 0x10);
	fake_guest.registers[VIRT_EFER] = 0;
	assert_page_fault(0xc0207000, READ, 0x9); /* NX is a reserved bit now */
}

/* ---- rights ---- */

struct rights_row {
	uint64_t flags; /* of the leaf; the tables above allow all */
	unsigned cpl;
	enum guest_linear_access access;
	uint64_t cr4, rflags;
	bool write_protect;
	int64_t code; /* -1: allowed */
};

static const struct rights_row rights_rows[] = {
	{TABLE_P, 0, READ, 0, 0, true, -1},
	{TABLE_P, 3, READ, 0, 0, true, 5},
	{TABLE_P, 1, READ, 0, 0, true, -1}, /* levels 0 to 2 are supervisors */
	{TABLE_P, 3, WRITE, 0, 0, true, 7},
	{TABLE_P, 0, WRITE, 0, 0, true, 3},
	{TABLE_P, 0, WRITE, 0, 0, false, -1}, /* CR0.WP */
	{TABLE_P | TABLE_U, 3, WRITE, 0, 0, false, 7},
	{TABLE_P | TABLE_U, 3, READ, 0, 0, true, -1},
	{TABLE_P | TABLE_W | TABLE_U, 3, WRITE, 0, 0, true, -1},
	{TABLE_P | TABLE_W, 0, WRITE, 0, 0, true, -1},
	{TABLE_P, 0, FETCH, 0, 0, true, -1},
	{TABLE_P | TABLE_NX, 0, FETCH, 0, 0, true, 0x11},
	{TABLE_P | TABLE_NX, 0, READ, 0, 0, true, -1},
	{TABLE_P | TABLE_U | TABLE_NX, 3, FETCH, 0, 0, true, 0x15},
	{TABLE_P | TABLE_U, 0, FETCH, 0, 0, true, -1},
	{TABLE_P | TABLE_U, 0, FETCH, CR4_SMEP, 0, true, 0x11},
	{TABLE_P | TABLE_U, 3, FETCH, CR4_SMEP, 0, true, -1},
	{TABLE_P, 0, FETCH, CR4_SMEP, 0, true, -1},
	{TABLE_P | TABLE_U, 0, READ, CR4_SMEP, 0, true, -1},
	{TABLE_P | TABLE_U, 0, READ, CR4_SMAP, 0, true, 1},
	{TABLE_P | TABLE_U, 0, READ, CR4_SMAP, RFLAGS_AC, true, -1},
	{TABLE_P | TABLE_U, 3, READ, CR4_SMAP, 0, true, -1},
	{TABLE_P | TABLE_U | TABLE_W, 0, WRITE, CR4_SMAP, 0, true, 3},
	{TABLE_P | TABLE_U, 0, WRITE, CR4_SMAP, RFLAGS_AC, true, 3},
	{TABLE_P | TABLE_U, 0, FETCH, CR4_SMAP, 0, true, -1},
	/* The instruction that just ran was fetched by the CPU. */
	{TABLE_P | TABLE_NX, 3, REFETCH, CR4_SMEP, 0, true, -1},
};

static void apply(const struct rights_row *row)
{
	fake_guest.registers[VIRT_CR4] = CR4_PAE | row->cr4;
	fake_guest.registers[VIRT_RFLAGS] = RFLAGS_FIXED | row->rflags;
	fake_guest.registers[VIRT_CR0] = CR0_PG | CR0_PE | (row->write_protect ? CR0_WP : 0);
	fixture_set_cpl(row->cpl);
}

static void test_rights(void **state)
{
	(void)state;
	fixture_enable_paging_64();
	for (size_t i = 0; i < array_count(rights_rows); i++) {
		const struct rights_row *row = &rights_rows[i];

		fixture_map_64(KERNEL, PAGE, row->flags);
		apply(row);
		enum status status = translate(KERNEL + 8, row->access);
		if ((status == STATUS_OK) != (row->code == -1) || (status != STATUS_OK && fault.error_code != (uint64_t)row->code))
			fail_msg("row %zu: status %d, error code %#x", i, status, fault.error_code);
		/* Who may not touch it leaves no trace. */
		assert_int_equal(*fixture_leaf_64(KERNEL, 12) & (TABLE_A | TABLE_D),
				 status != STATUS_OK ? 0 : row->access == WRITE ? TABLE_A | TABLE_D : TABLE_A);
	}
}

/* Each level can take a right away. */
static void test_rights_of_upper_levels(void **state)
{
	(void)state;
	fixture_enable_paging_64();
	fixture_map_64(KERNEL, PAGE, TABLE_ALL);
	for (unsigned shift = 21; shift <= 39; shift += 9) {
		uint64_t *entry = fixture_leaf_64(KERNEL, shift);

		fixture_set_cpl(3);
		assert_translates(KERNEL, WRITE, PAGE);
		*entry &= ~(uint64_t)TABLE_W;
		assert_page_fault(KERNEL, WRITE, 7);
		assert_translates(KERNEL, READ, PAGE);
		*entry = (*entry | TABLE_W) & ~(uint64_t)TABLE_U;
		assert_page_fault(KERNEL, READ, 5);
		*entry |= TABLE_U | TABLE_NX;
		assert_page_fault(KERNEL, FETCH, 0x15);
		*entry &= ~TABLE_NX & ~(uint64_t)TABLE_P;
		assert_page_fault(KERNEL, READ, 4);
		*entry |= TABLE_P;
	}
}

static void test_rights_32_bit(void **state)
{
	uint32_t *directory = (uint32_t *)(void *)(fake_guest.ram + FIXTURE_TABLES);

	(void)state;
	fixture_enable_paging_32(CR4_SMEP);
	*fixture_leaf_32(0x400000) = PAGE | TABLE_ALL;
	fixture_set_cpl(3);
	assert_translates(0x400000, WRITE, PAGE);
	directory[1] &= ~TABLE_W;
	assert_page_fault(0x400000, WRITE, 7);
	directory[1] = (directory[1] | TABLE_W) & ~TABLE_U;
	assert_page_fault(0x400000, READ, 5);
	directory[1] |= TABLE_U;
	fixture_set_cpl(0);
	assert_page_fault(0x400000, FETCH, 0x11);
}

static void test_reserved_bits(void **state)
{
	(void)state;
	fixture_enable_paging_64();
	fixture_map_64(KERNEL, PAGE, TABLE_P | TABLE_NX);
	fake_guest.registers[VIRT_EFER] &= ~EFER_NXE;
	assert_page_fault(KERNEL, READ, 9);
	*fixture_leaf_64(KERNEL, 12) &= ~TABLE_NX;
	assert_translates(KERNEL, READ, PAGE);
	*fixture_leaf_64(KERNEL, 39) |= TABLE_PS;
	assert_page_fault(KERNEL, READ, 9);
}

/* ---- what a walk leaves behind ---- */

static void test_accessed_and_dirty_bits(void **state)
{
	(void)state;
	fixture_enable_paging_64();
	fixture_map_64(KERNEL, PAGE, TABLE_P | TABLE_W);
	assert_translates(KERNEL, READ, PAGE);
	for (unsigned shift = 12; shift <= 39; shift += 9)
		assert_int_equal(*fixture_leaf_64(KERNEL, shift) & (TABLE_A | TABLE_D), TABLE_A);
	assert_translates(KERNEL, WRITE, PAGE);
	assert_int_equal(*fixture_leaf_64(KERNEL, 12), PAGE | TABLE_P | TABLE_W | TABLE_A | TABLE_D);
	assert_int_equal(*fixture_leaf_64(KERNEL, 21) & TABLE_D, 0);
	fixture_start();
	fixture_enable_paging_32(0);
	*fixture_leaf_32(0x400000) = PAGE | TABLE_P | TABLE_W;
	*(fixture_leaf_32(0x400000) + 1) = 0xfffff000 | TABLE_P; /* a neighbour, left alone */
	assert_translates(0x400000, WRITE, PAGE);
	assert_int_equal(*fixture_leaf_32(0x400000), PAGE | TABLE_P | TABLE_W | TABLE_A | TABLE_D);
	assert_int_equal(*(fixture_leaf_32(0x400000) + 1), 0xfffff000 | TABLE_P);
	assert_int_equal(*(uint32_t *)(void *)(fake_guest.ram + FIXTURE_TABLES + 4) & (TABLE_A | TABLE_D), TABLE_A);
}

/* Another vCPU changes the leaf after the walk has read it: looking at the privilege level is such a moment. */
static unsigned changes_left;
static uint64_t changed_to;

static void change_leaf(struct virt_vcpu *vcpu, enum virt_segment_name name, struct virt_segment *segment)
{
	fixture_segment_read(vcpu, name, segment);
	if (changes_left == 0)
		return;
	changes_left--;
	*fixture_leaf_64(KERNEL, 12) = changed_to;
	changed_to ^= 0x10000;
}

static void test_entries_that_change(void **state)
{
	struct virt_ops ops = *virt_ops;

	(void)state;
	fixture_enable_paging_64();
	fixture_map_64(KERNEL, PAGE, TABLE_P | TABLE_W);
	ops.segment_read = change_leaf;
	virt_ops = &ops;
	changes_left = 1;
	changed_to = 0x9000 | TABLE_P | TABLE_W;
	assert_translates(KERNEL, WRITE, 0x9000); /* not the page that it was */
	assert_int_equal(*fixture_leaf_64(KERNEL, 12), 0x9000 | TABLE_P | TABLE_W | TABLE_A | TABLE_D);
	/* An entry that went away is left alone. */
	fixture_map_64(KERNEL, PAGE, TABLE_P | TABLE_W);
	changes_left = 1;
	changed_to = 0x1234000;
	assert_page_fault(KERNEL, WRITE, 2);
	assert_int_equal(*fixture_leaf_64(KERNEL, 12), 0x1234000);
	/* And one that never stops changing ends in a fault. */
	fixture_map_64(KERNEL, PAGE, TABLE_P | TABLE_W);
	changes_left = 1000000;
	changed_to = 0x9000 | TABLE_P | TABLE_W;
	assert_page_fault(KERNEL, WRITE, 2);
	assert_in_range(changes_left, 1000000 - 50, 999999);
	changes_left = 0;
}

/* ---- tables that lie ---- */

static void test_tables_outside_ram(void **state)
{
	static const uint64_t places[] = {0xa0000, 0xb0000, FIXTURE_RAM, 0xfee00000, BITS(51, 12)};

	(void)state;
	fixture_enable_paging_64();
	fixture_map_64(KERNEL, PAGE, TABLE_ALL);
	for (unsigned i = 0; i < array_count(places); i++) {
		for (unsigned shift = 21; shift <= 39; shift += 9) {
			uint64_t *entry = fixture_leaf_64(KERNEL, shift), before = *entry;

			*entry = places[i] | TABLE_ALL;
			assert_general_protection(KERNEL);
			*entry = before;
		}
		fake_guest.registers[VIRT_CR3] = places[i];
		assert_general_protection(KERNEL);
		fake_guest.registers[VIRT_CR3] = FIXTURE_TABLES;
	}
	fake_guest.registers[VIRT_EFER] = 0;
	fake_guest.registers[VIRT_CR4] = 0;
	fake_guest.registers[VIRT_CR3] = 0xfffff000;
	assert_general_protection(0x1000);
}

static void test_table_that_is_its_own_child(void **state)
{
	uint64_t *root = (uint64_t *)(void *)(fake_guest.ram + FIXTURE_TABLES);

	(void)state;
	fixture_enable_paging_64();
	for (unsigned i = 0; i < 512; i++)
		root[i] = FIXTURE_TABLES | TABLE_ALL;
	assert_translates(0x123456789, READ, FIXTURE_TABLES + 0x789);
	assert_translates(0, WRITE, FIXTURE_TABLES);
	assert_int_equal(root[0] & (TABLE_A | TABLE_D), TABLE_A | TABLE_D);
}

/* ---- bytes ---- */

static void map_two_apart(uint64_t second_flags)
{
	fixture_enable_paging_64();
	fixture_map_64(KERNEL, 0x9000, TABLE_P | TABLE_W);
	fixture_map_64(KERNEL + 0x1000, 0x3000, second_flags);
}

static void test_read_and_write_over_a_border(void **state)
{
	uint8_t bytes[8] = {1, 2, 3, 4, 5, 6, 7, 8};

	(void)state;
	map_two_apart(TABLE_P | TABLE_W);
	assert_int_equal(guest_linear_write(&fake_guest.vcpu, gva(KERNEL + 0xffd), bytes, 8, &fault), STATUS_OK);
	assert_memory_equal(fake_guest.ram + 0x9ffd, bytes, 3);
	assert_memory_equal(fake_guest.ram + 0x3000, bytes + 3, 5);
	assert_int_equal(fake_guest.ram[0xa000] | fake_guest.ram[0x3005], 0);
	memset(bytes, 0, sizeof(bytes));
	assert_int_equal(guest_linear_read(&fake_guest.vcpu, gva(KERNEL + 0xffe), bytes, 4, &fault), STATUS_OK);
	assert_memory_equal(bytes, "\2\3\4\5\0\0\0\0", 8);
}

/* Both pages are checked before a byte moves. */
static void test_refused_second_page(void **state)
{
	uint8_t bytes[8] = {1, 2, 3, 4, 5, 6, 7, 8};

	(void)state;
	map_two_apart(TABLE_P);
	assert_int_equal(guest_linear_write(&fake_guest.vcpu, gva(KERNEL + 0xffd), bytes, 8, &fault), STATUS_DENIED);
	assert_int_equal(fault.address, KERNEL + 0x1000);
	assert_int_equal(fault.error_code, 3);
	assert_int_equal(fake_guest.ram[0x9ffd], 0);
	assert_int_equal(guest_linear_check(&fake_guest.vcpu, gva(KERNEL + 0xffd), 8, true, &fault), STATUS_DENIED);
	assert_int_equal(guest_linear_check(&fake_guest.vcpu, gva(KERNEL + 0xffd), 8, false, &fault), STATUS_OK);
	assert_int_equal(guest_linear_check(&fake_guest.vcpu, gva(KERNEL + 0xffd), 3, true, &fault), STATUS_OK);
	fixture_map_64(KERNEL + 0x1000, 0xfec00000, TABLE_P | TABLE_W);
	assert_int_equal(guest_linear_write(&fake_guest.vcpu, gva(KERNEL + 0xffd), bytes, 8, &fault), STATUS_DENIED);
	assert_int_equal(fault.vector, EXCEPTION_GP);
	assert_int_equal(guest_linear_read(&fake_guest.vcpu, gva(KERNEL + 0x1000), bytes, 8, &fault), STATUS_DENIED);
	assert_int_equal(fault.vector, EXCEPTION_GP);
}

/* ---- code ---- */

static struct guest_linear_code code;

static void test_fetch(void **state)
{
	(void)state;
	map_two_apart(TABLE_P);
	for (unsigned i = 0; i < 0x1000; i++) {
		fake_guest.ram[0x9000 + i] = (uint8_t)i;
		fake_guest.ram[0x3000 + i] = 0xc3;
	}
	assert_int_equal(guest_linear_fetch(&fake_guest.vcpu, KERNEL + 0x123, &code, &fault), STATUS_OK);
	assert_int_equal(code.mode, DECODER_64);
	assert_int_equal(code.size, GUEST_LINEAR_CODE_SIZE);
	assert_memory_equal(code.bytes, fake_guest.ram + 0x9123, GUEST_LINEAR_CODE_SIZE);
	assert_int_equal(guest_linear_fetch(&fake_guest.vcpu, KERNEL + 0xff0, &code, &fault), STATUS_OK);
	assert_int_equal(code.size, 16);
	assert_int_equal(guest_linear_fetch(&fake_guest.vcpu, KERNEL + 0xffe, &code, &fault), STATUS_OK);
	assert_int_equal(code.size, 2);
	assert_memory_equal(code.bytes, "\xfe\xff", 2);
	assert_int_equal(guest_linear_fetch_more(&fake_guest.vcpu, &code, &fault), STATUS_OK);
	assert_int_equal(code.size, GUEST_LINEAR_CODE_SIZE);
	assert_memory_equal(code.bytes, "\xfe\xff\xc3\xc3", 4);
	assert_int_equal(code.bytes[15], 0xc3);
}

static void test_fetch_faults(void **state)
{
	(void)state;
	map_two_apart(0);
	assert_int_equal(guest_linear_fetch(&fake_guest.vcpu, KERNEL + 0xfff, &code, &fault), STATUS_OK);
	assert_int_equal(code.size, 1);
	assert_int_equal(guest_linear_fetch_more(&fake_guest.vcpu, &code, &fault), STATUS_DENIED);
	assert_int_equal(fault.vector, EXCEPTION_PF);
	assert_int_equal(fault.address, KERNEL + 0x1000);
	assert_int_equal(fault.error_code, 0x10);
	assert_int_equal(guest_linear_fetch(&fake_guest.vcpu, KERNEL + 0x1000, &code, &fault), STATUS_DENIED);
	fixture_map_64(KERNEL + 0x1000, 0xfec00000, TABLE_P);
	assert_int_equal(guest_linear_fetch(&fake_guest.vcpu, KERNEL + 0x1000, &code, &fault), STATUS_DENIED);
	assert_int_equal(fault.vector, EXCEPTION_GP);
}

static void test_code_modes(void **state)
{
	struct virt_segment *cs = &fake_guest.segments[VIRT_CS];

	(void)state;
	cs->base = 0x1000;
	assert_int_equal(guest_linear_fetch(&fake_guest.vcpu, 0x10, &code, &fault), STATUS_OK);
	assert_int_equal(code.mode, DECODER_32);
	assert_int_equal(code.address, 0x1010);
	cs->attributes = 0x9b;
	assert_int_equal(guest_linear_fetch(&fake_guest.vcpu, 0x10, &code, &fault), STATUS_OK);
	assert_int_equal(code.mode, DECODER_16);
	cs->attributes = 0x9b | (uint32_t)VIRT_SEGMENT_L; /* means nothing outside IA-32e mode */
	assert_int_equal(guest_linear_fetch(&fake_guest.vcpu, 0x10, &code, &fault), STATUS_OK);
	assert_int_equal(code.mode, DECODER_16);
	cs->base = 0xfffff000; /* wraps at 4 GiB */
	assert_int_equal(guest_linear_fetch(&fake_guest.vcpu, 0x2345, &code, &fault), STATUS_OK);
	assert_int_equal(code.address, 0x1345);
	fixture_enable_paging_64();
	fixture_map_64(0x4000, PAGE, TABLE_P);
	assert_int_equal(guest_linear_fetch(&fake_guest.vcpu, 0x4010, &code, &fault), STATUS_OK);
	assert_int_equal(code.mode, DECODER_64);
	assert_int_equal(code.address, 0x4010); /* without the base */
}

static void test_injection(void **state)
{
	(void)state;
	guest_linear_inject(&fake_guest.vcpu, &(struct guest_linear_fault){EXCEPTION_PF, true, 7, 0x1234});
	assert_int_equal(fixture_injected.vector, EXCEPTION_PF);
	assert_int_equal(fixture_injected.error_code, 7);
	assert_int_equal(fake_guest.registers[VIRT_CR2], 0x1234);
	guest_linear_inject(&fake_guest.vcpu, &(struct guest_linear_fault){EXCEPTION_GP, true, 0, 0x5678});
	assert_int_equal(fixture_injected.vector, EXCEPTION_GP);
	assert_true(fixture_injected.has_error_code);
	assert_int_equal(fixture_injected.error_code, 0);
	assert_int_equal(fake_guest.registers[VIRT_CR2], 0x1234);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_without_paging, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_4_level, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_canonical_addresses, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_compatibility_mode_is_4_level, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_32_bit, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_pae, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_rights, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_rights_of_upper_levels, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_rights_32_bit, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_reserved_bits, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_accessed_and_dirty_bits, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_entries_that_change, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_tables_outside_ram, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_table_that_is_its_own_child, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_read_and_write_over_a_border, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_refused_second_page, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_fetch, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_fetch_faults, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_code_modes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_injection, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
