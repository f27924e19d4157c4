/* boot_info_check(): one good hand-over, and every single way to spoil it. */
#include "boot/boot_info.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define IMAGE_BASE (64 * MIB)
#define IMAGE_SIZE (3 * PAGE_SIZE_2M + 5)
#define FILE_BASE (IMAGE_BASE + 16 * MIB)

static struct boot_info info;

static void add_region(uint64_t base, uint64_t length, uint32_t type)
{
	info.regions[info.region_count++] = (struct boot_memory_region){.base = base, .length = length, .type = type};
}

static void add_file(const char *path, uint64_t base, uint64_t size)
{
	struct boot_file *file = &info.files[info.file_count++];

	strcpy(file->path, path);
	file->base = base;
	file->size = size;
}

/* Two LOADER regions side by side, so that a file may lie across their border. */
static int make_good(void **state)
{
	(void)state;
	memset(&info, 0, sizeof(info));
	info.magic = BOOT_INFO_MAGIC;
	info.version = BOOT_INFO_VERSION;
	info.size = sizeof(info);
	info.loader = BOOT_LOADER_EFI;
	info.acpi_rsdp = 0xe0000;
	info.image_base = IMAGE_BASE;
	info.image_size = IMAGE_SIZE;
	add_region(0, 640 * KIB, BOOT_MEMORY_USABLE);
	add_region(1 * MIB, 63 * MIB, BOOT_MEMORY_USABLE);
	add_region(IMAGE_BASE, 16 * MIB, BOOT_MEMORY_LOADER);
	add_region(FILE_BASE, 16 * MIB, BOOT_MEMORY_LOADER);
	add_region(4 * GIB, 4 * GIB, BOOT_MEMORY_USABLE);
	add_file("trivet.conf", FILE_BASE, 100);
	add_file("guests/vmlinuz", FILE_BASE + PAGE_SIZE, 5 * MIB);
	info.framebuffer = (struct boot_framebuffer){
		.base = 0xc0000000, .width = 1280, .height = 800, .pitch = 5120, .bits_per_pixel = 32,
		.red_shift = 16, .green_shift = 8, .blue_shift = 0,
	};
	return 0;
}

static void expect(enum status expected, const char *word)
{
	const char *why = NULL;
	enum status status = boot_info_check(&info, &why);

	assert_non_null(why);
	if (status != expected || strstr(why, word) == NULL)
		fail_msg("got %d (%s), expected %d (%s)", status, why, expected, word);
	if (expected == STATUS_OK)
		assert_string_equal(why, "");
}

static void test_good(void **state)
{
	(void)state;
	expect(STATUS_OK, "");
	info.loader = BOOT_LOADER_MULTIBOOT2;
	info.framebuffer.base = 0;
	info.framebuffer.bits_per_pixel = 24;
	info.file_count = 0;
	info.acpi_rsdp = 0;
	expect(STATUS_OK, "");
}

static void test_header(void **state)
{
	(void)state;
	info.magic ^= 1;
	expect(STATUS_BAD_FORMAT, "magic");
	make_good(NULL);
	info.version++;
	expect(STATUS_BAD_FORMAT, "version");
	make_good(NULL);
	info.size--;
	expect(STATUS_BAD_FORMAT, "size");
	make_good(NULL);
	info.loader = 0;
	expect(STATUS_INVALID, "loader");
	info.loader = 3;
	expect(STATUS_INVALID, "loader");
	make_good(NULL);
	info.acpi_rsdp = 1ull << 52;
	expect(STATUS_OUT_OF_RANGE, "acpi_rsdp");
	make_good(NULL);
	memset(info.messages, 'x', sizeof(info.messages));
	expect(STATUS_INVALID, "messages");
	info.messages[sizeof(info.messages) - 1] = '\0';
	expect(STATUS_OK, "");
}

static void test_counts(void **state)
{
	(void)state;
	info.region_count = 0;
	expect(STATUS_OUT_OF_RANGE, "region_count");
	info.region_count = BOOT_INFO_MAX_REGIONS + 1;
	expect(STATUS_OUT_OF_RANGE, "region_count");
	info.region_count = UINT32_MAX;
	expect(STATUS_OUT_OF_RANGE, "region_count");
	make_good(NULL);
	info.file_count = BOOT_INFO_MAX_FILES + 1;
	expect(STATUS_OUT_OF_RANGE, "file_count");
}

static void test_most_that_fits(void **state)
{
	(void)state;
	while (info.region_count < BOOT_INFO_MAX_REGIONS)
		add_region(8 * GIB + info.region_count * 2 * PAGE_SIZE, PAGE_SIZE, BOOT_MEMORY_RESERVED);
	while (info.file_count < BOOT_INFO_MAX_FILES) {
		char path[16];

		snprintf(path, sizeof(path), "file%u", info.file_count);
		add_file(path, FILE_BASE + 6 * MIB + info.file_count * PAGE_SIZE, PAGE_SIZE);
	}
	expect(STATUS_OK, "");
}

static void test_region(void **state)
{
	(void)state;
	info.regions[1].base += 1;
	expect(STATUS_INVALID, "4 KiB");
	make_good(NULL);
	info.regions[1].length -= 1;
	expect(STATUS_INVALID, "4 KiB");
	make_good(NULL);
	info.regions[1].length = 0;
	expect(STATUS_INVALID, "empty");
	make_good(NULL);
	info.regions[4].length = 0 - info.regions[4].base;
	expect(STATUS_OUT_OF_RANGE, "wraps");
	make_good(NULL);
	info.regions[4].length = (1ull << 52) - 4 * GIB;
	expect(STATUS_OK, "");
	info.regions[4].length += PAGE_SIZE;
	expect(STATUS_OUT_OF_RANGE, "2^52");
	make_good(NULL);
	info.regions[1].type = 0;
	expect(STATUS_INVALID, "type");
	info.regions[1].type = BOOT_MEMORY_BAD + 1;
	expect(STATUS_INVALID, "type");
}

static void test_region_order(void **state)
{
	(void)state;
	info.regions[0].length = 2 * MIB;
	expect(STATUS_EXISTS, "overlap");
	make_good(NULL);
	info.regions[1].base = info.regions[0].base;
	info.regions[1].length = PAGE_SIZE;
	expect(STATUS_EXISTS, "overlap");
	make_good(NULL);
	info.regions[4].base = 0x700000;
	info.regions[4].length = PAGE_SIZE;
	expect(STATUS_INVALID, "sorted");
	make_good(NULL);
	info.regions[0].type = info.regions[1].type = info.regions[4].type = BOOT_MEMORY_RESERVED;
	expect(STATUS_INVALID, "usable");
}

static void test_image(void **state)
{
	(void)state;
	info.image_base += PAGE_SIZE;
	expect(STATUS_INVALID, "image_base");
	make_good(NULL);
	info.image_size = 0;
	expect(STATUS_INVALID, "image_size");
	info.image_size = 4 * GIB;
	expect(STATUS_OUT_OF_RANGE, "4 GiB");
	info.image_size = UINT64_MAX;
	expect(STATUS_OUT_OF_RANGE, "4 GiB");
	make_good(NULL);
	info.image_base = 4 * GIB;
	expect(STATUS_OUT_OF_RANGE, "4 GiB");
	make_good(NULL);
	info.image_base = 2 * MIB;
	expect(STATUS_INVALID, "loader");
	make_good(NULL);
	info.file_count = 0;
	info.image_size = 32 * MIB;
	expect(STATUS_OK, "");
	info.image_size++;
	expect(STATUS_INVALID, "loader");
	info.image_size = IMAGE_SIZE;
	info.regions[2].base += PAGE_SIZE;
	info.regions[2].length -= PAGE_SIZE;
	expect(STATUS_INVALID, "loader");
	info.regions[2].type = BOOT_MEMORY_ACPI_RECLAIM;
	expect(STATUS_INVALID, "loader");
}

static void test_file(void **state)
{
	(void)state;
	memset(info.files[1].path, 'a', sizeof(info.files[1].path));
	expect(STATUS_INVALID, "NUL");
	info.files[1].path[sizeof(info.files[1].path) - 1] = '\0';
	expect(STATUS_OK, "");
	info.files[1].path[0] = '\0';
	expect(STATUS_INVALID, "empty path");
	make_good(NULL);
	info.files[1].base++;
	expect(STATUS_INVALID, "4 KiB");
	make_good(NULL);
	info.files[1].size = UINT64_MAX;
	expect(STATUS_OUT_OF_RANGE, "4 GiB");
	info.files[1].size = 4 * GIB - info.files[1].base;
	expect(STATUS_INVALID, "loader");
	info.files[1].base = 4 * GIB;
	info.files[1].size = PAGE_SIZE;
	expect(STATUS_OUT_OF_RANGE, "4 GiB");
	info.files[1].base = 1 * MIB;
	expect(STATUS_INVALID, "loader");
}

static void test_file_places(void **state)
{
	(void)state;
	info.files[1].size = 16 * MIB - PAGE_SIZE;
	expect(STATUS_OK, "");
	info.files[1].size++;
	expect(STATUS_INVALID, "loader");
	/* across the border of two LOADER regions */
	info.files[1].base = FILE_BASE - MIB;
	info.files[1].size = MIB;
	expect(STATUS_OK, "");
	info.files[1].size = MIB + 1;
	expect(STATUS_EXISTS, "two overlap");
	info.files[1].base = align_down(IMAGE_BASE + IMAGE_SIZE, PAGE_SIZE);
	info.files[1].size = 1;
	expect(STATUS_EXISTS, "image");
	info.files[1].size = 0;
	expect(STATUS_OK, "");
	make_good(NULL);
	strcpy(info.files[1].path, "trivet.conf");
	expect(STATUS_EXISTS, "same path");
}

static void test_framebuffer(void **state)
{
	(void)state;
	info.framebuffer.bits_per_pixel = 24;
	expect(STATUS_INVALID, "32 bits");
	make_good(NULL);
	info.framebuffer.red_shift = 25;
	expect(STATUS_INVALID, "colours at");
	info.framebuffer.red_shift = 4;
	expect(STATUS_INVALID, "colours at");
	info.framebuffer.red_shift = 32;
	expect(STATUS_INVALID, "colours at");
	info.framebuffer.red_shift = 8;
	expect(STATUS_INVALID, "share");
	info.framebuffer.red_shift = 0;
	expect(STATUS_INVALID, "share");
	info.framebuffer.red_shift = 24;
	expect(STATUS_OK, "");
	info.framebuffer.width = 0;
	expect(STATUS_OUT_OF_RANGE, "width");
	make_good(NULL);
	info.framebuffer.height = 0;
	expect(STATUS_OUT_OF_RANGE, "height");
	make_good(NULL);
	info.framebuffer.pitch = 5119;
	expect(STATUS_OUT_OF_RANGE, "shorter");
	info.framebuffer.pitch = UINT32_MAX;
	info.framebuffer.width = UINT32_MAX; /* times four does not fit 32 bits */
	expect(STATUS_OUT_OF_RANGE, "shorter");
}

static void test_framebuffer_place(void **state)
{
	(void)state;
	info.framebuffer.base = UINT64_MAX - 5120;
	expect(STATUS_OUT_OF_RANGE, "wraps");
	info.framebuffer.base = (1ull << 52) - 5120 * 800;
	expect(STATUS_OK, "");
	info.framebuffer.base++;
	expect(STATUS_OUT_OF_RANGE, "2^52");
	info.framebuffer.base = MIB - PAGE_SIZE; /* reaches into the second region */
	expect(STATUS_EXISTS, "usable");
	info.framebuffer.base = FILE_BASE;
	expect(STATUS_EXISTS, "usable");
	info.regions[0].type = info.regions[1].type = BOOT_MEMORY_RESERVED;
	info.framebuffer.base = MIB;
	expect(STATUS_OK, "");
}

static void test_find_file(void **state)
{
	(void)state;
	assert_ptr_equal(boot_info_find_file(&info, "guests/vmlinuz"), &info.files[1]);
	assert_null(boot_info_find_file(&info, "guests/vmlinu"));
	assert_null(boot_info_find_file(&info, ""));
	info.file_count = 1;
	assert_null(boot_info_find_file(&info, "guests/vmlinuz"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_good, make_good),
		cmocka_unit_test_setup(test_header, make_good),
		cmocka_unit_test_setup(test_counts, make_good),
		cmocka_unit_test_setup(test_most_that_fits, make_good),
		cmocka_unit_test_setup(test_region, make_good),
		cmocka_unit_test_setup(test_region_order, make_good),
		cmocka_unit_test_setup(test_image, make_good),
		cmocka_unit_test_setup(test_file, make_good),
		cmocka_unit_test_setup(test_file_places, make_good),
		cmocka_unit_test_setup(test_framebuffer, make_good),
		cmocka_unit_test_setup(test_framebuffer_place, make_good),
		cmocka_unit_test_setup(test_find_file, make_good),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
