/* The shell's `pci`, as a user types it, over made-up functions. */
#include "tests/unit/pci_fixture.h"

#include "drivers/pci/pci_owner.h"
#include "vmm/shell/shell.h"

extern const struct shell_command shell_pci_command;

static char text[16384];

void shell_print(const char *format, ...)
{
	size_t used = strlen(text);
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text + used, sizeof(text) - used, format, arguments);
	va_end(arguments);
}

static const char *run(const char *second, const char *third, const char *fourth)
{
	const char *const arguments[] = {"pci", second, third, fourth};

	text[0] = '\0';
	shell_pci_command.run(second == NULL ? 1 : third == NULL ? 2 : fourth == NULL ? 3 : 4, arguments);
	return text;
}

static void says(const char *words)
{
	if (strstr(text, words) == NULL)
		fail_msg("'%s' is not in: %s", words, text);
}

static int set_up(void **state)
{
	struct fake_pci *disk;

	pci_fixture_set_up(state);
	fake_pci_add_ecam(&fixture_acpi.mcfg, FAKE_PCI_ECAM_BASE, 0, 0, 2);
	fake_pci_add((struct pci_address){0, 0, 0, 0}, 0x8086, 0x29c0, 0x0600);
	fake_pci_make_express(fake_pci_add_bridge((struct pci_address){0, 0, 1, 0}, 1, 1), PCI_EXPRESS_ROOT_PORT);
	fake_pci_add((struct pci_address){0, 0, 3, 0}, 0x1234, 0x11e8, 0x00ff);
	disk = fake_pci_add((struct pci_address){0, 1, 0, 0}, 0x1b36, 0x0010, 0x0108);
	fake_pci_add_bar(disk, 0x10, 0x4000000000, 0x4000, 0xc);
	fake_pci_add_bar(disk, 0x18, 0xc000, 0x20, 1);
	fake_pci_add_bar(disk, 0x1c, 0, 0x200000, 0);
	fake_pci_set(disk, 0x20, 4, 0xfe000000);
	fake_pci_make_express(disk, PCI_EXPRESS_ENDPOINT);
	fake_pci_add_extended(disk, 0x100, PCI_EXTENDED_ARI);
	assert_int_equal(pci_scan(), STATUS_OK);
	return 0;
}

static void the_tree(void **state)
{
	const char *bridge, *disk, *other;

	(void)state;
	assert_int_equal(pci_claim(pci_get(3), PCI_OWNER_VM, "web"), STATUS_OK);
	run(NULL, NULL, NULL);
	says("0000:00:00.0             8086:29c0     0 hypervisor     Intel host bridge\n");
	bridge = strstr(text, "\n0000:00:01.0             1b36:000c     1 hypervisor     Red Hat PCI bridge\n");
	disk = strstr(text, "\n 0000:01:00.0            1b36:0010     1 web            Red Hat NVMe controller\n");
	other = strstr(text, "\n0000:00:03.0             1234:11e8     2 quarantine     QEMU or Bochs device older than class codes\n");
	assert_true(bridge != NULL && disk != NULL && other != NULL);
	assert_true(bridge < disk && disk < other);
}

static void one_function(void **state)
{
	(void)state;
	run("0000:01:00.0", NULL, NULL);
	says("0000:01:00.0 1b36:0010 Red Hat NVMe controller, PCI Express endpoint\n");
	says("owner: quarantine; reset: secondary bus reset; group 1\n");
	says("BAR 0: prefetchable 64-bit memory at 0x4000000000, 16 KiB\n");
	says("BAR 2: ports at 0xc000, 32 bytes\n");
	says("BAR 3: memory at 0x0, 2 MiB, no address assigned\n");
	says("BAR 4: memory at 0xfe000000, not to be used\n");
	says("capability 0x40: PCI Express (0x10)\n");
	says("extended capability 0x100: ARI (0x000e)\n");
	says("cannot be isolated from 0000:00:01.0: PCI bridge\n");
	assert_null(strstr(text, "cannot be isolated from 0000:01:00.0"));
	run("all", NULL, NULL);
	says("buses 0x01 to 0x01 behind it\n");
	says("0000:00:03.0 1234:11e8");
}

static void resets(void **state)
{
	(void)state;
	run("0000:01:00.0", "reset", NULL);
	says("reset by secondary bus reset\n");
	run("0000:00:03.0", "reset", NULL);
	says("pci: 0000:00:03.0: no reset: not found\n");
	run("0000:00:01.0", "reset", NULL);
	says("belongs to hypervisor\n");
}

static void mistakes(void **state)
{
	(void)state;
	run("0000:02:00.0", NULL, NULL);
	says("pci: 0000:02:00.0: no such function");
	run("disk", NULL, NULL);
	says("pci: disk: no such function");
	run("0000:01:00.0", "vfs", "2");
	says("pci: 0000:01:00.0: it has no virtual functions\n");
	run("0000:01:00.0", "vfs", "99999999999999999999");
	says("it has no virtual functions\n");
	run("0000:01:00.0", "frobnicate", NULL);
	says("help pci");
}

/* Each once, however many there are: they do not lie side by side. */
static void a_large_tree(void **state)
{
	unsigned lines = 0;

	(void)state;
	for (uint8_t device = 4; device < 30; device++)
		fake_pci_add((struct pci_address){0, 0, device, 0}, 0x1234, 0x11e8, 0x00ff);
	assert_int_equal(pci_scan(), STATUS_OK);
	for (const char *at = run(NULL, NULL, NULL); (at = strchr(at, '\n')) != NULL; at++)
		lines++;
	assert_int_equal(lines, 1 + pci_count());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(the_tree, set_up),
		cmocka_unit_test_setup(a_large_tree, set_up),
		cmocka_unit_test_setup(one_function, set_up),
		cmocka_unit_test_setup(resets, set_up),
		cmocka_unit_test_setup(mistakes, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
