/*
 * A hostile guest at the ports of the platform's devices: reads and writes of any size, time going by, typing and showing
 * on the console's side. Nothing may crash, and time must pass in bounded work.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "arch/x86/clock.h"
#include "lib/bits.h"
#include "tests/unit/irq_fixture.h"
#include "vmm/vcpu_timer.h"
#include "vmm/wall_clock.h"

extern const struct io_device_class uart_16550_class, pit_8254_class, cmos_rtc_class, acpi_pm_class, reset_ports_class,
	i8042_class, pci_host_class, test_device_class;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_HZ 3000000000u
#define STEPS_MAX 4096u

static const struct io_device_class *const classes[] = {
	&uart_16550_class, &pit_8254_class, &cmos_rtc_class, &acpi_pm_class, &reset_ports_class, &i8042_class, &pci_host_class,
	&test_device_class,
};

static const uint16_t ports[] = {
	0x3f8, 0x3f9, 0x3fa, 0x3fb, 0x3fc, 0x3fd, 0x3fe, 0x3ff, 0x40, 0x41, 0x42, 0x43, 0x61, 0x70, 0x71, 0x600, 0x602, 0x604,
	0x606, 0x608, 0x60a, 0x92, 0x60, 0x64, 0xcf8, 0xcf9, 0xcfc, 0xcfd, 0xcfe, 0xcff, 0xf4, 0xf6,
};

void vm_stop(struct vm *vm, enum vm_stop_kind kind, uint32_t exit_code)
{
	(void)exit_code;
	if (vm != &fixture_vm || kind == VM_STOP_NONE)
		abort();
	/* Ports 0xf4: the code is odd, so that it is never taken for success. */
	if (kind == VM_STOP_EXIT && (exit_code & 1) == 0)
		abort();
}

static void expire_timers(void)
{
	uint64_t deadline = vcpu_timers_run(&fixture_vcpus[0], fake_tsc);

	/* A guest can make an interrupt due soon, but not that every moment is one. */
	for (unsigned i = 0; i < 64 && deadline < fake_tsc + FUZZ_HZ / 100; i++) {
		fake_tsc = deadline > fake_tsc ? deadline : fake_tsc + 1;
		deadline = vcpu_timers_run(&fixture_vcpus[0], fake_tsc);
	}
}

static void step(const uint8_t *operation)
{
	uint16_t port = ports[operation[1] % array_count(ports)];
	unsigned size = 1u << (operation[0] >> 6) % 3;
	uint32_t value = operation[2] | (uint32_t)operation[3] << 8 | (uint32_t)operation[3] << 24;
	uint8_t buffer[256];

	switch (operation[0] & 7) {
	case 0:
	case 1:
		guest_write(IO_SPACE_PORT, 0, port, size, value);
		break;
	case 2:
	case 3:
		if (guest_read(IO_SPACE_PORT, 0, port, size) > size_mask(size))
			abort();
		break;
	case 4:
		fake_tsc += (uint64_t)operation[2] << (operation[3] & 31);
		expire_timers();
		break;
	case 5:
		(void)vm_console_type(&fixture_vm.console, operation, 4);
		break;
	case 6:
		(void)vm_console_take(&fixture_vm.console, buffer, operation[2]);
		break;
	default:
		while (operation[2] == 0xff && vm_console_put(&fixture_vm.console, 0))
			;
		break;
	}
}

static void end_devices(struct io_device *const *devices)
{
	for (size_t i = array_count(classes); i-- > 0;) {
		fixture_text[0] = '\0';
		if (classes[i]->describe != NULL)
			classes[i]->describe(devices[i], fixture_print);
		if (classes[i]->reset != NULL)
			classes[i]->reset(devices[i]);
		if (classes[i]->destroy != NULL)
			classes[i]->destroy(devices[i]);
		io_bus_remove_device(&fixture_vm.buses[IO_SPACE_PORT], devices[i]);
		list_remove(&devices[i]->link);
		io_device_free(devices[i], 1);
	}
	if (!list_is_empty(&fixture_vcpus[0].timers) || fixture_pages != 0 || fixture_vm.buses[IO_SPACE_PORT].count != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct io_device *devices[array_count(classes)];

	fixture_start(1);
	clock_set_frequency(FUZZ_HZ);
	wall_clock_set(1700000000);
	vm_console_init(&fixture_vm.console);
	fixture_vm.memory.size = 5 * GIB;
	for (size_t i = 0; i < array_count(classes); i++) {
		devices[i] = fixture_add(classes[i]);
		if (devices[i] == NULL)
			abort();
	}
	for (size_t i = 0; i < array_count(classes); i++) {
		if (classes[i]->reset != NULL)
			classes[i]->reset(devices[i]);
	}
	for (unsigned steps = 0; size >= 4 && steps < STEPS_MAX; steps++, data += 4, size -= 4)
		step(data);
	end_devices(devices);
	return 0;
}
