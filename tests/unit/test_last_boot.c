/* What survives a warm reset, over the fake physical memory: boots in a row, memory that something else wrote to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86/log.h"
#include "arch/x86/physmap.h"
#include "boot/boot_info_build.h"
#include "tests/fake/fake_cpu.h"
#include "tests/fake/fake_physmap.h"
#include "vmm/last_boot.h"

#define FIRST (96 * MIB)
#define SECOND (128 * MIB)

static struct boot_info info;
static char text[LOG_RING_SIZE + 1];

static void open_memory(uint64_t end)
{
	boot_info_open(&info, BOOT_LOADER_EFI);
	assert_int_equal(boot_info_add_region(&info, MIB, end - MIB, BOOT_MEMORY_USABLE), STATUS_OK);
}

static const char *read_last_log(void)
{
	struct log_reader reader = {0};
	size_t length = 0, size;

	while ((size = last_boot_read_log(last_boot_find(), &reader, text + length, LOG_RING_SIZE - length)) != 0)
		length += size;
	text[length] = '\0';
	return text;
}

static bool is_loader_memory(uint64_t address)
{
	for (uint32_t i = 0; i < info.region_count; i++) {
		if (address - info.regions[i].base < info.regions[i].length)
			return info.regions[i].type == BOOT_MEMORY_LOADER;
	}
	return false;
}

static struct last_boot_area *area(uint64_t base)
{
	return physmap_pointer(hpa(base));
}

/* As a reset: what is in RAM stays, what is in variables goes on with an empty log. */
static void boot(uint64_t end)
{
	static struct log_ring empty;

	memset(&empty, 0, sizeof(empty));
	log_keep_in(&empty);
	memset(&empty, 0, sizeof(empty));
	open_memory(end);
	last_boot_init(&info);
}

static int setup(void **state)
{
	(void)state;
	fake_cpu_reset();
	fake_physmap_reset();
	return 0;
}

static void test_first_boot_finds_nothing(void **state)
{
	(void)state;
	boot(256 * MIB);
	assert_null(last_boot_find());
	assert_true(is_loader_memory(FIRST));
	assert_true(is_loader_memory(FIRST + sizeof(struct last_boot_area) - 1));
	assert_false(is_loader_memory(FIRST + align_up(sizeof(struct last_boot_area), PAGE_SIZE)));
	log_info("written into the area");
	assert_non_null(strstr(area(FIRST)->halves[0].log.text, "written into the area\n"));
}

static void test_each_boot_sees_the_one_before(void **state)
{
	(void)state;
	boot(256 * MIB);
	log_info("first boot");
	boot(256 * MIB);
	log_info("second boot");
	assert_non_null(strstr(read_last_log(), "first boot\n"));
	boot(256 * MIB);
	log_info("third boot");
	assert_null(strstr(read_last_log(), "first boot\n"));
	assert_non_null(strstr(read_last_log(), "second boot\n"));
	assert_true(log_ring_is_sound(&last_boot_find()->log));
	boot(256 * MIB);
	assert_non_null(strstr(read_last_log(), "third boot\n"));
}

/* The loader's files take another place than the last time. */
static void test_another_place_is_used_and_the_old_one_found(void **state)
{
	(void)state;
	boot(256 * MIB);
	log_info("in the first place");
	open_memory(256 * MIB);
	assert_int_equal(boot_info_claim(&info, FIRST, PAGE_SIZE), STATUS_OK);
	last_boot_init(&info);
	assert_null(last_boot_find());
	log_info("in the second place");
	boot(256 * MIB);
	assert_non_null(strstr(read_last_log(), "in the second place\n"));
	log_info("third");
	boot(256 * MIB);
	assert_non_null(strstr(read_last_log(), "third\n"));
}

static void test_small_machines_have_no_place(void **state)
{
	static struct log_ring ring;

	(void)state;
	memset(&ring, 0, sizeof(ring));
	boot(FIRST);
	assert_null(last_boot_find());
	assert_int_equal(info.region_count, 1);
	assert_null(last_boot_take_recorder("vm", 0));
	log_keep_in(&ring);
}

static void test_recorders_survive(void **state)
{
	struct exit_recorder *one, *two;

	(void)state;
	boot(256 * MIB);
	one = last_boot_take_recorder("one", 0);
	two = last_boot_take_recorder("a-name-as-long-as-a-name-can-be", 3);
	assert_non_null(one);
	assert_non_null(two);
	two->exits[7].time = 77;
	assert_true(last_boot_give_recorder(one));
	assert_false(last_boot_give_recorder((struct exit_recorder *)physmap_pointer(hpa(MIB))));
	boot(256 * MIB);
	const struct last_boot_half *half = last_boot_find();
	assert_false(half->header.owners[0].used);
	assert_true(half->header.owners[1].used);
	assert_int_equal(half->header.owners[1].vcpu, 3);
	assert_int_equal(half->recorders[1].exits[7].time, 77);
}

static void test_recorders_are_bounded_and_come_back_empty(void **state)
{
	struct exit_recorder *taken[LAST_BOOT_RECORDERS];

	(void)state;
	boot(256 * MIB);
	for (unsigned i = 0; i < LAST_BOOT_RECORDERS; i++) {
		taken[i] = last_boot_take_recorder("vm", i);
		assert_non_null(taken[i]);
		taken[i]->exits[0].time = 1;
	}
	assert_null(last_boot_take_recorder("vm", 99));
	assert_true(last_boot_give_recorder(taken[5]));
	assert_ptr_equal(last_boot_take_recorder("other", 0), taken[5]);
	assert_int_equal(taken[5]->exits[0].time, 0);
}

/* Every byte of the header counts. */
static void test_damaged_headers_are_refused(void **state)
{
	struct last_boot_half *half;

	(void)state;
	boot(256 * MIB);
	half = &area(FIRST)->halves[0];
	assert_true(last_boot_check(half));
	for (size_t i = 0; i < sizeof(half->header); i++) {
		((uint8_t *)&half->header)[i] ^= 0x40;
		assert_false(last_boot_check(half));
		((uint8_t *)&half->header)[i] ^= 0x40;
	}
	((uint8_t *)&half->header)[100] ^= 1;
	boot(256 * MIB);
	assert_null(last_boot_find());
}

static void test_text_is_made_printable(void **state)
{
	static const char raw[] = "a\x1b[2Jb\x9b\x80\r\n\tc\n";

	(void)state;
	boot(256 * MIB);
	log_ring_put(&area(FIRST)->halves[0].log, raw, sizeof(raw) - 1);
	boot(256 * MIB);
	assert_string_equal(read_last_log(), "a?[2Jb???\n\tc\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_first_boot_finds_nothing, setup),
		cmocka_unit_test_setup(test_each_boot_sees_the_one_before, setup),
		cmocka_unit_test_setup(test_another_place_is_used_and_the_old_one_found, setup),
		cmocka_unit_test_setup(test_small_machines_have_no_place, setup),
		cmocka_unit_test_setup(test_recorders_survive, setup),
		cmocka_unit_test_setup(test_recorders_are_bounded_and_come_back_empty, setup),
		cmocka_unit_test_setup(test_damaged_headers_are_refused, setup),
		cmocka_unit_test_setup(test_text_is_made_printable, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
