/* irq_fixture.h, with a pin controller that notes what the platform's devices do to their lines, and time that moves. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "arch/x86/clock.h"
#include "tests/unit/irq_fixture.h"
#include "vmm/vcpu_timer.h"

#define FIXTURE_HZ 2000000000u /* of the TSC */

static unsigned fixture_rises[IRQ_LINE_COUNT];
static enum vm_stop_kind fixture_stop;
static uint32_t fixture_exit_code;

void vm_stop(struct vm *vm, enum vm_stop_kind kind, uint32_t exit_code)
{
	assert_ptr_equal(vm, &fixture_vm);
	if (fixture_stop != VM_STOP_NONE)
		return;
	fixture_stop = kind;
	fixture_exit_code = exit_code;
}

static inline void fixture_set_pin(struct io_device *device, unsigned line, bool level)
{
	static bool levels[IRQ_LINE_COUNT];

	(void)device;
	if (level && !levels[line])
		fixture_rises[line]++;
	levels[line] = level;
}

/* A VM with one device, after its reset. */
static inline struct io_device *platform_start(const struct io_device_class *class)
{
	static const struct irq_pin_controller controller = {.set_pin = fixture_set_pin};
	struct io_device *device;

	fixture_start(1);
	for (unsigned line = 0; line < IRQ_LINE_COUNT; line++)
		fixture_set_pin(NULL, line, false);
	memset(fixture_rises, 0, sizeof(fixture_rises));
	fixture_stop = VM_STOP_NONE;
	clock_set_frequency(FIXTURE_HZ);
	vm_console_init(&fixture_vm.console);
	assert_int_equal(irq_routing_add_pins(&fixture_vm, &controller, NULL), STATUS_OK);
	device = fixture_add(class);
	assert_non_null(device);
	if (class->reset != NULL)
		class->reset(device);
	return device;
}

static inline void platform_end(struct io_device *device)
{
	list_remove(&device->link);
	if (device->class->destroy != NULL)
		device->class->destroy(device);
	assert_true(list_is_empty(&fixture_vcpus[0].timers));
	for (unsigned space = 0; space < IO_SPACE_COUNT; space++)
		io_bus_remove_device(&fixture_vm.buses[space], device);
	assert_int_equal(fixture_vm.buses[IO_SPACE_PORT].count, 0);
	io_device_free(device, 1);
	assert_int_equal(fixture_pages, 0);
}

static inline void out8(uint16_t port, uint8_t value) { guest_out8(port, value); }
static inline uint8_t in8(uint16_t port) { return guest_in8(port); }
static inline bool line_level(unsigned line) { return fixture_vm.irq.line_level[line]; }

/* Lets @ticks of the TSC go by, in which timers expire when they are due. */
static inline void platform_pass_ticks(uint64_t ticks)
{
	uint64_t end = fake_tsc + ticks, next;

	while ((next = vcpu_timers_run(&fixture_vcpus[0], fake_tsc)) <= end)
		fake_tsc = next > fake_tsc ? next : fake_tsc + 1;
	fake_tsc = end;
	(void)vcpu_timers_run(&fixture_vcpus[0], fake_tsc);
}

static inline void platform_pass_microseconds(uint64_t microseconds)
{
	platform_pass_ticks(microseconds * (FIXTURE_HZ / 1000000));
}
