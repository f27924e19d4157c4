/*
 * vmm/guest/linux_boot.c: bzImages made here, right and hostile, and Debian's own kernel (TRIVET_TEST_VMLINUZ in the
 * environment names it), loaded into a VM without a CPU.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/cr.h"
#include "tests/unit/fake_guest.h"
#include "vmm/guest/linux_boot.h"
#include "vmm/guest/linux_header.h"

#define SETUP_SECTORS 3u
#define PAYLOAD_OFFSET ((SETUP_SECTORS + 1) * 512u)
#define PAYLOAD_SIZE 4096u
#define FILE_SIZE (PAYLOAD_OFFSET + PAYLOAD_SIZE)
#define RSDP 0xe0000u

static uint8_t file[FILE_SIZE];
static uint8_t initrd[10000];
static struct linux_setup_header *const header = (struct linux_setup_header *)(void *)(file + LINUX_HEADER_OFFSET);
static char why[128];
static struct linux_image image;

static const struct guest_file kernel = { "guests/vmlinuz", file, FILE_SIZE };
static const struct guest_file ramdisk = { "guests/initrd", initrd, sizeof(initrd) };
static const struct guest_file no_file = { .path = "" };

/* A good 64-bit kernel, like Debian's, but small. */
static int make_kernel(void **state)
{
	(void)state;
	memset(file, 0, sizeof(file));
	*header = (struct linux_setup_header){
		.setup_sectors = SETUP_SECTORS, .paragraph_count = PAYLOAD_SIZE / 16, .boot_flag = 0xaa55, .jump_opcode = 0xeb, .jump_offset = 0x6a,
		.magic = LINUX_HEADER_MAGIC, .version = 0x20f, .load_flags = LINUX_LOADED_HIGH | LINUX_CAN_USE_HEAP, .ramdisk_address_max = 0x7fffffff,
		.kernel_alignment = 0x200000, .relocatable = 1, .extended_load_flags = LINUX_XLF_KERNEL_64, .command_line_size = 100,
		.preferred_address = 0x1000000, .init_size = 0x300000,
	};
	memset(file + PAYLOAD_OFFSET, 0xcc, PAYLOAD_SIZE);
	for (size_t i = 0; i < sizeof(initrd); i++)
		initrd[i] = (uint8_t)(i * 7);
	fake_guest_create(64 * MIB);
	return 0;
}

static int end_guest(void **state)
{
	(void)state;
	fake_guest_destroy();
	return 0;
}

static enum status load(const struct guest_file *initrd_file)
{
	return linux_boot_load(&fake_guest.vm, &kernel, initrd_file, gpa(RSDP));
}

static const struct linux_zero_page *zero_page(void)
{
	return (const struct linux_zero_page *)(const void *)(fake_guest.ram + fake_guest.vcpu.virt.gpr[GPR_RSI]);
}

/* What the processor would find for @address through the page tables that the guest was given. */
static uint64_t translate(uint64_t address)
{
	uint64_t table = fake_guest.registers[VIRT_CR3], entry = 0;

	for (unsigned shift = 39; shift >= 21; shift -= 9) {
		memcpy(&entry, fake_guest.ram + table + ((address >> shift) & 511) * 8, 8);
		assert_int_equal(entry & 3, 3);
		table = entry & ~(uint64_t)0xfff;
	}
	assert_true(entry & 0x80);
	return (entry & ~(uint64_t)0x1fffff) | (address & 0x1fffff);
}

static void expect_selector(enum virt_segment_name name, uint16_t selector, uint64_t descriptor_at)
{
	uint64_t descriptor;

	memcpy(&descriptor, fake_guest.ram + fake_guest.registers[VIRT_GDTR_BASE] + descriptor_at, 8);
	assert_int_equal(fake_guest.segments[name].selector, selector);
	/* The hidden part is what loading the selector from the table would give. */
	assert_int_equal(fake_guest.segments[name].attributes, (descriptor >> 40 & 0xf0ff));
	assert_true(selector + 7u <= fake_guest.registers[VIRT_GDTR_LIMIT]);
}

static void test_64_bit_entry(void **state)
{
	(void)state;
	string_copy(fake_guest.config.cmdline, CONFIG_CMDLINE_SIZE, "console=ttyS0 quiet");
	assert_int_equal(load(&ramdisk), STATUS_OK);
	assert_int_equal(fake_guest.log_lines, 0);
	assert_int_equal(fake_guest.registers[VIRT_RIP], 0x1000200);
	assert_memory_equal(fake_guest.ram + 0x1000000, file + PAYLOAD_OFFSET, PAYLOAD_SIZE);
	assert_int_equal(fake_guest.registers[VIRT_CR0], CR0_PE | CR0_PG | CR0_ET | CR0_NE);
	assert_int_equal(fake_guest.registers[VIRT_CR4], CR4_PAE);
	assert_int_equal(fake_guest.registers[VIRT_EFER], EFER_LME | EFER_LMA);
	assert_int_equal(fake_guest.registers[VIRT_RFLAGS], 2);
	expect_selector(VIRT_CS, 0x10, 0x10);
	expect_selector(VIRT_DS, 0x18, 0x18);
	expect_selector(VIRT_SS, 0x18, 0x18);
	assert_true(fake_guest.segments[VIRT_CS].attributes & VIRT_SEGMENT_L);
	assert_int_equal(fake_guest.segments[VIRT_TR].attributes, 0x8b);
	for (uint64_t address = 0; address < 4 * GIB; address += 0x12345678)
		assert_true(translate(address) == address);
}

static void test_zero_page(void **state)
{
	const struct linux_zero_page *page;

	(void)state;
	string_copy(fake_guest.config.cmdline, CONFIG_CMDLINE_SIZE, "console=ttyS0 quiet");
	assert_int_equal(load(&ramdisk), STATUS_OK);
	page = zero_page();
	assert_int_equal(page->header.magic, LINUX_HEADER_MAGIC);
	assert_int_equal(page->header.type_of_loader, 0xff);
	assert_int_equal(page->header.code32_start, 0x1000000);
	assert_int_equal(page->acpi_rsdp, RSDP);
	assert_int_equal(page->sentinel, 0);
	assert_string_equal((char *)fake_guest.ram + page->header.command_line, "console=ttyS0 quiet");
	assert_int_equal(page->header.ramdisk_size, sizeof(initrd));
	assert_int_equal(page->header.ramdisk_image % 4096, 0);
	/* As high as possible. */
	assert_int_equal(page->header.ramdisk_image, 64 * MIB - 12288);
	assert_memory_equal(fake_guest.ram + page->header.ramdisk_image, initrd, sizeof(initrd));
	assert_int_equal(page->e820_count, 4);
	assert_int_equal(page->e820[3].base + page->e820[3].length, 64 * MIB);
	assert_int_equal(page->e820[3].type, E820_RAM);
}

static void test_32_bit_entry(void **state)
{
	(void)state;
	header->extended_load_flags = 0;
	assert_int_equal(load(&no_file), STATUS_OK);
	assert_int_equal(fake_guest.registers[VIRT_RIP], 0x1000000);
	assert_int_equal(fake_guest.registers[VIRT_CR0], CR0_PE | CR0_ET | CR0_NE);
	assert_int_equal(fake_guest.registers[VIRT_EFER], 0);
	assert_int_equal(fake_guest.registers[VIRT_CR4], 0);
	expect_selector(VIRT_CS, 0x10, 0x10);
	assert_true(fake_guest.segments[VIRT_CS].attributes & VIRT_SEGMENT_DB);
	assert_int_equal(zero_page()->header.ramdisk_size, 0);
	/* Protocol 2.11 has no such flag, whatever stands there. */
	header->version = 0x20b;
	header->extended_load_flags = LINUX_XLF_KERNEL_64;
	assert_int_equal(load(&no_file), STATUS_OK);
	assert_int_equal(fake_guest.registers[VIRT_EFER], 0);
	assert_int_equal(zero_page()->acpi_rsdp, 0);
}

static void test_ramdisk_limit(void **state)
{
	(void)state;
	header->ramdisk_address_max = 0x1ffffff;
	assert_int_equal(load(&ramdisk), STATUS_OK);
	assert_int_equal(zero_page()->header.ramdisk_image, 0x2000000 - 12288);
	/* The kernel's own memory is in the way: the place below it is taken. */
	header->ramdisk_address_max = 0x12fffff;
	assert_int_equal(load(&ramdisk), STATUS_OK);
	assert_int_equal(zero_page()->header.ramdisk_image, 0x1000000 - 12288);
	header->ramdisk_address_max = 0xfffff;
	assert_int_equal(load(&ramdisk), STATUS_NO_MEMORY);
	assert_non_null(strstr(fake_guest.log, "vm test: ramdisk guests/initrd: needs"));
}

static void test_moved_kernel(void **state)
{
	(void)state;
	header->preferred_address = 0x1100000;
	assert_int_equal(load(&no_file), STATUS_OK);
	assert_int_equal(fake_guest.registers[VIRT_RIP], 0x1200200);
	header->relocatable = 0;
	header->kernel_alignment = 0;
	assert_int_equal(load(&no_file), STATUS_OK);
	assert_int_equal(fake_guest.registers[VIRT_RIP], 0x1100200);
}

static void test_too_small_vm(void **state)
{
	(void)state;
	fake_guest_create(18 * MIB);
	assert_int_equal(load(&no_file), STATUS_NO_MEMORY);
	assert_string_equal(fake_guest.log, "vm test: kernel guests/vmlinuz: needs 19 MiB, the VM has 18 MiB");
	fake_guest_create(20 * MIB);
	assert_int_equal(load(&no_file), STATUS_OK);
	header->preferred_address = UINT64_MAX - 0xfff;
	assert_int_equal(load(&no_file), STATUS_NO_MEMORY);
	header->preferred_address = 0;
	assert_int_equal(load(&no_file), STATUS_OK);
	assert_int_equal(fake_guest.registers[VIRT_RIP], 0x200200);
	header->init_size = UINT32_MAX;
	assert_int_equal(load(&no_file), STATUS_NO_MEMORY);
}

static void test_command_line_too_long(void **state)
{
	(void)state;
	memset(fake_guest.config.cmdline, 'x', 101);
	assert_int_equal(load(&no_file), STATUS_OUT_OF_RANGE);
	assert_string_equal(fake_guest.log, "vm test: kernel guests/vmlinuz: takes a command line of at most 100 bytes, this one has 101");
	fake_guest.config.cmdline[100] = '\0';
	assert_int_equal(load(&no_file), STATUS_OK);
}

static void expect_parse(uint64_t size, enum status status, const char *text)
{
	assert_int_equal(linux_boot_parse(file, size, &image, why, sizeof(why)), status);
	if (!strstr(why, text))
		fail_msg("expected '%s' in '%s'", text, why);
}

static void test_truncated(void **state)
{
	(void)state;
	expect_parse(FILE_SIZE, STATUS_OK, "");
	assert_string_equal(why, "");
	expect_parse(FILE_SIZE - 1, STATUS_TRUNCATED, "truncated: header promises 6144 bytes, file has 6143");
	expect_parse(0, STATUS_TRUNCATED, "truncated");
	expect_parse(0x200, STATUS_TRUNCATED, "truncated");
	for (uint64_t size = 0; size < FILE_SIZE; size++) {
		uint8_t *copy = malloc(size + 1);

		/* On the heap, so that a read beyond the end is seen. */
		memcpy(copy, file, size);
		assert_int_equal(linux_boot_parse(copy, size, &image, why, sizeof(why)), STATUS_TRUNCATED);
		free(copy);
	}
	header->paragraph_count = UINT32_MAX;
	expect_parse(FILE_SIZE, STATUS_TRUNCATED, "truncated");
}

static void test_bad_headers(void **state)
{
	const struct linux_setup_header good = *header;

	(void)state;
	header->magic ^= 1;
	expect_parse(FILE_SIZE, STATUS_BAD_FORMAT, "HdrS");
	*header = good;
	header->boot_flag = 0;
	expect_parse(FILE_SIZE, STATUS_BAD_FORMAT, "HdrS");
	*header = good;
	header->version = 0x209;
	expect_parse(FILE_SIZE, STATUS_UNSUPPORTED, "boot protocol 2.09 is too old; expected 2.10");
	*header = good;
	header->load_flags = 0;
	expect_parse(FILE_SIZE, STATUS_UNSUPPORTED, "zImage");
	*header = good;
	header->paragraph_count = 0;
	expect_parse(FILE_SIZE, STATUS_BAD_FORMAT, "no code");
	*header = good;
	header->init_size = 0;
	expect_parse(FILE_SIZE, STATUS_BAD_FORMAT, "no code");
	*header = good;
	header->kernel_alignment = 0x300000;
	expect_parse(FILE_SIZE, STATUS_INVALID, "power of two");
	header->kernel_alignment = 0;
	expect_parse(FILE_SIZE, STATUS_INVALID, "power of two");
	header->kernel_alignment = 0x80000000;
	expect_parse(FILE_SIZE, STATUS_INVALID, "power of two");
	*header = good;
	/* No sectors mean four. */
	header->setup_sectors = 0;
	header->paragraph_count = (FILE_SIZE - 5 * 512) / 16;
	expect_parse(FILE_SIZE, STATUS_OK, "");
	assert_int_equal(image.payload_offset, 5 * 512);
	/* A header that ends early does not lend the bytes behind it. */
	*header = good;
	header->jump_offset = 0;
	memset(&header->handover_offset, 0xff, 8);
	assert_int_equal(load(&no_file), STATUS_OK);
	assert_int_equal(zero_page()->header.handover_offset, 0);
}

static void test_refusal_is_logged_once(void **state)
{
	(void)state;
	header->magic = 0;
	assert_int_equal(load(&no_file), STATUS_BAD_FORMAT);
	assert_int_equal(fake_guest.log_lines, 1);
	assert_string_equal(fake_guest.log, "vm test: kernel guests/vmlinuz: not a Linux kernel: no setup header (HdrS); expected a bzImage");
}

static void test_real_kernel(void **state)
{
	const char *path = getenv("TRIVET_TEST_VMLINUZ");
	uint8_t *bytes = malloc(64 * MIB);
	struct guest_file real = { .path = path, .data = bytes };

	(void)state;
	if (!path)
		fail_msg("TRIVET_TEST_VMLINUZ does not name a kernel; `make guests` fetches one to build/guests/vmlinuz");
	FILE *stream = fopen(path, "rb");
	if (!stream)
		fail_msg("%s cannot be opened; `make guests` fetches it", path);
	real.size = fread(bytes, 1, 64 * MIB, stream);
	fclose(stream);
	assert_int_equal(linux_boot_parse(bytes, real.size, &image, why, sizeof(why)), STATUS_OK);
	fake_guest_create(256 * MIB);
	assert_int_equal(linux_boot_load(&fake_guest.vm, &real, &ramdisk, gpa(RSDP)), STATUS_OK);
	assert_int_equal(fake_guest.registers[VIRT_RIP], image.preferred_address + 0x200);
	fake_guest_create(32 * MIB);
	assert_int_equal(linux_boot_load(&fake_guest.vm, &real, &ramdisk, gpa(RSDP)), STATUS_NO_MEMORY);
	free(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_64_bit_entry, make_kernel, end_guest),
		cmocka_unit_test_setup_teardown(test_zero_page, make_kernel, end_guest),
		cmocka_unit_test_setup_teardown(test_32_bit_entry, make_kernel, end_guest),
		cmocka_unit_test_setup_teardown(test_ramdisk_limit, make_kernel, end_guest),
		cmocka_unit_test_setup_teardown(test_moved_kernel, make_kernel, end_guest),
		cmocka_unit_test_setup_teardown(test_too_small_vm, make_kernel, end_guest),
		cmocka_unit_test_setup_teardown(test_command_line_too_long, make_kernel, end_guest),
		cmocka_unit_test_setup_teardown(test_truncated, make_kernel, end_guest),
		cmocka_unit_test_setup_teardown(test_bad_headers, make_kernel, end_guest),
		cmocka_unit_test_setup_teardown(test_refusal_is_logged_once, make_kernel, end_guest),
		cmocka_unit_test_setup_teardown(test_real_kernel, make_kernel, end_guest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
