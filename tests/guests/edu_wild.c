/*
 * A passed-through device that is told to do harm: DMA to and from every kind of address that is not this VM's, and
 * messages that are not its own. Nothing of it may come through; the neighbours, the host's log and its audit say
 * whether.
 */
#include "edu.h"

#include "runtime/apic.h"

const char guest_name[] = "edu_wild";

#define BASE 0xd0000000ul
#define MARK 0xa5u
#define LENGTH 256u
#define HANDLES 32u /* each takes QEMU a tenth of a second */

static uint8_t mark[LENGTH] __attribute__((aligned(4096))), seen[LENGTH] __attribute__((aligned(4096)));

/* Guest-physical, which is all that the device can say. The VM has 16 MiB. */
static const uint64_t strange[] = {
	0x000a0000,       /* the hole of the video memory */
	0x01000000,       /* behind its memory */
	0x02000000, 0x04000000, 0x10000000, 0x20000000, 0x3f000000, /* where the machine's memory is */
	0xb0000000, 0xe0000000, /* the machine's PCI configuration space */
	0xfec00000,       /* the I/O APIC */
	0xfed90000,       /* a unit of the IOMMU */
	0xfee00010,       /* a remappable message, entry 0 */
	0x100000000, 0x8000000000, 0x7ffffffff000,
};

/* What the device holds is known before each attempt to read, so that it can be seen whether anything came. */
static void try_read(uint64_t address)
{
	guest_check(edu_transfer((uintptr_t)mark, 0, LENGTH, false), "the device hangs");
	guest_check(edu_transfer(address, 0, LENGTH, false), "the read of %llx does not end", (unsigned long long)address);
	guest_check(edu_transfer((uintptr_t)seen, 0, LENGTH, true), "the device hangs");
	for (unsigned i = 0; i < LENGTH; i++) {
		if (seen[i] != MARK && seen[i] != 0 && seen[i] != 0xff) {
			guest_fail("it read %x from %llx", seen[i], (unsigned long long)address);
			return;
		}
	}
}

static void try_write(uint64_t address)
{
	guest_check(edu_transfer((uintptr_t)mark, 0, LENGTH, false), "the device hangs");
	guest_check(edu_transfer(address, 0, address >> 20 == 0xfee ? 4 : LENGTH, true), "the write of %llx does not end",
		    (unsigned long long)address);
}

/* Places for its registers over what is not the device's: RAM, APICs, other windows. RAM stays RAM. */
static void misplace(void)
{
	static const uint32_t places[] = {0, 0x00100000, 0x00800000, 0xfec00000, 0xfee00000, 0xfff00000, 0xfebf0000};

	for (unsigned i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		pci_write(edu_slot, PCI_BAR0, places[i]);
		guest_check(mark[0] == MARK && mark[LENGTH - 1] == MARK, "RAM is gone with the BAR at %x", places[i]);
	}
	guest_check((apic_read(APIC_VERSION) & 0xff) < 0x20, "the local APIC is gone");
	pci_write(edu_slot, PCI_BAR0, (uint32_t)BASE);
	guest_check((edu_read(EDU_IDENTIFICATION) & 0xff) == 0xed, "the device does not come back");
}

/* All of configuration space at random, but for what would move the registers away for good. */
static void scribble(void)
{
	uint32_t random = 12345;

	for (unsigned round = 0; round < 4; round++) {
		for (unsigned offset = 0; offset < 256; offset += 4) {
			random = random * 1664525 + 1013904223;
			pci_write(edu_slot, offset, random);
		}
	}
	for (unsigned offset = 0x40; offset < 256; offset += 4)
		pci_write(edu_slot, offset, 0);
	guest_check(pci_read(edu_slot, PCI_ID) == EDU_ID, "its id is %x", pci_read(edu_slot, PCI_ID));
	guest_check(edu_open(BASE), "it is gone");
}

/* Messages in the remappable format, with and without subhandle, by the handles that the hypervisor gives out first: to
 * I/O APICs. Those in the other format are left out: QEMU delivers them though remapping is on. */
static void send_messages(void)
{
	guest_check(edu_transfer((uintptr_t)mark, 0, LENGTH, false), "the device hangs");
	for (uint64_t handle = 0; handle < HANDLES; handle++)
		guest_check(edu_transfer(0xfee00010 | handle << 5 | (handle & 1) << 3, 0, 4, true), "message %llu does not end",
			    (unsigned long long)handle);
}

void guest_main(void)
{
	guest_interrupts_init();
	apic_enable(false);
	guest_check(edu_open(BASE), "no edu device on the bus");
	if (edu_base == 0)
		return;
	memset(mark, MARK, LENGTH);
	misplace();
	scribble();
	for (unsigned i = 0; i < sizeof(strange) / sizeof(strange[0]); i++) {
		try_read(strange[i]);
		try_write(strange[i]);
	}
	send_messages();
	guest_check(mark[0] == MARK && mark[LENGTH - 1] == MARK, "own memory changed");
	guest_print("%s: %u places tried\n", guest_name, (unsigned)(sizeof(strange) / sizeof(strange[0])));
}
