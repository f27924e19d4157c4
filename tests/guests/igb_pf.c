/*
 * The driver of an Intel 82576's physical function, which it takes so that its virtual ones have a network: switches on what they
 * share, and answers what they ask by mailbox. It sends and receives nothing itself. Runs until it is stopped.
 * Intel 82576EB Gigabit Ethernet Controller Datasheet, "Virtualization", "Mailbox", "Register Descriptions".
 */
#include "runtime/guest.h"

#include "pci.h"
#include "runtime/apic.h"

const char guest_name[] = "igb_pf";

#define IGB_ID 0x10c98086u
#define BASE 0xd0000000u
#define VFS 8u

#define CTRL 0x0000u
#define CTRL_LINK_UP 0x40u
#define CTRL_EXT 0x0018u
#define CTRL_EXT_READY 0x4000u /* the physical function's reset is done: virtual ones may begin */
#define MDIC 0x0020u           /* of the PHY's registers */
#define MDIC_WRITE 0x04200000u /* PHY 1 */
#define MDIC_READY 0x10000000u
#define PHY_RESTART 0x1200u    /* of register 0: negotiate the link, again */
#define RCTL 0x0100u
#define RCTL_ON 0x8002u        /* with broadcasts */
#define TCTL 0x0400u
#define TCTL_ON 0x000au        /* with padding of short packets */
#define MAILBOX_MEMORY(vf, word) (0x0800u + (vf) * 64 + (word) * 4)
#define MAILBOX(vf) (0x0c00u + (vf) * 4)
#define MAILBOX_MESSAGE 1u
#define MAILBOX_TAKEN 2u       /* says that its message was taken */
#define MAILBOX_OURS 8u
#define MAILBOX_CAUSE 0x0c80u  /* bit n: a message of virtual function n */
#define RESET_CAUSE 0x0c88u
#define RECEIVE_ENABLE 0x0c8cu
#define TRANSMIT_ENABLE 0x0c90u
#define GPIE 0x1514u
#define GPIE_MSIX 0x80000010u
#define SWITCH 0x3500u
#define SWITCH_LOOPBACK 0x80000000u /* what one virtual function sends to another */
#define ADDRESS_LOW(entry) (0x5400u + (entry) * 8)
#define ADDRESS_HIGH(entry) (0x5404u + (entry) * 8)
#define ADDRESS_VALID 0x80000000u
#define ADDRESS_POOL 0x40000u  /* of virtual function 0 */
#define QUEUES 0x5818u
#define QUEUES_BY_FUNCTION 3u
#define FILTER(vf) (0x5ad0u + (vf) * 4)
#define FILTER_OPEN 0x0b0105eeu /* broadcasts, multicasts of the table, untagged and long packets up to 1518 bytes */

#define MESSAGE_RESET 1u
#define MESSAGE_ADDRESS 2u
#define MESSAGE_DONE 0x80000000u
#define MESSAGE_GO_ON 0x20000000u /* the physical function is there: clear to send */
#define TYPE_MASK 0xffffu

#define TICK_VECTOR 0x20u
#define TICK_DIVIDER 11932u /* 10 ms */
#define TRIES 1000u

static uint32_t read(unsigned offset) { return mmio_read(BASE + offset); }
static void write(unsigned offset, uint32_t value) { mmio_write(BASE + offset, value); }

static void on_tick(struct guest_frame *frame)
{
	(void)frame;
	out8(0x20, 0x20);
}

static void negotiate(void)
{
	write(MDIC, MDIC_WRITE | PHY_RESTART);
	for (unsigned i = 0; i < TRIES; i++)
		if (read(MDIC) & MDIC_READY)
			return;
	guest_print("igb_pf: the PHY does not answer\n");
}

static void switch_on(void)
{
	write(QUEUES, QUEUES_BY_FUNCTION);
	write(GPIE, GPIE_MSIX);
	write(SWITCH, SWITCH_LOOPBACK);
	for (unsigned vf = 0; vf < VFS; vf++)
		write(FILTER(vf), FILTER_OPEN);
	write(CTRL, read(CTRL) | CTRL_LINK_UP);
	negotiate();
	write(RCTL, RCTL_ON);
	write(TCTL, TCTL_ON);
	write(CTRL_EXT, read(CTRL_EXT) | CTRL_EXT_READY);
}

static bool take_mailbox(unsigned vf)
{
	for (unsigned i = 0; i < TRIES; i++) {
		write(MAILBOX(vf), MAILBOX_OURS);
		if (read(MAILBOX(vf)) & MAILBOX_OURS)
			return true;
	}
	guest_print("igb_pf: the mailbox of virtual function %u stays taken\n", vf);
	return false;
}

static void set_address(unsigned vf, uint32_t low, uint32_t high)
{
	write(ADDRESS_LOW(vf + 1), low);
	write(ADDRESS_HIGH(vf + 1), (high & TYPE_MASK) | ADDRESS_VALID | ADDRESS_POOL << vf);
}

static void set_enabled(unsigned vf, bool on)
{
	uint32_t bit = 1u << vf;

	write(RECEIVE_ENABLE, on ? read(RECEIVE_ENABLE) | bit : read(RECEIVE_ENABLE) & ~bit);
	write(TRANSMIT_ENABLE, on ? read(TRANSMIT_ENABLE) | bit : read(TRANSMIT_ENABLE) & ~bit);
}

/* Whatever else it asks is granted: there is nobody here to protect. */
static void answer(unsigned vf, uint32_t message, const uint32_t asked[2])
{
	uint32_t type = message & TYPE_MASK;
	uint32_t low = 0x00000002, high = 0x1000 + (vf << 8); /* 02:00:00:00:00:10, and so on */

	if (!take_mailbox(vf))
		return;
	if (type == MESSAGE_RESET) {
		set_address(vf, low, high & TYPE_MASK);
		set_enabled(vf, true);
		write(MAILBOX_MEMORY(vf, 1), low);
		write(MAILBOX_MEMORY(vf, 2), high);
	}
	/* With more in its upper half it is about further addresses. */
	if (message == MESSAGE_ADDRESS)
		set_address(vf, asked[0], asked[1]);
	write(MAILBOX_MEMORY(vf, 0), type | MESSAGE_DONE | (type == MESSAGE_RESET ? 0 : MESSAGE_GO_ON));
	write(MAILBOX(vf), MAILBOX_MESSAGE);
}

static void listen(unsigned vf)
{
	uint32_t message, asked[2];

	write(MAILBOX_CAUSE, 1u << vf);
	if (!take_mailbox(vf))
		return;
	message = read(MAILBOX_MEMORY(vf, 0));
	asked[0] = read(MAILBOX_MEMORY(vf, 1));
	asked[1] = read(MAILBOX_MEMORY(vf, 2));
	write(MAILBOX(vf), MAILBOX_TAKEN);
	answer(vf, message, asked);
}

void guest_main(void)
{
	unsigned slot = pci_find(IGB_ID);

	guest_interrupts_init();
	guest_handle(TICK_VECTOR, on_tick);
	if (slot == PCI_SLOTS) {
		guest_fail("no 82576 on the bus");
		return;
	}
	pci_write(slot, PCI_BAR0, BASE);
	pci_write(slot, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_NO_INTX);
	switch_on();
	guest_print("igb_pf: serves its virtual functions\n");
	apic_enable(false);
	pic_init(TICK_VECTOR, 1);
	pit_start(TICK_DIVIDER);
	for (;;) {
		uint32_t resets = read(RESET_CAUSE) & ((1u << VFS) - 1);
		uint32_t messages = read(MAILBOX_CAUSE) & ((1u << VFS) - 1);

		write(RESET_CAUSE, resets);
		for (unsigned vf = 0; vf < VFS; vf++) {
			if (resets & 1u << vf)
				set_enabled(vf, false);
			if (messages & 1u << vf)
				listen(vf);
		}
		wait_for_interrupt();
	}
}
