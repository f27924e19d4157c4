/*
 * A hostile guest with passed-through functions: configuration space, registers, MSI-X tables and interrupts in any order. What its
 * vCPUs reach and what its devices reach stay the same, RAM stays RAM, the functions' own tables are never shown, and what the
 * machine's decoding and messages are is never the guest's choice. The unit posts interrupts, or refuses to; interrupts disturb a
 * neighbour, so that functions are held back and released.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define assert_true(condition) ((condition) ? (void)0 : abort())
#define assert_false(condition) assert_true(!(condition))
#define assert_null(pointer) assert_true((pointer) == NULL)
#define assert_ptr_equal(first, second) assert_true((first) == (second))
#define assert_int_equal(first, second) assert_true((first) == (second))

#include "arch/x86/mm/page_table_walk.h"
#include "tests/unit/passthrough_fixture.h"
#include "vmm/vcpu_posting.h"
#include "vmm/vcpu_timer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define STEPS_MAX 512u
#define STEP_SIZE 6u

/* Where things happen when something is there: windows' begins and ends, RAM, APICs. */
static const uint32_t bases[] = {
	0xd0000000, 0xd0004000, 0xd0100000, 0xd0200000, 0xfebffc00, 0xfec00000, 0xfee00000, 0xbffff000, 0x00100000, 0x00003e00, 0x1080, 8, 0,
	0xffffffff, 0xc0000000, 0xfe000000,
};

static uint64_t ram_before;

static uint32_t read_port(void *context, uint16_t port, unsigned size)
{
	(void)context, (void)port, (void)size;
	return 0;
}

static void write_port(void *context, uint16_t port, unsigned size, uint32_t value)
{
	(void)context, (void)port, (void)size, (void)value;
}

static void start(void)
{
	static const struct fake_port_device ports = {PORTS, 32, read_port, write_port, NULL};
	static bool started;

	if (!started) {
		fixture_passthrough_start(NULL);
		unit_posts = true;
		assert_true(vm_create(&fixture_config, &fixture_vm) == STATUS_OK);
		fixture_vcpu = fixture_vm->vcpus[0];
		virt_ops->vcpu_load(&fixture_vcpu->virt);
		fake_port_add(&ports);
		ram_before = guest_sees(0x200000);
	}
	started = true;
	list_for_each(link, &fixture_vm->devices) {
		struct io_device *device = list_entry(link, struct io_device, link);

		if (device->class == &pci_passthrough_class)
			device->class->reset(device);
	}
	events[0] = '\0';
}

/* Device vectors come while a neighbour runs, now and then; time passes, and the guest's timers with it. */
static void disturb(uint8_t vector)
{
	static struct vm_exit exit;
	static struct vcpu neighbour = {.state = VCPU_RUNNING, .virt.exit = &exit};

	exit.time = fake_tsc - 1000000;
	pcpu_current()->current_vcpu = &neighbour;
	interrupt_dispatch(vector);
	pcpu_current()->current_vcpu = fixture_vcpu;
}

static void pass_time(void)
{
	fake_tsc += 20000000;
	spinlock_lock(&fixture_vm->device_lock);
	vcpu_timers_run(fixture_vcpu, fake_tsc);
	spinlock_unlock(&fixture_vm->device_lock);
}

static void interrupt(uint8_t choice)
{
	uint8_t vector = (uint8_t)(INTERRUPT_VECTOR_DEVICES + choice % (INTERRUPT_VECTOR_DEVICES_END - INTERRUPT_VECTOR_DEVICES));

	switch (choice & 3) {
	case 0:
		put(choice >> 2 & 1, PCI_STATUS, 1, 0x18);
		interrupt_dispatch(ioapic_inputs[IRQ].vector);
		break;
	case 1:
		irq_line_ended(fixture_vm, 16 + (choice >> 2) % 8);
		break;
	case 2:
		disturb(vector);
		break;
	default:
		post_status = choice & 4 ? STATUS_UNSUPPORTED : STATUS_OK;
		interrupt_dispatch(vector);
		pass_time();
		break;
	}
}

/* kind and slot, offset, value: four bytes, or one that chooses a base. */
static void step(const uint8_t *operation)
{
	unsigned slot = 1 + (operation[0] >> 2 & 1), size = 1u << (operation[0] >> 3 & 3);
	uint32_t value = operation[0] & 0x20 ? bases[operation[2] % array_count(bases)] | operation[3]
					     : operation[2] | (uint32_t)operation[3] << 8 | (uint32_t)operation[4] << 16 | (uint32_t)operation[5] << 24;
	uint64_t address = bases[operation[2] % array_count(bases)] + (uint64_t)operation[3] * 64 + operation[4];

	events[0] = '\0';
	switch (operation[0] & 3) {
	case 0:
		size = size > 4 ? 4 : size;
		guest_config_write(slot, operation[1] & ~(size - 1), size, value);
		(void)guest_config_read(slot, operation[1] & ~(size - 1), size);
		break;
	case 1:
		bus_write(IO_SPACE_MEMORY, address, size, value * 0x100000001ull);
		(void)bus_read(IO_SPACE_MEMORY, address, size);
		break;
	case 2:
		interrupt(operation[1]);
		break;
	default: /* what gets a guest somewhere: the table where it is likely to be */
		bus_write(IO_SPACE_MEMORY, 0xd0000000u + TABLE_OFFSET + operation[1] % (16 * MESSAGES), size, value);
		break;
	}
}

static void check_tables(const struct page_table *from, const struct page_table *to)
{
	struct page_table_leaf leaf, other;

	for (uint64_t input = 4 * MIB; page_table_next(from, &input, &leaf); input += PAGE_SIZE) {
		if (input == VIRT_APIC_BASE)
			continue;
		assert_true(page_table_lookup(to, input, &other) == STATUS_OK && other.output.value == leaf.output.value);
		assert_true(leaf.output.value != REGISTERS + TABLE_OFFSET && leaf.output.value != align_down(SMALL, PAGE_SIZE));
	}
}

static void check(void)
{
	check_tables(&fixture_vm->memory.nested, &domain.table);
	check_tables(&domain.table, &fixture_vm->memory.nested);
	assert_true(guest_sees(0x200000) == ram_before);
	for (unsigned i = 0; i < 2; i++) {
		assert_true((pci_config_read(functions[i].address, PCI_COMMAND, 2) & 0x143) == 3);
		assert_true(pci_config_read(functions[i].address, PCI_BARS, 4) == 0);
	}
	if (pci_config_read(functions[0].address, MSI + 2, 2) & 1)
		assert_true((pci_config_read(functions[0].address, MSI + 4, 4) & 0xfff00010) == 0xfee00010);
	for (unsigned i = 0; i < array_count(entry_descriptors); i++)
		assert_true(entry_descriptors[i].value == 0 || vcpu_posting_holds(fixture_vm, entry_descriptors[i]));
	for (unsigned i = 0; i < MESSAGES; i++)
		if ((host_register(REGISTERS + TABLE_OFFSET + 16 * i + 12) & 1) == 0 && (pci_config_read(functions[0].address, MSIX + 2, 2) & 0x8000))
			assert_true((host_register(REGISTERS + TABLE_OFFSET + 16 * i) & 0xfff00010) == 0xfee00010);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	start();
	for (size_t i = 0; i + STEP_SIZE <= size && i < STEPS_MAX * STEP_SIZE; i += STEP_SIZE)
		step(data + i);
	check();
	return 0;
}
