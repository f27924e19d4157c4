/* vmm/guest/multiboot_boot.c: kernels made here as ELF32, ELF64 and flat files, right and hostile, loaded without a CPU. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/cr.h"
#include "tests/unit/fake_guest.h"
#include "vmm/guest/e820.h"
#include "vmm/guest/multiboot_boot.h"

#define FILE_SIZE 0x3000u
#define HEADER_OFFSET 0x1000u /* of the Multiboot header, at the beginning of the first segment */

static uint8_t file[FILE_SIZE];
static uint8_t module[5000];
static const struct guest_file kernel = { "guests/test.elf", file, FILE_SIZE };
static const struct guest_file ramdisk = { "guests/module", module, sizeof(module) };
static const struct guest_file no_file = { .path = "" };
static struct multiboot_header header;
static const char *why;

static void put(uint64_t offset, uint64_t value, unsigned size) { memcpy(file + offset, &value, size); }

static void put_header(uint64_t offset, uint32_t flags)
{
	put(offset, 0x1badb002, 4);
	put(offset + 4, flags, 4);
	put(offset + 8, (uint32_t)-(0x1badb002 + flags), 4);
}

/* Program header @index: @file_size bytes from @offset at physical @address, @memory_size in memory. */
static void put_segment(bool is_64_bit, unsigned index, uint64_t offset, uint64_t address, uint64_t file_size, uint64_t memory_size)
{
	uint64_t at = is_64_bit ? 64 + index * 56 : 52 + index * 32;

	put(at, 1, 4);
	if (is_64_bit) {
		put(at + 4, 7, 4);
		put(at + 8, offset, 8);
		put(at + 16, address, 8);
		put(at + 24, address, 8);
		put(at + 32, file_size, 8);
		put(at + 40, memory_size, 8);
		return;
	}
	put(at + 4, offset, 4);
	put(at + 8, address, 4);
	put(at + 12, address, 4);
	put(at + 16, file_size, 4);
	put(at + 20, memory_size, 4);
	put(at + 24, 7, 4);
}

/* Code at 1 MiB and data with bss at 8 MiB. */
static void make_elf(bool is_64_bit, uint64_t entry)
{
	const uint8_t identification[] = { 0x7f, 'E', 'L', 'F', is_64_bit ? 2 : 1, 1, 1 };

	memset(file, 0, sizeof(file));
	memcpy(file, identification, sizeof(identification));
	put(16, 2, 2);
	put(18, is_64_bit ? 62 : 3, 2);
	put(20, 1, 4);
	put(24, entry, is_64_bit ? 8 : 4);
	put(is_64_bit ? 32 : 28, is_64_bit ? 64 : 52, is_64_bit ? 8 : 4);
	put(is_64_bit ? 52 : 40, is_64_bit ? 64 : 52, 2);
	put(is_64_bit ? 54 : 42, is_64_bit ? 56 : 32, 2);
	put(is_64_bit ? 56 : 44, 2, 2);
	put_segment(is_64_bit, 0, 0x1000, 0x100000, 0x1000, 0x1000);
	put_segment(is_64_bit, 1, 0x2000, 0x800000, 0x800, 0x2000);
	memset(file + 0x1000, 0x90, 0x1000);
	memset(file + 0x2000, 0xdd, 0x1000);
	put_header(HEADER_OFFSET, MULTIBOOT_ALIGN_MODULES | MULTIBOOT_WANTS_MEMORY);
}

static int begin(void **state)
{
	(void)state;
	fake_guest_create(32 * MIB);
	fake_guest.config.boot = CONFIG_BOOT_MULTIBOOT;
	for (size_t i = 0; i < sizeof(module); i++)
		module[i] = (uint8_t)(i * 11);
	make_elf(false, 0x100020);
	return 0;
}

static int end(void **state)
{
	(void)state;
	fake_guest_destroy();
	return 0;
}

static enum status load(const struct guest_file *module_file) { return multiboot_boot_load(&fake_guest.vm, &kernel, module_file); }

static uint32_t info(unsigned offset)
{
	uint32_t value;

	memcpy(&value, fake_guest.ram + fake_guest.vcpu.virt.gpr[GPR_RBX] + offset, 4);
	return value;
}

static void expect_entry(uint64_t rip)
{
	assert_int_equal(fake_guest.registers[VIRT_RIP], rip);
	assert_int_equal(fake_guest.vcpu.virt.gpr[GPR_RAX], 0x2badb002);
	assert_int_equal(fake_guest.registers[VIRT_CR0], CR0_PE | CR0_ET | CR0_NE);
	assert_int_equal(fake_guest.registers[VIRT_EFER], 0);
	assert_int_equal(fake_guest.registers[VIRT_RFLAGS], 2);
	for (unsigned i = VIRT_ES; i <= VIRT_GS; i++) {
		assert_int_equal(fake_guest.segments[i].base, 0);
		assert_int_equal(fake_guest.segments[i].limit, 0xffffffff);
		assert_int_equal(fake_guest.segments[i].attributes, i == VIRT_CS ? 0xc09b : 0xc093);
	}
}

static void expect_loaded(void)
{
	assert_memory_equal(fake_guest.ram + 0x100000, file + 0x1000, 0x1000);
	assert_memory_equal(fake_guest.ram + 0x800000, file + 0x2000, 0x800);
	for (unsigned i = 0x800; i < 0x2000; i++)
		assert_int_equal(fake_guest.ram[0x800000 + i], 0);
	assert_int_equal(fake_guest.ram[0x802000], 0xaa);
}

static void test_elf32(void **state)
{
	(void)state;
	memset(fake_guest.ram + 0x800000, 0xaa, 0x3000);
	assert_int_equal(load(&no_file), STATUS_OK);
	expect_entry(0x100020);
	expect_loaded();
	assert_int_equal(info(0) & 0x8, 0);
}

static void test_elf64(void **state)
{
	(void)state;
	memset(fake_guest.ram + 0x800000, 0xaa, 0x3000);
	make_elf(true, 0x100040);
	assert_int_equal(load(&no_file), STATUS_OK);
	expect_entry(0x100040);
	expect_loaded();
}

static void test_information(void **state)
{
	uint32_t start, finish, string, total = 0;
	bool found_high = false;

	(void)state;
	string_copy(fake_guest.config.cmdline, CONFIG_CMDLINE_SIZE, "one two=3");
	assert_int_equal(load(&ramdisk), STATUS_OK);
	assert_int_equal(info(0), 0x24d);
	assert_int_equal(info(4), 639);
	assert_int_equal(info(8), 31 * 1024);
	assert_string_equal((char *)fake_guest.ram + info(16), "one two=3");
	assert_int_equal(info(20), 1);
	memcpy(&start, fake_guest.ram + info(24), 4);
	memcpy(&finish, fake_guest.ram + info(24) + 4, 4);
	memcpy(&string, fake_guest.ram + info(24) + 8, 4);
	assert_int_equal(start % 4096, 0);
	assert_int_equal(finish - start, sizeof(module));
	assert_memory_equal(fake_guest.ram + start, module, sizeof(module));
	assert_string_equal((char *)fake_guest.ram + string, "guests/module");
	assert_string_equal((char *)fake_guest.ram + info(64), "Trivet");
	for (uint32_t at = info(48); at < info(48) + info(44); total++) {
		uint32_t size;
		struct e820_entry entry;

		memcpy(&size, fake_guest.ram + at, 4);
		memcpy(&entry, fake_guest.ram + at + 4, sizeof(entry));
		assert_int_equal(size, 20);
		found_high |= entry.base == 0x100000 && entry.length == 31 * MIB && entry.type == E820_RAM;
		at += size + 4;
	}
	assert_int_equal(total, 4);
	assert_true(found_high);
}

/* The information must not lie where the kernel does. */
static void test_kernel_in_low_memory(void **state)
{
	(void)state;
	put_segment(false, 0, 0x1000, 0x1000, 0x1000, 0x9000);
	put(24, 0x1020, 4);
	assert_int_equal(load(&ramdisk), STATUS_OK);
	expect_entry(0x1020);
	assert_int_equal(fake_guest.vcpu.virt.gpr[GPR_RBX], 0xa000);
	assert_memory_equal(fake_guest.ram + 0x1000, file + 0x1000, 0x1000);
}

static void expect_refusal(enum status status, const char *text)
{
	fake_guest.log_lines = 0;
	assert_int_equal(load(&no_file), status);
	assert_int_equal(fake_guest.log_lines, 1);
	if (!strstr(fake_guest.log, text))
		fail_msg("expected '%s' in '%s'", text, fake_guest.log);
}

static void test_segments_outside_memory(void **state)
{
	(void)state;
	put_segment(false, 1, 0x2000, 0x1f00000, 0x800, 0x200001);
	expect_refusal(STATUS_OUT_OF_RANGE, "vm test: kernel guests/test.elf: needs 34 MiB, the VM has 32 MiB");
	put_segment(false, 1, 0x2000, 0xa0000, 0x800, 0x1000);
	expect_refusal(STATUS_OUT_OF_RANGE, "segment 0xa0000-0xa1000 lies outside");
	put_segment(false, 1, 0x2000, 0xe0000, 0x800, 0x1000);
	expect_refusal(STATUS_EXISTS, "segment 0xe0000-0xe1000 overlaps");
	put_segment(false, 1, 0x2000, 0x800000, FILE_SIZE, FILE_SIZE);
	fake_guest.log_lines = 0;
	assert_int_not_equal(load(&no_file), STATUS_OK);
	assert_int_equal(fake_guest.log_lines, 1);
}

static void test_bad_entry(void **state)
{
	(void)state;
	put(24, 0x300000, 4);
	expect_refusal(STATUS_OUT_OF_RANGE, "entry point");
}

static void test_module_too_large(void **state)
{
	const struct guest_file large = { "guests/module", module, 40 * MIB };

	(void)state;
	assert_int_equal(load(&large), STATUS_NO_MEMORY);
	assert_non_null(strstr(fake_guest.log, "vm test: ramdisk guests/module: needs 41 MiB beside the kernel, the VM has 32 MiB"));
}

static void test_header_search(void **state)
{
	(void)state;
	memset(file, 0, sizeof(file));
	assert_int_equal(multiboot_find_header(file, FILE_SIZE, &header, &why), STATUS_NOT_FOUND);
	assert_int_equal(multiboot_find_header(file, 0, &header, &why), STATUS_NOT_FOUND);
	put_header(8192 - 12, 0);
	assert_int_equal(multiboot_find_header(file, FILE_SIZE, &header, &why), STATUS_OK);
	assert_int_equal(header.offset, 8192 - 12);
	assert_string_equal(why, "");
	assert_int_equal(multiboot_find_header(file, 8191, &header, &why), STATUS_NOT_FOUND);
	put(8192 - 4, 1, 4);
	assert_int_equal(multiboot_find_header(file, FILE_SIZE, &header, &why), STATUS_NOT_FOUND);
	put_header(8192 - 8, 0);
	assert_int_equal(multiboot_find_header(file, FILE_SIZE, &header, &why), STATUS_NOT_FOUND);
	memset(file, 0, sizeof(file));
	put_header(18, 0);
	assert_int_equal(multiboot_find_header(file, FILE_SIZE, &header, &why), STATUS_NOT_FOUND);
	put_header(0x40, 0x8);
	assert_int_equal(multiboot_find_header(file, FILE_SIZE, &header, &why), STATUS_UNSUPPORTED);
	put_header(0x40, 0x20007);
	assert_int_equal(multiboot_find_header(file, FILE_SIZE, &header, &why), STATUS_OK);
}

static void make_flat(uint32_t load_end, uint32_t bss_end, uint32_t entry)
{
	memset(file, 0, sizeof(file));
	memset(file + 0x200, 0xab, FILE_SIZE - 0x200);
	put_header(0x210, MULTIBOOT_HAS_ADDRESSES);
	put(0x21c, 0x200010, 4);
	put(0x220, 0x200000, 4);
	put(0x224, load_end, 4);
	put(0x228, bss_end, 4);
	put(0x22c, entry, 4);
}

static void test_flat_file(void **state)
{
	(void)state;
	memset(fake_guest.ram + 0x200000, 0x77, 0x2000);
	make_flat(0x201000, 0x201800, 0x200040);
	assert_int_equal(load(&no_file), STATUS_OK);
	expect_entry(0x200040);
	assert_memory_equal(fake_guest.ram + 0x200000, file + 0x200, 0x1000);
	assert_int_equal(fake_guest.ram[0x2017ff], 0);
	assert_int_equal(fake_guest.ram[0x201800], 0x77);
	make_flat(0, 0, 0x200040);
	assert_int_equal(load(&no_file), STATUS_OK);
	assert_memory_equal(fake_guest.ram + 0x200000, file + 0x200, FILE_SIZE - 0x200);
}

static void test_bad_flat_files(void **state)
{
	static const struct { uint32_t load_end, bss_end, entry; } bad[] = {
		{ 0x1fffff, 0, 0x200000 }, { 0x210000, 0, 0x200000 }, { 0x201000, 0x200800, 0x200000 }, { 0x201000, 0x1000, 0x200000 },
		{ 0x201000, 0x201000, 0x1fffff }, { 0x201000, 0x201000, 0x201000 }, { 0x200000, 0x200000, 0x200000 },
	};

	(void)state;
	for (size_t i = 0; i < array_count(bad); i++) {
		make_flat(bad[i].load_end, bad[i].bss_end, bad[i].entry);
		expect_refusal(STATUS_OUT_OF_RANGE, "contradict");
	}
	make_flat(0, 0, 0x200000);
	put(0x220, 0x200014, 4);
	expect_refusal(STATUS_OUT_OF_RANGE, "contradict");
	put(0x220, 0x100000, 4);
	expect_refusal(STATUS_OUT_OF_RANGE, "contradict");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_elf32, begin, end),
		cmocka_unit_test_setup_teardown(test_elf64, begin, end),
		cmocka_unit_test_setup_teardown(test_information, begin, end),
		cmocka_unit_test_setup_teardown(test_kernel_in_low_memory, begin, end),
		cmocka_unit_test_setup_teardown(test_segments_outside_memory, begin, end),
		cmocka_unit_test_setup_teardown(test_bad_entry, begin, end),
		cmocka_unit_test_setup_teardown(test_module_too_large, begin, end),
		cmocka_unit_test_setup_teardown(test_header_search, begin, end),
		cmocka_unit_test_setup_teardown(test_flat_file, begin, end),
		cmocka_unit_test_setup_teardown(test_bad_flat_files, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
