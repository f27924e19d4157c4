/* A passed-through device that does as it is told: registers at places of the guest's choice, DMA in own memory, interrupts. */
#include "edu.h"

#include "runtime/apic.h"

const char guest_name[] = "edu_dma";

#define FIRST_BASE 0xd0000000ul
#define SECOND_BASE 0xe0500000ul
#define LINE_VECTOR 0x71u
#define MESSAGE_VECTOR 0x72u
#define ENTRY_LEVEL 0x8000u
#define LENGTH 2048u /* not all of the buffer: QEMU takes that for an overrun */

static uint8_t from[LENGTH] __attribute__((aligned(4096))), to[LENGTH] __attribute__((aligned(4096)));
static volatile unsigned lines, messages;

static void on_line(struct guest_frame *frame)
{
	(void)frame;
	lines++;
	edu_write(EDU_ACKNOWLEDGE, edu_read(EDU_INTERRUPT));
	apic_end_of_interrupt();
}

static void on_message(struct guest_frame *frame)
{
	(void)frame;
	messages++;
	edu_write(EDU_ACKNOWLEDGE, edu_read(EDU_INTERRUPT));
	apic_end_of_interrupt();
}

static void check_registers(void)
{
	guest_check((edu_read(EDU_IDENTIFICATION) & 0xff) == 0xed, "identification is %x", edu_read(EDU_IDENTIFICATION));
	edu_write(EDU_LIVENESS, 0x12345678);
	guest_check(edu_read(EDU_LIVENESS) == ~0x12345678u, "liveness is %x", edu_read(EDU_LIVENESS));
}

/* The registers follow the BAR, and are nowhere while memory decoding is off. */
static void move(void)
{
	check_registers();
	pci_write(edu_slot, PCI_BAR0, (uint32_t)SECOND_BASE);
	guest_check(edu_read(EDU_IDENTIFICATION) == 0xffffffff, "still at the old place: %x", edu_read(EDU_IDENTIFICATION));
	edu_base = SECOND_BASE;
	check_registers();
	pci_write(edu_slot, PCI_COMMAND, PCI_COMMAND_MASTER | PCI_COMMAND_NO_INTX);
	guest_check(edu_read(EDU_IDENTIFICATION) == 0xffffffff, "there without memory decoding");
	pci_write(edu_slot, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_NO_INTX);
	check_registers();
}

static void size(void)
{
	uint32_t before = pci_read(edu_slot, PCI_BAR0);

	pci_write(edu_slot, PCI_BAR0, 0xffffffff);
	guest_check(pci_read(edu_slot, PCI_BAR0) == ~(EDU_SIZE - 1), "size is %x", pci_read(edu_slot, PCI_BAR0));
	pci_write(edu_slot, PCI_BAR0, before);
	guest_check(pci_read(edu_slot, PCI_BAR0) == (uint32_t)SECOND_BASE, "BAR is %x", pci_read(edu_slot, PCI_BAR0));
}

static void transfer(void)
{
	for (unsigned i = 0; i < LENGTH; i++)
		from[i] = (uint8_t)(i * 7 + i / 256);
	guest_check(edu_transfer((uintptr_t)from, 0, LENGTH, false), "the read does not end");
	guest_check(edu_transfer((uintptr_t)to, 0, LENGTH, true), "the write does not end");
	guest_check(memcmp(from, to, LENGTH) == 0, "what came back differs");
}

static void wait_for(const volatile unsigned *count, unsigned wanted)
{
	for (unsigned i = 0; i < 200000000 && *count < wanted; i++)
		interrupts_window();
}

static void line(void)
{
	unsigned pin = pci_read(edu_slot, PCI_INTERRUPT) & 0xff;

	guest_check((pci_read(edu_slot, PCI_INTERRUPT) >> 8 & 0xff) == 1 && pin >= 16 && pin < 24, "interrupt register is %x",
		    pci_read(edu_slot, PCI_INTERRUPT));
	guest_handle(LINE_VECTOR, on_line);
	io_apic_route(pin, LINE_VECTOR | ENTRY_LEVEL);
	pci_write(edu_slot, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	for (unsigned i = 1; i <= 3; i++) {
		edu_write(EDU_RAISE, 1);
		wait_for(&lines, i);
		guest_check(lines == i, "INTx came %u times instead of %u", lines, i);
	}
}

static void message(void)
{
	unsigned msi = pci_find_capability(edu_slot, PCI_CAPABILITY_MSI);

	guest_handle(MESSAGE_VECTOR, on_message);
	guest_check(pci_enable_msi(edu_slot, MESSAGE_VECTOR), "no MSI");
	if (msi == 0)
		return;
	for (unsigned i = 1; i <= 3; i++) {
		edu_write(EDU_RAISE, 1);
		wait_for(&messages, i);
		guest_check(messages == i, "MSI came %u times instead of %u", messages, i);
	}
	guest_check(pci_read(edu_slot, msi + 4) == 0xfee00000, "the message's address changed to %x", pci_read(edu_slot, msi + 4));
}

void guest_main(void)
{
	guest_interrupts_init();
	apic_enable(false);
	guest_check(edu_open(FIRST_BASE), "no edu device on the bus");
	if (edu_base == 0)
		return;
	move();
	size();
	transfer();
	line();
	message();
}
