/* Any sequence of register accesses, line changes and ends of interrupts: no crash, a level-triggered interrupt is never
 * sent twice without an end, and a pin that may interrupt is not left waiting. */
#include "lib/bits.h"
#include "tests/unit/irq_fixture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

extern const struct io_device_class io_apic_class;

#define BASE 0xfec00000u
#define STEP_SIZE 6u
#define PINS 24u

static bool accepts;

static void require(bool condition)
{
	if (!condition)
		abort();
}

static enum status deliver(struct io_device *device, const struct irq_message *message)
{
	(void)device;
	require(message->destination <= 0xff && message->delivery_mode <= 7);
	return accepts ? STATUS_OK : STATUS_NOT_FOUND;
}

static const struct irq_local_controller local = {.deliver = deliver};

static uint64_t read_entry(unsigned pin)
{
	uint64_t entry;

	guest_write32(BASE, 0x10 + 2 * pin);
	entry = guest_read32(BASE + 0x10);
	guest_write32(BASE, 0x11 + 2 * pin);
	return entry | (uint64_t)guest_read32(BASE + 0x10) << 32;
}

static void check(const bool lines[PINS])
{
	uint32_t select = guest_read32(BASE);

	for (unsigned pin = 0; pin < PINS; pin++) {
		uint64_t entry = read_entry(pin);
		bool level = entry & BIT(15), waits = entry & BIT(14), masked = entry & BIT(16);

		require(!waits || level);
		require(!accepts || !level || masked || waits || !lines[pin]);
		require((entry & (BITS(55, 17) | BIT(12))) == 0);
	}
	guest_write32(BASE, select);
}

static void step(const uint8_t *bytes, bool lines[PINS])
{
	static const unsigned sizes[] = {1, 2, 4, 8};
	unsigned line = bytes[1] % PINS, width = sizes[bytes[0] >> 3 & 3];
	uint32_t value;

	memcpy(&value, bytes + 2, 4);
	switch (bytes[0] & 7) {
	case 0: guest_read(IO_SPACE_MEMORY, 0, BASE + bytes[1] % 128, width); break;
	case 1: guest_write(IO_SPACE_MEMORY, 0, BASE + bytes[1] % 128, width, value); break;
	case 2:
	case 3:
		guest_write32(BASE, bytes[1]);
		guest_write32(BASE + 0x10, value);
		break;
	case 4: irq_end_of_interrupt(&fixture_vm, bytes[1]); break;
	case 5: irq_line_pulse(&fixture_vm, line); break;
	default: irq_line_set(&fixture_vm, line, bytes[0] & 8); break;
	}
	/* Routing brings line 0 to pin 2 and line 2 nowhere. */
	if ((bytes[0] & 7) >= 5 && line != 2)
		lines[line == 0 ? 2 : line] = (bytes[0] & 7) > 5 && (bytes[0] & 8);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bool lines[PINS] = {false};

	fixture_start(1);
	accepts = size % 8 != 0;
	require(fixture_add(&io_apic_class) != NULL);
	irq_routing_set_local(&fixture_vm, &local, NULL);
	io_devices_reset(&fixture_vm);
	for (size_t i = 0; i + STEP_SIZE <= size; i += STEP_SIZE) {
		step(data + i, lines);
		check(lines);
	}
	require(*fixture_describe(list_entry(fixture_vm.devices.next, struct io_device, link)) != '\0');
	io_devices_destroy(&fixture_vm);
	require(fixture_pages == 0);
	return 0;
}
