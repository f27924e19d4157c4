/* vmm/dev/pci_passthrough*.c: what a guest sees of a function, what its writes do, and that hostile ones do nothing outside. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "tests/unit/passthrough_fixture.h"
#include "vmm/irq_routing.h"
#include "vmm/vcpu_posting.h"
#include "vmm/vcpu_timer.h"

#define SLOT 1u  /* of function 0 */
#define OTHER_SLOT 2u
#define LOW 0xd0000000u
#define WINDOW_HIGH 0x800000000ull
#define MEMORY PCI_COMMAND_MEMORY
#define TABLE (LOW + TABLE_OFFSET)

static uint32_t host_config(unsigned function, unsigned offset, unsigned size)
{
	return pci_config_read(functions[function].address, (uint16_t)offset, size);
}

/* ---- what is shown ---- */

static void test_header(void **state)
{
	(void)state;
	assert_int_equal(guest_config_read(SLOT, PCI_VENDOR, 4), 0x10001af4);
	assert_int_equal(guest_config_read(OTHER_SLOT, PCI_VENDOR, 4), 0x10011af4);
	assert_int_equal(guest_config_read(3, PCI_VENDOR, 4), 0xffffffff);
	assert_int_equal(guest_config_read(SLOT, PCI_REVISION, 4), 0x01080000);
	assert_int_equal(guest_config_read(SLOT, PCI_HEADER_TYPE, 1), 0);
	assert_int_equal(guest_config_read(SLOT, PCI_COMMAND, 2), 0);
	assert_int_equal(guest_config_read(SLOT, PCI_STATUS, 2), 0xf910);
	assert_int_equal(guest_config_read(SLOT, PCI_INTERRUPT_PIN, 1), 1);
	assert_int_equal(guest_config_read(SLOT, PCI_INTERRUPT_LINE, 1), PLATFORM_PCI_LINE(SLOT));
	guest_config_write(SLOT, PCI_VENDOR, 4, 0);
	guest_config_write(SLOT, PCI_REVISION, 4, 0);
	guest_config_write(SLOT, PCI_INTERRUPT_PIN, 1, 4);
	guest_config_write(SLOT, PCI_CAPABILITIES, 1, 0);
	assert_int_equal(guest_config_read(SLOT, PCI_VENDOR, 4), 0x10001af4);
	assert_int_equal(guest_config_read(SLOT, PCI_INTERRUPT_PIN, 1), 1);
	assert_int_equal(guest_config_read(SLOT, PCI_CAPABILITIES, 1), POWER);
	/* Errors are cleared by writing 1, in the function and one by one. */
	guest_config_write(SLOT, PCI_STATUS, 2, 0x8000);
	assert_int_equal(guest_config_read(SLOT, PCI_STATUS, 2), 0x7910);
}

/* Known ones in a list of their own; the vital product data that nobody filters is not in it. */
static void test_capabilities(void **state)
{
	static const uint8_t ids[] = {1, 5, 0x11, 0x10};
	unsigned offset = guest_config_read(SLOT, PCI_CAPABILITIES, 1);

	(void)state;
	for (unsigned i = 0; i < array_count(ids); i++) {
		assert_int_equal(guest_config_read(SLOT, offset, 1), ids[i]);
		offset = guest_config_read(SLOT, offset + 1, 1);
	}
	assert_int_equal(offset, 0);
	assert_int_equal(guest_config_read(SLOT, HIDDEN, 4), 0);
	/* Without events and with states that have no effect. */
	assert_int_equal(guest_config_read(SLOT, POWER + 2, 2), 0xffc3 & 0x27);
	guest_config_write(SLOT, POWER + 4, 2, 0xffff);
	assert_int_equal(guest_config_read(SLOT, POWER + 4, 2), 3 | 8);
	assert_int_equal(host_config(0, POWER + 4, 2), 0);
	/* One message of MSI, 64 bits, masks. */
	assert_int_equal(guest_config_read(SLOT, MSI + 2, 2), 0x0180);
	assert_int_equal(guest_config_read(SLOT, MSIX + 2, 2), MESSAGES - 1);
	assert_int_equal(guest_config_read(SLOT, MSIX + 4, 4), TABLE_OFFSET);
	/* An endpoint of the root complex that guests cannot reset. */
	assert_int_equal(guest_config_read(SLOT, EXPRESS + 2, 2), 0x0092);
	assert_int_equal(guest_config_read(SLOT, EXPRESS + 4, 4), 0x00008fc1);
	guest_config_write(SLOT, EXPRESS + 8, 2, 0xffff);
	assert_int_equal(host_config(0, EXPRESS + 8, 2), 0x7910);
	assert_int_equal(guest_config_read(OTHER_SLOT, PCI_STATUS, 2) & PCI_STATUS_CAPABILITIES, 0);
}

static void test_no_write_reaches_what_it_must_not(void **state)
{
	static uint8_t before[256];
	uint32_t random = 99;

	(void)state;
	memcpy(before, spaces[0], sizeof(before));
	for (unsigned round = 0; round < 20000; round++) {
		unsigned size = 1u << (random >> 8 & 1 ? 2 : random >> 9 & 1);
		unsigned offset = (random >> 16 & 0xff) & ~(size - 1);

		random = random * 1664525 + 1013904223;
		guest_config_write(SLOT, offset, size, random);
		(void)guest_config_read(SLOT, offset, size);
	}
	assert_memory_equal(&spaces[0][PCI_VENDOR], &before[PCI_VENDOR], 4);
	assert_memory_equal(&spaces[0][PCI_REVISION], &before[PCI_REVISION], PCI_ROM - PCI_REVISION);
	assert_memory_equal(&spaces[0][PCI_CAPABILITIES], &before[PCI_CAPABILITIES], MSI - PCI_CAPABILITIES);
	assert_memory_equal(&spaces[0][HIDDEN], &before[HIDDEN], 256 - HIDDEN);
	/* Decoding stays as the hypervisor wants it, and messages lead where it said. */
	assert_int_equal(host_config(0, PCI_COMMAND, 2) & 3, 3);
	assert_int_equal(host_config(0, PCI_COMMAND, 2) & 0x140, 0);
	assert_true(host_config(0, MSI + 4, 4) == 0 || host_config(0, MSI + 4, 4) >> 20 == 0xfee);
	assert_int_equal(host_config(0, MSI + 2, 2) & 0x70, 0);
	assert_int_equal(host_config(0, EXPRESS + 8, 2) & 0x8000, 0);
}

/* ---- registers ---- */

static void test_sizes(void **state)
{
	static const struct { unsigned offset; uint32_t reset, ones; } rows[] = {
		{0x10, 0, 0xffffc000}, {0x14, 0, 0xffffff00}, {0x18, 0xc, 0xffe0000c}, {0x1c, 0, 0xffffffff}, {0x20, 1, 0xffffffe1},
		{0x24, 0, 0}, {0x30, 0, 0xffff0001},
	};

	(void)state;
	for (unsigned i = 0; i < array_count(rows); i++) {
		assert_int_equal(guest_config_read(SLOT, rows[i].offset, 4), rows[i].reset);
		guest_config_write(SLOT, rows[i].offset, 4, 0xffffffff);
		assert_int_equal(guest_config_read(SLOT, rows[i].offset, 4), rows[i].ones);
		guest_config_write(SLOT, rows[i].offset, 4, 0);
		assert_int_equal(guest_config_read(SLOT, rows[i].offset, 4), rows[i].reset);
	}
	assert_int_equal(host_config(0, 0x10, 4), 0);
}

static void open_low(void)
{
	guest_config_write(SLOT, 0x10, 4, LOW);
	guest_config_write(SLOT, PCI_COMMAND, 2, MEMORY);
}

static void test_mapped_where_the_guest_wants(void **state)
{
	(void)state;
	guest_config_write(SLOT, 0x10, 4, LOW);
	assert_int_equal(guest_sees(LOW), 0);
	guest_config_write(SLOT, PCI_COMMAND, 2, MEMORY);
	assert_int_equal(guest_sees(LOW), REGISTERS);
	assert_int_equal(guest_sees(LOW + 0x1fff), REGISTERS + 0x1fff);
	assert_int_equal(guest_sees(TABLE), 0); /* never */
	assert_int_equal(guest_sees(LOW + 0x3000), REGISTERS + 0x3000);
	/* It moves as a whole. */
	guest_config_write(SLOT, 0x10, 4, LOW + 0x100000);
	assert_int_equal(guest_sees(LOW), 0);
	assert_int_equal(guest_sees(LOW + 0x103000), REGISTERS + 0x3000);
	/* Above RAM, half by half. */
	guest_config_write(SLOT, 0x18, 4, 0x400000);
	guest_config_write(SLOT, 0x1c, 4, (uint32_t)(WINDOW_HIGH >> 32));
	assert_int_equal(guest_sees(WINDOW_HIGH + 0x400000 + 0x12345), WIDE + 0x12345);
	guest_config_write(SLOT, PCI_COMMAND, 2, 0);
	assert_int_equal(guest_sees(WINDOW_HIGH + 0x400000), 0);
	assert_int_equal(guest_sees(LOW + 0x100000), 0);
	/* Translations that were cached are forgotten. */
	assert_true(fixture_vm->stop_kind == VM_STOP_NONE);
}

static void test_rom(void **state)
{
	struct page_table_leaf leaf;

	(void)state;
	guest_config_write(SLOT, PCI_COMMAND, 2, MEMORY);
	guest_config_write(SLOT, PCI_ROM, 4, LOW);
	assert_int_equal(guest_sees(LOW), 0);
	guest_config_write(SLOT, PCI_ROM, 4, LOW | 1);
	assert_int_equal(guest_sees(LOW), ROM);
	assert_int_equal(host_config(0, PCI_ROM, 4) & 1, 1);
	assert_int_equal(page_table_lookup(&fixture_vm->memory.nested, LOW, &leaf), STATUS_OK);
	assert_int_equal(leaf.attributes & PAGE_RWX, PAGE_READ);
	guest_config_write(SLOT, PCI_ROM, 4, LOW);
	assert_int_equal(guest_sees(LOW), 0);
	assert_int_equal(host_config(0, PCI_ROM, 4) & 1, 0);
}

/* Over RAM, APICs, each other, out of all windows: it is shown nowhere, and what was there stays. */
static void test_misplaced(void **state)
{
	static const uint64_t places[] = {0, 0x100000, 0x200000, 3 * MIB, 0xa0000, 0xfec00000, 0xfee00000, 0xfff00000, 0xfebfe000, 0xbfffc000};
	uint64_t ram = guest_sees(0x100000);

	(void)state;
	guest_config_write(SLOT, PCI_COMMAND, 2, MEMORY);
	for (unsigned i = 0; i < array_count(places); i++) {
		uint64_t was = guest_sees(align_down(places[i], PAGE_SIZE));

		guest_config_write(SLOT, 0x10, 4, (uint32_t)places[i]);
		assert_int_equal(guest_sees(align_down(places[i], PAGE_SIZE)), was);
		guest_config_write(SLOT, 0x18, 4, (uint32_t)places[i]);
		assert_int_equal(guest_sees(align_down(places[i], PAGE_SIZE)), was);
	}
	guest_config_write(SLOT, 0x1c, 4, 0xffffffff);
	assert_int_equal(guest_sees(0x100000), ram);
	/* Who is there first stays: another function's, and the trapped page of the same one. */
	open_low();
	guest_config_write(OTHER_SLOT, 0x10, 4, TABLE);
	guest_config_write(OTHER_SLOT, PCI_COMMAND, 2, MEMORY);
	assert_int_equal(guest_sees(TABLE), 0);
	guest_config_write(OTHER_SLOT, 0x10, 4, LOW);
	assert_int_equal(guest_sees(LOW), REGISTERS);
	guest_config_write(SLOT, 0x18, 4, LOW);
	guest_config_write(SLOT, 0x1c, 4, 0);
	assert_int_equal(guest_sees(LOW), REGISTERS);
	/* A place that was given up can be had. */
	guest_config_write(SLOT, PCI_COMMAND, 2, 0);
	guest_config_write(OTHER_SLOT, PCI_COMMAND, 2, 0);
	guest_config_write(OTHER_SLOT, PCI_COMMAND, 2, MEMORY);
	assert_int_equal(guest_sees(LOW), OTHER);
}

/* What shares its page with somebody else's is never mapped, but works. */
static void test_small_registers(void **state)
{
	(void)state;
	guest_config_write(SLOT, 0x14, 4, LOW + 0x300);
	guest_config_write(SLOT, PCI_COMMAND, 2, MEMORY);
	assert_int_equal(guest_sees(LOW), 0);
	for (unsigned size = 1; size <= 8; size *= 2) {
		uint64_t value = 0x1122334455667788ull & size_mask(size);

		bus_write(IO_SPACE_MEMORY, LOW + 0x300 + 0x18, size, value);
		assert_true(bus_read(IO_SPACE_MEMORY, LOW + 0x300 + 0x18, size) == value);
	}
	assert_int_equal(host_register(SMALL + 0x18), 0x55667788);
	bus_write(IO_SPACE_MEMORY, LOW + 0x300 + 0x19, 2, 0);
	assert_int_equal(host_register(SMALL + 0x18), 0x55667788);
	bus_write(IO_SPACE_MEMORY, LOW + 0x400, 4, 0xbad);
	assert_int_equal(host_register(SMALL + 0x100), 0);
}

static uint32_t last_port, last_value;

static uint32_t read_port(void *context, uint16_t port, unsigned size)
{
	(void)context;
	last_port = port;
	return 0xabcdef01 & (uint32_t)size_mask(size);
}

static void write_port(void *context, uint16_t port, unsigned size, uint32_t value)
{
	(void)context, (void)size;
	last_port = port;
	last_value = value;
}

static void test_ports(void **state)
{
	const struct fake_port_device device = {PORTS, 32, read_port, write_port, NULL};

	(void)state;
	fake_port_add(&device);
	guest_config_write(SLOT, 0x20, 4, 0x1080);
	assert_int_equal(bus_read(IO_SPACE_PORT, 0x1084, 4), 0xffffffff);
	guest_config_write(SLOT, PCI_COMMAND, 2, PCI_COMMAND_PORTS);
	assert_int_equal(bus_read(IO_SPACE_PORT, 0x1084, 4), 0xabcdef01);
	assert_int_equal(last_port, PORTS + 4);
	bus_write(IO_SPACE_PORT, 0x109f, 1, 0x42);
	assert_true(last_port == PORTS + 31 && last_value == 0x42);
	/* Over a model's ports: those stay. */
	guest_config_write(SLOT, 0x20, 4, 0x3e0);
	last_port = 0;
	(void)bus_read(IO_SPACE_PORT, 0x3fd, 1);
	(void)bus_read(IO_SPACE_PORT, 0x1084, 4);
	assert_int_equal(last_port, 0);
	guest_config_write(SLOT, 0x20, 4, 0x10000);
	(void)bus_read(IO_SPACE_PORT, 0, 4);
	assert_int_equal(last_port, 0);
}

/* ---- bus mastering ---- */

static void test_bus_master(void **state)
{
	(void)state;
	assert_int_equal(host_config(0, PCI_COMMAND, 2) & PCI_COMMAND_BUS_MASTER, 0);
	guest_config_write(SLOT, PCI_COMMAND, 2, PCI_COMMAND_BUS_MASTER);
	assert_int_equal(host_config(0, PCI_COMMAND, 2) & PCI_COMMAND_BUS_MASTER, PCI_COMMAND_BUS_MASTER);
	guest_config_write(SLOT, PCI_COMMAND, 1, 0);
	assert_int_equal(host_config(0, PCI_COMMAND, 2) & PCI_COMMAND_BUS_MASTER, 0);
	/* Cut off: the guest sees that it does not come on. */
	bus_master_denied = true;
	guest_config_write(SLOT, PCI_COMMAND, 2, 0xffff);
	assert_int_equal(guest_config_read(SLOT, PCI_COMMAND, 2), 0x0543);
	assert_int_equal(host_config(0, PCI_COMMAND, 2) & PCI_COMMAND_BUS_MASTER, 0);
}

/* ---- messages ---- */

static unsigned messages;
static struct irq_message last_message;

static enum status take_message(struct io_device *device, const struct irq_message *message)
{
	(void)device;
	messages++;
	last_message = *message;
	return STATUS_OK;
}

/* In the place of the local APICs. */
static void watch_messages(void)
{
	static struct irq_local_controller watcher;

	watcher = *fixture_vm->irq.local;
	watcher.deliver = take_message;
	fixture_vm->irq.local = &watcher;
	messages = 0;
}

static uint8_t vector_of(uint32_t remapped_address)
{
	return entry_vectors[(remapped_address - 0xfee00010u) / 32];
}

static void enable_msi(uint32_t address, uint16_t data)
{
	guest_config_write(SLOT, MSI + 4, 4, address);
	guest_config_write(SLOT, MSI + 8, 4, 0);
	guest_config_write(SLOT, MSI + 12, 2, data);
	guest_config_write(SLOT, MSI + 2, 2, 0x71); /* and eight messages, which it does not have */
}

static void test_msi(void **state)
{
	uint8_t vector;

	(void)state;
	watch_messages();
	enable_msi(0xfee00000, 0x4055);
	assert_int_equal(guest_config_read(SLOT, MSI + 2, 2), 0x0181);
	assert_int_equal(guest_config_read(SLOT, MSI + 4, 4), 0xfee00000);
	/* The function has another message than the guest wrote. */
	assert_int_equal(entries_used, 1);
	assert_int_equal(host_config(0, MSI + 4, 4) & 0x10, 0x10);
	assert_int_not_equal(host_config(0, MSI + 12, 2), 0x4055);
	assert_int_equal(host_config(0, MSI + 2, 2) & 0x71, 1);
	vector = vector_of(host_config(0, MSI + 4, 4));
	interrupt_dispatch(vector);
	assert_int_equal(messages, 1);
	assert_true(last_message.vector == 0x55 && last_message.destination == 0 && !last_message.logical);
	/* Another message: the function's own stays. */
	guest_config_write(SLOT, MSI + 12, 2, 0x66);
	interrupt_dispatch(vector);
	assert_int_equal(last_message.vector, 0x66);
	guest_config_write(SLOT, MSI + 16, 4, 1);
	assert_int_equal(host_config(0, MSI + 16, 4), 0xffffffff);
	guest_config_write(SLOT, MSI + 16, 4, 0);
	assert_int_equal(host_config(0, MSI + 16, 4), 0xfffffffe);
	guest_config_write(SLOT, MSI + 2, 2, 0);
	assert_int_equal(entries_used, 0);
	assert_int_equal(host_config(0, MSI + 2, 2) & 1, 0);
	interrupt_dispatch(vector);
	assert_int_equal(messages, 2);
}

/* An address that is no message's stays without effect wherever it points. */
static void test_hostile_msi(void **state)
{
	static const uint32_t addresses[] = {0, 0x100000, 0xfec00000, 0xfed00000, 0xfef00000};

	(void)state;
	watch_messages();
	for (unsigned i = 0; i < array_count(addresses); i++) {
		enable_msi(addresses[i], 0x30);
		assert_int_equal(host_config(0, MSI + 4, 4) >> 20, 0xfee);
		interrupt_dispatch(vector_of(host_config(0, MSI + 4, 4)));
		assert_int_equal(messages, 0);
	}
	enable_msi(0xfeeff000, 0x30);
	guest_config_write(SLOT, MSI + 8, 4, 1);
	interrupt_dispatch(vector_of(host_config(0, MSI + 4, 4)));
	assert_int_equal(messages, 0);
	/* No way left: the function stays silent. */
	guest_config_write(SLOT, MSI + 2, 2, 0);
	entry_status = STATUS_NO_MEMORY;
	enable_msi(0xfee00000, 0x30);
	assert_int_equal(host_config(0, MSI + 2, 2) & 1, 0);
	assert_true(fixture_logged("no interrupt for a message"));
}

static void write_entry(unsigned index, uint64_t address, uint32_t data, uint32_t control)
{
	bus_write(IO_SPACE_MEMORY, TABLE + 16 * index, 8, address);
	bus_write(IO_SPACE_MEMORY, TABLE + 16 * index + 8, 4, data);
	bus_write(IO_SPACE_MEMORY, TABLE + 16 * index + 12, 4, control);
}

static uint32_t host_entry(unsigned index, unsigned offset)
{
	return host_register(REGISTERS + TABLE_OFFSET + 16 * index + offset);
}

static void test_msix(void **state)
{
	uint8_t vector;

	(void)state;
	watch_messages();
	open_low();
	assert_int_equal(bus_read(IO_SPACE_MEMORY, TABLE + 12, 4), 1);
	write_entry(1, 0xfee00000, 0x77, 0);
	assert_int_equal(bus_read(IO_SPACE_MEMORY, TABLE + 16, 8), 0xfee00000);
	assert_int_equal(bus_read(IO_SPACE_MEMORY, TABLE + 24, 8), 0x77);
	assert_int_equal(entries_used, 0);
	guest_config_write(SLOT, MSIX + 2, 2, 0x8000);
	assert_int_equal(host_config(0, MSIX + 2, 2) & 0xc000, 0x8000);
	assert_int_equal(entries_used, 1);
	for (unsigned i = 0; i < MESSAGES; i++)
		assert_int_equal(host_entry(i, 12), i != 1);
	assert_int_equal(host_entry(1, 0) >> 20, 0xfee);
	assert_true((host_entry(1, 0) & 0x10) != 0 && host_entry(1, 8) != 0x77);
	vector = vector_of(host_entry(1, 0));
	interrupt_dispatch(vector);
	assert_true(messages == 1 && last_message.vector == 0x77);
	/* The others while it is on; masked ones have no way. */
	write_entry(2, 0xfee00000, 0x78, 0);
	assert_int_equal(entries_used, 2);
	interrupt_dispatch(vector_of(host_entry(2, 0)));
	assert_int_equal(last_message.vector, 0x78);
	bus_write(IO_SPACE_MEMORY, TABLE + 28, 4, 1);
	assert_int_equal(host_entry(1, 12), 1);
	bus_write(IO_SPACE_MEMORY, TABLE + 28, 4, 0xfffffffe);
	assert_int_equal(host_entry(1, 12), 0);
	guest_config_write(SLOT, MSIX + 2, 2, 0xc000);
	assert_int_equal(host_entry(1, 12), 1);
	guest_config_write(SLOT, MSIX + 2, 2, 0);
	assert_int_equal(entries_used, 0);
	assert_int_equal(host_config(0, MSIX + 2, 2) & 0x8000, 0);
}

static char report[8192];

static void print_report(const char *format, ...)
{
	size_t length = strlen(report);
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(report + length, sizeof(report) - length, format, arguments);
	va_end(arguments);
}

static void describe_all(void)
{
	list_for_each(link, &fixture_vm->devices) {
		struct io_device *device = list_entry(link, struct io_device, link);

		if (device->class == &pci_passthrough_class)
			device->class->describe(device, print_report);
	}
}

/* ---- interrupts without end ---- */

static struct vm *neighbour; /* never looked into */
static struct vcpu disturbed;
static struct vm_exit its_exit;

/* @vector comes while the neighbour runs, which costs it so many ticks. */
static void disturb(uint8_t vector, uint64_t ticks)
{
	disturbed = (struct vcpu){.vm = (struct vm *)&neighbour, .state = VCPU_RUNNING, .virt.exit = &its_exit};
	its_exit.time = fake_tsc - ticks;
	pcpu_current()->current_vcpu = &disturbed;
	interrupt_dispatch(vector);
	pcpu_current()->current_vcpu = fixture_vcpu;
}

static void window_ends(void)
{
	fake_tsc += 20000000; /* 10 ms */
	spinlock_lock(&fixture_vm->device_lock);
	vcpu_timers_run(fixture_vcpu, fake_tsc);
	spinlock_unlock(&fixture_vm->device_lock);
}

static void test_held_back(void **state)
{
	uint8_t vector;

	(void)state;
	watch_messages();
	open_low();
	write_entry(1, 0xfee00000, 0x77, 0);
	guest_config_write(SLOT, MSIX + 2, 2, 0x8000);
	enable_msi(0xfee00000, 0x55);
	vector = vector_of(host_entry(1, 0));
	/* One sixteenth of 10 ms; the way back to the neighbour's guest counts too. */
	disturb(vector, 300000);
	disturb(vector, 300000);
	assert_int_equal(host_config(0, MSIX + 2, 2) & 0xc000, 0x8000);
	disturb(vector, 300000);
	assert_int_equal(messages, 3);
	assert_int_equal(host_config(0, MSIX + 2, 2) & 0xc000, 0xc000);
	assert_int_equal(host_config(0, MSI + 16, 4) & 1, 1);
	assert_true(fixture_logged("its interrupts take the time of others: held back, 1 times so far"));
	report[0] = '\0';
	describe_all();
	assert_non_null(strstr(report, ", held back 1 times\n"));
	/* The guest cannot help itself. */
	guest_config_write(SLOT, MSI + 16, 4, 0);
	write_entry(2, 0xfee00000, 0x78, 0);
	guest_config_write(SLOT, MSIX + 2, 2, 0);
	guest_config_write(SLOT, MSIX + 2, 2, 0x8000);
	assert_int_equal(host_config(0, MSIX + 2, 2) & 0xc000, 0xc000);
	assert_int_equal(host_config(0, MSI + 16, 4) & 1, 1);
	window_ends();
	assert_int_equal(host_config(0, MSIX + 2, 2) & 0xc000, 0x8000);
	assert_int_equal(host_config(0, MSI + 16, 4) & 1, 0);
	assert_int_equal(messages, 3);
}

/* While its own VM runs, or nobody, it takes nobody else's time; and a window's rest is not saved up. */
static void test_not_held_back(void **state)
{
	uint8_t vector;

	(void)state;
	watch_messages();
	enable_msi(0xfee00000, 0x55);
	vector = vector_of(host_config(0, MSI + 4, 4));
	fixture_vcpu->state = VCPU_RUNNING;
	for (unsigned i = 0; i < 100; i++) {
		fake_tsc += 100000;
		interrupt_dispatch(vector);
	}
	fixture_vcpu->state = VCPU_OFF;
	for (unsigned i = 0; i < 100; i++) {
		disturb(vector, 300000);
		fake_tsc += 20000000;
	}
	assert_int_equal(messages, 200);
	assert_false(fixture_logged("held back"));
}

/* One that cannot be masked is switched off; what it may have asked for meanwhile comes afterwards. */
static void test_held_back_without_mask(void **state)
{
	uint8_t vector;

	(void)state;
	put(0, MSI + 2, 2, 0x0086);
	virt_ops->vcpu_put(&fixture_vcpu->virt);
	fixture_destroy_vm();
	assert_int_equal(vm_create(&fixture_config, &fixture_vm), STATUS_OK);
	fixture_vcpu = fixture_vm->vcpus[0];
	virt_ops->vcpu_load(&fixture_vcpu->virt);
	watch_messages();
	enable_msi(0xfee00000, 0x55);
	vector = vector_of(host_config(0, MSI + 4, 4));
	disturb(vector, 1000000);
	assert_int_equal(messages, 1);
	assert_int_equal(host_config(0, MSI + 2, 2) & 1, 0);
	guest_config_write(SLOT, MSI + 2, 2, 0);
	guest_config_write(SLOT, MSI + 2, 2, 1);
	assert_int_equal(host_config(0, MSI + 2, 2) & 1, 0);
	window_ends();
	assert_int_equal(host_config(0, MSI + 2, 2) & 1, 1);
	assert_int_equal(messages, 2);
	/* Destroyed while it is held back: the timer goes along. */
	disturb(vector_of(host_config(0, MSI + 4, 4)), 1000000);
}

static void test_line_held_back(void **state)
{
	(void)state;
	put(0, PCI_STATUS, 2, 0x0018); /* INTx active */
	guest_config_write(SLOT, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	assert_int_equal(host_config(0, PCI_COMMAND, 2) & PCI_COMMAND_INTERRUPT_DISABLE, 0);
	disturb(ioapic_inputs[IRQ].vector, 1000000);
	assert_int_equal(host_config(0, PCI_COMMAND, 2) & PCI_COMMAND_INTERRUPT_DISABLE, PCI_COMMAND_INTERRUPT_DISABLE);
	/* The guest ends it, and plays with its switch: it stays silent. */
	irq_line_ended(fixture_vm, PLATFORM_PCI_LINE(SLOT));
	guest_config_write(SLOT, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_INTERRUPT_DISABLE);
	guest_config_write(SLOT, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	assert_int_equal(host_config(0, PCI_COMMAND, 2) & PCI_COMMAND_INTERRUPT_DISABLE, PCI_COMMAND_INTERRUPT_DISABLE);
	window_ends();
	assert_int_equal(host_config(0, PCI_COMMAND, 2) & PCI_COMMAND_INTERRUPT_DISABLE, 0);
}

/* ---- messages that the unit posts ---- */

static hpa_t descriptor_of(uint32_t remapped_address) { return entry_descriptors[(remapped_address - 0xfee00010u) / 32]; }

static int with_posting(void **state)
{
	fixture_passthrough_start(state);
	unit_posts = true;
	fixture_config.vcpus = 2;
	if (vm_create(&fixture_config, &fixture_vm) != STATUS_OK)
		abort();
	fixture_vcpu = fixture_vm->vcpus[0];
	virt_ops->vcpu_load(&fixture_vcpu->virt);
	pcpu_current()->current_vcpu = fixture_vcpu;
	bus_write(IO_SPACE_MEMORY, 0xfee000f0, 4, 0x1ff);
	return 0;
}

static int with_posting_end(void **state)
{
	fixture_config.vcpus = 1;
	return fixture_passthrough_end(state);
}

static void test_posted(void **state)
{
	(void)state;
	assert_ptr_equal(fixture_vcpu->virt.posted, fixture_vm->posting.descriptors);
	enable_msi(0xfee00000, 0x55);
	assert_int_equal(vector_of(host_config(0, MSI + 4, 4)), 0x55);
	assert_int_equal(descriptor_of(host_config(0, MSI + 4, 4)).value, vcpu_posting_descriptor(fixture_vcpu).value);
	/* Another vector, lowest priority of one, logical destination of one. */
	guest_config_write(SLOT, MSI + 12, 2, 0x166);
	assert_int_equal(vector_of(host_config(0, MSI + 4, 4)), 0x66);
	bus_write(IO_SPACE_MEMORY, 0xfee000d0, 4, 1u << 24);
	enable_msi(0xfee01004, 0x67);
	assert_int_equal(vector_of(host_config(0, MSI + 4, 4)), 0x67);
	assert_int_not_equal(descriptor_of(host_config(0, MSI + 4, 4)).value, 0);
	open_low();
	write_entry(0, 0xfee00000, 0x71, 0);
	guest_config_write(SLOT, MSIX + 2, 2, 0x8000);
	assert_int_equal(vector_of(host_entry(0, 0)), 0x71);
	assert_int_not_equal(descriptor_of(host_entry(0, 0)).value, 0);
	report[0] = '\0';
	describe_all();
	assert_non_null(strstr(report, "2 messages (2 posted)"));
	/* Masked, switched off, destroyed: nothing leads to the descriptor any more. */
	bus_write(IO_SPACE_MEMORY, TABLE + 12, 4, 1);
	assert_int_equal(host_entry(0, 12), 1);
	guest_config_write(SLOT, MSIX + 2, 2, 0);
	guest_config_write(SLOT, MSI + 2, 2, 0);
	assert_int_equal(entries_used, 0);
	for (unsigned i = 0; i < array_count(entry_descriptors); i++)
		assert_int_equal(entry_descriptors[i].value, 0);
}

/* Whatever a descriptor cannot say is delivered by software, and back. */
static void test_not_posted(void **state)
{
	static const struct { uint32_t address; uint16_t data; } rows[] = {
		{0xfee00000, 0x0430}, /* NMI */
		{0xfee00000, 0x0500}, /* INIT */
		{0xfee00000, 0xc055}, /* level-triggered */
		{0xfee00000, 0x000f}, /* no vector of a local APIC */
		{0xfeeff000, 0x0055}, /* all */
		{0xfee0f000, 0x0055}, /* none there */
		{0xfee01000, 0x0055}, /* its local APIC is off */
		{0xfee03004, 0x0055}, /* logical: none has that */
		{0x12300000, 0x0055}, /* no message */
	};

	(void)state;
	for (unsigned i = 0; i < array_count(rows); i++) {
		enable_msi(0xfee00000, 0x55);
		assert_int_not_equal(descriptor_of(host_config(0, MSI + 4, 4)).value, 0);
		enable_msi(rows[i].address, rows[i].data);
		assert_int_equal(descriptor_of(host_config(0, MSI + 4, 4)).value, 0);
		assert_true(vector_of(host_config(0, MSI + 4, 4)) >= INTERRUPT_VECTOR_DEVICES);
	}
	post_status = STATUS_UNSUPPORTED;
	enable_msi(0xfee00000, 0x55);
	assert_int_equal(descriptor_of(host_config(0, MSI + 4, 4)).value, 0);
}

/* The guest turns the local APIC off, moves logical ids: a message that was posted follows at once. */
static void test_posted_as_local_apics_are(void **state)
{
	uint32_t way;

	(void)state;
	enable_msi(0xfee00000, 0x55);
	way = host_config(0, MSI + 4, 4);
	bus_write(IO_SPACE_MEMORY, 0xfee000f0, 4, 0xff);
	assert_int_equal(descriptor_of(way).value, 0);
	bus_write(IO_SPACE_MEMORY, 0xfee000f0, 4, 0x1ff);
	assert_int_equal(descriptor_of(way).value, vcpu_posting_descriptor(fixture_vcpu).value);
	bus_write(IO_SPACE_MEMORY, 0xfee000d0, 4, 2u << 24);
	enable_msi(0xfee02004, 0x56);
	assert_int_not_equal(descriptor_of(way).value, 0);
	bus_write(IO_SPACE_MEMORY, 0xfee000d0, 4, 4u << 24);
	assert_int_equal(descriptor_of(way).value, 0);
	bus_write(IO_SPACE_MSR, MSR_APIC_BASE, 8, 0xfee00000 | APIC_BASE_BSP);
	enable_msi(0xfee00000, 0x55);
	assert_int_equal(descriptor_of(way).value, 0);
}

/* A unit that does not answer while the VM goes may still post: the memory is never used for anything else. */
static void test_unit_is_silent(void **state)
{
	(void)state;
	enable_msi(0xfee00000, 0x55);
	block_status = STATUS_TIMEOUT;
	guest_config_write(SLOT, MSI + 2, 2, 0);
	assert_true(fixture_vm->posting.lost);
	fixture_vm->posting.lost = false; /* the next test begins with an empty pool */
}

static void test_table_accesses(void **state)
{
	(void)state;
	open_low();
	*(volatile uint32_t *)physmap_pointer(hpa(REGISTERS + TABLE_OFFSET + 16 * MESSAGES)) = 0x900d;
	/* Behind the table are registers like any others, in it none of the function's. */
	assert_int_equal(bus_read(IO_SPACE_MEMORY, TABLE + 16 * MESSAGES, 4), 0x900d);
	bus_write(IO_SPACE_MEMORY, TABLE + 16 * MESSAGES + 4, 4, 5);
	assert_int_equal(host_register(REGISTERS + TABLE_OFFSET + 16 * MESSAGES + 4), 5);
	for (unsigned offset = 0; offset < 16 * MESSAGES; offset++) {
		for (unsigned size = 1; size <= 8; size *= 2) {
			bus_write(IO_SPACE_MEMORY, TABLE + offset, size, 0xffffffffffffffff);
			(void)bus_read(IO_SPACE_MEMORY, TABLE + offset, size);
		}
		assert_int_equal(host_entry(offset / 16, offset % 16 & 12), 0);
	}
	assert_int_equal(bus_read(IO_SPACE_MEMORY, TABLE, 2), 0);
	assert_int_equal(bus_read(IO_SPACE_MEMORY, TABLE, 4), 0xfffffffc);
	assert_int_equal(entries_used, 0);
	/* The capability says where the table is for ever. */
	guest_config_write(SLOT, MSIX + 4, 4, 0);
	assert_int_equal(guest_config_read(SLOT, MSIX + 4, 4), TABLE_OFFSET);
}

/* A table that does not lie where it says: the guest sees no MSI-X. */
static void test_lying_table(void **state)
{
	(void)state;
	put(0, MSIX + 4, 4, 0x3fd0);
	assert_int_equal(vm_create(&fixture_config, &fixture_vm), STATUS_OK);
	fixture_vcpu = fixture_vm->vcpus[0];
	assert_int_equal(guest_config_read(SLOT, MSIX, 1), 0);
	fixture_destroy_vm();
	put(0, MSIX + 4, 4, 7);
	assert_int_equal(vm_create(&fixture_config, &fixture_vm), STATUS_OK);
	fixture_vcpu = fixture_vm->vcpus[0];
	assert_int_equal(guest_config_read(SLOT, MSIX, 1), 0);
}

/* ---- INTx ---- */

static bool guest_line(unsigned slot) { return fixture_vm->irq.line_level[PLATFORM_PCI_LINE(slot)]; }

static void test_line(void **state)
{
	uint8_t vector = ioapic_inputs[IRQ].vector;

	(void)state;
	assert_false(ioapic_inputs[IRQ].masked);
	assert_int_equal(host_config(0, PCI_COMMAND, 2) & PCI_COMMAND_INTERRUPT_DISABLE, 0);
	/* Function 0 asks, not function 1 on the same line. */
	put(0, PCI_STATUS, 1, 0x18);
	interrupt_dispatch(vector);
	assert_true(guest_line(SLOT) && !guest_line(OTHER_SLOT));
	assert_true(host_config(0, PCI_COMMAND, 2) & PCI_COMMAND_INTERRUPT_DISABLE);
	assert_int_equal(guest_config_read(SLOT, PCI_COMMAND, 2) & PCI_COMMAND_INTERRUPT_DISABLE, 0);
	/* The end of another line's interrupt means nothing to it. */
	irq_line_ended(fixture_vm, PLATFORM_PCI_LINE(OTHER_SLOT));
	assert_true(guest_line(SLOT));
	irq_line_ended(fixture_vm, PLATFORM_PCI_LINE(SLOT));
	assert_false(guest_line(SLOT));
	assert_false(host_config(0, PCI_COMMAND, 2) & PCI_COMMAND_INTERRUPT_DISABLE);
	/* It still asks. */
	interrupt_dispatch(vector);
	assert_true(guest_line(SLOT));
	guest_config_write(SLOT, PCI_COMMAND, 2, PCI_COMMAND_INTERRUPT_DISABLE);
	assert_false(guest_line(SLOT));
	interrupt_dispatch(vector);
	assert_false(guest_line(SLOT));
	assert_true(host_config(0, PCI_COMMAND, 2) & PCI_COMMAND_INTERRUPT_DISABLE);
	guest_config_write(SLOT, PCI_COMMAND, 2, 0);
	assert_false(host_config(0, PCI_COMMAND, 2) & PCI_COMMAND_INTERRUPT_DISABLE);
}

/* ---- life ---- */

static void open_everything(void)
{
	open_low();
	guest_config_write(SLOT, 0x14, 4, LOW + 0x10000);
	guest_config_write(SLOT, 0x18, 4, LOW + 0x200000);
	guest_config_write(SLOT, 0x20, 4, 0x2000);
	guest_config_write(SLOT, PCI_ROM, 4, (LOW + 0x20000) | 1);
	guest_config_write(OTHER_SLOT, 0x10, 4, LOW + 0x40000);
	guest_config_write(OTHER_SLOT, PCI_COMMAND, 2, 7);
	guest_config_write(SLOT, PCI_COMMAND, 2, 7);
	write_entry(0, 0xfee00000, 0x41, 0);
	guest_config_write(SLOT, MSIX + 2, 2, 0x8000);
	put(0, PCI_STATUS, 1, 0x18);
	interrupt_dispatch(ioapic_inputs[IRQ].vector);
}

static void test_destroyed_in_the_midst(void **state)
{
	uint8_t message, line = ioapic_inputs[IRQ].vector;
	unsigned used;

	(void)state;
	open_everything();
	message = vector_of(host_entry(0, 0));
	assert_int_equal(guest_sees(LOW + 0x200000), WIDE);
	passthrough_quiesce(fixture_vm);
	assert_null(attached[0]);
	interrupt_dispatch(message);
	fixture_destroy_vm();
	used = pool_used;
	assert_int_equal(entries_used, 0);
	assert_int_equal(host_config(0, MSIX + 2, 2) & 0x8000, 0);
	assert_int_equal(host_config(0, PCI_COMMAND, 2) & PCI_COMMAND_BUS_MASTER, 0);
	assert_int_equal(host_config(0, PCI_ROM, 4) & 1, 0);
	assert_true(ioapic_inputs[IRQ].masked);
	/* What was on its way comes to nobody. */
	interrupt_dispatch(message);
	interrupt_dispatch(line);
	/* And another VM can have it all, and starts with nothing. */
	assert_int_equal(vm_create(&fixture_config, &fixture_vm), STATUS_OK);
	fixture_vcpu = fixture_vm->vcpus[0];
	assert_int_equal(guest_config_read(SLOT, 0x10, 4), 0);
	assert_int_equal(guest_sees(LOW), 0);
	fixture_destroy_vm();
	assert_int_equal(pool_used, used);
}

static void test_restarted_vm(void **state)
{
	(void)state;
	open_everything();
	passthrough_quiesce(fixture_vm);
	assert_int_equal(vm_reset(fixture_vm), STATUS_OK);
	fixture_vcpu = fixture_vm->vcpus[0];
	assert_int_equal(guest_sees(LOW), 0);
	assert_int_equal(guest_config_read(SLOT, PCI_COMMAND, 2), 0);
	assert_int_equal(host_config(0, PCI_COMMAND, 2) & PCI_COMMAND_BUS_MASTER, 0);
	assert_int_equal(resets[0], 3); /* given, stopped, given again */
	assert_true(guest_sees(0x100000) != 0);
	open_everything();
	assert_int_equal(guest_sees(LOW), REGISTERS);
}

static void test_describe(void **state)
{
	(void)state;
	open_everything();
	report[0] = '\0';
	describe_all();
	assert_string_equal(report, "PCI 00:01.0 is 0000:03:00.0 of this machine: memory, bus master, 1 messages, INTx at line 17\n"
				    "PCI 00:02.0 is 0000:03:01.0 of this machine: memory, bus master, 0 messages, INTx at line 18\n");
}

#define WITH_POSTING(test) cmocka_unit_test_setup_teardown(test, with_posting, with_posting_end)
#define WITH_VM(test) cmocka_unit_test_setup_teardown(test, fixture_passthrough_vm, fixture_passthrough_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_VM(test_header), WITH_VM(test_capabilities), WITH_VM(test_no_write_reaches_what_it_must_not), WITH_VM(test_sizes),
		WITH_VM(test_mapped_where_the_guest_wants), WITH_VM(test_rom), WITH_VM(test_misplaced), WITH_VM(test_small_registers),
		WITH_VM(test_ports), WITH_VM(test_bus_master), WITH_VM(test_msi), WITH_VM(test_hostile_msi), WITH_VM(test_msix),
		WITH_VM(test_table_accesses), WITH_VM(test_line), WITH_VM(test_destroyed_in_the_midst), WITH_VM(test_restarted_vm),
		WITH_VM(test_describe),
		WITH_VM(test_held_back), WITH_VM(test_not_held_back), WITH_VM(test_held_back_without_mask), WITH_VM(test_line_held_back),
		WITH_POSTING(test_posted), WITH_POSTING(test_not_posted), WITH_POSTING(test_posted_as_local_apics_are),
		WITH_POSTING(test_unit_is_silent),
		cmocka_unit_test_setup_teardown(test_lying_table, fixture_passthrough_start, fixture_passthrough_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
