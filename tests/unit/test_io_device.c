/* Device classes of the linker table: creation by order, destruction in reverse, everything given back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/irq_fixture.h"

static char events[256]; /* what happened to whom */

static void note(char what, const char *name)
{
	size_t length = strlen(events);

	snprintf(events + length, sizeof(events) - length, "%c%s ", what, name);
}

struct model {
	char padding[5000]; /* puts the device on another page than the start of its memory */
	struct io_device device;
};

static enum status read_zero(struct io_device *device, struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t *value)
{
	(void)device;
	(void)vcpu;
	(void)offset;
	(void)size;
	*value = 0;
	return STATUS_OK;
}

static const struct io_ops ops = {.read = read_zero};

static enum status create_model(struct vm *vm, struct io_device **device, uint64_t port, const char *name)
{
	struct model *model = io_device_allocate(sizeof(*model));
	struct io_region region = {.base = port, .length = 8, .ops = &ops, .name = name};

	if (model == NULL)
		return STATUS_NO_MEMORY;
	for (size_t i = 0; i < sizeof(*model); i++)
		assert_int_equal(((unsigned char *)model)[i], 0);
	region.device = &model->device;
	assert_int_equal(io_bus_add(&vm->buses[IO_SPACE_PORT], &region), STATUS_OK);
	region.base += 0x1000;
	assert_int_equal(io_bus_add(&vm->buses[IO_SPACE_MEMORY], &region), STATUS_OK);
	*device = &model->device;
	note('+', name);
	return STATUS_OK;
}

static enum status create_early(struct vm *vm, struct io_device **device) { return create_model(vm, device, 0x10, "early"); }
static enum status create_a(struct vm *vm, struct io_device **device) { return create_model(vm, device, 0x20, "a"); }
static enum status create_b(struct vm *vm, struct io_device **device) { return create_model(vm, device, 0x30, "b"); }
static enum status create_test(struct vm *vm, struct io_device **device) { return create_model(vm, device, 0x40, "test"); }

static bool late_fails;

static enum status create_late(struct vm *vm, struct io_device **device)
{
	return late_fails ? STATUS_UNSUPPORTED : create_model(vm, device, 0x50, "late");
}

static void note_reset(struct io_device *device) { note('r', device->class->name); }
static void note_destroy(struct io_device *device) { note('-', device->class->name); }
static bool wants_test(const struct vm_config *config) { return config->testdev; }

static const struct io_device_class late_class = {.name = "late", .order = 40, .create = create_late, .reset = note_reset, .destroy = note_destroy};
static const struct io_device_class b_class = {.name = "b", .order = 20, .create = create_b, .reset = note_reset, .destroy = note_destroy};
static const struct io_device_class a_class = {.name = "a", .order = 20, .create = create_a, .destroy = note_destroy};
static const struct io_device_class test_class = {.name = "test", .order = 30, .wanted = wants_test, .create = create_test, .reset = note_reset};
static const struct io_device_class early_class = {.name = "early", .order = 9, .create = create_early, .reset = note_reset, .destroy = note_destroy};
IO_DEVICE_CLASS(late_class);
IO_DEVICE_CLASS(b_class);
IO_DEVICE_CLASS(a_class);
IO_DEVICE_CLASS(test_class);
IO_DEVICE_CLASS(early_class);

static int set_up(void **state)
{
	(void)state;
	fixture_start(1);
	fixture_config.testdev = false;
	late_fails = false;
	events[0] = '\0';
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	assert_int_equal(fixture_pages, 0);
	return 0;
}

static void test_life(void **state)
{
	(void)state;
	assert_int_equal(io_devices_create(&fixture_vm), STATUS_OK);
	assert_string_equal(events, "+early +a +b +late ");
	assert_int_equal(fixture_vm.buses[IO_SPACE_PORT].count, 4);
	list_for_each(link, &fixture_vm.devices)
		assert_ptr_equal(list_entry(link, struct io_device, link)->vm, &fixture_vm);
	events[0] = '\0';
	io_devices_reset(&fixture_vm);
	assert_string_equal(events, "rearly rb rlate ");
	events[0] = '\0';
	io_devices_destroy(&fixture_vm);
	assert_string_equal(events, "-late -b -a -early ");
	assert_int_equal(fixture_vm.buses[IO_SPACE_PORT].count, 0);
	assert_int_equal(fixture_vm.buses[IO_SPACE_MEMORY].count, 0);
	assert_true(list_is_empty(&fixture_vm.devices));
	io_devices_destroy(&fixture_vm);
}

static void test_wanted(void **state)
{
	(void)state;
	fixture_config.testdev = true;
	assert_int_equal(io_devices_create(&fixture_vm), STATUS_OK);
	assert_string_equal(events, "+early +a +b +test +late ");
	io_devices_destroy(&fixture_vm);
}

static void test_failure_leaves_nothing(void **state)
{
	(void)state;
	late_fails = true;
	assert_int_equal(io_devices_create(&fixture_vm), STATUS_UNSUPPORTED);
	assert_string_equal(events, "+early +a +b -b -a -early ");
	assert_int_equal(fixture_log_lines, 1);
	assert_int_equal(fixture_vm.buses[IO_SPACE_PORT].count, 0);
	assert_true(list_is_empty(&fixture_vm.devices));

	fixture_no_memory = true;
	assert_int_equal(io_devices_create(&fixture_vm), STATUS_NO_MEMORY);
	assert_true(list_is_empty(&fixture_vm.devices));
}

static void test_allocation(void **state)
{
	unsigned char *largest = io_device_allocate(128 * KIB), *small = io_device_allocate(1);

	(void)state;
	assert_null(io_device_allocate(0));
	assert_null(io_device_allocate(128 * KIB + 1));
	assert_non_null(largest);
	assert_non_null(small);
	assert_int_equal(largest[128 * KIB - 1], 0);
	memset(largest, 0xff, 128 * KIB);
	*small = 1;
	io_device_free(small, 1);
	io_device_free(largest, 128 * KIB);
	io_device_free(NULL, 1);
	assert_int_equal(fixture_pages, 0);
	/* Given back already: nothing happens. */
	io_device_free(largest, 128 * KIB);
	assert_int_equal(fixture_pages, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_life, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_wanted, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_failure_leaves_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_allocation, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
