#include "tests/unit/platform_fixture.h"
#include "vmm/wall_clock.h"

extern const struct io_device_class cmos_rtc_class;

#define LINE IRQ_LINE_RTC
#define START 1700000000ull /* 2023-11-14 22:13:20 UTC, a Tuesday */

static struct io_device *rtc;

static int setup(void **state)
{
	(void)state;
	fixture_vm.memory.size = 0;
	rtc = platform_start(&cmos_rtc_class);
	wall_clock_set(START);
	cmos_rtc_class.reset(rtc);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	platform_end(rtc);
	return 0;
}

static uint8_t get(uint8_t index)
{
	out8(0x70, index);
	return in8(0x71);
}

static void set(uint8_t index, uint8_t value)
{
	out8(0x70, index);
	out8(0x71, value);
}

static void seconds_pass(unsigned seconds)
{
	platform_pass_microseconds(seconds * 1000000ull);
}

static void time_is(uint8_t century, uint8_t year, uint8_t month, uint8_t day, uint8_t hour, uint8_t minute, uint8_t second)
{
	assert_int_equal(get(0x32), century);
	assert_int_equal(get(9), year);
	assert_int_equal(get(8), month);
	assert_int_equal(get(7), day);
	assert_int_equal(get(4), hour);
	assert_int_equal(get(2), minute);
	assert_int_equal(get(0), second);
}

static void shows_the_time(void **state)
{
	(void)state;
	time_is(0x20, 0x23, 0x11, 0x14, 0x22, 0x13, 0x20);
	assert_int_equal(get(6), 3);
	seconds_pass(2 * 3600);
	time_is(0x20, 0x23, 0x11, 0x15, 0x00, 0x13, 0x20);
	assert_int_equal(get(6), 4);
	assert_int_equal(get(0x0d), 0x80);
}

static void index_ignores_the_nmi_bit(void **state)
{
	(void)state;
	assert_int_equal(get(0x89), 0x23);
	assert_int_equal(in8(0x70), 0xff);
}

static void update_in_progress_before_the_second(void **state)
{
	(void)state;
	assert_int_equal(get(0x0a) & 0x80, 0);
	platform_pass_microseconds(999000);
	assert_int_equal(get(0x0a) & 0x80, 0x80);
	assert_int_equal(get(0), 0x20);
	platform_pass_microseconds(1000);
	assert_int_equal(get(0x0a) & 0x80, 0);
	assert_int_equal(get(0), 0x21);
}

static void binary_and_twelve_hours(void **state)
{
	(void)state;
	set(0x0b, 0x06);
	assert_int_equal(get(9), 23);
	assert_int_equal(get(4), 22);
	set(0x0b, 0x00);
	assert_int_equal(get(4), 0x90); /* 10 p.m. */
	seconds_pass(2 * 3600);
	assert_int_equal(get(4), 0x12); /* midnight is 12 a.m. */
	set(4, 0x92);
	assert_int_equal(get(4), 0x92);
	set(0x0b, 0x02);
	assert_int_equal(get(4), 0x12); /* noon */
}

static void guest_sets_the_time(void **state)
{
	(void)state;
	set(0x0b, 0x82);
	set(0x32, 0x19);
	set(9, 0x99);
	set(8, 0x12);
	set(7, 0x31);
	set(4, 0x23);
	set(2, 0x59);
	set(0, 0x58);
	seconds_pass(100);
	assert_int_equal(get(0), 0x58); /* stands still while set */
	assert_int_equal(get(0x0a) & 0x80, 0);
	set(0x0b, 0x02);
	time_is(0x19, 0x99, 0x12, 0x31, 0x23, 0x59, 0x58);
	seconds_pass(2);
	time_is(0x20, 0x00, 0x01, 0x01, 0x00, 0x00, 0x00);
	assert_int_equal(wall_clock_now(), START + 102); /* the machine's clock is untouched */
	cmos_rtc_class.reset(rtc);
	time_is(0x20, 0x00, 0x01, 0x01, 0x00, 0x00, 0x00);
}

static void nonsense_is_taken_as_near_as_can_be(void **state)
{
	(void)state;
	set(0x0b, 0x82);
	for (uint8_t index = 0; index < 10; index++)
		set(index, 0xff);
	set(0x32, 0xff);
	set(0x0b, 0x02);
	assert_int_equal(get(8), 0x12);
	assert_int_equal(get(7), 0x31);
	assert_int_equal(get(4), 0x23);
	set(0x0b, 0x82);
	for (uint8_t index = 0; index < 10; index++)
		set(index, 0);
	set(0x32, 0);
	set(0x0b, 0x02);
	time_is(0x19, 0x70, 0x01, 0x01, 0x00, 0x00, 0x00);
}

static void update_interrupt(void **state)
{
	(void)state;
	(void)get(0x0c);
	set(0x0b, 0x12);
	platform_pass_microseconds(999000);
	assert_false(line_level(LINE));
	platform_pass_microseconds(1001);
	assert_true(line_level(LINE));
	seconds_pass(5);
	assert_int_equal(fixture_rises[LINE], 1); /* the line stays up until C is read */
	assert_int_equal(get(0x0c) & 0x90, 0x90);
	assert_false(line_level(LINE));
	assert_int_equal(get(0x0c), 0);
	seconds_pass(1);
	assert_int_equal(fixture_rises[LINE], 2);
}

static void periodic_interrupt(void **state)
{
	unsigned count = 0;

	(void)state;
	set(0x0a, 0x26); /* 1024 Hz */
	(void)get(0x0c);
	set(0x0b, 0x42);
	for (unsigned i = 0; i < 1024; i++) {
		platform_pass_ticks(FIXTURE_HZ / 1024);
		if (line_level(LINE))
			count++;
		(void)get(0x0c);
	}
	assert_in_range(count, 1022, 1024);
	set(0x0a, 0x20); /* off */
	(void)get(0x0c);
	fixture_rises[LINE] = 0;
	seconds_pass(1);
	assert_int_equal(fixture_rises[LINE], 0);
	set(0x0b, 0x02);
	assert_true(list_is_empty(&fixture_vcpus[0].timers));
}

static void periodic_flag_without_interrupt(void **state)
{
	(void)state;
	set(0x0a, 0x2f); /* 2 Hz */
	(void)get(0x0c);
	assert_int_equal(get(0x0c) & 0x40, 0);
	platform_pass_microseconds(510000);
	assert_int_equal(get(0x0c) & 0xc0, 0x40);
	assert_false(line_level(LINE));
}

static void alarm_interrupt(void **state)
{
	(void)state;
	set(1, 0x25);
	set(3, 0x14);
	set(5, 0xff); /* any hour */
	(void)get(0x0c);
	set(0x0b, 0x22);
	seconds_pass(64); /* 22:14:24 */
	assert_false(line_level(LINE));
	seconds_pass(2);
	assert_true(line_level(LINE));
	assert_int_equal(get(0x0c) & 0xa0, 0xa0);
	seconds_pass(3598); /* 23:14:24 */
	assert_false(line_level(LINE));
	seconds_pass(2);
	assert_true(line_level(LINE));
}

static void memory_sizes(void **state)
{
	(void)state;
	platform_end(rtc);
	fixture_vm.memory.size = 256 * MIB;
	rtc = fixture_add(&cmos_rtc_class);
	cmos_rtc_class.reset(rtc);
	assert_int_equal(get(0x15) | get(0x16) << 8, 640);
	assert_int_equal(get(0x17) | get(0x18) << 8, 0xffff);
	assert_int_equal(get(0x34) | get(0x35) << 8, (256 - 16) * 16);
	assert_int_equal(get(0x5b) | get(0x5c) << 8 | get(0x5d) << 16, 0);
	platform_end(rtc);
	rtc = fixture_add(&cmos_rtc_class);
	fixture_vm.memory.size = 5 * GIB;
	cmos_rtc_class.reset(rtc);
	assert_int_equal(get(0x34) | get(0x35) << 8, (3072 - 16) * 16);
	assert_int_equal(get(0x5b) | get(0x5c) << 8 | get(0x5d) << 16, 2048 * 16);
}

static void other_bytes_are_memory(void **state)
{
	(void)state;
	set(0x0f, 0x0a);
	set(0x7f, 0x5a);
	cmos_rtc_class.reset(rtc);
	assert_int_equal(get(0x0f), 0x0a);
	assert_int_equal(get(0x7f), 0x5a);
	set(0x0d, 0);
	assert_int_equal(get(0x0d), 0x80);
}

static void describes_itself(void **state)
{
	(void)state;
	assert_non_null(strstr(fixture_describe(rtc), "clock: 2023-11-14 22:13:20"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(shows_the_time, setup, teardown),
		cmocka_unit_test_setup_teardown(index_ignores_the_nmi_bit, setup, teardown),
		cmocka_unit_test_setup_teardown(update_in_progress_before_the_second, setup, teardown),
		cmocka_unit_test_setup_teardown(binary_and_twelve_hours, setup, teardown),
		cmocka_unit_test_setup_teardown(guest_sets_the_time, setup, teardown),
		cmocka_unit_test_setup_teardown(nonsense_is_taken_as_near_as_can_be, setup, teardown),
		cmocka_unit_test_setup_teardown(update_interrupt, setup, teardown),
		cmocka_unit_test_setup_teardown(periodic_interrupt, setup, teardown),
		cmocka_unit_test_setup_teardown(periodic_flag_without_interrupt, setup, teardown),
		cmocka_unit_test_setup_teardown(alarm_interrupt, setup, teardown),
		cmocka_unit_test_setup_teardown(memory_sizes, setup, teardown),
		cmocka_unit_test_setup_teardown(other_bytes_are_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(describes_itself, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
