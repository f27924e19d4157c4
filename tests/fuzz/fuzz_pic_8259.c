/* Any sequence of port accesses, line changes and INTA cycles on the pair of 8259s: no crash, vectors within the range
 * that was programmed, and a vCPU that is told whenever INTR is high. */
#include "tests/unit/irq_fixture.h"
#include "vmm/dev/pic_8259_chip.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

extern const struct io_device_class pic_8259_class;

#define STEP_SIZE 3u

static void require(bool condition)
{
	if (!condition)
		abort();
}

/* What acknowledges must have been asked for, and what is asked for is answered by an input of the chip. */
static void acknowledge(void)
{
	bool pending = irq_external_pending(&fixture_vm);
	uint8_t vector = irq_external_acknowledge(&fixture_vm);

	/* Without a request it is input 7 of a chip. */
	require(pending || (vector & 7) == 7);
	if (!irq_external_pending(&fixture_vm))
		fixture_vcpus[0].requests = 0;
}

static void step(const uint8_t *bytes)
{
	static const uint16_t ports[] = {0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1, 0x20, 0xa0};
	uint16_t port = ports[bytes[0] >> 3 & 7];
	unsigned size = port % 2 == 0 && (bytes[0] & 0x40) ? 2 : 1;

	switch (bytes[0] & 7) {
	case 0: guest_read(IO_SPACE_PORT, 0, port, size); break;
	case 1:
	case 2:
	case 3: guest_write(IO_SPACE_PORT, 0, port, size, (uint64_t)bytes[2] << 8 | bytes[1]); break;
	case 4: acknowledge(); break;
	case 5: irq_line_pulse(&fixture_vm, bytes[1] % 24); break;
	default: irq_line_set(&fixture_vm, bytes[1] % 24, bytes[0] & 1); break;
	}
}

static void check(void)
{
	require(!irq_external_pending(&fixture_vm) || (fixture_vcpus[0].requests & VCPU_REQUEST_EVENT));
	require((guest_in8(0x4d0) & ~0xf8) == 0 && (guest_in8(0x4d1) & ~0xde) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fixture_start(1);
	require(fixture_add(&pic_8259_class) != NULL);
	io_devices_reset(&fixture_vm);
	for (size_t i = 0; i + STEP_SIZE <= size; i += STEP_SIZE) {
		step(data + i);
		check();
	}
	require(*fixture_describe(list_entry(fixture_vm.devices.next, struct io_device, link)) != '\0');
	io_devices_destroy(&fixture_vm);
	require(fixture_pages == 0);
	return 0;
}
