/* The small ones: ACPI power management, reset ports, keyboard controller, PCI host bridge, test device. */
#include "tests/unit/platform_fixture.h"
#include "vmm/dev/pci_host.h"

extern const struct io_device_class acpi_pm_class, reset_ports_class, i8042_class, pci_host_class, test_device_class;

static struct io_device *device;

static int setup(void **state)
{
	device = platform_start(*state);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	platform_end(device);
	return 0;
}

static uint32_t port_read(uint16_t port, unsigned size)
{
	return (uint32_t)guest_read(IO_SPACE_PORT, 0, port, size);
}

static void port_write(uint16_t port, unsigned size, uint32_t value)
{
	guest_write(IO_SPACE_PORT, 0, port, size, value);
}

static void pm_timer_runs(void **state)
{
	uint32_t before = port_read(0x608, 4), passed;

	(void)state;
	platform_pass_microseconds(1000000);
	passed = port_read(0x608, 4) - before;
	assert_in_range(passed, 3579544, 3579546);
	assert_int_equal(port_read(0x60a, 2), port_read(0x608, 4) >> 16);
	assert_int_equal(in8(0x609), port_read(0x608, 4) >> 8 & 0xff);
	port_write(0x608, 4, 0);
	assert_in_range(port_read(0x608, 4) - before, 3579544, 3579546);
}

static void pm_acpi_mode_is_on(void **state)
{
	(void)state;
	assert_int_equal(port_read(0x604, 2), 0x0001);
	port_write(0x604, 2, 0);
	assert_int_equal(port_read(0x604, 2), 0x0001);
	assert_int_equal(port_read(0x606, 2), 0xffff);
}

static void pm_turns_off(void **state)
{
	(void)state;
	port_write(0x604, 2, 5 << 10);
	assert_int_equal(fixture_stop, VM_STOP_NONE); /* the type alone does nothing */
	port_write(0x604, 2, 4 << 10 | 1 << 13);
	assert_int_equal(fixture_stop, VM_STOP_NONE);
	port_write(0x604, 2, 5 << 10 | 1 << 13);
	assert_int_equal(fixture_stop, VM_STOP_POWEROFF);
	assert_int_equal(port_read(0x604, 2), 5 << 10 | 1); /* SLP_EN reads as 0 */
}

static void pm_turns_off_by_byte(void **state)
{
	(void)state;
	out8(0x605, (5 << 10 | 1 << 13) >> 8);
	assert_int_equal(fixture_stop, VM_STOP_POWEROFF);
}

static void pm_timer_status_raises_sci(void **state)
{
	(void)state;
	port_write(0x602, 2, 0xffff);
	assert_int_equal(port_read(0x602, 2), 0x0721);
	assert_int_equal(port_read(0x600, 2), 0);
	fake_tsc += 601ull * FIXTURE_HZ; /* bit 31 changed */
	assert_int_equal(port_read(0x600, 2), 1);
	port_write(0x602, 2, 0x0001);
	assert_true(line_level(9));
	port_write(0x600, 2, 0x0001);
	assert_false(line_level(9));
	platform_pass_ticks(595ull * FIXTURE_HZ);
	assert_false(line_level(9));
	platform_pass_ticks(5ull * FIXTURE_HZ);
	assert_true(line_level(9));
	port_write(0x602, 2, 0);
	assert_false(line_level(9));
	port_write(0x600, 2, 0x0001);
	assert_int_equal(port_read(0x600, 2), 0);
	assert_non_null(strstr(fixture_describe(device), "ACPI: PM1"));
}

/* The button's status is set whether or not the guest wants an SCI for it, and stays until the guest clears it. */
static void pm_power_button(void **state)
{
	(void)state;
	assert_ptr_equal(fixture_vm.power_button, device);
	fixture_vm.press_power_button(fixture_vm.power_button);
	assert_int_equal(port_read(0x600, 2), 0x0100);
	assert_false(line_level(9));
	port_write(0x602, 2, 0x0100);
	assert_true(line_level(9));
	port_write(0x600, 2, 0x0021);
	assert_true(line_level(9));
	port_write(0x600, 2, 0x0100);
	assert_false(line_level(9));
	assert_int_equal(port_read(0x600, 2), 0);
	fixture_vm.press_power_button(fixture_vm.power_button);
	assert_true(line_level(9));
	acpi_pm_class.reset(device);
	assert_false(line_level(9));
	assert_int_equal(port_read(0x600, 2), 0);
}

static void fast_reset(void **state)
{
	(void)state;
	assert_int_equal(in8(0x92), 0x02);
	out8(0x92, 0x02);
	assert_int_equal(fixture_stop, VM_STOP_NONE);
	out8(0x92, 0x03);
	assert_int_equal(fixture_stop, VM_STOP_REBOOT);
}

static void i8042_command(uint8_t command)
{
	assert_int_equal(in8(0x64) & 0x02, 0); /* it is always ready */
	out8(0x64, command);
}

static void i8042_answers(uint8_t byte)
{
	assert_int_equal(in8(0x64) & 0x01, 1);
	assert_int_equal(in8(0x60), byte);
	assert_int_equal(in8(0x64) & 0x01, 0);
}

static void i8042_self_tests(void **state)
{
	(void)state;
	assert_int_equal(in8(0x64), 0x14);
	i8042_command(0xaa);
	assert_int_equal(in8(0x64) & 0x08, 0x08);
	i8042_answers(0x55);
	i8042_command(0xab);
	i8042_answers(0x00);
	i8042_command(0x20);
	i8042_answers(0x34);
	i8042_command(0x60);
	out8(0x60, 0x47);
	i8042_command(0x20);
	i8042_answers(0x47);
	i8042_command(0xad);
	i8042_command(0xa7);
	i8042_command(0x20);
	i8042_answers(0x77);
	i8042_command(0xae);
	i8042_command(0xa8);
	i8042_command(0x20);
	i8042_answers(0x47);
}

static void i8042_has_no_devices(void **state)
{
	(void)state;
	out8(0x60, 0xf2); /* to the keyboard */
	assert_int_equal(in8(0x64) & 0x41, 0x41);
	i8042_answers(0xfe);
	i8042_command(0xd3); /* Linux's test for a mouse port */
	out8(0x60, 0x5a);
	assert_int_equal(in8(0x64) & 0x20, 0);
	assert_int_not_equal(in8(0x60), 0x5a);
	i8042_command(0xa9);
	i8042_answers(0x02);
	assert_int_equal(fixture_rises[1], 0);
}

static void i8042_resets(void **state)
{
	(void)state;
	i8042_command(0xff); /* pulses nothing */
	assert_int_equal(fixture_stop, VM_STOP_NONE);
	i8042_command(0xfe);
	assert_int_equal(fixture_stop, VM_STOP_REBOOT);
}

static void i8042_resets_by_output_port(void **state)
{
	(void)state;
	i8042_command(0xd0);
	i8042_answers(0x03);
	i8042_command(0xd1);
	out8(0x60, 0xdf);
	assert_int_equal(fixture_stop, VM_STOP_NONE);
	i8042_command(0xd1);
	out8(0x60, 0xde);
	assert_int_equal(fixture_stop, VM_STOP_REBOOT);
}

static uint32_t config_address(unsigned bus, unsigned slot, unsigned function, unsigned offset)
{
	return 0x80000000u | bus << 16 | slot << 11 | function << 8 | (offset & 0xfc);
}

static uint32_t config_read32(unsigned bus, unsigned slot, unsigned function, unsigned offset)
{
	port_write(0xcf8, 4, config_address(bus, slot, function, offset));
	return port_read(0xcfc, 4);
}

static void pci_mechanism_1_is_there(void **state)
{
	(void)state;
	/* Linux's check. */
	out8(0xcfb, 0x01);
	port_write(0xcf8, 4, 0x80000000);
	assert_int_equal(port_read(0xcf8, 4), 0x80000000);
	port_write(0xcf8, 4, 0xffffffff);
	assert_int_equal(port_read(0xcf8, 4), 0x80fffffc);
	assert_int_equal(port_read(0xcf8, 2), 0xffff);
}

static void pci_host_bridge(void **state)
{
	(void)state;
	assert_int_equal(config_read32(0, 0, 0, 0), 0x00081b36);
	assert_int_equal(config_read32(0, 0, 0, 8) >> 16, 0x0600);
	assert_int_equal(config_read32(0, 0, 0, 0x0c), 0);
	assert_int_equal(config_read32(0, 0, 0, 0xfc), 0);
	port_write(0xcf8, 4, config_address(0, 0, 0, 8));
	assert_int_equal(in8(0xcff), 0x06);
	assert_int_equal(port_read(0xcfe, 2), 0x0600);
	assert_int_equal(port_read(0xcfd, 2), 0xffff); /* not aligned */
	port_write(0xcf8, 4, config_address(0, 0, 0, 4));
	port_write(0xcfc, 4, 0xffffffff);
	assert_int_equal(port_read(0xcfc, 4), 0x0107);
	out8(0xcfc, 0);
	assert_int_equal(port_read(0xcfc, 2), 0x0100);
}

static void pci_rest_is_empty(void **state)
{
	(void)state;
	for (unsigned slot = 1; slot < 32; slot++)
		assert_int_equal(config_read32(0, slot, 0, 0), 0xffffffff);
	assert_int_equal(config_read32(0, 0, 1, 0), 0xffffffff);
	assert_int_equal(config_read32(1, 0, 0, 0), 0xffffffff);
	port_write(0xcf8, 4, 0);
	assert_int_equal(port_read(0xcfc, 4), 0xffffffff);
	assert_int_equal(guest_read(IO_SPACE_PORT, 0, 0xcfe, 2), 0xffff);
}

static unsigned model_offset, model_size;
static uint32_t model_value;

static uint32_t model_read(struct pci_model *model, unsigned offset, unsigned size)
{
	(void)model;
	model_offset = offset;
	model_size = size;
	return 0x11;
}

static void model_write(struct pci_model *model, unsigned offset, unsigned size, uint32_t value)
{
	(void)model_read(model, offset, size);
	model_value = value;
}

static void pci_takes_more_functions(void **state)
{
	static const struct pci_model_ops ops = {.read = model_read, .write = model_write};
	struct pci_model model = {.address = PCI_ADDRESS(3, 1), .ops = &ops}, taken = {.address = PCI_ADDRESS(0, 0), .ops = &ops};
	struct pci_model more[PCI_MODEL_MAX];

	(void)state;
	assert_int_equal(pci_host_add(&fixture_vm, &model), STATUS_OK);
	assert_int_equal(pci_host_add(&fixture_vm, &model), STATUS_EXISTS);
	assert_int_equal(pci_host_add(&fixture_vm, &taken), STATUS_EXISTS);
	port_write(0xcf8, 4, config_address(0, 3, 1, 0x40));
	assert_int_equal(in8(0xcfe), 0x11);
	assert_int_equal(model_offset, 0x42);
	assert_int_equal(model_size, 1);
	port_write(0xcfc, 2, 0xabcd);
	assert_int_equal(model_offset, 0x40);
	assert_int_equal(model_value, 0xabcd);
	for (unsigned i = 0; i < PCI_MODEL_MAX; i++) {
		more[i] = (struct pci_model){.address = PCI_ADDRESS(4 + i, 0), .ops = &ops};
		assert_int_equal(pci_host_add(&fixture_vm, &more[i]), i < PCI_MODEL_MAX - 2 ? STATUS_OK : STATUS_NO_MEMORY);
	}
	assert_non_null(strstr(fixture_describe(device), "PCI 00:00.0: 1b36:0008"));
}

static void pci_port_resets(void **state)
{
	(void)state;
	/* As Linux does it. */
	out8(0xcf9, (uint8_t)((in8(0xcf9) & ~0x06) | 0x02));
	assert_int_equal(fixture_stop, VM_STOP_NONE);
	assert_int_equal(in8(0xcf9), 0x02);
	out8(0xcf9, 0x06);
	assert_int_equal(fixture_stop, VM_STOP_REBOOT);
	assert_int_equal(port_read(0xcf8, 4), 0);
}

static void test_device_ends_the_vm(void **state)
{
	const struct vm_config without = {.testdev = false}, with = {.testdev = true};

	(void)state;
	assert_false(test_device_class.wanted(&without));
	assert_true(test_device_class.wanted(&with));
	assert_int_equal(port_read(0xf4, 4), 0);
	port_write(0xf4, 4, 0x12345678);
	assert_int_equal(fixture_stop, VM_STOP_EXIT);
	assert_int_equal(fixture_exit_code, 0x2468acf1);
}

static void test_device_code_is_never_zero(void **state)
{
	(void)state;
	out8(0xf4, 0);
	assert_int_equal(fixture_exit_code, 1);
}

/* The ports are taken already: nothing may be left behind. */
static void creation_can_fail(void **state)
{
	struct io_device *second;

	(void)state;
	assert_int_equal(i8042_class.create(&fixture_vm, &second), STATUS_EXISTS);
	assert_int_equal(fixture_pages, 1);
	fixture_no_memory = true;
	assert_int_equal(i8042_class.create(&fixture_vm, &second), STATUS_NO_MEMORY);
}

#define TEST(function, class) {#function, function, setup, teardown, (void *)(uintptr_t)&class}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(pm_timer_runs, acpi_pm_class),
		TEST(pm_acpi_mode_is_on, acpi_pm_class),
		TEST(pm_turns_off, acpi_pm_class),
		TEST(pm_turns_off_by_byte, acpi_pm_class),
		TEST(pm_timer_status_raises_sci, acpi_pm_class),
		TEST(pm_power_button, acpi_pm_class),
		TEST(fast_reset, reset_ports_class),
		TEST(i8042_self_tests, i8042_class),
		TEST(i8042_has_no_devices, i8042_class),
		TEST(i8042_resets, i8042_class),
		TEST(i8042_resets_by_output_port, i8042_class),
		TEST(pci_mechanism_1_is_there, pci_host_class),
		TEST(pci_host_bridge, pci_host_class),
		TEST(pci_rest_is_empty, pci_host_class),
		TEST(pci_takes_more_functions, pci_host_class),
		TEST(pci_port_resets, pci_host_class),
		TEST(test_device_ends_the_vm, test_device_class),
		TEST(test_device_code_is_never_zero, test_device_class),
		TEST(creation_can_fail, i8042_class),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
