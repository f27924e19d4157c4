/* vmm/exit/port_io.c: IN and OUT of each size, INS and OUTS with REP, DF, address sizes, faults and page borders. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/vm_fixture.h"

#define PORT 0x500u
#define NO_PORT 0x7000u
#define HIGH 0x1122334400000000ull

static uint64_t read_value, written_value;
static unsigned reads, writes, last_size;
static bool lock_was_held;

static enum status device_read(struct io_device *device, struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t *value)
{
	(void)device;
	assert_ptr_equal(vcpu, fixture_vcpu);
	lock_was_held = fixture_vm->device_lock.next_ticket != fixture_vm->device_lock.now_serving;
	reads++;
	last_size = size;
	*value = read_value++ + offset;
	return STATUS_OK;
}

static enum status device_write(struct io_device *device, struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t value)
{
	(void)device;
	(void)vcpu;
	(void)offset;
	writes++;
	last_size = size;
	written_value = value;
	return STATUS_OK;
}

static int set_up(void **state)
{
	static const struct io_ops ops = {device_read, device_write};
	const struct io_region region = {.base = PORT, .length = 4, .ops = &ops, .name = "test"};

	(void)state;
	fixture_start_vm();
	fixture_enter_protected_mode();
	assert_int_equal(io_bus_add(&fixture_vm->buses[IO_SPACE_PORT], &region), STATUS_OK);
	reads = writes = last_size = 0;
	read_value = written_value = 0;
	lock_was_held = false;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	assert_int_equal(fixture_vm->device_lock.next_ticket, fixture_vm->device_lock.now_serving);
	fixture_destroy_vm();
	return 0;
}

static struct vm_exit io(uint16_t port, uint8_t size, bool in)
{
	struct vm_exit exit = {.kind = VM_EXIT_IO, .reason = 30, .instruction_length = 1, .rip = 0x1000};

	exit.io.port = port;
	exit.io.size = size;
	exit.io.in = in;
	return exit;
}

/* As the CPU tells it: the linear address belongs to the index register's value. */
static struct vm_exit string_io(uint8_t size, bool in, bool repeat, uint8_t address_size)
{
	struct vm_exit exit = io(PORT, size, in);

	exit.io.string = true;
	exit.io.repeat = repeat;
	exit.io.address_size = address_size;
	exit.io.linear_address = *guest_gpr(in ? GPR_RDI : GPR_RSI) & (address_size == 8 ? ~0ull : BITS(8 * address_size - 1, 0));
	exit.io.segment = in ? VIRT_ES : VIRT_DS;
	return exit;
}

static enum exit_action run(struct vm_exit exit) { return handle(&exit); }

static void test_in(void **state)
{
	(void)state;
	read_value = 0xa1a2a3a4;
	*guest_gpr(GPR_RAX) = HIGH | 0x55667788;
	assert_int_equal(run(io(PORT, 1, true)), EXIT_SKIP);
	assert_true(*guest_gpr(GPR_RAX) == (HIGH | 0x556677a4));
	assert_true(lock_was_held);
	read_value = 0xa1a2a3a4;
	assert_int_equal(run(io(PORT, 2, true)), EXIT_SKIP);
	assert_true(*guest_gpr(GPR_RAX) == (HIGH | 0x5566a3a4));
	read_value = 0xa1a2a3a4;
	assert_int_equal(run(io(PORT, 4, true)), EXIT_SKIP);
	assert_true(*guest_gpr(GPR_RAX) == 0xa1a2a3a4);
	assert_int_equal(last_size, 4);
}

static void test_floating_bus(void **state)
{
	(void)state;
	*guest_gpr(GPR_RAX) = HIGH;
	assert_int_equal(run(io(NO_PORT, 1, true)), EXIT_SKIP);
	assert_true(*guest_gpr(GPR_RAX) == (HIGH | 0xff));
	assert_int_equal(run(io(NO_PORT, 2, true)), EXIT_SKIP);
	assert_true(*guest_gpr(GPR_RAX) == (HIGH | 0xffff));
	assert_int_equal(run(io(NO_PORT, 4, true)), EXIT_SKIP);
	assert_true(*guest_gpr(GPR_RAX) == 0xffffffff);
	assert_int_equal(run(io(NO_PORT, 4, false)), EXIT_SKIP);
	/* Over the end of the port space. */
	assert_int_equal(run(io(0xffff, 4, true)), EXIT_SKIP);
	assert_true(*guest_gpr(GPR_RAX) == 0xffffffff);
	assert_int_equal(run(io(0xffff, 4, false)), EXIT_SKIP);
	assert_int_equal(fixture_vm->stop_kind, VM_STOP_NONE);
}

static void test_out(void **state)
{
	static const struct { uint8_t size; uint64_t value; } cases[] = {{1, 0x88}, {2, 0x7788}, {4, 0x55667788}};

	(void)state;
	*guest_gpr(GPR_RAX) = HIGH | 0x55667788;
	for (size_t i = 0; i < array_count(cases); i++) {
		assert_int_equal(run(io(PORT, cases[i].size, false)), EXIT_SKIP);
		assert_int_equal(written_value, cases[i].value);
		assert_int_equal(last_size, cases[i].size);
	}
	assert_int_equal(writes, 3);
}

static uint32_t ram(uint64_t address)
{
	uint32_t value = 0;

	assert_int_equal(guest_memory_read(&fixture_vm->memory, gpa(address), &value, 4), STATUS_OK);
	return value;
}

static void test_ins_and_outs(void **state)
{
	(void)state;
	read_value = 0x11223344;
	*guest_gpr(GPR_RDI) = 0x2000;
	*guest_gpr(GPR_RCX) = 7;
	assert_int_equal(run(string_io(4, true, false, 4)), EXIT_SKIP);
	assert_int_equal(ram(0x2000), 0x11223344);
	assert_int_equal(*guest_gpr(GPR_RDI), 0x2004);
	assert_int_equal(*guest_gpr(GPR_RCX), 7);
	*guest_gpr(GPR_RSI) = 0x2001;
	assert_int_equal(run(string_io(2, false, false, 4)), EXIT_SKIP);
	assert_int_equal(written_value, 0x2233);
	assert_int_equal(*guest_gpr(GPR_RSI), 0x2003);
}

static void test_repeat(void **state)
{
	(void)state;
	read_value = 0x10;
	*guest_gpr(GPR_RDI) = 0x2000;
	*guest_gpr(GPR_RCX) = 3;
	assert_int_equal(run(string_io(1, true, true, 4)), EXIT_RESUME);
	assert_int_equal(run(string_io(1, true, true, 4)), EXIT_RESUME);
	assert_int_equal(*guest_gpr(GPR_RCX), 1);
	assert_int_equal(run(string_io(1, true, true, 4)), EXIT_SKIP);
	assert_int_equal(*guest_gpr(GPR_RCX), 0);
	assert_int_equal(ram(0x2000), 0x121110);
	assert_int_equal(*guest_gpr(GPR_RDI), 0x2003);
	/* No times: nothing moves. */
	assert_int_equal(run(string_io(1, true, true, 4)), EXIT_SKIP);
	assert_int_equal(reads, 3);
	assert_int_equal(*guest_gpr(GPR_RDI), 0x2003);
}

static void test_direction_flag(void **state)
{
	(void)state;
	set_guest_register(VIRT_RFLAGS, RFLAGS_FIXED | RFLAGS_DF);
	*guest_gpr(GPR_RSI) = 0x2008;
	*guest_gpr(GPR_RCX) = 2;
	assert_int_equal(run(string_io(4, false, true, 4)), EXIT_RESUME);
	assert_int_equal(*guest_gpr(GPR_RSI), 0x2004);
	assert_int_equal(*guest_gpr(GPR_RCX), 1);
	*guest_gpr(GPR_RDI) = 0x2000;
	assert_int_equal(run(string_io(1, true, false, 4)), EXIT_SKIP);
	assert_int_equal(*guest_gpr(GPR_RDI), 0x1fff);
}

/* The index register wraps at its address size; 16-bit addressing leaves the upper bits, 32-bit clears them. */
static void test_address_sizes(void **state)
{
	(void)state;
	*guest_gpr(GPR_RDI) = HIGH | 0x1ffff;
	*guest_gpr(GPR_RCX) = HIGH | 0x30001;
	assert_int_equal(run(string_io(1, true, true, 2)), EXIT_SKIP);
	assert_true(*guest_gpr(GPR_RDI) == (HIGH | 0x10000));
	assert_true(*guest_gpr(GPR_RCX) == (HIGH | 0x30000));
	*guest_gpr(GPR_RDI) = HIGH | 0x3000;
	*guest_gpr(GPR_RCX) = HIGH | 1;
	assert_int_equal(run(string_io(1, true, true, 4)), EXIT_SKIP);
	assert_true(*guest_gpr(GPR_RDI) == 0x3001);
	assert_true(*guest_gpr(GPR_RCX) == 0);
	fixture_enter_long_mode();
	*guest_gpr(GPR_RDI) = 0x3000;
	*guest_gpr(GPR_RCX) = BIT(32);
	assert_int_equal(run(string_io(1, true, true, 8)), EXIT_RESUME);
	assert_true(*guest_gpr(GPR_RDI) == 0x3001);
	assert_true(*guest_gpr(GPR_RCX) == 0xffffffff);
}

static void assert_page_fault(enum exit_action action, uint64_t address, uint32_t error_code)
{
	assert_int_equal(action, EXIT_INJECT);
	assert_int_equal(fixture_event(), EVENT_EXCEPTION_CODE(EXCEPTION_PF));
	assert_int_equal(fake_vmcs_get(VMCS_CONTROL_ENTRY_EXCEPTION_ERROR_CODE), error_code);
	assert_int_equal(guest_register(VIRT_CR2), address);
}

/* A fault comes before the device loses its byte and before any register moves. */
static void test_page_faults(void **state)
{
	(void)state;
	fixture_enter_long_mode();
	*guest_gpr(GPR_RDI) = *guest_gpr(GPR_RSI) = 0x40000000;
	*guest_gpr(GPR_RCX) = 5;
	assert_page_fault(run(string_io(1, true, true, 8)), 0x40000000, 2);
	assert_page_fault(run(string_io(1, false, true, 8)), 0x40000000, 0);
	assert_int_equal(reads + writes, 0);
	assert_int_equal(*guest_gpr(GPR_RDI), 0x40000000);
	assert_int_equal(*guest_gpr(GPR_RCX), 5);
	/* The second page of an element. */
	*guest_gpr(GPR_RDI) = 0x1ffffe;
	assert_page_fault(run(string_io(4, true, false, 8)), 0x200000, 2);
	assert_int_equal(reads, 0);
	assert_int_equal(ram(0x1ffffc), 0);
}

static void test_element_over_a_page_border(void **state)
{
	(void)state;
	fixture_enter_long_mode();
	read_value = 0xcafebabe;
	*guest_gpr(GPR_RDI) = 0x2ffe;
	assert_int_equal(run(string_io(4, true, false, 8)), EXIT_SKIP);
	assert_int_equal(ram(0x2ffe), 0xcafebabe);
}

/* Memory without RAM behind it is refused, not touched. */
static void test_outside_memory(void **state)
{
	(void)state;
	*guest_gpr(GPR_RDI) = *guest_gpr(GPR_RSI) = 0xd0000000;
	assert_int_equal(run(string_io(1, true, false, 4)), EXIT_INJECT);
	assert_int_equal(run(string_io(1, false, false, 4)), EXIT_INJECT);
	*guest_gpr(GPR_RDI) = 0xa0000;
	assert_int_equal(run(string_io(1, true, false, 4)), EXIT_INJECT);
	assert_int_equal(reads + writes, 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_in), TEST(test_floating_bus), TEST(test_out), TEST(test_ins_and_outs), TEST(test_repeat), TEST(test_direction_flag),
		TEST(test_address_sizes), TEST(test_page_faults), TEST(test_element_over_a_page_border), TEST(test_outside_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
