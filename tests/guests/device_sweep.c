/*
 * Writes and reads device registers at random (but the same on each run): ports of all devices, I/O APIC, local APIC,
 * PCI configuration space, device MSRs. Whatever comes of it happens to this VM alone.
 */
#include "runtime/guest.h"

#include "runtime/apic.h"
#include "runtime/cpu.h"

const char guest_name[] = "device_sweep";

#define ROUNDS 6000u
#define ICR_DELIVERY(value) ((value) >> 8 & 7)
#define DELIVER_INIT 5u
#define DELIVER_STARTUP 6u

static uint64_t random_state = 0x9e3779b97f4a7c15ull;

static uint64_t next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static void ignore(struct guest_frame *frame) { (void)frame; }

/* Not the ports that end the VM or put bytes on the console. */
static const uint16_t ports[] = {
	0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1, 0x40, 0x41, 0x42, 0x43, 0x61, 0x70, 0x71, 0x72, 0x73, 0x80, 0xed,
	0x3f9, 0x3fa, 0x3fd, 0x3fe, 0x3ff, 0x600, 0x601, 0x602, 0x603, 0x608, 0x609, 0x60a, 0x60b, 0xcf8, 0xcfc, 0xcfd,
};

static void one_port(void)
{
	uint64_t choice = next_random();
	uint16_t port = ports[choice % (sizeof(ports) / sizeof(ports[0]))];
	uint32_t value = (uint32_t)(choice >> 32);

	switch (choice >> 16 & 7) {
	case 0: in16(port); break;
	case 1: in32(port); break;
	case 2: case 3: case 4: in8(port); break;
	default: out8(port, (uint8_t)value); break;
	}
}

static void one_io_apic(void)
{
	uint64_t choice = next_random();

	mmio_write(IO_APIC_SELECT, (uint8_t)choice);
	if (choice & 1ull << 20)
		mmio_write(IO_APIC_WINDOW, (uint32_t)(choice >> 32));
	mmio_read(IO_APIC_WINDOW);
	*(volatile uint8_t *)(IO_APIC + (choice >> 24 & 0xff)) = (uint8_t)choice;
	(void)*(volatile uint16_t *)(IO_APIC + (choice >> 8 & 0xfe));
}

/* INIT and start-up would stop this VM, which has but one processor. */
static void one_local_apic(void)
{
	uint64_t choice = next_random();
	uint32_t offset = (uint32_t)(choice >> 8 & 0x3f0), value = (uint32_t)(choice >> 32);

	if (offset == APIC_ICR_LOW && (ICR_DELIVERY(value) == DELIVER_INIT || ICR_DELIVERY(value) == DELIVER_STARTUP))
		return;
	mmio_write(LOCAL_APIC + offset, value);
	mmio_read(LOCAL_APIC + offset);
	if (choice & 1)
		(void)*(volatile uint8_t *)(LOCAL_APIC + (choice >> 20 & 0xfff));
	if (choice & 2)
		(void)*(volatile uint64_t *)(LOCAL_APIC + (choice >> 20 & 0xff8));
}

static void one_pci(void)
{
	uint64_t choice = next_random();

	out32(0xcf8, 0x80000000u | (uint32_t)(choice & (choice & 1ull << 40 ? 0xfffffcu : 0xfcu)));
	if (choice & 1ull << 41)
		out32(0xcfc, (uint32_t)(choice >> 32));
	in32(0xcfc);
	in16((uint16_t)(0xcfc + (choice >> 42 & 2)));
}

static void write_msr(uint64_t msr, uint64_t value) { wrmsr((uint32_t)msr, value); }
static void read_msr(uint64_t msr, uint64_t unused) { (void)unused, rdmsr((uint32_t)msr); }

static void one_msr(void)
{
	uint64_t choice = next_random(), value = next_random();
	uint32_t msr = 0x800 + (uint32_t)(choice & 0x3f);

	if (choice & 1ull << 20)
		msr = MSR_TSC_DEADLINE;
	guest_try(read_msr, msr, 0);
	if (msr != MSR_X2APIC + APIC_ICR_LOW / 16)
		guest_try(write_msr, msr, choice & 1ull << 21 ? value & 0xffffffff : value);
}

/* Pending interrupts come in between, of any vector: a wrongly set up 8259 can give those of exceptions too. */
static void repeat(void (*one)(void))
{
	for (unsigned i = 0; i < ROUNDS; i++) {
		one();
		if (i % 64 == 0)
			interrupts_window();
	}
}

void guest_main(void)
{
	guest_interrupts_ignore();
	/* The UART in loop-back: nothing of this reaches the console. */
	out8(COM1 + 4, 0x10);
	repeat(one_port);
	repeat(one_io_apic);
	repeat(one_local_apic);
	repeat(one_pci);
	wrmsr(MSR_APIC_BASE, (rdmsr(MSR_APIC_BASE) & ~0xfffull) | 0x800);
	wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | 0xc00);
	/* Refused writes are exceptions. Interrupts stay off from here, but an NMI may come. */
	guest_interrupts_init();
	guest_handle(2, ignore);
	for (unsigned i = 0; i < ROUNDS; i++)
		one_msr();
	guest_print_init();
}
