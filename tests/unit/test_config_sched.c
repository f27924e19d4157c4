/* vmm/config_sched_values.c, vmm/config_checks.c: what every policy accepts and refuses, and the host's default. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "vmm/config_checks.h"
#include "vmm/config_values.h"

static struct config config;
static char messages[4096]; /* LINE:COLUMN: MESSAGE\n */

static void note(void *context, unsigned line, unsigned column, const char *message)
{
	size_t length = strlen(messages);

	(void)context;
	snprintf(messages + length, sizeof(messages) - length, "%u:%u: %s\n", line, column, message);
}

static unsigned parse(const char *text)
{
	messages[0] = '\0';
	return config_parse(text, strlen(text), &config, note, NULL);
}

static struct config_value value_of(const char *text)
{
	return (struct config_value){ .text = { text, strlen(text) } };
}

static struct config_sched read_good(const char *text)
{
	struct config_value value = value_of(text);
	struct config_sched settings;

	memset(&settings, 0xa5, sizeof(settings));
	if (!config_parse_sched_settings(&value, &settings))
		fail_msg("'%s' was refused: %s; expected %s", text, value.problem, value.expected);
	return settings;
}

static void test_credit(void **state)
{
	struct config_sched settings = read_good("credit");

	(void)state;
	assert_int_equal(settings.policy, CONFIG_SCHED_CREDIT);
	assert_int_equal(settings.weight, 256);
	assert_int_equal(settings.cap, 0);
	assert_int_equal(settings.period | settings.budget | settings.frame | settings.window_count, 0);
	settings = read_good("credit \t cap=50   weight=1");
	assert_int_equal(settings.weight, 1);
	assert_int_equal(settings.cap, 50);
}

static void test_rt(void **state)
{
	struct config_sched settings = read_good("rt budget=2ms period=10ms");

	(void)state;
	assert_int_equal(settings.policy, CONFIG_SCHED_RT);
	assert_int_equal(settings.budget, 2000);
	assert_int_equal(settings.period, 10000);
	assert_int_equal(settings.weight, 0);
	settings = read_good("rt period=10s budget=100us");
	assert_int_equal(settings.budget, 100);
	assert_int_equal(settings.period, 10000000);
	settings = read_good("rt budget=10s period=10s");
	assert_int_equal(settings.budget, settings.period);
}

static void test_cyclic(void **state)
{
	struct config_sched settings = read_good("cyclic frame=20ms window=0ms+5ms window=10ms+10ms");

	(void)state;
	assert_int_equal(settings.policy, CONFIG_SCHED_CYCLIC);
	assert_int_equal(settings.frame, 20000);
	assert_int_equal(settings.window_count, 2);
	assert_int_equal(settings.windows[0].start, 0);
	assert_int_equal(settings.windows[0].length, 5000);
	assert_int_equal(settings.windows[1].start, 10000);
	assert_int_equal(settings.windows[1].length, 10000);
	settings = read_good("cyclic window=0us+1ms window=1ms+1ms window=2ms+1ms window=3ms+1ms window=4ms+1ms window=5ms+1ms "
			     "window=6ms+1ms window=7ms+100us frame=10s");
	assert_int_equal(settings.window_count, 8);
	assert_int_equal(settings.windows[7].length, 100);
}

static void test_pinned(void **state)
{
	struct config_sched settings = read_good("pinned"), expected = { .policy = CONFIG_SCHED_PINNED };

	(void)state;
	assert_memory_equal(&settings, &expected, sizeof(settings));
}

/* Every refusal: the fault's place in the text, what the message holds, and the word that was meant. */
static void test_refusals(void **state)
{
	static const struct { const char *text; size_t offset; const char *what, *suggestion; } bad[] = {
		{ "", 0, "credit, rt, cyclic or pinned", NULL },
		{ "credti weight=5", 0, "credit, rt, cyclic or pinned", "credit" },
		{ "pinnned", 0, "credit, rt, cyclic or pinned", "pinned" },
		{ "fair", 0, "credit, rt, cyclic or pinned", NULL },
		{ "Credit", 0, "credit, rt, cyclic or pinned", "credit" },
		{ "credit wieght=5", 7, "weight=NUMBER or cap=PERCENT", "weight" },
		{ "credit period=5ms", 7, "weight=NUMBER or cap=PERCENT", NULL },
		{ "credit weight", 7, "weight=NUMBER from 1 to 65535", NULL },
		{ "credit weight=", 14, "weight=NUMBER from 1 to 65535", NULL },
		{ "credit weight=0", 14, "weight=NUMBER from 1 to 65535", NULL },
		{ "credit weight=65536", 14, "weight=NUMBER from 1 to 65535", NULL },
		{ "credit weight=4294967297", 14, "weight=NUMBER from 1 to 65535", NULL },
		{ "credit weight=5x", 14, "weight=NUMBER from 1 to 65535", NULL },
		{ "credit weight =5", 7, "weight=NUMBER from 1 to 65535", NULL },
		{ "credit cap=801", 11, "at most 100 for each vCPU", NULL },
		{ "credit cap=50%", 11, "at most 100 for each vCPU", NULL },
		{ "credit cap=5 cap=6", 13, "each setting once", NULL },
		{ "credit =5", 7, "weight=NUMBER or cap=PERCENT", NULL },
		{ "rt", 2, "budget=TIME", NULL },
		{ "rt budget=2ms", 13, "period=TIME", NULL },
		{ "rt period=2ms", 13, "budget=TIME", NULL },
		{ "rt budget=2ms period=1ms", 10, "at most the period", NULL },
		{ "rt budget=99us period=1ms", 10, "from 100us to the period", NULL },
		{ "rt budget=2ms period=11s", 21, "from 100us to 10s", NULL },
		{ "rt budget=2 period=1ms", 10, "TIME such as 2ms", NULL },
		{ "rt budget=2m period=1ms", 10, "TIME such as 2ms", NULL },
		{ "rt budget=2msec period=1ms", 10, "TIME such as 2ms", NULL },
		{ "rt budget=18446744073709551615s period=1ms", 10, "TIME such as 2ms", NULL },
		{ "rt budgte=2ms period=1ms", 3, "budget=TIME and period=TIME", "budget" },
		{ "cyclic frame=20ms", 17, "window=START+LENGTH", NULL },
		{ "cyclic window=0ms+5ms", 21, "frame=TIME", NULL },
		{ "cyclic frame=999us window=0ms+100us", 13, "from 1ms to 10s", NULL },
		{ "cyclic frame=20ms window=0ms+5ms window=4ms+5ms", 40, "in order", NULL },
		{ "cyclic frame=20ms window=10ms+5ms window=0ms+5ms", 41, "in order", NULL },
		{ "cyclic frame=20ms window=16ms+5ms", 25, "at the frame's end", NULL },
		{ "cyclic frame=20ms window=0ms", 25, "START+LENGTH", NULL },
		{ "cyclic frame=20ms window=+5ms", 25, "START+LENGTH", NULL },
		{ "cyclic frame=20ms window=0ms+99us", 25, "at least 100us", NULL },
		{ "cyclic frame=20ms window=0ms+5ms,", 25, "START+LENGTH", NULL },
		{ "cyclic frame=20ms window=4294967296us+5ms", 25, "START+LENGTH", NULL },
		{ "cyclic windwo=0ms+5ms", 7, "frame=TIME and window=START+LENGTH", "window" },
		{ "pinned weight=3", 7, "nothing behind pinned", NULL },
	};
	const struct config_sched untouched = { .policy = CONFIG_SCHED_RT, .weight = 77 };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct config_value value = value_of(bad[i].text);
		struct config_sched settings = untouched;

		if (config_parse_sched_settings(&value, &settings))
			fail_msg("'%s' was accepted", bad[i].text);
		if (value.fault_offset != bad[i].offset || !strstr(value.expected, bad[i].what))
			fail_msg("'%s': at %zu, expected %s", bad[i].text, value.fault_offset, value.expected);
		if (bad[i].suggestion)
			assert_string_equal(value.suggestion, bad[i].suggestion);
		else
			assert_null(value.suggestion);
		assert_memory_equal(&settings, &untouched, sizeof(settings));
	}
}

static void test_too_many_windows(void **state)
{
	char text[512] = "cyclic frame=10s";
	struct config_value value;
	struct config_sched settings;

	(void)state;
	for (unsigned i = 0; i < CONFIG_MAX_WINDOWS + 1; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), " window=%ums+1ms", i);
	value = value_of(text);
	assert_false(config_parse_sched_settings(&value, &settings));
	assert_non_null(strstr(value.expected, "at most 8 windows"));
}

/* The host's default reaches VMs above and below its section, but not those that name a policy. */
static void test_default_of_the_host(void **state)
{
	(void)state;
	assert_int_equal(parse("[vm a]\nmemory = 2M\nkernel = k\n"
			       "[vm b]\nmemory = 2M\nkernel = k\nsched = credit\n"
			       "[host]\nsched = rt budget=1ms period=4ms\n"
			       "[vm c]\nmemory = 2M\nkernel = k\n"), 0);
	assert_int_equal(config.vms[0].sched.policy, CONFIG_SCHED_RT);
	assert_int_equal(config.vms[0].sched.period, 4000);
	assert_int_equal(config.vms[1].sched.policy, CONFIG_SCHED_CREDIT);
	assert_int_equal(config.vms[1].sched.weight, 256);
	assert_memory_equal(&config.vms[2].sched, &config.vms[0].sched, sizeof(struct config_sched));
	/* A default cap is no fault of a VM with few vCPUs. */
	assert_int_equal(parse("[host]\nsched = credit cap=300\n[vm a]\nmemory = 2M\nkernel = k\nvcpus = 2\n"), 0);
	assert_int_equal(config.vms[0].sched.cap, 200);
}

static void test_keys_that_do_not_fit_each_other(void **state)
{
	static const struct { const char *host, *vm, *message; } bad[] = {
		{ "", "sched = credit cap=101", "7:9: the cap is more" },
		{ "", "vcpus = 2\nsched = credit cap=201", "8:9: the cap is more" },
		{ "", "sched = credit cap=201\nvcpus = 2", "7:9: the cap is more" },
		{ "", "vcpus = 3\ncpus = 1-2\nsched = pinned", "9:9: fewer cpus than vcpus" },
		{ "cpus = 0-1", "vcpus = 3\nsched = pinned", "8:9: fewer cpus than vcpus" },
		{ "cpus = 0-1", "vcpus = 2\ncpus = 1-2\nsched = cyclic frame=5ms window=0ms+1ms", "9:9: fewer cpus than vcpus" },
		{ "sched = pinned", "vcpus = 3\ncpus = 1-2", "4:2: fewer cpus than vcpus" },
		{ "cpus = 0-3", "cpus = 4", "4:2: the VM's cpus are none of the host's" },
	};
	static const char good[] = "[host]\ncpus = 0-3\n[vm a]\nmemory = 2M\nkernel = k\nvcpus = 2\ncpus = 3,0\nsched = pinned\n"
				   "[vm b]\nmemory = 2M\nkernel = k\nvcpus = 8\nsched = credit cap=800\ncpus = 2\n";
	char text[512];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(text, sizeof(text), "[host]\n%s\n\n[vm a]\nmemory = 2M\nkernel = k\n%s\n", bad[i].host, bad[i].vm);
		if (parse(text) != 1 || strncmp(messages, bad[i].message, strlen(bad[i].message)) != 0)
			fail_msg("for:\n%s\nexpected %s, got:\n%s", text, bad[i].message, messages);
		assert_false(config.vms[0].valid);
	}
	assert_int_equal(parse(good), 0);
	/* What was refused already is not blamed again. */
	assert_int_equal(parse("[vm a]\nmemory = 2M\nkernel = k\nvcpus = 9\nsched = credit cap=700\n"), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_credit), cmocka_unit_test(test_rt), cmocka_unit_test(test_cyclic),
		cmocka_unit_test(test_pinned), cmocka_unit_test(test_refusals), cmocka_unit_test(test_too_many_windows),
		cmocka_unit_test(test_default_of_the_host), cmocka_unit_test(test_keys_that_do_not_fit_each_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
