/* The Multiboot2 information, as GRUB makes it and as nobody should. */
#include "boot/multiboot2/information.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ADDRESS 0x15000ull
#define IMAGE_BASE 0x200000ull
#define IMAGE_SIZE 0x40010ull
#define MODULE_BASE 0x300000u

static struct boot_info info;
static uint8_t bytes[64 * 1024];
static uint32_t length;

static void put(const void *data, uint32_t size)
{
	memcpy(bytes + length, data, size);
	length += size;
}

static void put_u32(uint32_t value)
{
	put(&value, sizeof(value));
}

static void put_u64(uint64_t value)
{
	put(&value, sizeof(value));
}

/* The size field is set, and the tag padded, by end_tag(). */
static uint32_t begin_tag(uint32_t type)
{
	put_u32(type);
	put_u32(0);
	return length - 8;
}

static void end_tag(uint32_t start)
{
	uint32_t size = length - start;

	memcpy(bytes + start + 4, &size, sizeof(size));
	while (length % 8 != 0)
		bytes[length++] = 0xee;
}

static void put_module(uint32_t start, uint32_t end, const char *command_line)
{
	uint32_t tag = begin_tag(3);

	put_u32(start);
	put_u32(end);
	put(command_line, (uint32_t)strlen(command_line) + 1);
	end_tag(tag);
}

static void put_memory(uint64_t base, uint64_t size, uint32_t type)
{
	put_u64(base);
	put_u64(size);
	put_u32(type);
	put_u32(0);
}

static void put_memory_map(void)
{
	uint32_t tag = begin_tag(6);

	put_u32(24);
	put_u32(0);
	put_memory(0, 0x9fc00, 1);
	put_memory(0x9fc00, 0x400, 2);
	put_memory(0xf0000, 0x10000, 2);
	put_memory(0x100000, 0x1fe00000, 1);
	put_memory(0x1ff00000, 0x10000, 3);
	put_memory(0x1ff10000, 0x10000, 4);
	put_memory(0x1ff20000, 0x1000, 5);
	put_memory(0x1ff21000, 0x1000, 77);
	end_tag(tag);
}

static void put_rsdp(uint32_t type, uint32_t size)
{
	uint8_t rsdp[36] = "RSD PTR ";
	uint32_t tag = begin_tag(type);

	put(rsdp, size);
	end_tag(tag);
}

static void put_framebuffer(uint8_t bits_per_pixel, uint8_t type, uint8_t green_size)
{
	const uint8_t tail[10] = {bits_per_pixel, type, 0, 0, 16, 8, 8, green_size, 0, 8};
	uint32_t tag = begin_tag(8);

	put_u64(0xfd000000);
	put_u32(4096);
	put_u32(1024);
	put_u32(768);
	put(tail, sizeof(tail));
	end_tag(tag);
}

static int begin(void **state)
{
	(void)state;
	length = 0;
	put_u32(0);
	put_u32(0);
	return 0;
}

static void fill_limited(uint32_t total, uint64_t limit)
{
	/* Exactly what may be read, so that ASan sees a byte too many. */
	uint8_t *copy = aligned_alloc(8, align_up(limit, 8));

	assert_non_null(copy);
	memcpy(bytes, &total, sizeof(total));
	memcpy(copy, bytes, limit);
	memset(&info, 0xa5, sizeof(info));
	info.image_base = IMAGE_BASE;
	info.image_size = IMAGE_SIZE;
	multiboot2_fill_boot_info(&info, copy, limit, ADDRESS);
	free(copy);
}

static void fill(void)
{
	end_tag(begin_tag(0));
	fill_limited(length, length);
}

static void check_gives(enum status expected)
{
	const char *why;
	enum status status = boot_info_check(&info, &why);

	if (status != expected)
		fail_msg("check: %d (%s), expected %d", status, why, expected);
}

static void expect_region(uint32_t index, uint64_t base, uint64_t end, uint32_t type)
{
	assert_true(index < info.region_count);
	assert_int_equal(info.regions[index].base, base);
	assert_int_equal(info.regions[index].length, end - base);
	assert_int_equal(info.regions[index].type, type);
}

static void test_all(void **state)
{
	uint32_t rsdp;

	(void)state;
	put_module(MODULE_BASE, MODULE_BASE + 0x1801, "trivet.conf");
	put_memory_map();
	put_module(MODULE_BASE + 0x2000, MODULE_BASE + 0x2000, "guests/empty");
	put_framebuffer(32, 1, 8);
	rsdp = length + 8;
	put_rsdp(15, 36);
	put_rsdp(14, 20); /* the newer one wins in either order */
	fill();
	check_gives(STATUS_OK);
	assert_int_equal(info.loader, BOOT_LOADER_MULTIBOOT2);
	assert_int_equal(info.image_base, IMAGE_BASE);
	assert_int_equal(info.image_size, IMAGE_SIZE);
	assert_string_equal(info.messages, "");
	assert_int_equal(info.acpi_rsdp, ADDRESS + rsdp);
	assert_int_equal(info.file_count, 2);
	assert_int_equal(boot_info_find_file(&info, "trivet.conf")->base, MODULE_BASE);
	assert_int_equal(boot_info_find_file(&info, "trivet.conf")->size, 0x1801);
	assert_int_equal(boot_info_find_file(&info, "guests/empty")->size, 0);
	assert_int_equal(info.framebuffer.base, 0xfd000000);
	assert_int_equal(info.framebuffer.pitch, 4096);
	assert_int_equal(info.framebuffer.width, 1024);
	assert_int_equal(info.framebuffer.height, 768);
	assert_int_equal(info.framebuffer.red_shift, 16);
	assert_int_equal(info.framebuffer.green_shift, 8);
	assert_int_equal(info.framebuffer.blue_shift, 0);
}

static void test_regions(void **state)
{
	(void)state;
	put_memory_map();
	put_module(MODULE_BASE, MODULE_BASE + 0x1801, "trivet.conf");
	fill();
	expect_region(0, 0, 0x1000, BOOT_MEMORY_RESERVED);
	expect_region(1, 0x1000, ADDRESS, BOOT_MEMORY_USABLE);
	expect_region(2, ADDRESS, ADDRESS + 0x1000, BOOT_MEMORY_LOADER);
	expect_region(3, ADDRESS + 0x1000, 0x9f000, BOOT_MEMORY_USABLE);
	expect_region(4, 0x9f000, 0xa0000, BOOT_MEMORY_RESERVED);
	expect_region(5, 0xf0000, 0x100000, BOOT_MEMORY_RESERVED);
	expect_region(6, 0x100000, IMAGE_BASE, BOOT_MEMORY_USABLE);
	expect_region(7, IMAGE_BASE, 0x241000, BOOT_MEMORY_LOADER);
	expect_region(8, 0x241000, MODULE_BASE, BOOT_MEMORY_USABLE);
	expect_region(9, MODULE_BASE, MODULE_BASE + 0x2000, BOOT_MEMORY_LOADER);
	expect_region(10, MODULE_BASE + 0x2000, 0x1ff00000, BOOT_MEMORY_USABLE);
	expect_region(11, 0x1ff00000, 0x1ff10000, BOOT_MEMORY_ACPI_RECLAIM);
	expect_region(12, 0x1ff10000, 0x1ff20000, BOOT_MEMORY_ACPI_NVS);
	expect_region(13, 0x1ff20000, 0x1ff21000, BOOT_MEMORY_BAD);
	expect_region(14, 0x1ff21000, 0x1ff22000, BOOT_MEMORY_RESERVED);
	assert_int_equal(info.region_count, 15);
}

static void test_old_rsdp(void **state)
{
	(void)state;
	put_memory_map();
	put_rsdp(14, 20);
	fill();
	assert_int_equal(info.acpi_rsdp, ADDRESS + length - 8 - 24);
	begin(NULL);
	put_memory_map();
	put_rsdp(14, 19);
	put_rsdp(15, 35);
	fill();
	assert_int_equal(info.acpi_rsdp, 0);
	assert_non_null(strstr(info.messages, "ACPI"));
}

static void test_no_framebuffer(void **state)
{
	static const uint8_t cases[][3] = {{24, 1, 8}, {32, 2, 8}, {32, 0, 8}, {32, 1, 6}, {16, 1, 6}};

	(void)state;
	for (unsigned i = 0; i < array_count(cases); i++) {
		begin(NULL);
		put_memory_map();
		put_framebuffer(cases[i][0], cases[i][1], cases[i][2]);
		fill();
		assert_int_equal(info.framebuffer.base, 0);
		check_gives(STATUS_OK);
	}
}

static void test_bad_modules(void **state)
{
	char name[BOOT_INFO_PATH_SIZE + 1];
	uint32_t tag;

	(void)state;
	memset(name, 'n', BOOT_INFO_PATH_SIZE);
	name[BOOT_INFO_PATH_SIZE] = '\0';
	put_memory_map();
	put_module(MODULE_BASE + 1, MODULE_BASE + 0x1000, "unaligned");
	put_module(MODULE_BASE, MODULE_BASE - 1, "backwards");
	put_module(MODULE_BASE, MODULE_BASE + 1, name);
	put_module(MODULE_BASE, MODULE_BASE + 1, "");
	put_module(MODULE_BASE, MODULE_BASE + 1, "twice");
	put_module(MODULE_BASE + 0x1000, MODULE_BASE + 0x1001, "twice");
	put_module(MODULE_BASE + 0x2000, MODULE_BASE + 0x2001, "bell\a");
	tag = begin_tag(3);
	put_u32(MODULE_BASE);
	end_tag(tag);
	fill();
	check_gives(STATUS_OK);
	assert_int_equal(info.file_count, 1);
	assert_string_equal(info.files[0].path, "twice");
	assert_int_equal(info.files[0].base, MODULE_BASE);
	assert_non_null(strstr(info.messages, "unaligned: "));
	assert_non_null(strstr(info.messages, "backwards: "));
	assert_non_null(strstr(info.messages, "nnn: "));
	assert_non_null(strstr(info.messages, "without a path"));
	assert_non_null(strstr(info.messages, "twice: module given twice"));
	assert_non_null(strstr(info.messages, "bell?: "));
	assert_non_null(strstr(info.messages, "tag is too short"));
}

/* A command line without its NUL ends with the tag. */
static void test_unterminated_command_line(void **state)
{
	uint32_t tag;

	(void)state;
	put_memory_map();
	tag = begin_tag(3);
	put_u32(MODULE_BASE);
	put_u32(MODULE_BASE + 1);
	put("name", 4);
	end_tag(tag);
	fill();
	assert_int_equal(info.file_count, 1);
	assert_string_equal(info.files[0].path, "name");
}

static void test_too_many_modules(void **state)
{
	(void)state;
	put_memory_map();
	for (unsigned i = 0; i <= BOOT_INFO_MAX_FILES; i++) {
		char name[3] = {(char)('a' + i / 10), (char)('0' + i % 10), '\0'};

		put_module(MODULE_BASE + i * 0x1000, MODULE_BASE + i * 0x1000 + 1, name);
	}
	fill();
	check_gives(STATUS_OK);
	assert_int_equal(info.file_count, BOOT_INFO_MAX_FILES);
	assert_non_null(strstr(info.messages, "one file too many"));
}

/* What lies where there is no RAM, or on each other, is left to boot_info_check(). */
static void test_contradictions(void **state)
{
	(void)state;
	put_memory_map();
	put_module(0xf0000, 0xf1000, "in the BIOS");
	fill();
	check_gives(STATUS_INVALID);
	begin(NULL);
	put_memory_map();
	put_module(IMAGE_BASE, IMAGE_BASE + 1, "in the image");
	fill();
	check_gives(STATUS_EXISTS);
}

static void test_no_map(void **state)
{
	uint32_t tag;

	(void)state;
	fill();
	check_gives(STATUS_OUT_OF_RANGE);
	assert_non_null(strstr(info.messages, "no memory map"));
	begin(NULL);
	tag = begin_tag(6);
	put_u32(20);
	put_u32(0);
	put_memory(0, 0x10000000, 1);
	end_tag(tag);
	fill();
	assert_int_equal(info.region_count, 0);
	assert_non_null(strstr(info.messages, "24 bytes"));
	begin(NULL);
	tag = begin_tag(6);
	end_tag(tag);
	fill();
	assert_int_equal(info.region_count, 0);
}

static void test_map_entries(void **state)
{
	uint32_t tag;

	(void)state;
	/* wider entries, one that wraps, and a last one that is cut off */
	tag = begin_tag(6);
	put_u32(32);
	put_u32(0);
	put_memory(0, 0x10000000, 1);
	put_u64(~0ull);
	put_memory(~0ull, ~0ull, 1);
	put_u64(~0ull);
	put_memory(0x20000000, 0x10000000, 1);
	end_tag(tag);
	fill();
	check_gives(STATUS_OK);
	assert_int_equal(info.regions[info.region_count - 1].base + info.regions[info.region_count - 1].length, 0x10000000);
	begin(NULL);
	tag = begin_tag(6);
	put_u32(UINT32_MAX);
	put_u32(0);
	put_memory(0, 0x10000000, 1);
	end_tag(tag);
	fill();
	assert_int_equal(info.region_count, 0);
}

static void test_too_many_regions(void **state)
{
	uint32_t tag;

	(void)state;
	tag = begin_tag(6);
	put_u32(24);
	put_u32(0);
	for (unsigned i = 0; i <= BOOT_INFO_MAX_REGIONS; i++)
		put_memory(0x1000000 + i * 0x2000, 0x1000, 1);
	end_tag(tag);
	fill();
	assert_non_null(strstr(info.messages, "more than 512"));
	check_gives(STATUS_OUT_OF_RANGE);
}

static void test_bad_sizes(void **state)
{
	uint32_t tag, size;

	(void)state;
	put_memory_map();
	fill_limited(7, length);
	assert_non_null(strstr(info.messages, "its size"));
	fill_limited(length + 1, length);
	assert_non_null(strstr(info.messages, "its size"));
	fill_limited(UINT32_MAX, length);
	assert_non_null(strstr(info.messages, "its size"));
	fill_limited(0, 8);
	assert_non_null(strstr(info.messages, "its size"));
	/* without an end tag the map still counts */
	fill_limited(length, length);
	assert_non_null(strstr(info.messages, "cut off"));
	check_gives(STATUS_OK);
	/* sizes that do not advance, or lead out */
	for (size = 0; size < 8; size++) {
		begin(NULL);
		tag = begin_tag(99);
		memcpy(bytes + tag + 4, &size, sizeof(size));
		fill();
		assert_non_null(strstr(info.messages, "cut off"));
	}
	begin(NULL);
	tag = begin_tag(6);
	size = UINT32_MAX;
	memcpy(bytes + tag + 4, &size, sizeof(size));
	fill();
	assert_non_null(strstr(info.messages, "cut off"));
}

/* Cut anywhere: no byte beyond the end is read (ASan), and nothing that is let through is unsound. */
static void test_truncation(void **state)
{
	uint32_t whole;

	(void)state;
	put_memory_map();
	put_module(MODULE_BASE, MODULE_BASE + 0x1801, "trivet.conf");
	put_framebuffer(32, 1, 8);
	put_rsdp(14, 20);
	put_rsdp(15, 36);
	whole = length;
	for (uint32_t size = 8; size < whole; size++) {
		fill_limited(size, size);
		assert_true(info.messages[0] != '\0');
		if (info.region_count > 0)
			check_gives(STATUS_OK);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_all, begin),
		cmocka_unit_test_setup(test_regions, begin),
		cmocka_unit_test_setup(test_old_rsdp, begin),
		cmocka_unit_test_setup(test_no_framebuffer, begin),
		cmocka_unit_test_setup(test_bad_modules, begin),
		cmocka_unit_test_setup(test_unterminated_command_line, begin),
		cmocka_unit_test_setup(test_too_many_modules, begin),
		cmocka_unit_test_setup(test_contradictions, begin),
		cmocka_unit_test_setup(test_no_map, begin),
		cmocka_unit_test_setup(test_map_entries, begin),
		cmocka_unit_test_setup(test_too_many_regions, begin),
		cmocka_unit_test_setup(test_bad_sizes, begin),
		cmocka_unit_test_setup(test_truncation, begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
