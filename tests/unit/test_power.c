/* What is written where to turn the machine off and to restart it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "arch/x86/acpi/acpi.h"
#include "arch/x86/clock.h"
#include "arch/x86/irq/ipi.h"
#include "arch/x86/log.h"
#include "arch/x86/mm/host_paging.h"
#include "arch/x86/physmap.h"
#include "drivers/power/power.h"
#include "tests/fake/fake_cpu.h"
#include "tests/fake/fake_physmap.h"

static struct acpi_info acpi;
static uint16_t registers[0x10000]; /* what ports hold, by address */
static char trace[4096];            /* the writes, in order */
static unsigned polls_until_enabled;
static bool mapping_fails;
static unsigned log_lines;
static unsigned stops;              /* of the other CPUs */
static size_t trace_at_stop;        /* what had been written by then */

void ipi_stop_others(void)
{
	stops++;
	trace_at_stop = strlen(trace);
}

const struct acpi_info *acpi_get(void) { return &acpi; }
void clock_delay_microseconds(uint64_t microseconds) { assert_true(microseconds <= 100000); }

void log_write(enum log_level level, const char *format, ...)
{
	(void)level;
	(void)format;
	log_lines++;
}

void *host_paging_map_device(hpa_t address, uint64_t length, bool write_combining)
{
	assert_true(length <= 2 && !write_combining);
	return mapping_fails ? NULL : physmap_pointer(address);
}

static uint32_t port_read(void *context, uint16_t port, unsigned size)
{
	(void)context;
	(void)size;
	if (port == 0xb004 && polls_until_enabled > 0 && registers[0xb2] == 0xf1 && --polls_until_enabled == 0)
		registers[0xb004] |= 1;
	return registers[port];
}

static void port_write(void *context, uint16_t port, unsigned size, uint32_t value)
{
	size_t length = strlen(trace);

	(void)context;
	snprintf(trace + length, sizeof(trace) - length, "%x:%u=%x ", port, size, value);
	registers[port] = (uint16_t)value;
}

static struct acpi_register port_register(uint64_t port, uint8_t bits)
{
	return (struct acpi_register){.address = port, .space = ACPI_SPACE_PORT, .bit_width = bits};
}

static int set_up(void **state)
{
	static const struct fake_port_device device = {0, 0x10000, port_read, port_write, NULL};

	(void)state;
	fake_cpu_reset();
	fake_physmap_reset();
	fake_port_add(&device);
	memset(&acpi, 0, sizeof(acpi));
	memset(registers, 0, sizeof(registers));
	trace[0] = '\0';
	stops = 0;
	polls_until_enabled = log_lines = 0;
	mapping_fails = false;
	acpi.fadt.present = true;
	acpi.fadt.pm1a_event = port_register(0xb000, 32);
	acpi.fadt.pm1a_control = port_register(0xb004, 16);
	acpi.s5 = (struct acpi_sleep_type){true, 5, 6};
	registers[0xb004] = 1; /* ACPI mode */
	return 0;
}

static void test_off(void **state)
{
	(void)state;
	registers[0xb004] = 0x0803; /* what other bits say stays */
	assert_int_equal(power_off(), STATUS_TIMEOUT); /* returned: the made-up machine stays on */
	assert_string_equal(trace, "b000:2=ffff b002:2=0 b004:2=1403 b004:2=3403 ");
	assert_int_equal(fake_wbinvd_count, 1);
	assert_int_equal(stops, 1);
	assert_int_equal(trace_at_stop, 0);
}

static void test_off_two_blocks(void **state)
{
	(void)state;
	acpi.fadt.pm1b_control = port_register(0xb044, 16);
	assert_int_equal(power_off(), STATUS_TIMEOUT);
	assert_string_equal(trace, "b000:2=ffff b002:2=0 b004:2=1401 b044:2=1800 b004:2=3401 b044:2=3800 ");
}

static void test_off_enters_acpi_mode(void **state)
{
	(void)state;
	registers[0xb004] = 0;
	acpi.fadt.smi_command = 0xb2;
	acpi.fadt.acpi_enable = 0xf1;
	polls_until_enabled = 5;
	assert_int_equal(power_off(), STATUS_TIMEOUT);
	assert_string_equal(trace, "b2:1=f1 b000:2=ffff b002:2=0 b004:2=1401 b004:2=3401 ");
	assert_int_equal(log_lines, 1);

	set_up(NULL);
	registers[0xb004] = 0;
	acpi.fadt.smi_command = 0xb2;
	acpi.fadt.acpi_enable = 0xf1; /* firmware never answers: tried all the same */
	assert_int_equal(power_off(), STATUS_TIMEOUT);
	assert_string_equal(trace, "b2:1=f1 b000:2=ffff b002:2=0 b004:2=1400 b004:2=3400 ");
}

static void test_off_in_memory(void **state)
{
	uint16_t value;

	(void)state;
	acpi.fadt.pm1a_event.address = 0;
	acpi.fadt.pm1a_control = (struct acpi_register){.address = 0xfe001004, .space = ACPI_SPACE_MEMORY, .bit_width = 16};
	assert_int_equal(power_off(), STATUS_TIMEOUT);
	memcpy(&value, physmap_pointer(hpa(0xfe001004)), 2);
	assert_int_equal(value, 0x3400);
	mapping_fails = true;
	assert_int_equal(power_off(), STATUS_UNSUPPORTED);
	acpi.fadt.pm1a_control.address++; /* not aligned */
	mapping_fails = false;
	assert_int_equal(power_off(), STATUS_UNSUPPORTED);
}

static void test_off_reduced(void **state)
{
	(void)state;
	acpi.fadt.flags = ACPI_FADT_HARDWARE_REDUCED;
	assert_int_equal(power_off(), STATUS_UNSUPPORTED); /* no register */
	acpi.fadt.sleep_control = port_register(0x600, 8);
	acpi.fadt.sleep_status = port_register(0x601, 8);
	trace[0] = '\0';
	assert_int_equal(power_off(), STATUS_TIMEOUT);
	assert_string_equal(trace, "601:1=80 600:1=34 ");
}

static void test_off_unknown(void **state)
{
	(void)state;
	acpi.s5.present = false;
	assert_int_equal(power_off(), STATUS_UNSUPPORTED);
	acpi.s5.present = true;
	acpi.fadt.present = false;
	assert_int_equal(power_off(), STATUS_UNSUPPORTED);
	acpi.fadt.present = true;
	acpi.fadt.pm1a_control.address = 0;
	acpi.fadt.pm1a_event.address = 0;
	assert_int_equal(power_off(), STATUS_UNSUPPORTED);
	acpi.fadt.pm1a_control = port_register(0xffff, 16); /* over the end */
	assert_int_equal(power_off(), STATUS_UNSUPPORTED);
	acpi.fadt.pm1a_control = (struct acpi_register){.address = 0x10, .space = 0x7f};
	assert_int_equal(power_off(), STATUS_UNSUPPORTED);
	assert_string_equal(trace, "");
}

/* The last way does not come back; the fake processor aborts at its undefined instruction. */
static sigjmp_buf aborted;

static void on_abort(int signal_number)
{
	(void)signal_number;
	siglongjmp(aborted, 1);
}

static void reboot_up_to_triple_fault(void)
{
	void (*before)(int) = signal(SIGABRT, on_abort);

	fake_idtr = (struct descriptor_table_register){0xfff, 0x1000};
	if (sigsetjmp(aborted, 1) == 0) {
		(void)power_reboot();
		fail_msg("came back");
	}
	signal(SIGABRT, before);
	assert_int_equal(fake_idtr.limit, 0);
	assert_int_equal(fake_idtr.base, 0);
}

static void test_reboot(void **state)
{
	(void)state;
	acpi.fadt.flags = ACPI_FADT_RESET_REGISTER;
	acpi.fadt.reset = port_register(0x92, 8);
	acpi.fadt.reset_value = 0xf;
	registers[0x64] = 0x02; /* a keyboard controller that is never ready */
	reboot_up_to_triple_fault();
	assert_string_equal(trace, "92:1=f cf9:1=2 cf9:1=6 64:1=fe ");
	assert_int_equal(stops, 1);
	assert_int_equal(trace_at_stop, 0);
	assert_int_equal(fake_wbinvd_count, 1);
}

static void test_reboot_without_register(void **state)
{
	(void)state;
	acpi.fadt.reset = port_register(0x92, 8); /* there, but the flag says that it is not to be used */
	reboot_up_to_triple_fault();
	assert_string_equal(trace, "cf9:1=2 cf9:1=6 64:1=fe ");
}

static void test_reboot_by_pci(void **state)
{
	(void)state;
	acpi.fadt.flags = ACPI_FADT_RESET_REGISTER;
	acpi.fadt.reset_value = 0x55;
	acpi.fadt.reset = (struct acpi_register){.address = 0x001f00030045ull, .space = ACPI_SPACE_PCI};
	reboot_up_to_triple_fault();
	assert_memory_equal(trace, "cf8:4=8000fb44 cfd:1=55 cf9:", 28);
	trace[0] = '\0';
	acpi.fadt.reset.address = 0x002000030045ull; /* no such device */
	reboot_up_to_triple_fault();
	assert_memory_equal(trace, "cf9:1=2", 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_off, set_up),
		cmocka_unit_test_setup(test_off_two_blocks, set_up),
		cmocka_unit_test_setup(test_off_enters_acpi_mode, set_up),
		cmocka_unit_test_setup(test_off_in_memory, set_up),
		cmocka_unit_test_setup(test_off_reduced, set_up),
		cmocka_unit_test_setup(test_off_unknown, set_up),
		cmocka_unit_test_setup(test_reboot, set_up),
		cmocka_unit_test_setup(test_reboot_without_register, set_up),
		cmocka_unit_test_setup(test_reboot_by_pci, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
