/*
 * Hostile configuration of passed-through devices: every register of every function on the bus with hostile values,
 * BARs over RAM, local and I/O APICs, each other, beyond 4 GiB and at the ends of the address space, and MSI-X entries
 * with addresses and data that are no interrupt of this VM's. An NVMe disk sends these messages. Nothing of it may have
 * an effect, but on the device's own view.
 */
#include "pci.h"
#include "runtime/guest.h"

#include "runtime/apic.h"

const char guest_name[] = "pci_wild";

#define NVME_BASE 0xd0000000ul
#define NVME_CLASS 0x010802u
#define PCI_CLASS 0x08u
#define CAPABILITY_MSIX 0x11u
#define MARK 0xa5u
#define PAGE 4096u
#define OWN_VECTOR 0x73u

/* NVM Express Base Specification: controller registers, admin commands. */
#define NVME_CC 0x14u
#define NVME_CSTS 0x1cu
#define NVME_AQA 0x24u
#define NVME_ASQ 0x28u
#define NVME_ACQ 0x30u
#define NVME_SQ_DOORBELL 0x1000u
#define NVME_CQ_DOORBELL 0x1004u
#define NVME_CC_ENABLE 0x460001u /* entries of 64 and 16 bytes */
#define NVME_IDENTIFY 6u
#define QUEUE 16u

static uint32_t submissions[QUEUE][16] __attribute__((aligned(PAGE)));
static volatile uint32_t completions[QUEUE][4] __attribute__((aligned(PAGE)));
static uint8_t identity[PAGE] __attribute__((aligned(PAGE))), mark[PAGE] __attribute__((aligned(PAGE)));
static volatile unsigned own_messages;
static unsigned nvme, commands;

static void on_message(struct guest_frame *frame)
{
	(void)frame;
	own_messages++;
	apic_end_of_interrupt();
}

/* What must be as it was, whatever the devices were told. */
static void check_surroundings(const char *what, unsigned long long value)
{
	bool intact = true;

	for (unsigned i = 0; i < PAGE; i++)
		intact &= mark[i] == MARK;
	guest_check(intact, "%s %llx: own memory changed", what, value);
	guest_check((apic_read(APIC_VERSION) & 0xff) < 0x20, "%s %llx: the local APIC is gone", what, value);
	mmio_write(IO_APIC_SELECT, 1);
	guest_check((mmio_read(IO_APIC_WINDOW) >> 16 & 0xff) == 23, "%s %llx: the I/O APIC is gone", what, value);
}

/* ---- configuration space ---- */

static void write_narrow(unsigned slot, unsigned offset, uint32_t value)
{
	pci_select(slot, offset & ~3u);
	out16((uint16_t)(PCI_DATA_PORT + (offset & 2)), (uint16_t)value);
	out8((uint16_t)(PCI_DATA_PORT + (offset & 3)), (uint8_t)value);
}

static void sweep(unsigned slot)
{
	static const uint32_t values[] = {0xffffffff, 0, 0x5a5aa5a5, 0xfee00010, 0xfec00000, 0x80000000, 0x00000407, 0xffff0000};
	uint32_t id = pci_read(slot, PCI_ID), kind = pci_read(slot, PCI_CLASS);

	for (unsigned v = 0; v < sizeof(values) / sizeof(values[0]); v++) {
		for (unsigned offset = 0; offset < 256; offset += 4) {
			pci_write(slot, offset, values[v]);
			write_narrow(slot, offset + v % 4, values[v]);
		}
		guest_check(pci_read(slot, PCI_ID) == id && pci_read(slot, PCI_CLASS) == kind, "slot %u is another device", slot);
		check_surroundings("sweep with", values[v]);
	}
	/* Whatever it has, it is silent now. */
	for (unsigned offset = 0x40; offset < 256; offset += 4)
		pci_write(slot, offset, 0);
	pci_write(slot, PCI_COMMAND, PCI_COMMAND_NO_INTX);
}

static const uint64_t places[] = {
	0, 0x1000, 0x100000, 0x800000, 0xfff000, 0x1000000, 0xb0000000, NVME_BASE, NVME_BASE + 0x1000, 0xfebf0000, 0xfec00000, 0xfed90000,
	0xfee00000, 0xfffff000, 0x100000000, 0x800000000, 0x17fffff0000, 0x8000000000, 0x7ffffffff000, 0xfffffffffffff000,
};

static void misplace(unsigned slot)
{
	for (unsigned bar = 0; bar < 6; bar++) {
		for (unsigned i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
			pci_write(slot, PCI_COMMAND, PCI_COMMAND_NO_INTX);
			pci_write(slot, PCI_BAR0 + 4 * bar, (uint32_t)places[i]);
			if (bar < 5)
				pci_write(slot, PCI_BAR0 + 4 * bar + 4, (uint32_t)(places[i] >> 32));
			pci_write(slot, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_NO_INTX | 1);
			check_surroundings("a base address of", places[i]);
			/* Moved on while it decodes. */
			pci_write(slot, PCI_BAR0 + 4 * bar, (uint32_t)places[(i + 7) % (sizeof(places) / sizeof(places[0]))]);
			check_surroundings("then moved from", places[i]);
		}
		pci_write(slot, PCI_BAR0 + 4 * bar, 0);
	}
	pci_write(slot, PCI_COMMAND, PCI_COMMAND_NO_INTX);
}

/* ---- messages ---- */

static bool wait_for_status(uint32_t wanted)
{
	for (unsigned i = 0; i < 10000000; i++)
		if ((mmio_read(NVME_BASE + NVME_CSTS) & 1) == wanted)
			return true;
	return false;
}

/* QEMU's disk wants MSI-X on before its queues are made. */
static bool start_disk(void)
{
	pci_write(nvme, pci_find_capability(nvme, CAPABILITY_MSIX), 0x80000000);
	pci_write(nvme, PCI_BAR0, (uint32_t)NVME_BASE);
	pci_write(nvme, PCI_BAR0 + 4, 0);
	pci_write(nvme, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_NO_INTX);
	mmio_write(NVME_BASE + NVME_CC, 0);
	if (!wait_for_status(0))
		return false;
	mmio_write(NVME_BASE + NVME_AQA, (QUEUE - 1) << 16 | (QUEUE - 1));
	mmio_write(NVME_BASE + NVME_ASQ, (uint32_t)(uintptr_t)submissions);
	mmio_write(NVME_BASE + NVME_ASQ + 4, 0);
	mmio_write(NVME_BASE + NVME_ACQ, (uint32_t)(uintptr_t)completions);
	mmio_write(NVME_BASE + NVME_ACQ + 4, 0);
	mmio_write(NVME_BASE + NVME_CC, NVME_CC_ENABLE);
	return wait_for_status(1);
}

/* One command; its end raises message 0. */
static bool identify(void)
{
	unsigned place = commands % QUEUE, phase = 1 - commands / QUEUE % 2;
	bool done = false;

	memset(submissions[place], 0, sizeof(submissions[place]));
	submissions[place][0] = NVME_IDENTIFY | commands << 16;
	submissions[place][6] = (uint32_t)(uintptr_t)identity;
	submissions[place][10] = 1;
	commands++;
	mmio_write(NVME_BASE + NVME_SQ_DOORBELL, commands % QUEUE);
	for (unsigned i = 0; i < 10000000 && !done; i++)
		done = (completions[place][3] >> 16 & 1) == phase;
	mmio_write(NVME_BASE + NVME_CQ_DOORBELL, commands % QUEUE);
	for (unsigned i = 0; i < 1000; i++)
		interrupts_window();
	return done;
}

static void set_message(uint64_t entry, uint64_t address, uint32_t data)
{
	mmio_write(entry + 12, 1);
	mmio_write(entry, (uint32_t)address);
	mmio_write(entry + 4, (uint32_t)(address >> 32));
	mmio_write(entry + 8, data);
	mmio_write(entry + 12, 0);
}

/* An unexpected interrupt ends this program with a failure. */
static void wild_messages(void)
{
	static const struct { uint64_t address; uint32_t data; } messages[] = {
		{0xfee01000, 0x31}, {0xfee02000, 0x51}, {0xfee3f000, 0xe0}, {0xfeefe000, 0xf1}, /* other CPUs, the hypervisor's vectors */
		{0xfee00000, 0x05}, {0xfee00000, 0x00}, {0xfee00000, 0x0200}, {0xfee00000, 0x0600}, {0xfee00000, 0x0700}, /* SMI, startup, ... */
		{0xfee00010, 0}, {0xfee00030, 0}, {0xfee00050, 0}, {0xfee0ff18, 3}, {0xfeefffff, 0}, /* remappable format, all handles */
		{0xfec00000, 0x51}, {0xfed90000, 0x51}, {0xfef00000, 0x51}, {0x100000000 | 0xfee00000, 0x51},
		{0xffffffff00000000, 0x51}, {0x01000000, 0x51}, {0x3f000000, 0x51},
	};
	unsigned msix = pci_find_capability(nvme, CAPABILITY_MSIX);
	uint64_t entry = NVME_BASE + (pci_read(nvme, msix + 4) & ~7u);

	guest_check(msix != 0 && (pci_read(nvme, msix + 4) & 7) == 0, "no MSI-X in the first BAR");
	set_message(entry, 0xfee00000, OWN_VECTOR);
	guest_check(identify() && own_messages == 1, "its own message came %u times", own_messages);
	for (unsigned i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
		set_message(entry, messages[i].address, messages[i].data);
		guest_check(identify(), "the disk hangs behind message %llx", (unsigned long long)messages[i].address);
		check_surroundings("a message to", messages[i].address);
	}
	/* Handles of the remapping tables one by one, and one's own memory as a message. */
	for (unsigned handle = 0; handle < 64; handle++) {
		set_message(entry, 0xfee00010 | handle << 5, 0);
		guest_check(identify(), "the disk hangs behind handle %u", handle);
	}
	set_message(entry, (uintptr_t)mark, 0x11111111);
	guest_check(identify(), "the disk hangs behind a message to memory");
	check_surroundings("a message to", (uintptr_t)mark);
	guest_check(own_messages == 1, "%u of them came here", own_messages);
	set_message(entry, 0xfee00000, OWN_VECTOR);
	guest_check(identify() && own_messages == 2, "then its own message came %u times", own_messages);
}

void guest_main(void)
{
	unsigned count = 0;

	guest_interrupts_init();
	apic_enable(false);
	guest_handle(OWN_VECTOR, on_message);
	memset(mark, MARK, PAGE);
	nvme = PCI_SLOTS;
	for (unsigned slot = 0; slot < PCI_SLOTS; slot++) {
		if (pci_read(slot, PCI_ID) == 0xffffffff)
			continue;
		if (pci_read(slot, PCI_CLASS) >> 8 == NVME_CLASS)
			nvme = slot;
		sweep(slot);
		misplace(slot);
		count++;
	}
	guest_check(nvme != PCI_SLOTS && count > 2, "no NVMe disk on the bus");
	guest_check(start_disk(), "the disk does not start");
	wild_messages();
	guest_print("%s: %u functions, %u commands\n", guest_name, count, commands);
}
