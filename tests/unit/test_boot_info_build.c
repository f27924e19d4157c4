#include "boot/boot_info_build.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct boot_info info;

static int open_info(void **state)
{
	(void)state;
	memset(&info, 0xa5, sizeof(info));
	boot_info_open(&info, BOOT_LOADER_EFI);
	return 0;
}

static void test_open(void **state)
{
	(void)state;
	assert_true(info.magic == BOOT_INFO_MAGIC);
	assert_int_equal(info.version, BOOT_INFO_VERSION);
	assert_int_equal(info.size, sizeof(info));
	assert_int_equal(info.loader, BOOT_LOADER_EFI);
	assert_int_equal(info.region_count + info.file_count + info.framebuffer.base + info.acpi_rsdp, 0);
	assert_string_equal(info.messages, "");
}

static void test_files(void **state)
{
	char path[BOOT_INFO_PATH_SIZE + 1];

	(void)state;
	memset(path, 'p', sizeof(path));
	path[BOOT_INFO_PATH_SIZE] = '\0';
	assert_int_equal(boot_info_add_file(&info, path, 0, 1), STATUS_OUT_OF_RANGE);
	assert_int_equal(boot_info_add_file(&info, path + 1, 0x1000, 1), STATUS_OK);
	assert_int_equal(boot_info_add_file(&info, path + 1, 0x2000, 1), STATUS_EXISTS);
	assert_int_equal(boot_info_add_file(&info, "", 0, 1), STATUS_OUT_OF_RANGE);
	for (unsigned i = 1; i < BOOT_INFO_MAX_FILES; i++) {
		snprintf(path, sizeof(path), "%u", i);
		assert_int_equal(boot_info_add_file(&info, path, PAGE_SIZE * i, 1), STATUS_OK);
	}
	assert_int_equal(boot_info_add_file(&info, "one more", 0, 1), STATUS_NO_MEMORY);
	assert_int_equal(boot_info_find_file(&info, "63")->base, PAGE_SIZE * 63);
}

static void test_messages(void **state)
{
	char text[400];
	const char *line;

	(void)state;
	boot_info_add_message(&info, "guests/vmlinuz", "not found");
	boot_info_add_message(&info, "vmlinuz", "not found");
	boot_info_add_message(&info, "guests/vmlinuz", "not found");
	boot_info_add_message(&info, "guests/vmlinuz", "not");
	assert_string_equal(info.messages, "guests/vmlinuz: not found\nvmlinuz: not found\nguests/vmlinuz: not\n");
	memset(text, 't', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	for (unsigned i = 0; i < 8; i++) {
		char subject[2] = {(char)('a' + i), '\0'};

		boot_info_add_message(&info, subject, text);
	}
	assert_int_equal(strlen(info.messages), sizeof(info.messages) - 1);
	assert_null(strchr(info.messages, 'g' + 1)); /* "h: ..." found no room any more */
	/* lines are cut, but end */
	line = strstr(info.messages, "a: t");
	assert_int_equal(strchr(line, '\n') - line, BOOT_INFO_MESSAGE_SIZE - 2);
}

static void test_claims(void **state)
{
	(void)state;
	assert_int_equal(boot_info_add_region(&info, 0, 256 * PAGE_SIZE, BOOT_MEMORY_USABLE), STATUS_OK);
	assert_int_equal(boot_info_add_file(&info, "a", 16 * PAGE_SIZE, PAGE_SIZE + 1), STATUS_OK);
	assert_int_equal(boot_info_add_file(&info, "b", 32 * PAGE_SIZE, 0), STATUS_OK);
	assert_int_equal(boot_info_claim_files(&info), STATUS_OK);
	assert_int_equal(boot_info_claim(&info, 18 * PAGE_SIZE, 1), STATUS_OK);
	assert_int_equal(info.region_count, 3);
	assert_int_equal(info.regions[1].base, 16 * PAGE_SIZE);
	assert_int_equal(info.regions[1].length, 3 * PAGE_SIZE);
	assert_int_equal(info.regions[1].type, BOOT_MEMORY_LOADER);
}

static void test_too_many_regions(void **state)
{
	(void)state;
	for (unsigned i = 0; i < BOOT_INFO_MAX_REGIONS; i++)
		assert_int_equal(boot_info_add_region(&info, i * 2 * PAGE_SIZE, PAGE_SIZE, BOOT_MEMORY_USABLE), STATUS_OK);
	assert_int_equal(boot_info_add_region(&info, GIB, PAGE_SIZE, BOOT_MEMORY_USABLE), STATUS_NO_MEMORY);
	assert_int_equal(info.region_count, BOOT_INFO_MAX_REGIONS);
}

static bool copy(char *path, const char *bytes, size_t length)
{
	/* lent text is not NUL-terminated */
	char *text = malloc(length + 1);
	bool exact;

	assert_non_null(text);
	memcpy(text, bytes, length);
	exact = boot_path_copy(path, (struct ini_text){text, length});
	free(text);
	return exact;
}

static void test_path(void **state)
{
	char path[BOOT_INFO_PATH_SIZE], lengthy[BOOT_INFO_PATH_SIZE];

	(void)state;
	assert_true(copy(path, "guests/vm linuz", 15));
	assert_string_equal(path, "guests/vm linuz");
	assert_true(copy(path, "", 0));
	assert_string_equal(path, "");
	assert_false(copy(path, "a\x1b[2Jb\xc3\xa4\0c", 10));
	assert_string_equal(path, "a?[2Jb???c");
	memset(lengthy, 'x', sizeof(lengthy));
	assert_true(copy(path, lengthy, BOOT_INFO_PATH_SIZE - 1));
	assert_false(copy(path, lengthy, BOOT_INFO_PATH_SIZE));
	assert_int_equal(strlen(path), BOOT_INFO_PATH_SIZE - 1);
}

static void add_text(const char *path, const char *text)
{
	assert_int_equal(boot_info_add_file(&info, path, (uintptr_t)text, strlen(text)), STATUS_OK);
}

/* Each configuration counts, wherever it stands in the list, and nothing that is none. */
static void test_missing_files(void **state)
{
	(void)state;
	add_text("guests/k", "kernel = not-read");
	add_text("notes.txt", "kernel = not-read");
	add_text("trivet.conf", "[vm a]\nkernel = guests/k\nramdisk = guests/r\ndisk = ram:guests/d,ro\n");
	add_text("more.conf", "[vm b]\nkernel = guests/k\nramdisk = guests/r\nfirmware = guests/f\n");
	add_text("guests/x.conf", "kernel = not-read");
	boot_info_note_missing_files(&info);
	assert_string_equal(info.messages, "guests/r: not found\nguests/d: not found\nguests/f: not found\n");
}

static void test_configurations(void **state)
{
	static const char *const good[] = { "trivet.conf", "more.conf", "a b.conf", "x.y.conf" };
	static const char *const bad[] = { "", ".conf", "._more.conf", "guests/more.conf", "more.conf~", "more.CONF", "conf", "moreconf" };

	(void)state;
	for (size_t i = 0; i < array_count(good); i++)
		assert_true(boot_path_is_configuration(good[i]));
	for (size_t i = 0; i < array_count(bad); i++)
		assert_false(boot_path_is_configuration(bad[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_open, open_info),
		cmocka_unit_test_setup(test_files, open_info),
		cmocka_unit_test_setup(test_messages, open_info),
		cmocka_unit_test_setup(test_claims, open_info),
		cmocka_unit_test_setup(test_too_many_regions, open_info),
		cmocka_unit_test_setup(test_path, open_info),
		cmocka_unit_test_setup(test_missing_files, open_info),
		cmocka_unit_test(test_configurations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
