/* vmm/config*.c: what every key accepts and refuses, where faults are placed, and which VMs stay usable. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/log.h"
#include "lib/string.h"
#include "vmm/config.h"

#define VM_LINES "[vm a]\nmemory = 64M\nkernel = k\n" /* lines 1 to 3 */

static struct config config;
static char messages[4096]; /* LINE:COLUMN: MESSAGE\n */

static void note(void *context, unsigned line, unsigned column, const char *message)
{
	size_t length = strlen(messages);

	assert_ptr_equal(context, &config);
	snprintf(messages + length, sizeof(messages) - length, "%u:%u: %s\n", line, column, message);
}

static unsigned parse(const char *text)
{
	messages[0] = '\0';
	return config_parse(text, strlen(text), &config, note, &config);
}

static void expect_good(const char *text)
{
	assert_int_equal(parse(text), 0);
	assert_string_equal(messages, "");
}

/* The text has one fault, told at @where ("LINE:COLUMN:") with @what in the message. */
static void expect_fault(const char *text, const char *where, const char *what)
{
	unsigned faults = parse(text);

	if (faults != 1 || !string_starts_with(messages, where) || !strstr(messages, what))
		fail_msg("for:\n%s\nexpected %s %s, got %u faults:\n%s", text, where, what, faults, messages);
}

static void test_defaults(void **state)
{
	(void)state;
	expect_good("");
	assert_int_equal(config.vm_count, 0);
	assert_int_equal(config.host.version, 1);
	assert_true(config.host.console_serial);
	assert_true(config.host.console_framebuffer);
	assert_int_equal(config.host.console_serial_port, 0x3f8);
	assert_int_equal(config.host.console_baud, 115200);
	assert_true(config.host.cpus == ~(uint64_t)0);
	assert_int_equal(config.host.when_all_stopped, CONFIG_WHEN_STOPPED_SHELL);
	assert_int_equal(config.host.log_level, LOG_INFO);
	assert_int_equal(config.host.sched.policy, CONFIG_SCHED_CREDIT);
	assert_int_equal(config.host.sched.weight, 256);
	assert_int_equal(config.host.sched.cap, 0);
	assert_string_equal(config.host.autoexec, "");
	assert_int_equal(config.host.panic_reboot, 0);
	expect_good(VM_LINES);
	assert_int_equal(config.vms[0].vcpus, 1);
	assert_true(config.vms[0].cpus == ~(uint64_t)0);
	assert_memory_equal(&config.vms[0].sched, &config.host.sched, sizeof(struct config_sched));
	assert_int_equal(config.vms[0].on_poweroff, CONFIG_ON_STOP_DESTROY);
	assert_int_equal(config.vms[0].on_reboot, CONFIG_ON_STOP_RESTART);
	assert_int_equal(config.vms[0].on_crash, CONFIG_ON_STOP_PRESERVE);
}

static void test_full_example(void **state)
{
	(void)state;
	expect_good("[host]\nversion = 1\nconsole = serial:com2,9600\ncpus = 0-3,5\nwhen_all_stopped = poweroff\nlog = debug\n"
		    "sched = rt budget=500us period=1s\nautoexec = list ; report; sched # all\npanic_reboot = 10\n"
		    "[vm web]\nmemory = 1G\nvcpus = 4\ncpus = 2-3,5\nsched = credit cap=400 weight=65535\nboot = multiboot\nkernel = guests/k\nramdisk = guests/r.img\n"
		    "cmdline = console=ttyS0 quiet\ntestdev = on\nautostart = no\n"
		    "on_poweroff = restart\non_reboot = preserve\non_crash = destroy\n"
		    "[vm db-2.x_]\nkernel = a\nmemory = 2048K\n");
	assert_int_equal(config.host.console_serial_port, 0x2f8);
	assert_int_equal(config.host.console_baud, 9600);
	assert_false(config.host.console_framebuffer);
	assert_int_equal(config.host.cpus, 0x2f);
	assert_int_equal(config.host.when_all_stopped, CONFIG_WHEN_STOPPED_POWEROFF);
	assert_int_equal(config.host.log_level, LOG_DEBUG);
	assert_int_equal(config.host.sched.policy, CONFIG_SCHED_RT);
	assert_int_equal(config.host.sched.budget, 500);
	assert_int_equal(config.host.sched.period, 1000000);
	assert_int_equal(config.host.sched.weight, 0);
	assert_string_equal(config.host.autoexec, "list ; report; sched");
	assert_int_equal(config.host.panic_reboot, 10);
	assert_int_equal(config.vm_count, 2);
	assert_true(config.vms[0].valid);
	assert_string_equal(config.vms[0].name, "web");
	assert_int_equal(config.vms[0].vcpus, 4);
	assert_int_equal(config.vms[0].cpus, 0x2c);
	assert_int_equal(config.vms[0].sched.policy, CONFIG_SCHED_CREDIT);
	assert_int_equal(config.vms[0].sched.weight, 65535);
	assert_int_equal(config.vms[0].sched.cap, 400);
	assert_int_equal(config.vms[0].on_poweroff, CONFIG_ON_STOP_RESTART);
	assert_int_equal(config.vms[0].on_reboot, CONFIG_ON_STOP_PRESERVE);
	assert_int_equal(config.vms[0].on_crash, CONFIG_ON_STOP_DESTROY);
	assert_int_equal(config.vms[0].memory, GIB);
	assert_int_equal(config.vms[0].boot, CONFIG_BOOT_MULTIBOOT);
	assert_string_equal(config.vms[0].kernel, "guests/k");
	assert_string_equal(config.vms[0].ramdisk, "guests/r.img");
	assert_string_equal(config.vms[0].cmdline, "console=ttyS0 quiet");
	assert_true(config.vms[0].testdev);
	assert_false(config.vms[0].autostart);
	assert_int_equal(config.vms[0].line, 10);
	assert_true(config.vms[1].valid);
	assert_string_equal(config.vms[1].name, "db-2.x_");
	assert_int_equal(config.vms[1].memory, 2 * MIB);
	assert_int_equal(config.vms[1].vcpus, 1);
	assert_int_equal(config.vms[1].boot, CONFIG_BOOT_LINUX);
	assert_string_equal(config.vms[1].ramdisk, "");
	assert_false(config.vms[1].testdev);
	assert_true(config.vms[1].autostart);
}

static void test_consoles(void **state)
{
	(void)state;
	expect_good("[host]\nconsole = fb\n");
	assert_false(config.host.console_serial);
	assert_true(config.host.console_framebuffer);
	expect_good("[host]\nconsole = serial:com4\nconsole = fb\n");
	assert_true(config.host.console_serial && config.host.console_framebuffer);
	assert_int_equal(config.host.console_serial_port, 0x2e8);
	assert_int_equal(config.host.console_baud, 115200);
	/* With only bad ones named, somebody must still be able to read that. */
	expect_fault("[host]\nconsole = vga\n", "2:11:", "expected serial:com1,115200 or fb");
	assert_true(config.host.console_serial && config.host.console_framebuffer);
	expect_fault("[host]\nconsole = serial:com9\n", "2:18:", "no such serial port");
	expect_fault("[host]\nconsole = serial:com1,0\n", "2:23:", "no such speed");
	expect_fault("[host]\nconsole = serial:com1,115201\n", "2:23:", "no such speed");
	expect_fault("[host]\nconsole = serial:com1,9600x\n", "2:23:", "no such speed");
}

static void test_host_values(void **state)
{
	(void)state;
	expect_good("[host]\ncpus = 63\n");
	assert_true(config.host.cpus == (uint64_t)1 << 63);
	expect_good("[host]\ncpus = 0-63\n");
	assert_true(config.host.cpus == ~(uint64_t)0);
	expect_good("[host]\nwhen_all_stopped = reboot\nlog = error\n");
	assert_int_equal(config.host.when_all_stopped, CONFIG_WHEN_STOPPED_REBOOT);
	assert_int_equal(config.host.log_level, LOG_ERROR);
	expect_fault("[host]\ncpus = 64\n", "2:8:", "0-3,5");
	expect_fault("[host]\ncpus = 1,3-2\n", "2:10:", "0-3,5");
	expect_fault("[host]\ncpus = 1,\n", "2:10:", "0-3,5");
	expect_fault("[host]\ncpus = 1-\n", "2:8:", "0-3,5");
	expect_fault("[host]\ncpus = 1 2\n", "2:9:", "0-3,5");
	expect_fault("[host]\ncpus =\n", "2:", "0-3,5");
	expect_fault("[host]\ncpus = 99999999999999999999\n", "2:8:", "0-3,5");
	expect_fault("[host]\nversion = 2\n", "2:11:", "expected 1");
	expect_fault("[host]\nlog = loud\n", "2:7:", "expected error, warning, info or debug");
	expect_fault("[host]\nwhen_all_stopped = never\n", "2:20:", "expected shell, poweroff or reboot");
}

static void test_memory(void **state)
{
	static const char *const bad[] = { "", "256", "256MB", "M", "0M", "1M", "3M", "-2M", "2 M", "1025G", "18446744073709551615G", "99999999999999999999M" };
	char text[128];

	(void)state;
	expect_good("[vm a]\nkernel = k\nmemory = 1024g\n");
	assert_true(config.vms[0].memory == 1024 * GIB);
	for (size_t i = 0; i < array_count(bad); i++) {
		snprintf(text, sizeof(text), "[vm a]\nkernel = k\nmemory = %s\n", bad[i]);
		expect_fault(text, "3:", "a size such as 256M or 1G");
		assert_false(config.vms[0].valid);
	}
}

static void test_vm_values(void **state)
{
	static const struct { const char *line, *where, *what; } bad[] = {
		{ "vcpus = 9", "4:9:", "expected a number from 1 to 8" },
		{ "vcpus = 0", "4:9:", "expected a number from 1 to 8" },
		{ "vcpus = 2x", "4:9:", "expected a number from 1 to 8" },
		{ "boot = pvh", "4:8:", "not supported by this version" },
		{ "boot = windows", "4:8:", "expected linux or multiboot" },
		{ "testdev = maybe", "4:11:", "expected yes or no" },
		{ "autostart =", "4:", "expected yes or no" },
		{ "ramdisk = /abs", "4:11:", "a path relative" },
		{ "ramdisk = a/../b", "4:13:", "a path relative" },
		{ "ramdisk = ..", "4:11:", "a path relative" },
		{ "ramdisk = a//b", "4:13:", "a path relative" },
		{ "ramdisk = a/", "4:13:", "a path relative" },
		{ "ramdisk = a\\b", "4:12:", "'/' between folders" },
		{ "ramdisk =", "4:", "the value is empty" },
		{ "disk = ram:x", "4:1:", "'disk' is not supported by this version" },
		{ "net = switch:lan0", "4:1:", "'net' is not supported by this version" },
		{ "pci = 0000:03:00", "4:", "expected an address SSSS:BB:DD.F" },
		{ "pci = 00000:03:00.0", "4:", "expected an address SSSS:BB:DD.F" },
		{ "pci = 0000:03:20.0", "4:", "expected an address SSSS:BB:DD.F" },
		{ "pci = 0000:03:1f.8", "4:", "expected an address SSSS:BB:DD.F" },
		{ "pci = 0000:03:1f.7x", "4:", "expected an address SSSS:BB:DD.F" },
		{ "pci = 0000:03:00.0,permisive", "4:20:", "did you mean 'permissive'?" },
		{ "pci = 0000:03:00.0,", "4:", "expected an address SSSS:BB:DD.F" },
		{ "pci =", "4:", "expected an address SSSS:BB:DD.F" },
		{ "firmware = f", "4:1:", "'firmware' is not supported by this version" },
		{ "on_reboot = restrat", "4:13:", "expected restart, destroy or preserve; did you mean 'restart'?" },
		{ "on_crash = never", "4:12:", "expected restart, destroy or preserve" },
		{ "on_poweroff =", "4:", "expected restart, destroy or preserve" },
		{ "boot = linx", "4:8:", "did you mean 'linux'?" },
		{ "cpus = 1-64", "4:8:", "0-3,5" },
		{ "memroy = 1G", "4:1:", "unknown key 'memroy'; did you mean 'memory'?" },
		{ "autostrat = yes", "4:1:", "did you mean 'autostart'?" },
		{ "kernle = x", "4:1:", "did you mean 'kernel'?" },
		{ "nonsense = x", "4:1:", "unknown key 'nonsense'" },
		{ "log = info", "4:1:", "unknown key 'log'" },
		{ "memory = 2M", "4:1:", "key 'memory' was already given in line 2" },
		{ "no equals sign", "4:1:", "expected key = value" },
	};
	char text[256];

	(void)state;
	for (size_t i = 0; i < array_count(bad); i++) {
		snprintf(text, sizeof(text), VM_LINES "%s\n[vm b]\nmemory = 2M\nkernel = k\n", bad[i].line);
		expect_fault(text, bad[i].where, bad[i].what);
		assert_int_equal(config.vm_count, 2);
		assert_false(config.vms[0].valid);
		assert_true(config.vms[1].valid);
	}
	assert_null(strstr(messages, "did you mean"));
}

static void test_panic_reboot_and_autoexec(void **state)
{
	static const char *const bad[] = { "", "0", "-1", "86401", "10s", "yes", "4294967297" };
	static char text[1024];
	int length = snprintf(text, sizeof(text), "[host]\nautoexec = ");

	(void)state;
	memset(text + length, 'x', CONFIG_AUTOEXEC_SIZE - 1);
	expect_good(text);
	assert_int_equal(strlen(config.host.autoexec), CONFIG_AUTOEXEC_SIZE - 1);
	text[length + (int)CONFIG_AUTOEXEC_SIZE - 1] = 'x';
	expect_fault(text, "2:", "at most 511 bytes");
	expect_good("[host]\npanic_reboot = 86400\n");
	assert_int_equal(config.host.panic_reboot, 86400);
	expect_good("[host]\npanic_reboot = no\n");
	assert_int_equal(config.host.panic_reboot, 0);
	for (size_t i = 0; i < array_count(bad); i++) {
		snprintf(text, sizeof(text), "[host]\npanic_reboot = %s\n", bad[i]);
		expect_fault(text, "2:", "expected no, or seconds from 1 to 86400");
	}
}

static void test_passed_through_functions(void **state)
{
	static const char nine[] = VM_LINES
		"pci = 0000:00:01.0\npci = 0000:00:02.0\npci = 0000:00:03.0\npci = 0000:00:04.0\npci = 0000:00:05.0\n"
		"pci = 0000:00:06.0\npci = 0000:00:07.0\npci = 0000:00:08.0\npci = 0000:00:09.0\n";
	const struct config_pci *pci = config.vms[0].pci;

	(void)state;
	expect_good(VM_LINES "pci = 0000:03:00.0\npci = fFfF:fe:1f.7,permissive\n");
	assert_int_equal(config.vms[0].pci_count, 2);
	assert_true(pci[0].segment == 0 && pci[0].bus == 3 && pci[0].device == 0 && pci[0].function == 0 && !pci[0].permissive);
	assert_true(pci[1].segment == 0xffff && pci[1].bus == 0xfe && pci[1].device == 31 && pci[1].function == 7 && pci[1].permissive);
	assert_true(!pci[0].ats && !pci[1].ats);
	expect_good(VM_LINES "pci = 0000:03:00.0,ats\npci = 0000:03:00.1,ats,permissive\n");
	assert_true(pci[0].ats && !pci[0].permissive && pci[1].ats && pci[1].permissive);
	expect_fault(VM_LINES "pci = 0000:03:00.0\npci = 0000:03:00.0,permissive\n", "5:", "this VM has that function already");
	expect_fault(nine, "12:", "at most 8 for each VM");
	assert_int_equal(config.vms[0].pci_count, 8);
}

static void test_long_values(void **state)
{
	static char text[4096];
	int length = snprintf(text, sizeof(text), VM_LINES "cmdline = ");

	(void)state;
	memset(text + length, 'x', 2047);
	expect_good(text);
	assert_int_equal(strlen(config.vms[0].cmdline), 2047);
	text[length + 2047] = 'x';
	expect_fault(text, "4:", "at most 2047 bytes");
	memset(text, 0, sizeof(text));
	length = snprintf(text, sizeof(text), VM_LINES "ramdisk = ");
	memset(text + length, 'x', 127);
	expect_good(text);
	text[length + 127] = 'x';
	expect_fault(text, "4:", "at most 127 bytes");
	memset(text, 0, sizeof(text));
	memset(text, 'k', 3000);
	snprintf(text + 3000, 100, " = 1\n");
	expect_fault(text, "1:1:", "a key before any section");
}

static void test_missing_keys(void **state)
{
	(void)state;
	expect_fault("[vm a]\nmemory = 2M\n", "1:2:", "key 'kernel' is missing");
	assert_false(config.vms[0].valid);
	expect_fault("[vm a]\nkernel = k\n[host]\n", "1:2:", "key 'memory' is missing");
	assert_false(config.vms[0].valid);
}

static void test_sections(void **state)
{
	(void)state;
	expect_fault("[vmm b]\nfoo = 1\n", "1:2:", "did you mean 'vm'?");
	expect_fault("[network]\nfoo = 1\n", "1:2:", "expected [host] or [vm NAME]");
	expect_fault("[host]\n[host]\nlog = bad\n", "2:2:", "the first stands in line 1");
	expect_fault("[host web]\n", "1:7:", "expected [host] alone");
	expect_fault("key = 1\n", "1:1:", "a key before any section");
	expect_fault("[vm]\nmemory = 2M\nkernel = k\n", "1:", "the VM has no name");
	assert_false(config.vms[0].valid);
	expect_fault("[vm a/b]\nmemory = 2M\nkernel = k\n", "1:6:", "a character that names may not have");
	expect_fault("[vm aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa]\nmemory = 2M\nkernel = k\n", "1:36:", "at most 31 long");
	expect_fault(VM_LINES VM_LINES, "4:5:", "a second VM named 'a'; the first stands in line 1");
	assert_true(config.vms[0].valid);
	assert_false(config.vms[1].valid);
}

static void test_too_many_vms(void **state)
{
	static char text[4096];
	size_t length = 0;

	(void)state;
	for (unsigned i = 0; i < CONFIG_MAX_VMS + 1; i++)
		length += (size_t)snprintf(text + length, sizeof(text) - length, "[vm v%u]\nmemory = 2M\nkernel = k\n", i);
	expect_fault(text, "49:2:", "too many VMs; expected at most 16");
	assert_int_equal(config.vm_count, CONFIG_MAX_VMS);
	assert_true(config.vms[CONFIG_MAX_VMS - 1].valid);
}

static void test_no_reporter(void **state)
{
	(void)state;
	assert_int_equal(config_parse("x\n", 2, &config, NULL, NULL), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults), cmocka_unit_test(test_full_example), cmocka_unit_test(test_consoles),
		cmocka_unit_test(test_host_values), cmocka_unit_test(test_memory), cmocka_unit_test(test_vm_values),
		cmocka_unit_test(test_long_values), cmocka_unit_test(test_missing_keys), cmocka_unit_test(test_sections),
		cmocka_unit_test(test_too_many_vms), cmocka_unit_test(test_no_reporter),
		cmocka_unit_test(test_panic_reboot_and_autoexec), cmocka_unit_test(test_passed_through_functions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
