#include "tests/unit/platform_fixture.h"

extern const struct io_device_class pit_8254_class;

#define LINE IRQ_LINE_TIMER
#define PIT_HZ 1193182u

static struct io_device *pit;

static int setup(void **state)
{
	(void)state;
	pit = platform_start(&pit_8254_class);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	platform_end(pit);
	return 0;
}

static void program(unsigned channel, unsigned mode, uint16_t count)
{
	out8(0x43, (uint8_t)(channel << 6 | 0x30 | mode << 1));
	out8((uint16_t)(0x40 + channel), (uint8_t)count);
	out8((uint16_t)(0x40 + channel), (uint8_t)(count >> 8));
}

static uint16_t latch_and_read(unsigned channel)
{
	uint16_t low;

	out8(0x43, (uint8_t)(channel << 6));
	low = in8((uint16_t)(0x40 + channel));
	return (uint16_t)(low | in8((uint16_t)(0x40 + channel)) << 8);
}

/* In PIT ticks, rounded up so that they have gone by. */
static void pass(uint64_t pit_ticks)
{
	platform_pass_ticks(pit_ticks * FIXTURE_HZ / PIT_HZ + 1);
}

static void counts_down(void **state)
{
	(void)state;
	program(2, 0, 50000);
	out8(0x61, 0x01);
	pass(1000);
	assert_in_range(latch_and_read(2), 48998, 49000);
	pass(48000);
	assert_in_range(latch_and_read(2), 998, 1000);
}

static void runs_at_its_rate_for_long(void **state)
{
	(void)state;
	program(0, 2, 10000);
	/* An hour later the phase is still right to a tick. */
	fake_tsc += 3600ull * FIXTURE_HZ;
	assert_in_range(latch_and_read(0), 10000 - 3600ull * PIT_HZ % 10000, 10000 - 3600ull * PIT_HZ % 10000 + 1);
}

static void terminal_count_shows_in_port_61(void **state)
{
	(void)state;
	/* As Linux measures the TSC. */
	out8(0x61, (in8(0x61) & 0xfd) | 0x01);
	program(2, 0, 11932);
	assert_int_equal(in8(0x61) & 0x20, 0);
	pass(11900);
	assert_int_equal(in8(0x61) & 0x20, 0);
	pass(40);
	assert_int_equal(in8(0x61) & 0x20, 0x20);
	assert_int_equal(in8(0x61) & 0x0f, 0x01);
}

static void gate_holds_the_count(void **state)
{
	(void)state;
	out8(0x61, 0x01);
	program(2, 0, 1000);
	pass(400);
	out8(0x61, 0x00);
	pass(5000);
	assert_in_range(latch_and_read(2), 598, 600);
	assert_int_equal(in8(0x61) & 0x20, 0);
	out8(0x61, 0x01);
	pass(601);
	assert_int_equal(in8(0x61) & 0x20, 0x20);
}

static void gate_triggers_one_shot(void **state)
{
	(void)state;
	program(2, 1, 100);
	assert_int_equal(in8(0x61) & 0x20, 0x20); /* rests high */
	out8(0x61, 0x01);
	assert_int_equal(in8(0x61) & 0x20, 0);
	pass(101);
	assert_int_equal(in8(0x61) & 0x20, 0x20);
}

static void periodic_interrupts(void **state)
{
	(void)state;
	program(0, 2, 11932); /* 100 Hz */
	platform_pass_microseconds(1000000);
	assert_in_range(fixture_rises[LINE], 99, 100);
	fixture_rises[LINE] = 0;
	program(0, 3, 11932);
	platform_pass_microseconds(1000000);
	assert_in_range(fixture_rises[LINE], 99, 100);
}

static void missed_periods_are_one_interrupt(void **state)
{
	(void)state;
	program(0, 2, 11932);
	fake_tsc += 10ull * FIXTURE_HZ;
	(void)vcpu_timers_run(&fixture_vcpus[0], fake_tsc);
	assert_int_equal(fixture_rises[LINE], 1);
	platform_pass_microseconds(10000);
	assert_int_equal(fixture_rises[LINE], 2);
}

static void one_shot_interrupts_once(void **state)
{
	(void)state;
	program(0, 0, 1193);
	platform_pass_microseconds(900);
	assert_int_equal(fixture_rises[LINE], 0);
	platform_pass_microseconds(200);
	assert_int_equal(fixture_rises[LINE], 1);
	platform_pass_microseconds(1000000);
	assert_int_equal(fixture_rises[LINE], 1);
	program(0, 4, 1193);
	platform_pass_microseconds(1000000);
	assert_int_equal(fixture_rises[LINE], 2);
}

static void storms_are_limited(void **state)
{
	(void)state;
	program(0, 2, 1);
	platform_pass_microseconds(100000);
	assert_in_range(fixture_rises[LINE], 1000, 2001);
}

static void new_control_word_stops(void **state)
{
	(void)state;
	program(0, 2, 1000);
	out8(0x43, 0x34);
	platform_pass_microseconds(100000);
	assert_int_equal(fixture_rises[LINE], 0);
	assert_true(list_is_empty(&fixture_vcpus[0].timers));
}

static void zero_means_all(void **state)
{
	(void)state;
	program(2, 2, 0);
	out8(0x61, 0x01);
	pass(10);
	assert_in_range(latch_and_read(2), 65524, 65526);
}

static void single_byte_accesses(void **state)
{
	(void)state;
	out8(0x61, 0x01);
	out8(0x43, 0x90); /* channel 2, low byte, mode 0 */
	out8(0x42, 200);
	assert_in_range(in8(0x42), 199, 200);
	assert_in_range(in8(0x42), 199, 200);
	out8(0x43, 0xa0); /* high byte */
	out8(0x42, 0x40);
	pass(2);
	assert_int_equal(in8(0x42), 0x3f);
}

static void unlatched_reads_alternate(void **state)
{
	uint8_t low, high;

	(void)state;
	out8(0x61, 0x01);
	program(2, 0, 0x1234);
	low = in8(0x42);
	high = in8(0x42);
	assert_in_range(low | high << 8, 0x1230, 0x1234);
}

static void latch_holds_until_read(void **state)
{
	uint8_t low, high;

	(void)state;
	out8(0x61, 0x01);
	program(2, 0, 0x8000);
	out8(0x43, 0x80);
	pass(0x1000);
	out8(0x43, 0x80); /* has no effect: the first was not read yet */
	low = in8(0x42);
	high = in8(0x42);
	assert_in_range(low | high << 8, 0x7fff, 0x8000);
	assert_in_range(latch_and_read(2), 0x6ffd, 0x7000);
}

static void read_back(void **state)
{
	uint8_t low, high;

	(void)state;
	program(0, 2, 1000);
	out8(0x43, 0xe2); /* status of channel 0 */
	assert_int_equal(in8(0x40), 0xb4);
	out8(0x43, 0x34);
	out8(0x43, 0xe2);
	assert_int_equal(in8(0x40), 0xf4); /* null count */
	program(0, 2, 1000);
	out8(0x43, 0xc2); /* status, then count */
	assert_int_equal(in8(0x40), 0xb4);
	low = in8(0x40);
	high = in8(0x40);
	assert_in_range(low | high << 8, 999, 1000);
}

static void bcd_counts(void **state)
{
	(void)state;
	out8(0x61, 0x01);
	out8(0x43, 0xb1); /* channel 2, both bytes, mode 0, BCD */
	out8(0x42, 0x34);
	out8(0x42, 0x12);
	pass(34);
	assert_in_range(latch_and_read(2), 0x1199, 0x1200);
}

static void square_wave_halves(void **state)
{
	(void)state;
	out8(0x61, 0x01);
	program(2, 3, 1000);
	assert_int_equal(in8(0x61) & 0x20, 0x20);
	pass(501);
	assert_int_equal(in8(0x61) & 0x20, 0);
	pass(500);
	assert_int_equal(in8(0x61) & 0x20, 0x20);
	pass(100);
	assert_in_range(latch_and_read(2), 790, 800); /* counts by two */
}

static void refresh_bit_toggles(void **state)
{
	unsigned changes = 0;
	uint8_t last = in8(0x61) & 0x10;

	(void)state;
	for (unsigned i = 0; i < 100; i++) {
		platform_pass_microseconds(5);
		if ((in8(0x61) & 0x10) != last)
			changes++;
		last = in8(0x61) & 0x10;
	}
	assert_in_range(changes, 30, 35);
}

static void control_port_cannot_be_read(void **state)
{
	(void)state;
	assert_int_equal(in8(0x43), 0xff);
	assert_int_equal(guest_read(IO_SPACE_PORT, 0, 0x42, 2) >> 8, 0xff);
}

static void describes_itself(void **state)
{
	(void)state;
	program(0, 2, 1000);
	assert_non_null(strstr(fixture_describe(pit), "8254 channel 0: mode 2, period 1000"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(counts_down, setup, teardown),
		cmocka_unit_test_setup_teardown(runs_at_its_rate_for_long, setup, teardown),
		cmocka_unit_test_setup_teardown(terminal_count_shows_in_port_61, setup, teardown),
		cmocka_unit_test_setup_teardown(gate_holds_the_count, setup, teardown),
		cmocka_unit_test_setup_teardown(gate_triggers_one_shot, setup, teardown),
		cmocka_unit_test_setup_teardown(periodic_interrupts, setup, teardown),
		cmocka_unit_test_setup_teardown(missed_periods_are_one_interrupt, setup, teardown),
		cmocka_unit_test_setup_teardown(one_shot_interrupts_once, setup, teardown),
		cmocka_unit_test_setup_teardown(storms_are_limited, setup, teardown),
		cmocka_unit_test_setup_teardown(new_control_word_stops, setup, teardown),
		cmocka_unit_test_setup_teardown(zero_means_all, setup, teardown),
		cmocka_unit_test_setup_teardown(single_byte_accesses, setup, teardown),
		cmocka_unit_test_setup_teardown(unlatched_reads_alternate, setup, teardown),
		cmocka_unit_test_setup_teardown(latch_holds_until_read, setup, teardown),
		cmocka_unit_test_setup_teardown(read_back, setup, teardown),
		cmocka_unit_test_setup_teardown(bcd_counts, setup, teardown),
		cmocka_unit_test_setup_teardown(square_wave_halves, setup, teardown),
		cmocka_unit_test_setup_teardown(refresh_bit_toggles, setup, teardown),
		cmocka_unit_test_setup_teardown(control_port_cannot_be_read, setup, teardown),
		cmocka_unit_test_setup_teardown(describes_itself, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
