/* Accesses to memory that is no RAM: what reaches devices, what the guest gets, and what stops it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/access_fixture.h"
#include "vmm/cpuid_policy.h"
#include "vmm/exit/exit_handlers.h"
#include "vmm/io_device.h"

#define DEVICE 0xfec00000u
#define DEVICE_SIZE 0x1000u
#define CODE 0xffff800000400000ull /* linear; in RAM at CODE_RAM */
#define CODE_RAM 0x5000u
#define DATA 0x600000u             /* linear; in RAM at DATA_RAM */
#define DATA_RAM 0x7000u
#define WINDOW 0x700000u           /* linear; the device */

static char crash[256];

enum exit_action exit_crash(struct vcpu *vcpu, const char *format, ...)
{
	va_list arguments;

	assert_ptr_equal(vcpu, &fake_guest.vcpu);
	va_start(arguments, format);
	vsnprintf(crash, sizeof(crash), format, arguments);
	va_end(arguments);
	return EXIT_STOP;
}

/* ---- a device of bytes ---- */

static struct { uint8_t bytes[DEVICE_SIZE]; unsigned reads, writes, size; uint64_t offset; enum status answer; bool locked; } device;

static void note(uint64_t offset, unsigned size)
{
	const struct spinlock *lock = &fake_guest.vm.device_lock;

	device.offset = offset;
	device.size = size;
	device.locked = lock->next_ticket != lock->now_serving;
}

static enum status device_read(struct io_device *self, struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t *value)
{
	(void)self;
	assert_ptr_equal(vcpu, &fake_guest.vcpu);
	note(offset, size);
	device.reads++;
	*value = 0;
	memcpy(value, device.bytes + offset, size);
	return device.answer;
}

static enum status device_write(struct io_device *self, struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t value)
{
	(void)self;
	(void)vcpu;
	note(offset, size);
	device.writes++;
	memcpy(device.bytes + offset, &value, size);
	return device.answer;
}

static int set_up(void **state)
{
	static const struct io_ops device_ops = {device_read, device_write};
	const struct io_region region = {.base = DEVICE, .length = DEVICE_SIZE, .ops = &device_ops, .name = "test"};

	(void)state;
	fixture_start();
	fixture_enable_paging_64();
	fixture_map_64(CODE, CODE_RAM, TABLE_P);
	fixture_map_64(DATA, DATA_RAM, TABLE_P | TABLE_W);
	fixture_map_64(WINDOW, DEVICE, TABLE_P | TABLE_W);
	memset(&device, 0, sizeof(device));
	for (unsigned i = 0; i < DEVICE_SIZE; i++)
		device.bytes[i] = (uint8_t)(i ^ i >> 8);
	crash[0] = '\0';
	return io_bus_add(&fake_guest.vm.buses[IO_SPACE_MEMORY], &region) == STATUS_OK ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	assert_int_equal(fake_guest.vm.device_lock.next_ticket, fake_guest.vm.device_lock.now_serving);
	fake_guest_destroy();
	return 0;
}

/* ---- exits ---- */

static struct vm_exit exit_at(uint64_t physical, uint64_t rip, unsigned length)
{
	struct vm_exit exit = {.kind = VM_EXIT_NESTED_FAULT, .rip = rip, .instruction_length = length};

	exit.nested.gpa = gpa(physical);
	exit.nested.read = true;
	return exit;
}

static enum exit_action run_at(uint64_t physical, const uint8_t *bytes, size_t size)
{
	struct vm_exit exit = exit_at(physical, CODE, (unsigned)size);

	memcpy(fake_guest.ram + CODE_RAM, bytes, size);
	return exit_nested_fault(&fake_guest.vcpu, &exit);
}

#define RUN(physical, ...) run_at(physical, (const uint8_t[]){__VA_ARGS__}, sizeof((uint8_t[]){__VA_ARGS__}))

static uint64_t *gpr(unsigned number)
{
	return &fake_guest.vcpu.virt.gpr[number];
}

static void test_read(void **state)
{
	(void)state;
	*gpr(GPR_RAX) = UINT64_MAX;
	assert_int_equal(RUN(DEVICE + 0x10, 0x8b, 0x00), EXIT_SKIP);
	assert_int_equal(*gpr(GPR_RAX), 0x13121110);
	assert_int_equal(device.reads, 1);
	assert_int_equal(device.size, 4);
	assert_int_equal(device.offset, 0x10);
	assert_true(device.locked);
	assert_int_equal(RUN(DEVICE + 0x20, 0x4c, 0x8b, 0x00), EXIT_SKIP);
	assert_int_equal(*gpr(GPR_R8), 0x2726252423222120);
	assert_int_equal(fixture_skipped.count, 0);
}

static void test_write(void **state)
{
	(void)state;
	*gpr(GPR_RDX) = 0xaabbccddeeff0011;
	assert_int_equal(RUN(DEVICE + 0x40, 0x66, 0x89, 0x10), EXIT_SKIP);
	assert_int_equal(device.writes, 1);
	assert_int_equal(device.size, 2);
	assert_true(device.locked);
	assert_memory_equal(device.bytes + 0x40, "\x11\x00\x42\x43", 4);
	assert_int_equal(RUN(DEVICE + 0x80, 0xc7, 0x00, 0x04, 0x03, 0x02, 0x01), EXIT_SKIP);
	assert_memory_equal(device.bytes + 0x80, "\4\3\2\1\x84", 5);
}

/* To other vCPUs the two accesses are one: the lock is not given away between. */
static void test_locked_instructions_are_one_access(void **state)
{
	uint32_t ticket = fake_guest.vm.device_lock.next_ticket;

	(void)state;
	*gpr(GPR_RDX) = 0x80;
	assert_int_equal(RUN(DEVICE + 0x10, 0xf0, 0x09, 0x10), EXIT_SKIP);
	assert_int_equal(device.reads, 1);
	assert_int_equal(device.writes, 1);
	assert_true(device.locked);
	assert_int_equal(device.bytes[0x10], 0x90);
	assert_int_equal(fake_guest.vm.device_lock.next_ticket, ticket + 1);
}

static void test_read_and_write(void **state)
{
	(void)state;
	assert_int_equal(RUN(DEVICE + 8, 0x83, 0x08, 0x70), EXIT_SKIP); /* orl $0x70 */
	assert_int_equal(device.bytes[8], 0x78);
	assert_int_equal(device.reads + device.writes, 2);
	assert_int_equal(RUN(DEVICE + 8, 0x80, 0x38, 0x79), EXIT_SKIP); /* cmpb */
	assert_int_equal(fake_guest.registers[VIRT_RFLAGS] & (RFLAGS_CF | RFLAGS_ZF), RFLAGS_CF);
	assert_int_equal(device.writes, 1);
}

/* RSP is not among the registers in memory. */
static void test_stack_pointer(void **state)
{
	(void)state;
	assert_int_equal(RUN(DEVICE, 0x48, 0x8b, 0x20), EXIT_SKIP);
	assert_int_equal(fake_guest.registers[VIRT_RSP], 0x0706050403020100);
}

/* Whatever length the exit has, the decoder's counts. */
static void test_wrong_length_of_exit(void **state)
{
	struct vm_exit exit = exit_at(DEVICE, CODE, 0);

	(void)state;
	memcpy(fake_guest.ram + CODE_RAM, "\x8b\x40\x00", 3);
	assert_int_equal(exit_nested_fault(&fake_guest.vcpu, &exit), EXIT_RESUME);
	assert_int_equal(fixture_skipped.count, 1);
	assert_int_equal(fixture_skipped.length, 3);
	assert_int_equal(fixture_skipped.rip, CODE);
}

/* ---- places without a device ---- */

static void test_device_windows(void **state)
{
	static const uint64_t places[] = {0xa0000, 0xbfffc, 3 * GIB, DEVICE - 4, 0xfffffffc};

	(void)state;
	for (unsigned i = 0; i < array_count(places); i++) {
		*gpr(GPR_RAX) = 0;
		assert_int_equal(RUN(places[i], 0x8b, 0x00), EXIT_SKIP);
		assert_int_equal(*gpr(GPR_RAX), 0xffffffff);
		assert_int_equal(RUN(places[i], 0x89, 0x00), EXIT_SKIP);
	}
	assert_int_equal(device.reads + device.writes, 0);
}

static struct cpuid_result wide_host(uint32_t leaf, uint32_t subleaf)
{
	(void)subleaf;
	return leaf == 0x80000008 ? (struct cpuid_result){39 | 48 << 8, 0, 0, 0} : leaf == 0x80000000 ? (struct cpuid_result){0x80000008, 0, 0, 0} :
		(struct cpuid_result){0};
}

/* Registers of passed-through functions may be there; a VM without any has nothing there. */
static void test_window_above_ram(void **state)
{
	(void)state;
	cpuid_policy_build(wide_host);
	fake_guest.vm.passthrough.count = 1;
	*gpr(GPR_RAX) = 0;
	assert_int_equal(RUN(32 * GIB, 0x8b, 0x00), EXIT_SKIP);
	assert_int_equal(*gpr(GPR_RAX), 0xffffffff);
	assert_int_equal(RUN(96 * GIB - 4, 0x89, 0x00), EXIT_SKIP);
	assert_int_equal(RUN(96 * GIB - 2, 0x89, 0x00), EXIT_STOP);
	assert_int_equal(RUN(32 * GIB - 4, 0x89, 0x00), EXIT_STOP);
	fake_guest.vm.passthrough.count = 0;
	assert_int_equal(RUN(32 * GIB, 0x8b, 0x00), EXIT_STOP);
}

static void test_device_that_refuses(void **state)
{
	(void)state;
	device.answer = STATUS_UNSUPPORTED;
	assert_int_equal(RUN(DEVICE, 0x66, 0x8b, 0x00), EXIT_SKIP);
	assert_int_equal(*gpr(GPR_RAX), 0xffff);
	assert_int_equal(RUN(DEVICE, 0x89, 0x00), EXIT_SKIP);
}

static void test_unmapped_addresses(void **state)
{
	struct vm_exit exit;

	(void)state;
	*gpr(GPR_RAX) = 0x77;
	assert_int_equal(RUN(FIXTURE_RAM + 0x1000, 0x8b, 0x00), EXIT_STOP);
	assert_string_equal(crash, "access to unmapped guest-physical address 0x1001000 (read) at rip 0xffff800000400000");
	assert_int_equal(*gpr(GPR_RAX), 0x77);
	assert_int_equal(RUN(4 * GIB, 0x89, 0x00), EXIT_STOP);
	assert_non_null(strstr(crash, "0x100000000"));
	assert_int_equal(RUN(0xbfffe, 0x8b, 0x00), EXIT_STOP); /* half of it outside the window */
	exit = exit_at(FIXTURE_RAM, CODE, 2);
	exit.nested.write = true;
	assert_int_equal(exit_nested_fault(&fake_guest.vcpu, &exit), EXIT_STOP);
	assert_non_null(strstr(crash, "(write)"));
}

static void test_code_and_tables_outside_ram(void **state)
{
	struct vm_exit exit = exit_at(DEVICE, CODE, 0);

	(void)state;
	exit.nested.execute = true;
	assert_int_equal(exit_nested_fault(&fake_guest.vcpu, &exit), EXIT_STOP);
	assert_string_equal(crash, "access to unmapped guest-physical address 0xfec00000 (execute) at rip 0xffff800000400000");
	exit = exit_at(DEVICE, CODE, 2);
	exit.nested.during_walk = true;
	assert_int_equal(exit_nested_fault(&fake_guest.vcpu, &exit), EXIT_STOP);
	assert_int_equal(device.reads, 0);
}

static void test_fault_on_ram(void **state)
{
	(void)state;
	assert_int_equal(RUN(0x1000, 0x8b, 0x00), EXIT_STOP);
	assert_non_null(strstr(crash, "RAM at 0x1000 is not mapped"));
}

/* ---- the instruction itself ---- */

static void test_unsupported_instruction(void **state)
{
	(void)state;
	assert_int_equal(RUN(DEVICE, 0x0f, 0x28, 0x00, 0x90, 0x91, 0x92, 0x93, 0x94, 0x95), EXIT_STOP); /* movaps */
	assert_string_equal(crash, "unsupported instruction (0f 28 00 90 91 92 93 94) on device memory at rip 0xffff800000400000");
	assert_int_equal(device.reads, 0);
	memset(fake_guest.ram + CODE_RAM, 0x66, 16);
	assert_int_equal(RUN(DEVICE, 0x66), EXIT_STOP);
	assert_int_equal(fixture_injected.count, 0);
}

/* An instruction over a page border: the second page is needed for some and not for others. */
static void test_instruction_over_a_border(void **state)
{
	struct vm_exit exit = exit_at(DEVICE + 4, CODE + 0xffe, 3);

	(void)state;
	memcpy(fake_guest.ram + CODE_RAM + 0xffe, "\x8b\x40", 2);
	fake_guest.ram[0x9000] = 0x08;
	assert_int_equal(exit_nested_fault(&fake_guest.vcpu, &exit), EXIT_INJECT);
	assert_int_equal(fixture_injected.vector, EXCEPTION_PF);
	assert_int_equal(fake_guest.registers[VIRT_CR2], CODE + 0x1000);
	assert_int_equal(device.reads, 0);
	fixture_map_64(CODE + 0x1000, 0x9000, TABLE_P);
	assert_int_equal(exit_nested_fault(&fake_guest.vcpu, &exit), EXIT_SKIP);
	assert_int_equal(*gpr(GPR_RAX), 0x07060504);
	fixture_map_64(CODE + 0x1000, 0x9000, 0);
	fake_guest.ram[CODE_RAM + 0xfff] = 0x00;
	exit.instruction_length = 2;
	assert_int_equal(exit_nested_fault(&fake_guest.vcpu, &exit), EXIT_SKIP);
}

static void test_code_page_gone(void **state)
{
	struct vm_exit exit = exit_at(DEVICE, CODE + 0x1000, 2);

	(void)state;
	assert_int_equal(exit_nested_fault(&fake_guest.vcpu, &exit), EXIT_INJECT);
	assert_int_equal(fixture_injected.vector, EXCEPTION_PF);
	assert_int_equal(fixture_injected.error_code, 0x10);
	assert_int_equal(fake_guest.registers[VIRT_CR2], CODE + 0x1000);
}

static void test_16_bit_code(void **state)
{
	struct vm_exit exit = exit_at(DEVICE + 2, 0x20, 3);

	(void)state;
	fake_guest.registers[VIRT_CR0] = 0;
	fake_guest.registers[VIRT_EFER] = 0;
	fake_guest.segments[VIRT_CS] = (struct virt_segment){0x8000, 0xffff, 0x93, 0x800};
	memcpy(fake_guest.ram + 0x8020, "\x8b\x47\x01", 3); /* mov 1(%bx),%ax */
	*gpr(GPR_RAX) = 0x55555555;
	assert_int_equal(exit_nested_fault(&fake_guest.vcpu, &exit), EXIT_SKIP);
	assert_int_equal(*gpr(GPR_RAX), 0x55550302);
}

/* ---- string instructions: RAM on one side, the device on the other ---- */

static void test_string_from_device(void **state)
{
	(void)state;
	*gpr(GPR_RSI) = WINDOW + 0x10;
	*gpr(GPR_RDI) = DATA + 0x20;
	*gpr(GPR_RCX) = 2;
	assert_int_equal(RUN(DEVICE + 0x10, 0xf3, 0xa5), EXIT_RESUME); /* one element, then again */
	assert_int_equal(fixture_skipped.count, 0);
	assert_int_equal(RUN(DEVICE + 0x14, 0xf3, 0xa5), EXIT_SKIP);
	assert_memory_equal(fake_guest.ram + DATA_RAM + 0x20, device.bytes + 0x10, 8);
	assert_int_equal(fake_guest.ram[DATA_RAM + 0x28], 0);
	assert_int_equal(*gpr(GPR_RCX), 0);
	assert_int_equal(*gpr(GPR_RSI), WINDOW + 0x18);
	assert_int_equal(*gpr(GPR_RDI), DATA + 0x28);
	assert_int_equal(device.reads, 2);
}

static void test_string_to_device(void **state)
{
	(void)state;
	memcpy(fake_guest.ram + DATA_RAM, "abcdefgh", 8);
	*gpr(GPR_RSI) = DATA;
	*gpr(GPR_RDI) = WINDOW + 0x100;
	assert_int_equal(RUN(DEVICE + 0x100, 0x48, 0xa5), EXIT_SKIP);
	assert_memory_equal(device.bytes + 0x100, "abcdefgh", 8);
	assert_int_equal(device.size, 8);
	*gpr(GPR_RAX) = 'z';
	assert_int_equal(RUN(DEVICE + 0x108, 0xaa), EXIT_SKIP);
	assert_int_equal(device.bytes[0x108], 'z');
	*gpr(GPR_RSI) = WINDOW + 0x101;
	assert_int_equal(RUN(DEVICE + 0x101, 0xac), EXIT_SKIP);
	assert_int_equal(*gpr(GPR_RAX), 'b');
}

static void test_string_over_a_page_border(void **state)
{
	(void)state;
	fixture_map_64(DATA + 0x1000, 0x3000, TABLE_P | TABLE_W);
	*gpr(GPR_RSI) = WINDOW;
	*gpr(GPR_RDI) = DATA + 0xffe;
	assert_int_equal(RUN(DEVICE, 0xa5), EXIT_SKIP);
	assert_memory_equal(fake_guest.ram + DATA_RAM + 0xffe, "\0\1", 2);
	assert_memory_equal(fake_guest.ram + 0x3000, "\2\3", 2);
}

/* The side in RAM faults: the instruction has done nothing, and is done again after the guest's handler. */
static void test_string_that_faults(void **state)
{
	(void)state;
	fixture_map_64(DATA, DATA_RAM, TABLE_P);
	*gpr(GPR_RSI) = WINDOW;
	*gpr(GPR_RDI) = DATA + 8;
	*gpr(GPR_RCX) = 5;
	assert_int_equal(RUN(DEVICE, 0xf3, 0xa4), EXIT_INJECT);
	assert_int_equal(fixture_injected.vector, EXCEPTION_PF);
	assert_int_equal(fixture_injected.error_code, 3);
	assert_int_equal(fake_guest.registers[VIRT_CR2], DATA + 8);
	assert_int_equal(*gpr(GPR_RCX), 5);
	assert_int_equal(*gpr(GPR_RSI), WINDOW);
	assert_int_equal(*gpr(GPR_RDI), DATA + 8);
	*gpr(GPR_RDI) = 0x800000000000;
	assert_int_equal(RUN(DEVICE, 0xa4), EXIT_INJECT);
	assert_int_equal(fixture_injected.vector, EXCEPTION_GP);
	assert_int_equal(fixture_injected.count, 2);
}

static void test_string_segments(void **state)
{
	(void)state;
	fake_guest.segments[VIRT_FS].base = 0x10;
	fake_guest.segments[VIRT_ES].base = 0x1000; /* of no effect in 64-bit mode */
	*gpr(GPR_RSI) = WINDOW;
	*gpr(GPR_RDI) = DATA;
	assert_int_equal(RUN(DEVICE + 0x10, 0x64, 0xa4), EXIT_SKIP);
	assert_int_equal(fake_guest.ram[DATA_RAM], 0x10);
	fake_guest.registers[VIRT_CR0] = 0;
	fake_guest.registers[VIRT_EFER] = 0;
	fake_guest.segments[VIRT_CS] = (struct virt_segment){0, 0xffffffff, 0x9b | (uint32_t)VIRT_SEGMENT_DB, 8};
	fake_guest.segments[VIRT_DS].base = DEVICE;
	memcpy(fake_guest.ram + 0x100, "\xa4", 1);
	*gpr(GPR_RSI) = 0x33;
	*gpr(GPR_RDI) = 0x200;
	struct vm_exit exit = exit_at(DEVICE + 0x33, 0x100, 1);
	assert_int_equal(exit_nested_fault(&fake_guest.vcpu, &exit), EXIT_SKIP);
	assert_int_equal(fake_guest.ram[0x1200], 0x33);
}

static void test_string_to_unmapped_memory(void **state)
{
	(void)state;
	fixture_map_64(DATA, FIXTURE_RAM + 0x5000, TABLE_P | TABLE_W);
	*gpr(GPR_RSI) = WINDOW;
	*gpr(GPR_RDI) = DATA;
	assert_int_equal(RUN(DEVICE, 0xa4), EXIT_STOP);
	assert_non_null(strstr(crash, "address 0x1005000"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_read, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_write, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_locked_instructions_are_one_access, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_read_and_write, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_stack_pointer, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_wrong_length_of_exit, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_device_windows, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_window_above_ram, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_device_that_refuses, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_unmapped_addresses, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_code_and_tables_outside_ram, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_fault_on_ram, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_unsupported_instruction, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_instruction_over_a_border, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_code_page_gone, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_16_bit_code, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_string_from_device, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_string_to_device, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_string_over_a_page_border, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_string_that_faults, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_string_segments, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_string_to_unmapped_memory, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
