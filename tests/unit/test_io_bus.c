/* Regions never overlap, are found by their exact bytes, and accesses reach their device with the right offset. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "vmm/io_bus.h"
#include "vmm/io_device.h"

static struct { const struct io_device *device; struct vcpu *vcpu; uint64_t offset, value; unsigned size, reads, writes; } seen;
static enum status answer;
static struct io_device devices[3];
static struct vcpu *const some_vcpu = (struct vcpu *)devices; /* passed through, never looked at */

static enum status note_read(struct io_device *device, struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t *value)
{
	seen.device = device;
	seen.vcpu = vcpu;
	seen.offset = offset;
	seen.size = size;
	seen.reads++;
	*value = 0x5a;
	return answer;
}

static enum status note_write(struct io_device *device, struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t value)
{
	seen.device = device;
	seen.vcpu = vcpu;
	seen.offset = offset;
	seen.size = size;
	seen.value = value;
	seen.writes++;
	return answer;
}

static const struct io_ops ops = {note_read, note_write};

static enum status add(struct io_bus *bus, uint64_t base, uint64_t length, unsigned device)
{
	return io_bus_add(bus, &(struct io_region){.base = base, .length = length, .ops = &ops, .device = &devices[device], .name = "test"});
}

static int set_up(void **state)
{
	(void)state;
	seen.reads = seen.writes = 0;
	answer = STATUS_OK;
	return 0;
}

static void test_refuses_bad_ranges(void **state)
{
	struct io_bus bus = {0};

	(void)state;
	assert_int_equal(add(&bus, 0x100, 0, 0), STATUS_INVALID);
	assert_int_equal(add(&bus, UINT64_MAX, 2, 0), STATUS_INVALID);
	assert_int_equal(add(&bus, 2, UINT64_MAX, 0), STATUS_INVALID);
	assert_int_equal(bus.count, 0);
	assert_int_equal(add(&bus, 0x100, 0x10, 0), STATUS_OK);
	assert_int_equal(add(&bus, 0x100, 0x10, 1), STATUS_EXISTS);
	assert_int_equal(add(&bus, 0x10f, 1, 1), STATUS_EXISTS);
	assert_int_equal(add(&bus, 0xff, 2, 1), STATUS_EXISTS);
	assert_int_equal(add(&bus, 0, 0x1000, 1), STATUS_EXISTS);
	assert_int_equal(add(&bus, 0xff, 1, 1), STATUS_OK);
	assert_int_equal(add(&bus, 0x110, 1, 1), STATUS_OK);
	assert_int_equal(bus.count, 3);
}

static void test_full(void **state)
{
	struct io_bus bus = {0};

	(void)state;
	for (unsigned i = 0; i < IO_BUS_MAX_REGIONS; i++)
		assert_int_equal(add(&bus, i * 8, 8, 0), STATUS_OK);
	assert_int_equal(add(&bus, 0x10000, 8, 0), STATUS_NO_MEMORY);
	assert_int_equal(add(&bus, 0, 8, 0), STATUS_EXISTS);
	io_bus_remove_device(&bus, &devices[1]);
	assert_int_equal(bus.count, IO_BUS_MAX_REGIONS);
	for (uint64_t address = 0; address < IO_BUS_MAX_REGIONS * 8; address++)
		assert_ptr_equal(io_bus_find(&bus, address, 1), &bus.regions[address / 8]);
	io_bus_remove_device(&bus, &devices[0]);
	assert_int_equal(bus.count, 0);
	for (uint64_t address = 0; address < 0x200; address++)
		assert_null(io_bus_find(&bus, address, 1));
}

/* For every number of regions, every address and every size against the definition. */
static void test_find_agrees_with_definition(void **state)
{
	static const unsigned sizes[] = {1, 2, 4, 8};

	(void)state;
	for (unsigned count = 0; count <= 11; count++) {
		struct io_bus bus = {0};

		/* Added in an order that is neither up nor down; region i covers [20 i + 10, 20 i + 11 + 3 i % 16). */
		for (unsigned i = 0; i < count; i++) {
			unsigned which = i % 2 == 0 ? i / 2 : count - 1 - i / 2;

			assert_int_equal(add(&bus, which * 20 + 10, which * 3 % 16 + 1, which % 3), STATUS_OK);
		}
		for (uint64_t address = 0; address < 260; address++) {
			for (unsigned s = 0; s < 4; s++) {
				const struct io_region *found = io_bus_find(&bus, address, sizes[s]), *expected = NULL;

				for (unsigned i = 0; i < bus.count; i++) {
					if (address >= bus.regions[i].base &&
						address + sizes[s] <= bus.regions[i].base + bus.regions[i].length)
						expected = &bus.regions[i];
				}
				assert_ptr_equal(found, expected);
			}
		}
	}
}

static void test_far_addresses(void **state)
{
	struct io_bus bus = {0};

	(void)state;
	assert_null(io_bus_find(&bus, 0, 1));
	assert_int_equal(add(&bus, UINT64_MAX - 0x10, 0x10, 0), STATUS_OK);
	assert_non_null(io_bus_find(&bus, UINT64_MAX - 1, 1));
	assert_null(io_bus_find(&bus, UINT64_MAX, 1));
	assert_null(io_bus_find(&bus, UINT64_MAX - 1, 2));
	assert_null(io_bus_find(&bus, 0, 8));
	assert_null(io_bus_find(&bus, UINT64_MAX - 0x11, 8));
}

static void test_access(void **state)
{
	struct io_bus bus = {0};
	uint64_t value = 0;

	(void)state;
	assert_int_equal(add(&bus, 0x60, 1, 0), STATUS_OK);
	assert_int_equal(add(&bus, 0x64, 4, 1), STATUS_OK);
	assert_int_equal(io_bus_read(&bus, some_vcpu, 0x66, 2, &value), STATUS_OK);
	assert_int_equal(value, 0x5a);
	assert_ptr_equal(seen.device, &devices[1]);
	assert_ptr_equal(seen.vcpu, some_vcpu);
	assert_int_equal(seen.offset, 2);
	assert_int_equal(seen.size, 2);
	assert_int_equal(io_bus_write(&bus, some_vcpu, 0x60, 1, 0xab), STATUS_OK);
	assert_ptr_equal(seen.device, &devices[0]);
	assert_int_equal(seen.offset, 0);
	assert_int_equal(seen.value, 0xab);
}

static void test_nobody_there(void **state)
{
	struct io_bus bus = {0};
	uint64_t value = 0;

	(void)state;
	assert_int_equal(add(&bus, 0x60, 1, 0), STATUS_OK);
	assert_int_equal(io_bus_read(&bus, some_vcpu, 0x61, 1, &value), STATUS_NOT_FOUND);
	assert_int_equal(value, 0xff);
	assert_int_equal(io_bus_read(&bus, some_vcpu, 0x60, 4, &value), STATUS_NOT_FOUND);
	assert_int_equal(value, 0xffffffff);
	assert_int_equal(io_bus_read(&bus, some_vcpu, 0x5f, 8, &value), STATUS_NOT_FOUND);
	assert_true(value == UINT64_MAX);
	assert_int_equal(io_bus_write(&bus, some_vcpu, 0x61, 1, 0), STATUS_NOT_FOUND);
	assert_int_equal(seen.reads + seen.writes, 0);
}

static void test_device_refuses(void **state)
{
	struct io_bus bus = {0};
	uint64_t value = 0;

	(void)state;
	assert_int_equal(add(&bus, 0x60, 2, 0), STATUS_OK);
	answer = STATUS_DENIED;
	assert_int_equal(io_bus_read(&bus, some_vcpu, 0x60, 2, &value), STATUS_DENIED);
	assert_int_equal(value, 0xffff);
	assert_int_equal(io_bus_write(&bus, some_vcpu, 0x60, 2, 0), STATUS_DENIED);
}

/* MSRs have eight bytes but one number each. */
static void test_numbered(void **state)
{
	struct io_bus bus = {0};
	uint64_t value;

	(void)state;
	assert_int_equal(io_bus_add(&bus, &(struct io_region){.base = 0x1b, .length = 1, .ops = &ops, .device = &devices[0], .numbered = true}), STATUS_OK);
	assert_int_equal(io_bus_add(&bus, &(struct io_region){.base = 0x800, .length = 0x100, .ops = &ops, .device = &devices[1], .numbered = true}), STATUS_OK);
	assert_int_equal(io_bus_read(&bus, some_vcpu, 0x1b, 8, &value), STATUS_OK);
	assert_int_equal(seen.size, 8);
	assert_int_equal(io_bus_write(&bus, some_vcpu, 0x8ff, 8, 1), STATUS_OK);
	assert_int_equal(seen.offset, 0xff);
	assert_int_equal(io_bus_read(&bus, some_vcpu, 0x900, 8, &value), STATUS_NOT_FOUND);
	assert_int_equal(io_bus_read(&bus, some_vcpu, 0x1c, 8, &value), STATUS_NOT_FOUND);
	assert_int_equal(io_bus_read(&bus, some_vcpu, 0x1a, 8, &value), STATUS_NOT_FOUND);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_refuses_bad_ranges, set_up),
		cmocka_unit_test_setup(test_full, set_up),
		cmocka_unit_test_setup(test_find_agrees_with_definition, set_up),
		cmocka_unit_test_setup(test_far_addresses, set_up),
		cmocka_unit_test_setup(test_access, set_up),
		cmocka_unit_test_setup(test_nobody_there, set_up),
		cmocka_unit_test_setup(test_device_refuses, set_up),
		cmocka_unit_test_setup(test_numbered, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
